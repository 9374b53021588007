//! How much of a key other keys repeat (R-KV, arXiv 2505.24133).

/// Keys whose products are formed together: they and the keys they meet stay in the nearest cache.
const BLOCK: usize = 16;

/// Writes how redundant each of the first `candidates` keys is, from above 0 to 1: the mean over all candidates of the cosine
/// with them, through a softmax, divided by the largest. In the row of each key, the newest other one with a cosine above
/// `similarity` counts as 0, so that of near-duplicates the newest is spared. `keys [slots][head_dim]`
pub(crate) fn redundancy(
    keys: &[f32],
    slots: usize,
    candidates: usize,
    similarity: f64,
    redundant: &mut Vec<f64>,
    work: &mut Vec<f32>,
) {
    let dim = keys.len() / slots.max(1);
    let keys = &keys[..candidates * dim];
    work.clear();
    work.extend(keys.chunks_exact(dim.max(1)).map(|key| 1.0 / dot(key, key).sqrt().max(f32::MIN_POSITIVE)));
    work.resize(candidates * (BLOCK + 1), 0.0);
    let (inverse, rows) = work.split_at_mut(candidates); // [candidates], [BLOCK][candidates]

    redundant.clear();
    redundant.resize(candidates, 0.0);
    for first in (0..candidates).step_by(BLOCK) {
        let block = first..(first + BLOCK).min(candidates);
        for (other, key) in keys.chunks_exact(dim).enumerate() {
            for (row, i) in block.clone().enumerate() {
                rows[row * candidates + other] = dot(&keys[i * dim..][..dim], key) * inverse[i] * inverse[other];
            }
        }
        for (row, i) in block.enumerate() {
            let row = &mut rows[row * candidates..][..candidates];
            row[i] = 0.0;
            if let Some(newest) = row.iter().rposition(|&cosine| f64::from(cosine) > similarity) {
                row[newest] = 0.0;
            }
            for (sum, &cosine) in redundant.iter_mut().zip(&*row) {
                *sum += f64::from(cosine);
            }
        }
    }
    // The softmax divided by its largest: the sum of the exponentials falls out.
    let share = 1.0 / candidates.max(1) as f64;
    let top = redundant.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    redundant.iter_mut().for_each(|sum| *sum = ((*sum - top) * share).exp());
}

/// The product of two vectors, in sixteen running sums: an order that vector units can follow.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a.zip(b) {
        for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[[f32; 2]]) -> Vec<f64> {
        let (mut redundant, mut work) = (Vec::new(), Vec::new());
        redundancy(keys.as_flattened(), keys.len(), keys.len(), 0.5, &mut redundant, &mut work);
        redundant
    }

    #[test]
    fn of_duplicates_the_newest_is_spared() {
        let found = of(&[[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 1.0]]);
        assert_eq!(found[0], 1.0, "{found:?}");
        assert!(found[1] < 1.0 && found[2] < found[1] && found[2] == found[3], "{found:?}");
    }

    #[test]
    fn keys_of_no_length_and_no_keys_at_all() {
        assert!(of(&[[0.0, 0.0], [1.0, 0.0]]).iter().all(|x| x.is_finite()));
        assert!(of(&[]).is_empty());
    }

    #[test]
    fn products_do_not_care_for_blocks() {
        let keys: Vec<[f32; 2]> = (0..40).map(|i| [(i as f32 * 0.7).sin(), (i as f32 * 0.7).cos()]).collect();
        let found = of(&keys);
        let cosine = |i: usize, j: usize| f64::from(keys[i][0] * keys[j][0] + keys[i][1] * keys[j][1]);
        let mut sums = vec![0.0; 40];
        for i in 0..40 {
            let newest = (0..40).rev().find(|&j| j != i && cosine(i, j) > 0.5);
            (0..40).filter(|&j| j != i && Some(j) != newest).for_each(|j| sums[j] += cosine(i, j));
        }
        let top = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (found, sum) in found.iter().zip(&sums) {
            assert!((found - ((sum - top) / 40.0).exp()).abs() < 1e-6);
        }
    }
}
