//! The worst case of a run, for admission.

/// A run that wants to be admitted: one prompt and the tokens generated after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Layers of the model.
    pub layers: usize,
    /// Slots the longest layer holds already, from earlier turns or a prefix hit.
    pub present: usize,
    /// The slots that all layers hold already, in sum; 0 stands for `present` in each.
    pub present_total: usize,
    /// Tokens of the new prompt that are not among them.
    pub prompt: usize,
    /// Pinned slots of a layer once the prompt is in.
    pub pinned: usize,
    /// Sinks that are not pinned once the prompt is in. More than the policy has, such as `usize::MAX`, stands for all.
    pub unpinned_sinks: usize,
    /// Most tokens to generate.
    pub max_tokens: usize,
    /// The largest [`LayerState::left`](crate::LayerState::left) of any layer; 0 for a new sequence.
    pub left: usize,
    /// The sum of [`LayerState::left`](crate::LayerState::left) over the layers; 0 for a new sequence.
    pub left_total: usize,
}

/// The most slots a run ever holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// In any one layer.
    pub per_layer: usize,
    /// Summed over the layers, at any one time.
    pub total: usize,
}

impl Ask {
    /// Slots of a layer once the prompt is in and before its round: no budget holds earlier.
    pub fn start(&self) -> usize {
        self.present.saturating_add(self.prompt)
    }

    /// As [`Ask::start`], of all layers in sum.
    pub fn start_total(&self) -> usize {
        let present =
            if self.present_total > 0 { self.present_total } else { self.present.saturating_mul(self.layers) };
        present.saturating_add(self.prompt.saturating_mul(self.layers))
    }

    /// As [`Ask::end`], of all layers in sum.
    pub fn end_total(&self) -> usize {
        self.start_total().saturating_add(self.max_tokens.saturating_mul(self.layers))
    }

    /// Slots of a layer in which nothing is ever dropped.
    pub fn end(&self) -> usize {
        self.start().saturating_add(self.max_tokens)
    }

    /// Sinks that the policy keeps beyond the pinned slots, of `sinks` in all. A prompt shorter than the sinks leaves the
    /// rest of them to generated tokens.
    pub fn sinks_beyond(&self, sinks: usize) -> usize {
        self.unpinned_sinks.max(sinks.saturating_sub(self.pinned)).min(sinks)
    }

    /// The bound of a policy that keeps every layer under `limit` once the prompt is in.
    pub fn bounded_by(&self, limit: usize) -> Bound {
        let per_layer = limit.clamp(self.start(), self.end());
        Bound { per_layer, total: per_layer.saturating_mul(self.layers) }
    }

    /// The bound of a policy that may keep everything.
    pub fn unbounded(&self) -> Bound {
        self.bounded_by(self.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_pinned_or_counted() {
        let ask = |pinned, unpinned_sinks| Ask { pinned, unpinned_sinks, ..Ask::default() };
        assert_eq!(ask(0, 0).sinks_beyond(4), 4);
        assert_eq!(ask(1, 0).sinks_beyond(4), 3);
        assert_eq!(ask(10, 0).sinks_beyond(4), 0);
        assert_eq!(ask(10, 2).sinks_beyond(4), 2);
        assert_eq!(ask(10, usize::MAX).sinks_beyond(4), 4);
    }

    #[test]
    fn layers_may_hold_less_than_the_longest() {
        let even = Ask { layers: 3, present: 5, prompt: 10, max_tokens: 20, ..Ask::default() };
        assert_eq!((even.start_total(), even.end_total()), (45, 105));
        let uneven = Ask { present_total: 9, ..even };
        assert_eq!((uneven.start_total(), uneven.end_total()), (39, 99));
    }

    #[test]
    fn a_limit_holds_between_the_prompt_and_the_end() {
        let ask = Ask { layers: 3, present: 5, prompt: 10, max_tokens: 20, ..Ask::default() };
        assert_eq!(ask.bounded_by(7), Bound { per_layer: 15, total: 45 });
        assert_eq!(ask.bounded_by(21), Bound { per_layer: 21, total: 63 });
        assert_eq!(ask.bounded_by(99), Bound { per_layer: 35, total: 105 });
        assert_eq!(ask.unbounded(), Bound { per_layer: 35, total: 105 });
    }
}
