//! Root mean square norm (Zhang and Sennrich 2019, arXiv 1910.07467).

use super::GRAIN;
use crate::Cpu;
use crate::shared::SharedMut;
use crate::simd::{Kernel, LANES, Simd, dispatch};

/// One row, in place.
struct RmsNorm<'a> {
    x: &'a mut [f32],  // [d]
    weight: &'a [f32], // [d]
    eps: f32,
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    fn reference(self) {
        let squares: f64 = self.x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let scale = 1.0 / (squares / self.x.len() as f64 + f64::from(self.eps)).sqrt();
        for (x, weight) in self.x.iter_mut().zip(self.weight) {
            *x = *x * scale as f32 * weight;
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        let mut squares = s.splat(0.0);
        for x in self.x.chunks(LANES) {
            let x = s.load_part(x);
            squares = s.fma(x, x, squares);
        }
        let scale = s.splat(1.0 / (s.sum(squares) / self.x.len() as f32 + self.eps).sqrt());
        for (x, weight) in self.x.chunks_mut(LANES).zip(self.weight.chunks(LANES)) {
            s.store_part(x, s.mul(s.mul(s.load_part(x), scale), s.load_part(weight)));
        }
    }
}

impl Cpu {
    /// `y[i] = x[i] / rms(x[i]) * weight` with `rms(x) = sqrt(mean(x^2) + eps)`, for rows of `weight.len()` elements:
    /// x and y `[m][d]`, weight `[d]`.
    ///
    /// # Panics
    /// If x and y differ in length or are no whole rows.
    pub fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "rms_norm: x and y differ in length");
        self.norm_rows(Some(x), weight, eps, y);
    }

    /// [`Cpu::rms_norm`] in place. For the per-head norms of q and k, x is `[m][heads][head_dim]`, weight `[head_dim]`.
    ///
    /// # Panics
    /// If x is no whole rows.
    pub fn rms_norm_in_place(&self, x: &mut [f32], weight: &[f32], eps: f32) {
        self.norm_rows(None, weight, eps, x);
    }

    fn norm_rows(&self, from: Option<&[f32]>, weight: &[f32], eps: f32, to: &mut [f32]) {
        let d = weight.len();
        assert!(d > 0 && to.len().is_multiple_of(d), "rms_norm: {} elements are no rows of {d}", to.len());
        let rows = to.len() / d;
        let to = SharedMut::new(to);
        self.split(rows, (GRAIN / d).max(1), |rows| {
            for row in rows {
                let range = row * d..(row + 1) * d;
                // SAFETY: rows do not overlap, and each is in one range of the split.
                let x = unsafe { to.part(range.clone()) };
                if let Some(from) = from {
                    x.copy_from_slice(&from[range]);
                }
                dispatch(self.level(), RmsNorm { x, weight, eps });
            }
        });
    }
}
