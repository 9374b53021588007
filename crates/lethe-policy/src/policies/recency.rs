//! `recency`: keeps sinks and the newest tokens, whatever the attention says.
//!
//! StreamingLLM (arXiv 2309.17453), but tokens keep their original positions.

use crate::baseline::Baseline;
use crate::policy::{LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, PROTECT_PROMPT, SINKS};
use crate::scratch::Scratch;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "recency",
    summary: "keeps sinks and the newest tokens",
    cost: "step: nothing; round: O(n)",
    options: &[CAP, BUDGET, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| Ok(Box::new(Recency { quota: Quota::from_options(options)? })),
};

/// Keeps pinned slots, sinks and the newest others.
#[derive(Clone, Copy, Debug)]
pub struct Recency {
    quota: Quota,
}

impl Baseline for Recency {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Newest-first is the rank itself.
    fn window(&self, _beyond: usize) -> usize {
        0
    }

    fn rank(&self, view: &View<'_>, _beyond: usize, _state: LayerState, scratch: &mut Scratch) {
        scratch.rank.clear();
        scratch.rank.extend(view.positions.iter().map(|&position| f64::from(position)));
    }
}
