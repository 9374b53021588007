//! What a stored weight type can do: dot products as it lies, and unpacking to f32. The reference does both plainly.

use std::cell::RefCell;
use std::ops::Range;

use super::Product;
use super::many::Vector;
use crate::simd::{LANES, Simd};

/// A type of stored weights. A row is `cols` numbers, in whole blocks.
pub(super) trait Weight {
    /// Whether numbers are packed in blocks.
    const BLOCKS: bool;

    /// R x O dot products of rows `x` (`[cols]`) and weight rows `w`.
    fn dots<S: Simd, const R: usize, const O: usize>(s: S, x: [&[f32]; R], w: [&[u8]; O]) -> [[f32; O]; R];

    /// Columns `piece` of a weight row as f32, sixteen a vector, zeros behind the last. The piece begins and ends with a
    /// block.
    fn unpack<S: Simd>(s: S, row: &[u8], piece: Range<usize>, to: &mut [Vector]);
}

/// The R x O sums of a tile, each folded into one number.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // counted loops are unrolled for sure
pub(super) fn fold<S: Simd, const R: usize, const O: usize>(s: S, sums: [[S::V; O]; R]) -> [[f32; O]; R] {
    let mut folded = [[0.0; O]; R];
    for r in 0..R {
        for o in 0..O {
            folded[r][o] = s.sum(sums[r][o]);
        }
    }
    folded
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
