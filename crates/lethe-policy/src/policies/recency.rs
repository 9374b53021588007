//! `recency`: keeps sinks and the newest tokens, whatever the attention says.
//!
//! StreamingLLM (arXiv 2309.17453), but tokens keep their original positions.

use crate::bound::{Ask, Bound};
use crate::error::PolicyError;
use crate::policy::{Granularity, LayerState, LayerStatus, Policy, PolicyInfo, ProtectPrompt, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, PROTECT_PROMPT, SINKS};
use crate::scoring::Scoring;
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

/// Newest-first is the score itself, so there is no separate window.
const WINDOW: fn(usize) -> usize = |_| 0;

impl Policy for Recency {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        self.quota.report()
    }

    fn granularity(&self) -> Granularity {
        Granularity::Layer
    }

    fn scoring(&self) -> Option<Scoring> {
        None
    }

    fn protect_prompt(&self) -> ProtectPrompt {
        self.quota.protect
    }

    fn bound(&self, ask: &Ask) -> Result<Bound, PolicyError> {
        self.quota.bound(INFO.name, ask, WINDOW)
    }

    fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        self.quota.due(layers, due);
    }

    fn keep(&self, view: &View<'_>, cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState {
        self.quota.keep(view, cap, state, WINDOW, |a, b| b.cmp(a), scratch)
    }
}
