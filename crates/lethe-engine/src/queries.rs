//! The newest queries of a sequence, for policies that ask which slots they attend to.

use lethe_kv::Grant;
use lethe_model::Heads;
use lethe_policy::Evidence;

/// The last so many queries of every layer. A ring: the query of position `p` stands in row `p % rows`.
#[derive(Debug, Default)]
pub(crate) struct QueryWindow {
    layers: usize,
    rows: usize,
    width: usize,      // query heads * dim
    queries: Vec<f32>, // [layers][rows][query heads][dim], empty until the first is recorded
    from: usize,       // the first position that was recorded
    /// Pages of the pool that stand for this memory while the sequence is in it.
    pub(crate) charged: Option<Grant>,
}

impl QueryWindow {
    pub(crate) fn new(evidence: Evidence, heads: Heads, layers: usize) -> QueryWindow {
        let (rows, width) = (evidence.queries, heads.queries * heads.dim);
        QueryWindow { layers, rows, width, queries: Vec::new(), from: 0, charged: None }
    }

    /// Most queries that it remembers.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that it takes once something is recorded.
    pub(crate) fn bytes(&self) -> u64 {
        (self.layers * self.rows * self.width * size_of::<f32>()) as u64
    }

    /// Forgets everything; position `from` will be the next.
    pub(crate) fn restart(&mut self, from: usize) {
        self.from = from;
    }

    /// Takes the queries of the positions from `position` on. `q [rows][query heads][dim]`
    pub(crate) fn record(&mut self, layer: usize, position: usize, q: &[f32]) {
        // Not before: a request that waits for its turn holds nothing.
        self.queries.resize(self.layers * self.rows * self.width, 0.0);
        for (i, query) in q.chunks_exact(self.width).enumerate() {
            let row = self.row(layer, position + i);
            self.queries[row..row + self.width].copy_from_slice(query);
        }
    }

    /// Positions of the queries that it has when `next` is the next position.
    pub(crate) fn positions(&self, next: usize) -> std::ops::Range<usize> {
        next - self.rows.min(next - self.from)..next
    }

    /// One head's query of a position.
    pub(crate) fn query(&self, layer: usize, position: usize, head: usize, dim: usize) -> &[f32] {
        &self.queries[self.row(layer, position) + head * dim..][..dim]
    }

    /// Where the query of a position begins.
    fn row(&self, layer: usize, position: usize) -> usize {
        (layer * self.rows + position % self.rows) * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_queries_are_remembered() {
        let heads = Heads { queries: 2, kv: 1, dim: 1 };
        let mut window = QueryWindow::new(Evidence { queries: 3, ..Evidence::NONE }, heads, 2);
        assert_eq!(window.bytes(), 2 * 3 * 2 * 4);
        window.record(1, 0, &[0.0, 10.0, 1.0, 11.0]);
        assert_eq!(window.positions(2), 0..2);
        window.record(1, 2, &[2.0, 12.0, 3.0, 13.0, 4.0, 14.0]);
        assert_eq!(window.positions(5), 2..5);
        let seen: Vec<f32> = window.positions(5).map(|p| window.query(1, p, 1, 1)[0]).collect();
        assert_eq!(seen, [12.0, 13.0, 14.0]);
        window.restart(5);
        assert_eq!(window.positions(5), 5..5);
        window.record(1, 5, &[5.0, 15.0]);
        assert_eq!(window.positions(6), 5..6);
    }

    #[test]
    fn who_asks_for_nothing_pays_nothing() {
        let window = QueryWindow::new(Evidence::NONE, Heads { queries: 8, kv: 2, dim: 64 }, 28);
        assert_eq!((window.rows(), window.bytes()), (0, 0));
    }
}
