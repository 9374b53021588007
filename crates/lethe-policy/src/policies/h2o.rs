//! `h2o`: keeps the heavy hitters, slots that all queries so far gave most attention to (arXiv 2306.14048).

use crate::baseline::Baseline;
use crate::policy::{LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, PROTECT_PROMPT, SINKS};
use crate::scoring::{Prefill, Scoring, Update};
use crate::scratch::Scratch;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "h2o",
    summary: "keeps sinks, the newest half of its budget and what got most attention in all",
    cost: "step: attention mass, O(n), of every prompt query too (no prefix hits); round: O(n)",
    options: &[CAP, BUDGET, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| Ok(Box::new(H2o { quota: Quota::from_options(options)? })),
};

/// Keeps pinned slots, sinks, a window of half the budget, and the slots of most mass.
#[derive(Clone, Copy, Debug)]
pub struct H2o {
    quota: Quota,
}

impl Baseline for H2o {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The sum over all queries and heads, never decayed.
    fn scoring(&self) -> Option<Scoring> {
        Some(Scoring { decay: 1.0, update: Update::Add, prefill: Prefill::Sum })
    }

    fn window(&self, beyond: usize) -> usize {
        beyond / 2
    }

    fn rank(&self, view: &View<'_>, _beyond: usize, _state: LayerState, scratch: &mut Scratch) {
        scratch.rank_by(view.scores);
    }
}
