//! Choosing the best slots.

use std::cmp::Ordering;

/// Better slots first: the higher score, on equal scores the newer slot. A total order, so every selection by it is
/// deterministic.
pub(crate) fn by_score(scores: &[f32]) -> impl Fn(&usize, &usize) -> Ordering + '_ {
    |&a, &b| scores[b].total_cmp(&scores[a]).then(b.cmp(&a))
}

/// As [`by_score`], for ranks that f32 could not tell apart.
pub(crate) fn by_rank(rank: &[f64]) -> impl Fn(&usize, &usize) -> Ordering + '_ {
    |&a, &b| rank[b].total_cmp(&rank[a]).then(b.cmp(&a))
}

/// Leaves the `quota` best of `order`, in no particular order. Linear in `order` and free of allocation.
pub(crate) fn take_best(order: &mut Vec<usize>, quota: usize, better: impl Fn(&usize, &usize) -> Ordering) {
    if quota < order.len() {
        order.select_nth_unstable_by(quota, better);
        order.truncate(quota);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(scores: &[f32], quota: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        take_best(&mut order, quota, by_score(scores));
        order.sort_unstable();
        order
    }

    #[test]
    fn the_higher_score_wins() {
        assert_eq!(best(&[0.1, 0.9, 0.5, 0.7], 2), [1, 3]);
    }

    #[test]
    fn on_equal_scores_the_newer_slot_wins() {
        assert_eq!(best(&[0.5, 0.5, 0.5, 0.9], 2), [2, 3]);
    }

    #[test]
    fn the_quota_may_be_nothing_or_everything() {
        assert_eq!(best(&[0.5, 0.1], 0), [] as [usize; 0]);
        assert_eq!(best(&[0.5, 0.1], 9), [0, 1]);
        assert_eq!(best(&[], 0), [] as [usize; 0]);
    }
}
