//! `gkv`: each KV head keeps what its newest queries attend to or once did, the memory of it fading from round to round
//! (arXiv 2512.00504).

use crate::baseline::Baseline;
use crate::evidence::Evidence;
use crate::option::{OptionKind, OptionSpec};
use crate::policy::{Granularity, LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, OBSERVED, PROTECT_PROMPT, SINKS};
use crate::scratch::Scratch;

const ALPHA: OptionSpec = OptionSpec {
    key: "alpha",
    default: Some("0.8"),
    help: "what a round leaves of an old score",
    kind: OptionKind::Number { min: 0.0, max: 1.0 },
};

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "gkv",
    summary: "each KV head keeps sinks, its newest slots and what their queries attend to or earlier ones did",
    cost: "step: nothing; round: O(window * n * head_dim) for each query head",
    options: &[CAP, BUDGET, OBSERVED, ALPHA, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| {
        let (window, alpha) = (options.number(OBSERVED.key)?, options.number(ALPHA.key)?);
        Ok(Box::new(Gkv { quota: Quota::from_options(options)?, window, alpha }))
    },
};

/// Keeps pinned slots, sinks, a window, and the best by `max(alpha * old, attention of the window)`.
#[derive(Clone, Copy, Debug)]
pub struct Gkv {
    quota: Quota,
    window: usize,
    alpha: f64,
}

impl Baseline for Gkv {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    fn own_options(&self) -> Vec<(&'static str, String)> {
        vec![(OBSERVED.key, self.window.to_string()), (ALPHA.key, self.alpha.to_string())]
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
        view.lanes[0].mean_attention(view.slots(), &mut scratch.scores);
        for (score, &old) in scratch.scores.iter_mut().zip(view.scores) {
            *score = score.max((self.alpha * f64::from(old)) as f32);
        }
        scratch.rank_by_scores();
    }
}
