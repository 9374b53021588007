//! The guard that finds infinities and NaN before they reach the logits.

use super::GRAIN;
use crate::Cpu;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use std::sync::atomic::{AtomicUsize, Ordering};

struct AllFinite<'a> {
    x: &'a [f32],
}

impl Kernel for AllFinite<'_> {
    type Output = bool;

    fn reference(self) -> bool {
        self.x.iter().all(|x| x.is_finite())
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) -> bool {
        let infinity = s.splat(f32::INFINITY);
        let all = |bits: u32, x: &[f32]| bits & s.lt_bits(s.abs(s.load_part(x)), infinity);
        self.x.chunks(LANES).fold(0xffff, all) == 0xffff
    }
}

impl Cpu {
    /// Whether every element is a finite number.
    pub fn row_finite(&self, row: &[f32]) -> bool {
        dispatch(self.level(), AllFinite { x: row })
    }

    /// First row of x (`[m][d]`) that holds an infinity or a NaN.
    ///
    /// # Panics
    /// If x is no whole rows.
    pub fn first_non_finite_row(&self, x: &[f32], d: usize) -> Option<usize> {
        assert!(d > 0 && x.len().is_multiple_of(d), "first_non_finite_row: {} elements are no rows of {d}", x.len());
        let first = AtomicUsize::new(usize::MAX);
        self.split(x.len() / d, GRAIN / d + 1, |rows| {
            for row in rows {
                if !self.row_finite(&x[row * d..(row + 1) * d]) {
                    first.fetch_min(row, Ordering::Relaxed);
                    break;
                }
            }
        });
        Some(first.into_inner()).filter(|row| *row != usize::MAX)
    }
}
