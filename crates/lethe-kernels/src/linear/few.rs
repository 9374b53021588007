//! Few rows: the weights come from memory once, and that is the cost.

use super::weight::{Weight, reference};
use super::{MANY, Product, by_dtype};
use crate::simd::{Kernel, Simd};
use std::ops::Range;

/// All rows of a product, fewer than [`MANY`], for some outputs.
pub(super) struct Few<'a> {
    pub(super) product: Product<'a>,
    pub(super) outs: Range<usize>,
}

impl Kernel for Few<'_> {
    type Output = ();

    fn reference(self) {
        reference(self.product, self.outs, 0..self.product.m);
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        by_dtype!(self.product.weights.dtype(), W => self.stream::<S, W>(s));
    }
}

impl Few<'_> {
    #[inline(always)]
    fn stream<S: Simd, W: Weight>(self, s: S) {
        const { assert!(MANY == 8) };
        // Rows x outputs of a tile: eight sums at least hide the latency of an addition, and all fit the registers. A few
        // heights serve every m, to keep the program small.
        if S::WIDE {
            match self.product.m {
                0 => {}
                1 => self.tiles::<S, W, 1, 8>(s),
                2 => self.tiles::<S, W, 2, 4>(s),
                3..=4 => self.tiles::<S, W, 4, 4>(s),
                _ => self.tiles::<S, W, 7, 3>(s),
            }
        } else if W::BLOCKS {
            // unpacking takes registers too
            match self.product.m {
                0 => {}
                1 => self.tiles::<S, W, 1, 2>(s),
                2 => self.tiles::<S, W, 2, 1>(s),
                3..=4 => self.tiles::<S, W, 4, 1>(s),
                _ => self.tiles::<S, W, 7, 1>(s),
            }
        } else {
            match self.product.m {
                0 => {}
                1 => self.tiles::<S, W, 1, 4>(s),
                2 => self.tiles::<S, W, 2, 2>(s),
                3..=4 => self.tiles::<S, W, 4, 1>(s),
                _ => self.tiles::<S, W, 7, 1>(s),
            }
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, W: Weight, const R: usize, const O: usize>(&self, s: S) {
        let product = &self.product;
        let (cols, width) = (product.weights.cols(), product.weights.rows());
        let (weights, row_bytes) = (product.weights.bytes(), product.weights.row_bytes());
        // Rows beyond the last repeat it, as outputs do below; the copies are dropped.
        let x: [&[f32]; R] = std::array::from_fn(|r| {
            let row = r.min(product.m - 1);
            &product.x[row * cols..(row + 1) * cols]
        });
        for first in self.outs.clone().step_by(O) {
            let last = self.outs.end - 1;
            let w: [&[u8]; O] = std::array::from_fn(|o| {
                let out = (first + o).min(last);
                &weights[out * row_bytes..(out + 1) * row_bytes]
            });
            let sums = W::dots(s, x, w);
            for (r, sums) in sums.iter().take(product.m).enumerate() {
                let outs = first..(first + O).min(self.outs.end);
                // SAFETY: this task alone has these outputs.
                let y = unsafe { product.y.part(r * width + outs.start..r * width + outs.end) };
                for ((y, sum), out) in y.iter_mut().zip(sums).zip(outs) {
                    *y = sum + product.bias(out);
                }
            }
        }
    }
}
