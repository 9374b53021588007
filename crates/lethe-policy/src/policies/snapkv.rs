//! `snapkv`: each KV head keeps what its newest queries attend to, and its surroundings (arXiv 2404.14469), again and again
//! while it decodes.

use crate::baseline::Baseline;
use crate::error::PolicyError;
use crate::evidence::{Evidence, mean, pool};
use crate::option::Options;
use crate::policy::{Granularity, LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, OBSERVED, PROTECT_PROMPT, SINKS};
use crate::scratch::Scratch;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "snapkv",
    summary: "each KV head keeps sinks, its newest slots and what their queries attend to",
    cost: "step: nothing; round: O(window * n * head_dim) for each query head",
    options: &[CAP, BUDGET, OBSERVED, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| Ok(Box::new(SnapKv::from_options(options)?)),
};

/// Slots of which the scores are averaged.
const KERNEL: usize = 5;

/// Keeps pinned slots, sinks, a window, and the slots of most attention from the queries of the window.
#[derive(Clone, Copy, Debug)]
pub struct SnapKv {
    quota: Quota,
    window: usize,
}

impl SnapKv {
    pub(super) fn from_options(options: &Options<'_>) -> Result<Self, PolicyError> {
        Ok(SnapKv { quota: Quota::from_options(options)?, window: options.number(OBSERVED.key)? })
    }
}

impl Baseline for SnapKv {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    fn own_options(&self) -> Vec<(&'static str, String)> {
        vec![(OBSERVED.key, self.window.to_string())]
    }

    fn granularity(&self) -> Granularity {
        Granularity::Head
    }

    fn evidence(&self) -> Evidence {
        Evidence { queries: self.window, ..Evidence::NONE }
    }

    fn window(&self, _beyond: usize) -> usize {
        self.window
    }

    fn rank(&self, view: &View<'_>, _beyond: usize, _state: LayerState, scratch: &mut Scratch) {
        let Scratch { scores, work, .. } = scratch;
        view.lanes[0].mean_attention(view.slots(), scores);
        pool(scores, KERNEL, work, mean);
        scratch.rank_by_scores();
    }
}
