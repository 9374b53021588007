//! Working memory of a round.

use crate::allocate::Need;
use crate::waterfill::Claim;

/// Working memory of a round and the place of its results. Kept by the caller and used again: once it has grown to the
/// largest layer (or was given room by [`Scratch::reserve`]), policies that see scores and positions alone allocate nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Slots to keep, ascending; written by [`keep`](crate::Policy::keep).
    pub keep: Vec<usize>,
    /// Share of each layer in this round, `[n_layers]`; written by [`allocate`](crate::Policy::allocate).
    pub caps: Vec<usize>,
    /// Scores that take the place of the slots' own before they are cut, `[n_slots]`. The caller empties it before
    /// [`keep`](crate::Policy::keep), which may write it.
    pub scores: Vec<f32>,
    /// What each slot is worth, `[n_slots]`; written by [`Baseline::rank`](crate::Baseline::rank).
    pub rank: Vec<f64>,
    pub(crate) work: Vec<f32>,     // [n_slots]
    pub(crate) spare: Vec<f32>,    // [n_slots], or some such rows
    pub(crate) novel: Vec<f64>,    // [<= n_slots]
    pub(crate) order: Vec<usize>,  // slots under comparison, [<= n_slots]
    pub(crate) marked: Vec<bool>,  // slots already chosen, [n_slots]
    pub(crate) needs: Vec<Need>,   // [n_layers]
    pub(crate) claims: Vec<Claim>, // [n_layers]
    pub(crate) ranks: Vec<usize>,  // layers under comparison, [n_layers]
}

impl Scratch {
    /// Room for layers of up to `slots` slots and for `layers` layers.
    pub fn reserve(&mut self, slots: usize, layers: usize) {
        fn room<T>(vec: &mut Vec<T>, capacity: usize) {
            vec.reserve(capacity.saturating_sub(vec.len()));
        }
        room(&mut self.keep, slots);
        room(&mut self.order, slots);
        room(&mut self.marked, slots);
        room(&mut self.rank, slots);
        room(&mut self.scores, slots);
        room(&mut self.work, slots);
        room(&mut self.caps, layers);
        room(&mut self.needs, layers);
        room(&mut self.claims, layers);
        room(&mut self.ranks, layers);
    }

    /// Ranks slots by their scores.
    pub(crate) fn rank_by(&mut self, scores: &[f32]) {
        self.rank.clear();
        self.rank.extend(scores.iter().map(|&score| f64::from(score)));
    }

    /// Ranks slots by the scores that a round has just given them.
    pub(crate) fn rank_by_scores(&mut self) {
        self.rank.clear();
        self.rank.extend(self.scores.iter().map(|&score| f64::from(score)));
    }

    /// Marks the slots left in `order`, then writes every marked slot to `keep`.
    pub(crate) fn settle(&mut self) {
        for &slot in &self.order {
            self.marked[slot] = true;
        }
        self.keep.clear();
        self.keep.extend(self.marked.iter().enumerate().filter(|(_, marked)| **marked).map(|(slot, _)| slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Context, Layers, View};
    use crate::spec::PolicySpec;

    #[test]
    fn settle_unites_marks_and_order_ascending() {
        let mut scratch =
            Scratch { marked: vec![true, false, false, true, false], order: vec![2, 1], ..Scratch::default() };
        scratch.settle();
        assert_eq!(scratch.keep, [0, 1, 2, 3]);
    }

    struct Same<'a>(View<'a>);

    impl Layers for Same<'_> {
        fn len(&self) -> usize {
            4
        }

        fn lanes(&self) -> usize {
            1
        }

        fn view(&self, layer: usize, _lane: usize) -> View<'_> {
            View { layer, ..self.0 }
        }
    }

    #[test]
    fn what_was_reserved_is_never_outgrown() {
        let scores: Vec<f32> = (0..300).map(|slot| (slot * 37 % 101) as f32).collect();
        let (positions, pinned): (Vec<u32>, Vec<bool>) = (0..300).map(|slot| (slot, slot < 9)).unzip();
        let layers = Same(View { scores: &scores, positions: &positions, pinned: &pinned, ..View::default() });
        let capacities = |s: &Scratch| {
            let slots = [s.keep.capacity(), s.order.capacity(), s.marked.capacity()];
            (slots, [s.caps.capacity(), s.needs.capacity(), s.claims.capacity(), s.ranks.capacity()])
        };
        let mut scratch = Scratch::default();
        scratch.reserve(300, 4);
        let reserved = capacities(&scratch);
        let context = Context { layers: 4, slots_per_layer: 256, max_num_seqs: 1, max_positions: 4096 };
        for text in [
            "full",
            "recency:cap=99",
            "random:cap=99",
            "h2o:cap=99",
            "tova:cap=99",
            "lethe:cap=99",
            "lethe:total=400,allocation=hoyer",
            "auto",
        ] {
            let policy = PolicySpec::parse(text).and_then(|spec| spec.build(&context)).expect(text);
            policy.allocate(&layers, &mut scratch);
            for layer in 0..layers.len() {
                policy.keep(&layers.view(layer, 0), None, policy.start(), &mut scratch);
            }
            assert_eq!(capacities(&scratch), reserved, "{text}");
        }
    }
}
