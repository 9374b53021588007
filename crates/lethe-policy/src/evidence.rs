//! What a round may see beside scores: the newest queries, and what the cache holds.

/// What a policy wants to see in a round. It is gathered only for those who ask, and a window of queries counts as memory of
/// the sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// So many of the newest queries, against every slot; 0 for none.
    pub queries: usize,
    /// The keys.
    pub keys: bool,
    /// The lengths of the values.
    pub values: bool,
}

impl Evidence {
    /// Nothing: scores and positions are enough.
    pub const NONE: Evidence = Evidence { queries: 0, keys: false, values: false };
}

/// One lane as a round sees it. What was not asked for is empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneSight<'a> {
    /// Queries seen: those asked for, or as many as there have been. They are the newest, of every query head of the lane.
    pub queries: usize,
    /// `[heads of the lane][queries][n_slots]`, oldest query first: scaled products of query and key, before the softmax, over
    /// the slots that are held now. `-inf` where a slot is newer than the query.
    pub logits: &'a [f32],
    /// `[n_slots][head_dim]`, after RoPE.
    pub keys: &'a [f32],
    /// `[n_slots]`, Euclidean lengths of the values.
    pub values: &'a [f32],
}

impl LaneSight<'_> {
    /// The logits of each head's each query, a row of `[n_slots]` at a time.
    pub(crate) fn rows(&self, slots: usize) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(slots.max(1))
    }

    /// Writes to `mean` the attention weight of each slot, averaged over queries and heads. `[n_slots]`
    pub(crate) fn mean_attention(&self, slots: usize, mean: &mut Vec<f32>) {
        mean.clear();
        mean.resize(slots, 0.0);
        let mut rows = 0;
        for row in self.rows(slots) {
            let (max, sum) = normaliser(row);
            if max == f32::NEG_INFINITY {
                continue; // a query of a time before everything that is still held
            }
            let share = (1.0 / sum) as f32;
            for (mean, x) in mean.iter_mut().zip(row) {
                *mean += (x - max).exp() * share;
            }
            rows += 1;
        }
        let share = 1.0 / rows.max(1) as f32;
        mean.iter_mut().for_each(|mean| *mean *= share);
    }
}

/// The largest of some logits, and the sum of `exp(logit - largest)`.
pub(crate) fn normaliser(logits: &[f32]) -> (f32, f64) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    (max, logits.iter().map(|x| f64::from((x - max).exp())).sum())
}

/// Replaces each value by the `reduce`d values around it, `kernel` of them (an odd number), fewer at the ends.
pub(crate) fn pool(values: &mut [f32], kernel: usize, spare: &mut Vec<f32>, reduce: impl Fn(&[f32]) -> f32) {
    let reach = kernel / 2;
    spare.clear();
    spare.extend_from_slice(values);
    for (i, value) in values.iter_mut().enumerate() {
        *value = reduce(&spare[i.saturating_sub(reach)..(i + reach + 1).min(spare.len())]);
    }
}

/// The mean of some values, for [`pool`].
pub(crate) fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

/// The largest of some values, for [`pool`].
pub(crate) fn max(values: &[f32]) -> f32 {
    values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_is_averaged_over_rows_and_hidden_slots_get_none() {
        let hidden = f32::NEG_INFINITY;
        let logits = [0.0, 0.0, hidden, 3f32.ln(), 0.0, 0.0];
        let sight = LaneSight { queries: 2, logits: &logits, ..LaneSight::default() };
        let mut mean = Vec::new();
        sight.mean_attention(3, &mut mean);
        let expected = [(0.5 + 0.6) / 2.0, (0.5 + 0.2) / 2.0, 0.1];
        assert!(mean.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{mean:?}");
    }

    #[test]
    fn a_query_that_sees_nothing_does_not_count() {
        let hidden = f32::NEG_INFINITY;
        let mut mean = Vec::new();
        LaneSight { queries: 2, logits: &[hidden, hidden, 0.0, hidden], ..LaneSight::default() }
            .mean_attention(2, &mut mean);
        assert_eq!(mean, [1.0, 0.0]);
    }

    #[test]
    fn nothing_seen_is_no_attention() {
        let mut mean = vec![1.0];
        LaneSight::default().mean_attention(2, &mut mean);
        assert_eq!(mean, [0.0, 0.0]);
    }

    #[test]
    fn pools_are_shorter_at_the_ends() {
        let (mut values, mut spare) = (vec![1.0, 2.0, 6.0, 3.0], Vec::new());
        pool(&mut values, 3, &mut spare, mean);
        assert_eq!(values, [1.5, 3.0, 11.0 / 3.0, 4.5]);
        let mut values = vec![1.0, 2.0, 6.0, 3.0];
        pool(&mut values, 3, &mut spare, max);
        assert_eq!(values, [2.0, 6.0, 6.0, 6.0]);
    }
}
