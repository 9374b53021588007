//! How well a number foretells an outcome.

use super::{Interval, Z};

/// The area under the receiver operating characteristic with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auc {
    /// The chance that a case with the outcome has the larger number, ties counted half: .5 is no better than a coin.
    pub area: f64,
    /// 95 % confidence. A point where the cases are separated wholly: then the interval knows no better.
    pub interval: Interval,
}

/// How well `values` tell cases with the outcome from those without, with the interval of DeLong, DeLong and
/// Clarke-Pearson (Biometrics 1988). `None` with fewer than two cases of either kind, or a value for not every case.
pub fn auc(values: &[f64], outcome: &[bool]) -> Option<Auc> {
    let of = |kind: bool| -> Vec<f64> {
        values.iter().zip(outcome).filter(|&(_, &is)| is == kind).map(|(&value, _)| value).collect()
    };
    let (with, without) = (of(true), of(false));
    if values.len() != outcome.len() || with.len() < 2 || without.len() < 2 {
        return None;
    }
    // The share of the other kind that a case beats, by ranks (Sun and Xu, IEEE Signal Processing Letters 2014).
    let all: Vec<f64> = with.iter().chain(&without).copied().collect();
    let ranks = midranks(&all);
    let beaten = |own: &[f64], ranks: &[f64], others: usize| -> Vec<f64> {
        ranks.iter().zip(midranks(own)).map(|(all, own)| (all - own) / others as f64).collect()
    };
    let beats = beaten(&with, &ranks[..with.len()], without.len());
    let beats_not = beaten(&without, &ranks[with.len()..], with.len());

    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let spread = |x: &[f64]| {
        let mean = mean(x);
        x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() - 1) as f64 / x.len() as f64
    };
    let area = mean(&beats);
    let reach = Z * (spread(&beats) + spread(&beats_not)).sqrt();
    Some(Auc { area, interval: Interval { low: (area - reach).max(0.0), high: (area + reach).min(1.0) } })
}

/// Rank of each value from 1, equal values sharing the mean of their ranks.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        for &at in equal {
            ranks[at] = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        }
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn a_case_by_hand() {
        // With: .8 beats all three, .4 beats .3 and ties .4: (1 + .5) / 2. Shares 1, .5 and, for those without, .5, 0, .25:
        // variances 1/8 and 1/16, over 2 and 3 cases: 1/12.
        let found = auc(&[0.8, 0.4, 0.5, 0.3, 0.4], &[true, true, false, false, false]).unwrap();
        close(found.area, 0.75);
        close(found.interval.low, 0.75 - Z * (1.0f64 / 12.0).sqrt());
        close(found.interval.high, 1.0);
    }

    #[test]
    fn a_case_by_scipy() {
        // U of scipy.stats.mannwhitneyu over 10 * 20 pairs; the error from the same shares by numpy, variances with ddof=1.
        let outcome: Vec<bool> = (0..30).map(|i| i % 3 == 0).collect();
        let values: Vec<f64> = (0..30).map(|i| f64::from(7 * i % 11 + if i % 3 == 0 { 2 } else { 0 })).collect();
        let found = auc(&values, &outcome).unwrap();
        close(found.area, 0.705);
        close(found.interval.low, 0.5069129483460402);
        close(found.interval.high, 0.9030870516539597);
    }

    #[test]
    fn ranks_count_pairs() {
        // The definition, pair by pair, on values with many ties.
        let mut rng = Rng::new(4);
        let outcome: Vec<bool> = (0..300).map(|_| rng.unit() < 0.3).collect();
        let values: Vec<f64> = outcome.iter().map(|&is| (rng.below(9) + 2 * usize::from(is)) as f64).collect();
        let of = |kind| values.iter().zip(&outcome).filter(move |&(_, &is)| is == kind).map(|(&v, _)| v);
        let beats = |a: f64, b: f64| if a > b { 1.0 } else { f64::from(a == b) / 2.0 };
        let (m, n) = (of(true).count() as f64, of(false).count() as f64);
        let with: Vec<f64> = of(true).map(|a| of(false).map(|b| beats(a, b)).sum::<f64>() / n).collect();
        let without: Vec<f64> = of(false).map(|b| of(true).map(|a| beats(a, b)).sum::<f64>() / m).collect();
        let area = with.iter().sum::<f64>() / m;
        let variance = |x: &[f64]| x.iter().map(|x| (x - area).powi(2)).sum::<f64>() / (x.len() as f64 - 1.0);
        let error = (variance(&with) / m + variance(&without) / n).sqrt();

        let found = auc(&values, &outcome).unwrap();
        close(found.area, area);
        close(found.interval.low, area - Z * error);
        close(found.interval.high, area + Z * error);
        assert!(area > 0.6 && !found.interval.contains(0.5));
    }

    #[test]
    fn the_other_way_round_is_the_rest() {
        let (values, outcome) = ([3.0, 1.0, 4.0, 1.0, 5.0, 9.0], [true, false, true, true, false, false]);
        let not = outcome.map(|is| !is);
        close(auc(&values, &outcome).unwrap().area + auc(&values, &not).unwrap().area, 1.0);
        let apart = auc(&[1.0, 2.0, 3.0, 4.0], &[false, false, true, true]).unwrap();
        assert_eq!(apart, Auc { area: 1.0, interval: Interval { low: 1.0, high: 1.0 } });
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(auc(&[1.0, 2.0, 3.0], &[true, false, false]), None);
        assert_eq!(auc(&[1.0, 2.0], &[true, true]), None);
        assert_eq!(auc(&[1.0], &[true, false]), None);
        assert_eq!(auc(&[], &[]), None);
    }
}
