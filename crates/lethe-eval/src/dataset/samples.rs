//! Several samples of every question: how they are drawn, and what they say.

use crate::rng::Rng;
use crate::statistics::{Interval, StatisticsError, mean, paired_bootstrap};

/// The temperature at which thinking models are sampled.
pub const TEMPERATURE: f32 = 0.6;
/// Only the fewest tokens that reach this probability are sampled from.
pub const TOP_P: f32 = 0.95;

/// The seed of sample `sample` of question `id` in `task`. It knows nothing of policies: all of them draw with the same
/// random numbers, so that what differs between two answers is the policy's doing.
pub fn seed(task: &str, id: &str, sample: usize, base: u64) -> u64 {
    // FNV-1a of both names with a byte between them that is in neither, then scrambled.
    let bytes = task.bytes().chain([0xff]).chain(id.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Rng::stream(Rng::stream(base, hash).next(), sample as u64).next()
}

/// The share of samples that are right, question by question. `right [questions][samples]`, no question without one.
pub fn rates(right: &[Vec<bool>]) -> Vec<f64> {
    let rate = |samples: &Vec<bool>| samples.iter().filter(|&&r| r).count() as f64 / samples.len().max(1) as f64;
    right.iter().map(rate).collect()
}

/// pass@1, the chance that one sample of one question is right, with its 95 % interval, clustered by question: samples of
/// one question are no independent evidence. `right [questions][samples]`
///
/// # Errors
/// [`StatisticsError::Nothing`] without questions.
pub fn pass_at_1(right: &[Vec<bool>], resamples: usize, seed: u64) -> Result<(f64, Interval), StatisticsError> {
    let rates = rates(right);
    let interval = paired_bootstrap(&rates, &vec![0.0; rates.len()], resamples, seed)?;
    Ok((mean(&rates).unwrap_or(0.0), interval))
}

/// The unbiased estimate of the chance that at least one of `k` samples is right, where `right` of `samples` are: `1 - C(n -
/// c, k) / C(n, k)` (Chen et al., "Evaluating large language models trained on code", 2021). `None` if `k` is 0 or there
/// are fewer samples than `k`.
pub fn pass_at_k(samples: usize, right: usize, k: usize) -> Option<f64> {
    if k == 0 || k > samples {
        return None;
    }
    let wrong = samples.saturating_sub(right);
    // C(n - c, k) / C(n, k), as a product of factors below 1; 0 as soon as fewer than k are wrong.
    let none = (0..k).map(|i| wrong.saturating_sub(i) as f64 / (samples - i) as f64).product::<f64>();
    Some(1.0 - none)
}

/// The mean of [`pass_at_k`] over questions; `None` if one of them has fewer than `k` samples, or there is none.
pub fn mean_pass_at_k(right: &[Vec<bool>], k: usize) -> Option<f64> {
    let one = |samples: &Vec<bool>| pass_at_k(samples.len(), samples.iter().filter(|&&r| r).count(), k);
    mean(&right.iter().map(one).collect::<Option<Vec<f64>>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_tell_questions_and_samples_apart() {
        let a = seed("gsm", "1", 0, 7);
        assert_eq!(a, seed("gsm", "1", 0, 7));
        for other in [seed("gsm", "1", 1, 7), seed("gsm", "2", 0, 7), seed("gsm1", "", 0, 7), seed("gsm", "1", 0, 8)] {
            assert_ne!(a, other);
        }
        // Published rows name seeds: they may not change.
        assert_eq!(a, 0x7ffc_da16_0da4_dbe1);
    }

    #[test]
    fn pass_at_k_counts_choices() {
        // Of 5 samples 2 are right: pairs without a right one are 3 of 10, triples 1 of 10.
        for (k, chance) in [(1, 0.4), (2, 0.7), (3, 0.9), (4, 1.0), (5, 1.0)] {
            let found = pass_at_k(5, 2, k).unwrap();
            assert!((found - chance).abs() < 1e-12, "{k}: {found}");
        }
        assert_eq!((pass_at_k(5, 0, 5), pass_at_k(5, 5, 1)), (Some(0.0), Some(1.0)));
        assert_eq!((pass_at_k(5, 2, 6), pass_at_k(5, 2, 0)), (None, None));
    }

    #[test]
    fn questions_are_the_clusters() {
        // Samples that agree within questions: as much evidence as one sample of each.
        let right: Vec<Vec<bool>> = (0..40).map(|i| vec![i % 2 == 0; 8]).collect();
        let one: Vec<Vec<bool>> = right.iter().map(|samples| samples[..1].to_vec()).collect();
        assert_eq!(pass_at_1(&right, 2000, 1), pass_at_1(&one, 2000, 1));
        let (rate, interval) = pass_at_1(&right, 2000, 1).unwrap();
        assert_eq!(rate, 0.5);
        assert!(interval.high - interval.low > 0.25, "{interval:?}");
        // Questions that are all alike, samples that differ: the rate is certain.
        let alike: Vec<Vec<bool>> = (0..40).map(|_| vec![true, false]).collect();
        let (rate, interval) = pass_at_1(&alike, 2000, 1).unwrap();
        assert_eq!((rate, interval.low, interval.high), (0.5, 0.5, 0.5));
        assert_eq!(
            (mean_pass_at_k(&alike, 1), mean_pass_at_k(&alike, 2), mean_pass_at_k(&alike, 3)),
            (Some(0.5), Some(1.0), None)
        );
        assert!(pass_at_1(&[], 10, 1).is_err());
    }
}
