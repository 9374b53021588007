//! `pyramidkv`: as `snapkv`, with more for the lower layers and less for the upper ones (arXiv 2406.02069).

use super::SnapKv;
use crate::baseline::Baseline;
use crate::evidence::Evidence;
use crate::policy::{Granularity, LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, INTERVAL, OBSERVED, PROTECT_PROMPT, SINKS};
use crate::scratch::Scratch;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "pyramidkv",
    summary: "as snapkv, the budget falling from the lowest layer to the highest",
    cost: "step: nothing; round: O(window * n * head_dim) for each query head",
    options: &[CAP, BUDGET, OBSERVED, SINKS, INTERVAL, PROTECT_PROMPT],
    build: |options, context| Ok(Box::new(PyramidKv { snap: SnapKv::from_options(options)?, layers: context.layers })),
};

/// Keeps what [`SnapKv`] would under the budget of the layer.
#[derive(Clone, Copy, Debug)]
pub struct PyramidKv {
    snap: SnapKv,
    layers: usize,
}

/// The budget of layer `layer` of `layers`, `mean` or a little less on average: falling evenly from `2 * mean - top` to
/// `top = mean / 20`. None is under `floor`, the window and the sinks; what that takes, the others give in proportion to
/// what they have beyond it.
pub fn pyramid(layer: usize, layers: usize, mean: usize, floor: usize) -> usize {
    let mean = mean as f64;
    let (top, last) = (mean / 20.0, layers.saturating_sub(1).max(1) as f64);
    let bottom = if layers > 1 { 2.0 * mean - top } else { mean };
    let beyond = |l: usize| (bottom + (top - bottom) * l as f64 / last - floor as f64).max(0.0);
    let all: f64 = (0..layers).map(beyond).sum();
    let rest = ((mean - floor as f64) * layers as f64).max(0.0);
    let scale = if all > 0.0 { (rest / all).min(1.0) } else { 0.0 };
    floor + (beyond(layer) * scale).floor() as usize
}

impl Baseline for PyramidKv {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        self.snap.quota()
    }

    fn own_options(&self) -> Vec<(&'static str, String)> {
        self.snap.own_options()
    }

    fn granularity(&self) -> Granularity {
        Baseline::granularity(&self.snap)
    }

    fn evidence(&self) -> Evidence {
        Baseline::evidence(&self.snap)
    }

    fn window(&self, beyond: usize) -> usize {
        self.snap.window(beyond)
    }

    /// Every layer has its floor, whether the sinks are pinned or not.
    fn least(&self, _sinks: usize) -> usize {
        self.snap.window(0) + self.quota().sinks
    }

    fn share(&self, layer: usize, beyond: usize) -> usize {
        pyramid(layer, self.layers, beyond, self.least(0))
    }

    fn rank(&self, view: &View<'_>, beyond: usize, state: LayerState, scratch: &mut Scratch) {
        self.snap.rank(view, beyond, state, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::pyramid;

    #[test]
    fn budgets_fall_and_their_mean_does_not_exceed_the_budget() {
        for (layers, mean, floor) in [(6, 96, 36), (28, 256, 36), (2, 40, 36), (1, 64, 36), (3, 36, 36)] {
            let budgets: Vec<usize> = (0..layers).map(|l| pyramid(l, layers, mean, floor)).collect();
            assert!(budgets.is_sorted_by(|a, b| a >= b), "{budgets:?}");
            assert!(budgets.iter().all(|&b| b >= floor), "{budgets:?}");
            let sum: usize = budgets.iter().sum();
            assert!(sum <= mean * layers && sum + layers >= mean * layers, "{budgets:?} for {mean}");
        }
    }
}
