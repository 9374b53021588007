//! Many comparisons at once.

/// Holm's adjusted p-values, in the order given (Holm, "A simple sequentially rejective multiple test procedure",
/// Scandinavian Journal of Statistics 1979): those below .05 may be called significant together, with a chance of 5 % that
/// any of them is not, whatever depends on what.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[at]).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    #[test]
    fn each_step_has_one_comparison_less() {
        // By hand: .005 * 4, .01 * 3, .03 * 2, and .04 * 1 not below the one before.
        close(&holm(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]);
        close(&holm(&[0.5, 0.001, 0.02, 0.02, 0.9]), &[1.0, 0.005, 0.08, 0.08, 1.0]);
    }

    #[test]
    fn one_comparison_stays_as_it_is() {
        close(&holm(&[0.04]), &[0.04]);
        close(&holm(&[]), &[]);
        close(&holm(&[0.7, 0.8]), &[1.0, 1.0]);
    }
}
