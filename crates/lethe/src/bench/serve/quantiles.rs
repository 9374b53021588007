//! What a set of timings has in the middle and at the end.

use serde_json::{Value, json};

/// Timings in order.
#[derive(Debug)]
pub(super) struct Quantiles {
    sorted: Vec<f64>,
}

impl Quantiles {
    pub(super) fn of(mut timings: Vec<f64>) -> Quantiles {
        timings.sort_by(f64::total_cmp);
        Quantiles { sorted: timings }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// `None` of none.
    pub(super) fn mean(&self) -> Option<f64> {
        (!self.sorted.is_empty()).then(|| self.sorted.iter().sum::<f64>() / self.sorted.len() as f64)
    }

    /// The timing below which a part `q` in [0, 1] of them lies, between neighbours in proportion; `None` of none.
    pub(super) fn at(&self, q: f64) -> Option<f64> {
        let place = q.clamp(0.0, 1.0) * self.sorted.len().checked_sub(1)? as f64;
        let (low, part) = (place as usize, place.fract());
        let below = *self.sorted.get(low)?;
        let above = self.sorted.get(low + 1).copied().unwrap_or(below);
        Some(below + (above - below) * part)
    }

    /// Mean, p50, p90, p99 and the greatest.
    pub(super) fn row(&self) -> [Option<f64>; 5] {
        [self.mean(), self.at(0.5), self.at(0.9), self.at(0.99), self.at(1.0)]
    }

    pub(super) fn json(&self) -> Value {
        let [mean, p50, p90, p99, max] = self.row();
        json!({ "mean": mean, "p50": p50, "p90": p90, "p99": p99, "max": max, "samples": self.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let q = Quantiles::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((q.mean(), q.at(0.0), q.at(0.5), q.at(1.0)), (Some(2.5), Some(1.0), Some(2.5), Some(4.0)));
        assert!((q.at(0.9).unwrap() - 3.7).abs() < 1e-12);
        let hundred = Quantiles::of((0..=100).map(f64::from).collect());
        assert_eq!(hundred.row(), [Some(50.0), Some(50.0), Some(90.0), Some(99.0), Some(100.0)]);
        assert_eq!(Quantiles::of(vec![7.0]).row(), [Some(7.0); 5]);
    }

    #[test]
    fn of_nothing_there_is_nothing() {
        let none = Quantiles::of(Vec::new());
        assert_eq!((none.row(), none.len()), ([None; 5], 0));
        assert_eq!(none.json()["p99"], Value::Null);
    }
}
