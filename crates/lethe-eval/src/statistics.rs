//! How far a rate, or a difference of two rates on the same problems, can be trusted.

mod auc;
mod holm;

pub use auc::{Auc, auc};
pub use holm::holm;

use crate::rng::Rng;

/// The 97.5 % point of the normal distribution: 95 % lie within it on both sides.
const Z: f64 = 1.959_963_984_540_054;

/// From `low` to `high`, 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies inside, ends included. A difference whose interval contains 0 has not been shown.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// Why there is nothing to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// Paired statistics want one outcome on each side for every problem.
    #[error("{first} outcomes against {second}; compare runs over the same problems")]
    Unpaired {
        /// Outcomes of the first run.
        first: usize,
        /// Outcomes of the second.
        second: usize,
    },
    /// No outcomes, or no resamples to draw.
    #[error("nothing to resample: {problems} problems, {resamples} resamples; both must be positive")]
    Nothing {
        /// Problems given.
        problems: usize,
        /// Resamples asked for.
        resamples: usize,
    },
}

/// Wilson's 95 % score interval for a rate of `successes` in `trials` (Wilson, JASA 1927): sound near 0 and 1 and for
/// few trials, where the usual interval is not. No trials say nothing: 0 to 1. Successes beyond `trials` count as
/// `trials`.
pub fn wilson(successes: usize, trials: usize) -> Interval {
    if trials == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let n = trials as f64;
    let rate = successes.min(trials) as f64 / n;
    let spread = Z * Z / n;
    let centre = (rate + spread / 2.0) / (1.0 + spread);
    let reach = (spread * (rate * (1.0 - rate) + spread / 4.0)).sqrt() / (1.0 + spread);
    Interval { low: (centre - reach).max(0.0), high: (centre + reach).min(1.0) }
}

/// How many problems only the first run solved, and how many only the second: what [`mcnemar`] takes.
///
/// # Errors
/// [`StatisticsError::Unpaired`] if the runs differ in length.
pub fn discordant(first: &[bool], second: &[bool]) -> Result<(usize, usize), StatisticsError> {
    paired(first.len(), second.len())?;
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|&(&a, &b)| a && !b).count();
    Ok((only(first, second), only(second, first)))
}

/// The exact two-sided p-value of McNemar's test (McNemar, Psychometrika 1947): how likely the problems that only one
/// of two runs solved would split at least as unevenly by the toss of a fair coin. 1 when there are none.
pub fn mcnemar(only_first: usize, only_second: usize) -> f64 {
    let n = only_first + only_second;
    let few = only_first.min(only_second);
    // P(X <= few) for X of Binomial(n, 1/2), each term from the one before; in logarithms, as 2^-n soon underflows.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for k in 1..=few {
        log_term += ((n - k + 1) as f64 / k as f64).ln();
        tail += log_term.exp();
    }
    (2.0 * tail).min(1.0)
}

/// The 95 % percentile bootstrap interval of `mean(first) - mean(second)`, problems drawn together with both outcomes
/// (Efron and Tibshirani, "An introduction to the bootstrap", chapter 13).
///
/// An outcome is 0 or 1, or with several samples a problem the mean over them: then the interval is clustered by
/// problem, as it must be. Same `seed`, same interval.
///
/// # Errors
/// [`StatisticsError::Unpaired`] if the runs differ in length, [`StatisticsError::Nothing`] without problems or
/// resamples.
pub fn paired_bootstrap(
    first: &[f64],
    second: &[f64],
    resamples: usize,
    seed: u64,
) -> Result<Interval, StatisticsError> {
    paired(first.len(), second.len())?;
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    let n = differences.len();
    let mut rng = Rng::new(seed);
    let mut resample = |_| (0..n).map(|_| rng.choose(&differences)).sum::<f64>() / n as f64;
    let means: Vec<f64> = if n == 0 { Vec::new() } else { (0..resamples).map(&mut resample).collect() };
    match (quantile(&means, 0.025), quantile(&means, 0.975)) {
        (Some(low), Some(high)) => Ok(Interval { low, high }),
        _ => Err(StatisticsError::Nothing { problems: n, resamples }),
    }
}

/// The mean, `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median: the middle value, or the mean of the two in the middle; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value below which a share `q` (taken into 0..=1) of the values lies, between two values by their distance
/// (definition 7 of Hyndman and Fan, "Sample quantiles in statistical packages", 1996); `None` of nothing.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

