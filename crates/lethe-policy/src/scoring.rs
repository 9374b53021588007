//! How attention mass becomes a score per slot.

/// How a policy wants its scores kept up to date. Weights are summed over the heads of its granularity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scoring {
    /// Factor on the old score at each step, in `(0, 1]`. A whole prompt is one step, however it is chunked.
    pub decay: f64,
    /// What a step does with the new mass.
    pub update: Update,
    /// Which queries of a prompt count.
    pub prefill: Prefill,
}

/// What a step does with the new mass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// `s <- decay * s + mass`.
    Add,
    /// `s <- mass`: only the newest step counts.
    Replace,
    /// `s <- max(decay * s, mass)`: the best step counts, less as it ages.
    Peak,
}

/// Which queries of a prompt add mass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefill {
    /// All of them, as in the paper. Pages shared from another request carry no sums, so a prefix hit would lose mass.
    Sum,
    /// Only the last so many. These queries are always computed, so that a prefix hit changes no score.
    Window(usize),
}

impl Scoring {
    /// Recency-aware scoring (RASR, arXiv 2511.06029, section 3): `s <- gamma * s + mass` with
    /// `gamma = 2^(-1 / half_life)`, `half_life` in steps.
    pub fn decaying(half_life: f64, prefill: Prefill) -> Self {
        Scoring { decay: (-1.0 / half_life).exp2(), update: Update::Add, prefill }
    }
}

/// Folds the mass of one step into the scores of one layer or lane.
///
/// * `scores`: `[n_slots]`; slots that are new in this step hold 0.
/// * `mass`: `[n_slots]`, attention weights summed over the step's queries and heads.
///
/// The sum is formed in f64 and rounded once: a decay near 1, rounded to f32, would drift by its own error times
/// the length of the memory.
pub fn fold(scoring: Scoring, scores: &mut [f32], mass: &[f32]) {
    debug_assert_eq!(scores.len(), mass.len(), "one mass per slot");
    match scoring.update {
        Update::Add => {
            for (score, &mass) in scores.iter_mut().zip(mass) {
                *score = (scoring.decay * f64::from(*score) + f64::from(mass)) as f32;
            }
        }
        Update::Replace => scores.copy_from_slice(mass),
        Update::Peak => {
            for (score, &mass) in scores.iter_mut().zip(mass) {
                *score = ((scoring.decay * f64::from(*score)) as f32).max(mass);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_halves_in_one_half_life() {
        let scoring = Scoring::decaying(64.0, Prefill::Sum);
        let mut scores = [1.0, 0.0];
        for _ in 0..64 {
            fold(scoring, &mut scores, &[0.0, 0.0]);
        }
        assert!((scores[0] - 0.5).abs() < 1e-5, "{scores:?}");
        assert_eq!(scores[1], 0.0);
    }

    #[test]
    fn a_long_memory_does_not_drift() {
        let scoring = Scoring::decaying(256.0, Prefill::Sum);
        let (mut scores, mut exact) = ([0.0], 0.0);
        for step in 0..20_000u32 {
            let mass = (step.wrapping_mul(2_654_435_769) >> 8) as f32 / (1 << 24) as f32; // a sequence that never settles
            fold(scoring, &mut scores, &[mass]);
            exact = scoring.decay * exact + f64::from(mass);
        }
        assert!((f64::from(scores[0]) / exact - 1.0).abs() < 2e-6, "{} against {exact}", scores[0]);
    }

    #[test]
    fn the_best_step_counts_and_ages() {
        let scoring = Scoring { decay: 0.5, update: Update::Peak, prefill: Prefill::Sum };
        let mut scores = [0.0, 0.0];
        for mass in [[0.75, 0.25], [0.25, 0.25], [0.5, 0.125]] {
            fold(scoring, &mut scores, &mass);
        }
        assert_eq!(scores, [0.5, 0.125]);
    }

    #[test]
    fn replace_forgets_the_past() {
        let scoring = Scoring { decay: 1.0, update: Update::Replace, prefill: Prefill::Sum };
        let mut scores = [5.0, 1.0];
        fold(scoring, &mut scores, &[0.25, 0.75]);
        assert_eq!(scores, [0.25, 0.75]);
    }
}
