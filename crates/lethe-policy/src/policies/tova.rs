//! `tova`: keeps what the newest query attends to (token omission via attention, arXiv 2401.06104).

use crate::baseline::Baseline;
use crate::policy::{LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, PROTECT_PROMPT, SINKS};
use crate::scoring::{Prefill, Scoring, Update};
use crate::scratch::Scratch;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "tova",
    summary: "keeps sinks and what the newest query attends to",
    cost: "step: attention mass, O(n); round: O(n)",
    options: &[CAP, BUDGET, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| Ok(Box::new(Tova { quota: Quota::from_options(options)? })),
};

/// Keeps pinned slots, sinks, the newest slot, and those of most attention in the newest step.
#[derive(Clone, Copy, Debug)]
pub struct Tova {
    quota: Quota,
}

impl Baseline for Tova {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The newest query alone. The sum over heads ranks as their mean does.
    fn scoring(&self) -> Option<Scoring> {
        Some(Scoring { decay: 1.0, update: Update::Replace, prefill: Prefill::Window(1) })
    }

    fn window(&self, _beyond: usize) -> usize {
        1
    }

    fn rank(&self, view: &View<'_>, _beyond: usize, _state: LayerState, scratch: &mut Scratch) {
        scratch.rank_by(view.scores);
    }
}