fn paired(first: usize, second: usize) -> Result<(), StatisticsError> {
    if first == second { Ok(()) } else { Err(StatisticsError::Unpaired { first, second }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn wilson_of_published_cases() {
        // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, to more digits.
        for (successes, trials, low, high) in [
            (81, 263, 0.2552885198782742, 0.36620957698280004),
            (15, 148, 0.0623863995307363, 0.16048724172330803),
            (8, 10, 0.49016247153664183, 0.9433178485456247),
            (10, 10, 0.7224672001371107, 1.0),
        ] {
            let interval = wilson(successes, trials);
            close(interval.low, low);
            close(interval.high, high);
        }
        assert_eq!(wilson(0, 10).low, 0.0);
        close(wilson(0, 10).high, 0.2775327998628892);
    }

    #[test]
    fn wilson_of_odd_input() {
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
        assert_eq!(wilson(12, 10), wilson(10, 10));
    }

    #[test]
    fn mcnemar_equals_the_binomial_test() {
        // Twice the sum of C(n, k) / 2^n for k up to the smaller count, in exact fractions.
        for (first, second, p) in [
            (0, 5, 0.0625),
            (1, 9, 0.021484375),
            (5, 15, 0.04138946533203125),
            (59, 6, 4.964650327128617e-12),
            (700, 800, 0.010559255466711544),
        ] {
            close(mcnemar(first, second), p);
            assert_eq!(mcnemar(first, second), mcnemar(second, first));
        }
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(10, 10), 1.0);
    }

    #[test]
    fn discordant_problems() {
        let (yes, no) = (true, false);
        assert_eq!(discordant(&[yes, yes, no, no, yes], &[yes, no, yes, no, no]), Ok((2, 1)));
        assert_eq!(discordant(&[yes], &[]), Err(StatisticsError::Unpaired { first: 1, second: 0 }));
    }

    #[test]
    fn bootstrap_of_a_constant_is_a_point() {
        let interval = paired_bootstrap(&[1.0, 0.5, 1.0], &[0.5, 0.0, 0.5], 100, 1).unwrap();
        assert_eq!(interval, Interval { low: 0.5, high: 0.5 });
    }

    #[test]
    fn bootstrap_agrees_with_the_normal_interval() {
        // 400 problems: the first alone solves 60, the second alone 20. Mean 0.1, variance 0.2 - 0.01.
        let first: Vec<f64> = (0..400).map(|i| f64::from(i < 60)).collect();
        let second: Vec<f64> = (0..400).map(|i| f64::from((60..80).contains(&i))).collect();
        let reach = Z * (0.19f64 / 400.0).sqrt();
        let interval = paired_bootstrap(&first, &second, 10_000, 7).unwrap();
        assert!((interval.low - (0.1 - reach)).abs() < 0.004, "{interval:?}");
        assert!((interval.high - (0.1 + reach)).abs() < 0.004, "{interval:?}");
        assert!(!interval.contains(0.0));
        assert_eq!(paired_bootstrap(&first, &second, 10_000, 7), Ok(interval));
        assert_ne!(paired_bootstrap(&first, &second, 10_000, 8), Ok(interval));
    }

    #[test]
    fn bootstrap_keeps_pairs_together() {
        // Two runs that agree on every problem do not differ, however much the problems do.
        let outcomes: Vec<f64> = (0..50).map(|i| f64::from(i % 3 == 0)).collect();
        assert_eq!(paired_bootstrap(&outcomes, &outcomes, 1000, 3), Ok(Interval { low: 0.0, high: 0.0 }));
    }

    #[test]
    fn bootstrap_refuses_nothing() {
        let nothing = |problems, resamples| Err(StatisticsError::Nothing { problems, resamples });
        assert_eq!(paired_bootstrap(&[], &[], 10, 0), nothing(0, 10));
        assert_eq!(paired_bootstrap(&[1.0], &[0.0], 0, 0), nothing(1, 0));
        assert_eq!(paired_bootstrap(&[1.0], &[], 10, 0), Err(StatisticsError::Unpaired { first: 1, second: 0 }));
    }

    #[test]
    fn middles() {
        let values = [9.0, 1.0, 4.0, 2.0];
        assert_eq!((mean(&values), median(&values)), (Some(4.0), Some(3.0)));
        assert_eq!(median(&values[..3]), Some(4.0));
        assert_eq!(
            (quantile(&values, 0.0), quantile(&values, 1.0), quantile(&values, 7.0)),
            (Some(1.0), Some(9.0), Some(9.0))
        );
        close(quantile(&values, 0.9).unwrap(), 7.5);
        assert_eq!((mean(&[]), median(&[]), quantile(&[], 0.5)), (None, None, None));
    }
}
