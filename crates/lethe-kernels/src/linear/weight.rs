//! Stored weights to sixteen lanes of f32, and the reference dot product.

use std::cell::RefCell;
use std::ops::Range;

use super::Product;
use crate::simd::{LANES, Simd};

/// An element type of stored weights.
pub(super) trait Weight {
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

impl Weight for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load(p.cast()) }
    }
}

impl Weight for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load_f16(p.cast()) }
    }
}

impl Weight for Bf16 {
    const BYTES: usize = 2;
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u8) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load_bf16(p.cast()) }
    }
}

thread_local! {
    /// One decoded row of weights, kept from call to call.
    static ROW: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The plain way, for any part of the product: one output at a time, its weights decoded to a row.
pub(super) fn reference(product: Product<'_>, outs: Range<usize>, rows: Range<usize>) {
    let (cols, width) = (product.weights.cols(), product.weights.rows());
    ROW.with_borrow_mut(|weights| {
        weights.resize(cols, 0.0);
        for out in outs {
            product.weights.read_row(out, weights);
            for row in rows.clone() {
                let x = &product.x[row * cols..(row + 1) * cols];
                // SAFETY: this task alone has this output of this row.
                let y = unsafe { product.y.part(row * width + out..row * width + out + 1) };
                y[0] = dot(x, weights) + product.bias(out);
            }
        }
    });
}

/// Sixteen running sums, folded in halves, as the vector kernels do it.
fn dot(x: &[f32], w: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (x, w) in x.chunks(LANES).zip(w.chunks(LANES)) {
        for ((sum, x), w) in sums.iter_mut().zip(x).zip(w) {
            *sum += x * w;
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}
