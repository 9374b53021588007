//! The quota order that the baselines share.

use crate::best::{by_rank, take_best};
use crate::policy::View;
use crate::scratch::Scratch;

/// Writes to `scratch.keep`: the pinned slots, then up to `budget` more, first the sinks, then the newest `window`, then
/// the best of the others by `scratch.rank`. Slots that are pinned already cost nothing.
pub(crate) fn fill(view: &View<'_>, budget: usize, sinks: usize, window: usize, scratch: &mut Scratch) {
    let n = view.slots();
    let Scratch { marked, order, rank, .. } = scratch;
    marked.clear();
    marked.extend_from_slice(view.pinned);
    let mut left = budget;
    for slot in (0..sinks.min(n)).chain((n.saturating_sub(window)..n).rev()) {
        if left > 0 && !marked[slot] {
            marked[slot] = true;
            left -= 1;
        }
    }
    order.clear();
    order.extend((0..n).filter(|&slot| !marked[slot]));
    take_best(order, left, by_rank(rank));
    scratch.settle();
}

#[cfg(test)]
mod tests {
    use super::*;
    fn filled(pinned: &[usize], budget: usize, sinks: usize, window: usize) -> Vec<usize> {
        let marks: Vec<bool> = (0..8).map(|slot| pinned.contains(&slot)).collect();
        let view = View { positions: &[0, 1, 2, 3, 4, 5, 6, 7], pinned: &marks, ..View::default() };
        let mut scratch = Scratch { rank: vec![0.1, 0.2, 0.9, 0.3, 0.8, 0.4, 0.7, 0.5], ..Scratch::default() };
        fill(&view, budget, sinks, window, &mut scratch);
        scratch.keep
    }

    #[test]
    fn sinks_come_before_the_window_before_the_best() {
        assert_eq!(filled(&[], 1, 1, 2), [0]);
        assert_eq!(filled(&[], 2, 1, 2), [0, 7]);
        assert_eq!(filled(&[], 3, 1, 2), [0, 6, 7]);
        assert_eq!(filled(&[], 5, 1, 2), [0, 2, 4, 6, 7]);
    }

    #[test]
    fn pinned_slots_cost_nothing() {
        assert_eq!(filled(&[0, 3], 2, 1, 1), [0, 2, 3, 7]);
        assert_eq!(filled(&[0, 3], 0, 1, 1), [0, 3]);
    }

    #[test]
    fn a_budget_beyond_the_layer_keeps_all() {
        assert_eq!(filled(&[], 50, 4, 20), [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
