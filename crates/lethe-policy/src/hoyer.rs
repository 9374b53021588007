//! How sparse a layer's attention is.

/// Hoyer's sparsity: `(sqrt(n) - |s|_1 / |s|_2) / (sqrt(n) - 1)`, from 0 (flat) to 1 (a single peak).
///
/// `scores`: `[n_slots]`. 0 for fewer than two slots and for all zeros. (Hoyer 2004, Journal of Machine Learning
/// Research 5, section 3.1.)
pub fn hoyer(scores: &[f32]) -> f64 {
    let (sum, squares) = scores.iter().fold((0.0, 0.0), |(sum, squares), &score| {
        let score = f64::from(score);
        (sum + score.abs(), squares + score * score)
    });
    if scores.len() < 2 || squares == 0.0 {
        return 0.0;
    }
    let root = (scores.len() as f64).sqrt();
    (root - sum / squares.sqrt()) / (root - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_is_zero_and_a_peak_is_one() {
        assert!(hoyer(&[2.0; 9]).abs() < 1e-12);
        assert!((hoyer(&[0.0, 3.0, 0.0, 0.0]) - 1.0).abs() < 1e-12);
        assert!((hoyer(&[3.0, 4.0]) - (2f64.sqrt() - 7.0 / 5.0) / (2f64.sqrt() - 1.0)).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_compare_is_zero() {
        assert_eq!(hoyer(&[]), 0.0);
        assert_eq!(hoyer(&[7.0]), 0.0);
        assert_eq!(hoyer(&[0.0; 5]), 0.0);
    }
}
