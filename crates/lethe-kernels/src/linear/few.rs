//! Few rows: the weights come from memory once, and that is the cost.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use super::weight::{Bf16, F16, F32, Weight, reference};
use super::{MANY, Product};
use crate::WeightDtype;
use crate::simd::{Kernel, LANES, Simd};
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
        match self.product.weights.dtype() {
            WeightDtype::F32 => self.stream::<S, F32>(s),
            WeightDtype::F16 => self.stream::<S, F16>(s),
            WeightDtype::Bf16 => self.stream::<S, Bf16>(s),
        }
    }
}

impl Few<'_> {
    #[inline(always)]
    fn stream<S: Simd, W: Weight>(self, s: S) {
        const { assert!(MANY == 8) };
        // Rows x outputs of a tile: eight sums at least hide the latency of an addition, and all fit the registers.
        if S::WIDE {
            match self.product.m {
                0 => {}
                1 => self.tiles::<S, W, 1, 8>(s),
                2 => self.tiles::<S, W, 2, 4>(s),
                3 => self.tiles::<S, W, 3, 4>(s),
                4 => self.tiles::<S, W, 4, 4>(s),
                5 => self.tiles::<S, W, 5, 4>(s),
                6 => self.tiles::<S, W, 6, 4>(s),
                _ => self.tiles::<S, W, 7, 3>(s),
            }
        } else {
            match self.product.m {
                0 => {}
                1 => self.tiles::<S, W, 1, 4>(s),
                2 => self.tiles::<S, W, 2, 2>(s),
                3 => self.tiles::<S, W, 3, 2>(s),
                4 => self.tiles::<S, W, 4, 1>(s),
                5 => self.tiles::<S, W, 5, 1>(s),
                6 => self.tiles::<S, W, 6, 1>(s),
                _ => self.tiles::<S, W, 7, 1>(s),
            }
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, W: Weight, const R: usize, const O: usize>(&self, s: S) {
        let product = &self.product;
        let (cols, width) = (product.weights.cols(), product.weights.rows());
        let (weights, row_bytes) = (product.weights.bytes(), product.weights.row_bytes());
        let x: [&[f32]; R] = std::array::from_fn(|r| &product.x[r * cols..(r + 1) * cols]);
        for first in self.outs.clone().step_by(O) {
            // A tile at the end repeats the last output; the copies are dropped.
            let last = self.outs.end - 1;
            let w: [&[u8]; O] = std::array::from_fn(|o| {
                let out = (first + o).min(last);
                &weights[out * row_bytes..(out + 1) * row_bytes]
            });
            let sums = tile::<S, W, R, O>(s, x, w);
            for (r, sums) in sums.iter().enumerate() {
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

/// R x O dot products; every x has as many elements as every w.
#[inline(always)]
fn tile<S: Simd, W: Weight, const R: usize, const O: usize>(s: S, x: [&[f32]; R], w: [&[u8]; O]) -> [[f32; O]; R] {
    let cols = x[0].len();
    assert!(x.iter().all(|x| x.len() == cols) && w.iter().all(|w| w.len() == cols * W::BYTES));
    let mut sums = [[s.splat(0.0); O]; R];
    let whole = cols - cols % LANES;
    for k in (0..whole).step_by(LANES) {
        let mut weights = [s.splat(0.0); O];
        for o in 0..O {
            // SAFETY: sixteen columns from k on are within every row.
            weights[o] = unsafe { W::load(s, w[o].as_ptr().add(k * W::BYTES)) };
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
            let weights = unsafe { W::load_part(s, w[o].as_ptr().add(whole * W::BYTES), cols - whole) };
            for r in 0..R {
                sums[r][o] = s.fma(s.load_part(&x[r][whole..]), weights, sums[r][o]);
            }
        }
    }
    let mut folded = [[0.0; O]; R];
    for r in 0..R {
        for o in 0..O {
            folded[r][o] = s.sum(sums[r][o]);
        }
    }
    folded
}
