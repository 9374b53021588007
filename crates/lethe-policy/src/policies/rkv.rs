//! `rkv`: each KV head keeps what its newest queries attend to, less what other keys already say (R-KV, arXiv 2505.24133).

use crate::baseline::Baseline;
use crate::evidence::{Evidence, LaneSight, max, normaliser, pool};
use crate::option::{OptionKind, OptionSpec};
use crate::policy::{Granularity, LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::redundancy::redundancy;
use crate::schema::{BUDGET, CAP, INTERVAL, OBSERVED, PROTECT_PROMPT, SIMILARITY, SINKS};
use crate::scratch::Scratch;

const WINDOW: OptionSpec = OptionSpec { default: Some("8"), ..OBSERVED };

const LAMBDA: OptionSpec = OptionSpec {
    key: "lambda",
    default: Some("0.1"),
    help: "weight of attention against redundancy",
    kind: OptionKind::Number { min: 0.0, max: 1.0 },
};

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "rkv",
    summary: "each KV head keeps sinks, its newest slots and what they attend to that other keys do not repeat",
    cost: "step: nothing; round: O(n * n * head_dim) for each KV head",
    options: &[CAP, BUDGET, WINDOW, LAMBDA, SIMILARITY, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| {
        Ok(Box::new(Rkv {
            quota: Quota::from_options(options)?,
            window: options.number(WINDOW.key)?,
            lambda: options.number(LAMBDA.key)?,
            similarity: options.number(SIMILARITY.key)?,
        }))
    },
};

/// Slots of which the largest importance counts.
const KERNEL: usize = 7;

/// Keeps pinned slots, sinks, a window, and the best by `lambda * importance - (1 - lambda) * redundancy`.
#[derive(Clone, Copy, Debug)]
pub struct Rkv {
    quota: Quota,
    window: usize,
    lambda: f64,
    similarity: f64,
}

impl Rkv {
    /// Writes what the candidates are worth to `scratch.rank`: the first `candidates` of `slots` slots.
    fn weigh(&self, lane: &LaneSight<'_>, slots: usize, candidates: usize, scratch: &mut Scratch) {
        let Scratch { rank, work, spare, .. } = scratch;
        importance(lane, slots, candidates, work, spare);
        redundancy(lane.keys, slots, candidates, self.similarity, rank, spare);
        let top = max(work);
        for (rank, &important) in rank.iter_mut().zip(&*work) {
            *rank = self.lambda * f64::from(important / top) - (1.0 - self.lambda) * *rank;
        }
    }
}

/// The attention of each query over the candidates alone, the largest of any head, averaged over queries; then the largest
/// around each slot. `[candidates]`
fn importance(lane: &LaneSight<'_>, slots: usize, candidates: usize, important: &mut Vec<f32>, spare: &mut Vec<f32>) {
    important.clear();
    important.resize(candidates, 0.0);
    for query in 0..lane.queries {
        spare.clear();
        spare.resize(candidates, 0.0);
        for row in lane.rows(slots).skip(query).step_by(lane.queries) {
            let row = &row[..candidates];
            let (top, sum) = normaliser(row);
            if top == f32::NEG_INFINITY {
                continue; // a query of a time before all candidates
            }
            let share = (1.0 / sum) as f32;
            for (most, x) in spare.iter_mut().zip(row) {
                *most = most.max((x - top).exp() * share);
            }
        }
        for (important, most) in important.iter_mut().zip(&*spare) {
            *important += most / lane.queries as f32;
        }
    }
    pool(important, KERNEL, spare, max);
}

impl Baseline for Rkv {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    fn own_options(&self) -> Vec<(&'static str, String)> {
        vec![
            (WINDOW.key, self.window.to_string()),
            (LAMBDA.key, self.lambda.to_string()),
            (SIMILARITY.key, self.similarity.to_string()),
        ]
    }

    fn granularity(&self) -> Granularity {
        Granularity::Head
    }

    fn evidence(&self) -> Evidence {
        Evidence { queries: self.window, keys: true, values: false }
    }

    fn window(&self, _beyond: usize) -> usize {
        self.window
    }

    fn rank(&self, view: &View<'_>, _beyond: usize, _state: LayerState, scratch: &mut Scratch) {
        let (slots, candidates) = (view.slots(), view.slots().saturating_sub(self.window));
        scratch.rank.clear();
        if candidates > 0 {
            self.weigh(&view.lanes[0], slots, candidates, scratch);
        }
        scratch.rank.resize(slots, f64::NEG_INFINITY);
    }
}
