//! Weights stored as floats, any number of columns.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use std::marker::PhantomData;
use std::ops::Range;

use super::many::Vector;
use super::weight::{Weight, fold};
use crate::simd::{LANES, Simd};

/// A float type of stored weights.
pub(super) trait Float {
    const BYTES: usize;

    /// Sixteen weights.
    ///
    /// # Safety
    /// `16 * BYTES` bytes are readable at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::V;

    /// The `n < 16` weights at `p`, zeros behind them.
    ///
    /// # Safety
    /// `n * BYTES` bytes are readable at `p`.
    #[inline(always)]
    unsafe fn load_part<S: Simd>(s: S, p: *const u8, n: usize) -> S::V {
        let mut whole = [0u8; LANES * 4];
        // SAFETY: `p` is readable by the caller's promise, and `whole` has room for 16 elements of any type.
        unsafe {
            std::ptr::copy_nonoverlapping(p, whole.as_mut_ptr(), n * Self::BYTES);
            Self::load(s, whole.as_ptr())
        }
    }
}

/// f32 as stored.
pub(super) struct F32;
/// f16 as stored.
pub(super) struct F16;
/// bf16 as stored.
pub(super) struct Bf16;

impl Float for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load(p.cast()) }
    }
}

impl Float for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load_f16(p.cast()) }
    }
}

impl Float for Bf16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load_bf16(p.cast()) }
    }
}

/// Rows of floats.
pub(super) struct Floats<F>(PhantomData<F>);

impl<F: Float> Weight for Floats<F> {
    const BLOCKS: bool = false;

    #[inline(always)]
    fn dots<S: Simd, const R: usize, const O: usize>(s: S, x: [&[f32]; R], w: [&[u8]; O]) -> [[f32; O]; R] {
        let cols = x[0].len();
        assert!(x.iter().all(|x| x.len() == cols) && w.iter().all(|w| w.len() == cols * F::BYTES));
        let mut sums = [[s.splat(0.0); O]; R];
        let whole = cols - cols % LANES;
        for k in (0..whole).step_by(LANES) {
            let mut weights = [s.splat(0.0); O];
            for o in 0..O {
                // SAFETY: sixteen columns from k on are within every row.
                weights[o] = unsafe { F::load(s, w[o].as_ptr().add(k * F::BYTES)) };
            }
            for r in 0..R {
                // SAFETY: as above.
                let x = unsafe { s.load(x[r].as_ptr().add(k)) };
                for o in 0..O {
                    sums[r][o] = s.fma(x, weights[o], sums[r][o]);
                }
            }
        }
        if whole < cols {
            for o in 0..O {
                // SAFETY: the columns from `whole` on are within every row.
                let weights = unsafe { F::load_part(s, w[o].as_ptr().add(whole * F::BYTES), cols - whole) };
                for r in 0..R {
                    sums[r][o] = s.fma(s.load_part(&x[r][whole..]), weights, sums[r][o]);
                }
            }
        }
        fold(s, sums)
    }

    #[inline(always)]
    fn unpack<S: Simd>(s: S, row: &[u8], piece: Range<usize>, to: &mut [Vector]) {
        let from = &row[piece.start * F::BYTES..piece.end * F::BYTES];
        for (to, from) in to.iter_mut().zip(from.chunks(LANES * F::BYTES)) {
            // SAFETY: the chunk holds this many weights.
            let w = unsafe {
                if from.len() == LANES * F::BYTES {
                    F::load(s, from.as_ptr())
                } else {
                    F::load_part(s, from.as_ptr(), from.len() / F::BYTES)
                }
            };
            s.store_part(&mut to.0, w);
        }
    }
}
