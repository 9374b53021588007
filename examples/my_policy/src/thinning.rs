//! `thinning`: keeps the newest slots whole and thins the others out, the older the more.

use lethe_policy::schema::{BUDGET, CAP, INTERVAL, PROTECT_PROMPT, SINKS};
use lethe_policy::{Baseline, LayerState, PolicyInfo, Quota, Scratch, View};

pub static INFO: PolicyInfo = PolicyInfo {
    name: "thinning",
    summary: "keeps sinks, the newest quarter of its budget, and one old slot in every so many",
    cost: "step: nothing; round: O(n)",
    options: &[CAP, BUDGET, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| Ok(Box::new(Thinning { quota: Quota::from_options(options)? })),
};

/// Ranks a slot by how often two divides its position: every second one goes first, then every fourth, and so on.
#[derive(Debug)]
struct Thinning {
    quota: Quota,
}

impl Baseline for Thinning {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    fn window(&self, beyond: usize) -> usize {
        beyond / 4
    }

    fn rank(&self, view: &View<'_>, _beyond: usize, _state: LayerState, scratch: &mut Scratch) {
        scratch.rank.clear();
        scratch.rank.extend(view.positions.iter().map(|position| f64::from(position.trailing_zeros())));
    }
}
