//! `random`: keeps sinks, the newest tokens and a fair draw of the others. The null policy (arXiv 2609.03430): one that
//! does not beat it has found nothing.

use crate::baseline::Baseline;
use crate::option::{OptionKind, OptionSpec};
use crate::policy::{LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, PROTECT_PROMPT, SINKS};
use crate::scratch::Scratch;

const SEED: OptionSpec = OptionSpec { key: "seed", default: Some("0"), help: "which draw", kind: OptionKind::Seed };

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "random",
    summary: "keeps sinks, the newest quarter of its budget and a fair draw of the others",
    cost: "step: nothing; round: O(n)",
    options: &[CAP, BUDGET, SEED, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, _| Ok(Box::new(Random { quota: Quota::from_options(options)?, seed: options.number(SEED.key)? })),
};

/// Keeps pinned slots, sinks, a window of a quarter of the budget, and others drawn afresh in each round.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    quota: Quota,
    seed: u64,
}

/// The draw of one position: splitmix64 of its coordinates, the upper 53 bits. As whole numbers they rank exactly; as
/// f32 they would tie.
fn draw(seed: u64, layer: usize, round: u32, position: u32) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    const FIRST: u64 = 0xBF58_476D_1CE4_E5B9;
    const SECOND: u64 = 0x94D0_49BB_1331_11EB;
    let mut z = seed
        .wrapping_mul(GOLDEN)
        .wrapping_add((layer as u64).wrapping_mul(FIRST))
        .wrapping_add(u64::from(round).wrapping_mul(SECOND))
        .wrapping_add(u64::from(position))
        .wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(FIRST);
    z = (z ^ (z >> 27)).wrapping_mul(SECOND);
    (z ^ (z >> 31)) >> 11
}

impl Baseline for Random {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    fn own_options(&self) -> Vec<(&'static str, String)> {
        vec![(SEED.key, self.seed.to_string())]
    }

    fn window(&self, beyond: usize) -> usize {
        beyond / 4
    }

    fn rank(&self, view: &View<'_>, _beyond: usize, state: LayerState, scratch: &mut Scratch) {
        let drawn = |&position: &u32| draw(self.seed, view.layer, state.round, position) as f64; // exact: 53 bits
        scratch.rank.clear();
        scratch.rank.extend(view.positions.iter().map(drawn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_by_every_coordinate() {
        let draws = [draw(1, 2, 3, 4), draw(0, 2, 3, 4), draw(1, 0, 3, 4), draw(1, 2, 0, 4), draw(1, 2, 3, 0)];
        for (i, a) in draws.iter().enumerate() {
            assert!(*a < 1 << 53);
            assert!(draws[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn draws_are_fair() {
        let mean = (0..10_000).map(|position| draw(7, 0, 0, position) as f64 / (1u64 << 53) as f64).sum::<f64>() / 1e4;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
