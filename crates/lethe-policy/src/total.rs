//! One limit for all layers together.

use crate::bound::{Ask, Bound};
use crate::policy::LayerStatus;

/// Slots of all layers after a round, and the tokens between two rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Total {
    pub(crate) slots: usize,
    pub(crate) interval: usize,
}

impl Total {
    /// Names all layers once they hold an interval more, or none.
    pub(crate) fn due(self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        let held: usize = layers.iter().map(|layer| layer.n).sum();
        if held >= self.slots.saturating_add(layers.len() * self.interval) {
            due.extend(0..layers.len());
        }
    }

    /// The worst case: between two rounds the sum grows past `slots + layers * interval` by less than one step, and one layer
    /// can hold what the others need not. `least` is what each of them holds in any case.
    pub(crate) fn bound(self, ask: &Ask, least: usize) -> Bound {
        let layers = ask.layers.max(1);
        let most = self
            .slots
            .saturating_add(layers.saturating_mul(self.interval))
            .saturating_add(layers - 1)
            .clamp(ask.start_total(), ask.end_total());
        let others = least.saturating_mul(layers - 1);
        Bound { per_layer: most.saturating_sub(others).clamp(ask.start(), ask.end()), total: most }
    }
}
