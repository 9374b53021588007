//! Which keys newer keys repeat.

use crate::evidence::LaneSight;
use crate::redundancy::dot;

/// Writes how much each of some slots is repeated by a newer one: the largest cosine of its key with any newer key of its lane,
/// the mean over the lanes. From -1 to 1, and -1 for the newest slot. `[candidates]`
///
/// A key that a newer one repeats gets little of what it got before: the newer stands for it. Keys are taken as attention
/// meets them, after RoPE and with what all keys of a lane have in common: without either, far worse slots are kept.
pub(crate) fn repeated(
    lanes: &[LaneSight<'_>],
    slots: usize,
    candidates: &[usize],
    repeated: &mut Vec<f64>,
    work: &mut Vec<f32>,
) {
    repeated.clear();
    repeated.resize(candidates.len(), 0.0);
    for lane in lanes {
        let dim = lane.keys.len() / slots.max(1);
        directions(lane.keys, dim, work);
        for (repeated, &slot) in repeated.iter_mut().zip(candidates) {
            let (old, newer) = work[slot * dim..].split_at(dim);
            let closest = newer.chunks_exact(dim).map(|key| dot(old, key)).fold(-1.0, f32::max);
            *repeated += f64::from(closest.min(1.0)) / lanes.len() as f64;
        }
    }
}

/// The keys, each of length 1 (or 0).
fn directions(keys: &[f32], dim: usize, work: &mut Vec<f32>) {
    work.clear();
    work.extend_from_slice(keys);
    for key in work.chunks_exact_mut(dim.max(1)) {
        let length = dot(key, key).sqrt().max(f32::MIN_POSITIVE);
        key.iter_mut().for_each(|x| *x /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[[f32; 2]]) -> Vec<f64> {
        let lane = LaneSight { keys: keys.as_flattened(), ..LaneSight::default() };
        let (mut found, mut work) = (Vec::new(), Vec::new());
        let all: Vec<usize> = (0..keys.len()).collect();
        repeated(&[lane], keys.len(), &all, &mut found, &mut work);
        found
    }

    #[test]
    fn of_duplicates_the_newest_is_new() {
        let found = of(&[[9.0, 1.0], [9.0, 1.0], [-9.0, 1.0], [-9.0, 2.0]]);
        assert!(found[0] > 0.99 && found[2] > 0.9, "{found:?}");
        assert!(found[1] < -0.9 && found[3] == -1.0, "{found:?}");
        let lengths = of(&[[1.0, 1.0], [7.0, 7.0], [0.0, 1.0]]);
        assert!(lengths[0] > 0.999 && (lengths[1] - 0.5f64.sqrt()).abs() < 1e-6, "{lengths:?}");
    }

    #[test]
    fn lanes_are_averaged_and_nothing_is_no_trouble() {
        let (same, apart) = ([1.0, 0.0, 3.0, 0.0], [1.0, 0.0, 0.0, 2.0]);
        let lane = |keys| LaneSight { keys, ..LaneSight::default() };
        let (mut found, mut work) = (Vec::new(), Vec::new());
        repeated(&[lane(&same[..]), lane(&apart)], 2, &[0], &mut found, &mut work);
        assert!((found[0] - 0.5).abs() < 1e-6, "{found:?}");
        assert!(of(&[]).is_empty());
        assert!(of(&[[0.0, 0.0], [0.0, 0.0]]).iter().all(|x| x.is_finite()));
    }
}
