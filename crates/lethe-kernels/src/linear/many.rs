//! Many rows: weights are unpacked to f32 once and used by a whole block of rows.
//!
//! A task takes [`PANEL_OUTS`] outputs of [`BLOCK_ROWS`] rows. The running sums of all of them are kept in memory
//! while the columns pass by in pieces of [`PIECE`]; panel, piece of x and sums together stay in the L2 cache, the
//! few weights of one register tile in L1.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use super::Product;
use super::weight::{Bf16, F16, F32, Weight, reference};
use crate::WeightDtype;
use crate::simd::{Kernel, LANES, Simd};
use std::cell::RefCell;
use std::ops::Range;

/// Outputs of a task.
pub(super) const PANEL_OUTS: usize = 32;
/// Rows of a task: a multiple of every tile height.
pub(super) const BLOCK_ROWS: usize = 48;
/// Columns unpacked at a time, a multiple of the lanes.
const PIECE: usize = 512;

/// Working memory of a thread, the same for every product; made at the first one.
pub(super) struct Scratch {
    panel: Box<[f32]>, // [PANEL_OUTS][PIECE]
    sums: Box<[f32]>,  // [BLOCK_ROWS][PANEL_OUTS][LANES]
}

impl Scratch {
    /// Runs `f` with the scratch of this thread.
    pub(super) fn with(f: impl FnOnce(&mut Scratch)) {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
                panel: vec![0.0; PANEL_OUTS * PIECE].into(),
                sums: vec![0.0; BLOCK_ROWS * PANEL_OUTS * LANES].into(),
            });
        }
        SCRATCH.with_borrow_mut(f);
    }
}

/// Some outputs (at most [`PANEL_OUTS`]) of some rows (at most [`BLOCK_ROWS`]).
pub(super) struct Part<'a> {
    pub(super) product: Product<'a>,
    pub(super) outs: Range<usize>,
    pub(super) rows: Range<usize>,
}

/// A part, and memory to compute it in.
pub(super) struct Many<'a, 'b> {
    pub(super) part: Part<'a>,
    pub(super) scratch: &'b mut Scratch,
}

impl Kernel for Many<'_, '_> {
    type Output = ();

    fn reference(self) {
        reference(self.part.product, self.part.outs, self.part.rows);
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        match self.part.product.weights.dtype() {
            WeightDtype::F32 => self.part.multiply::<S, F32>(s, self.scratch),
            WeightDtype::F16 => self.part.multiply::<S, F16>(s, self.scratch),
            WeightDtype::Bf16 => self.part.multiply::<S, Bf16>(s, self.scratch),
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn multiply<S: Simd, W: Weight>(&self, s: S, scratch: &mut Scratch) {
        let cols = self.product.weights.cols();
        scratch.sums.fill(0.0);
        for first in (0..cols).step_by(PIECE) {
            let piece = first..(first + PIECE).min(cols);
            self.unpack::<S, W>(s, piece.clone(), &mut scratch.panel);
            // Outputs in fours (or twos), rows in sixes (or threes): the sums of a tile fill the registers.
            if S::WIDE {
                self.tiles::<S, 6, 4>(s, piece, scratch);
            } else {
                self.tiles::<S, 3, 2>(s, piece, scratch);
            }
        }
        let (width, out) = (self.product.weights.rows(), self.outs.start);
        for (r, row) in self.rows.clone().enumerate() {
            // SAFETY: this task alone has these outputs of these rows.
            let y = unsafe { self.product.y.part(row * width + out..row * width + self.outs.end) };
            let sums = scratch.sums[r * PANEL_OUTS * LANES..].chunks_exact(LANES);
            for ((o, y), sums) in y.iter_mut().enumerate().zip(sums) {
                *y = s.sum(s.load_part(sums)) + self.product.bias(out + o);
            }
        }
    }

    /// Columns `piece` of the outputs to f32, zeros up to a whole vector.
    #[inline(always)]
    fn unpack<S: Simd, W: Weight>(&self, s: S, piece: Range<usize>, panel: &mut [f32]) {
        let (weights, row_bytes) = (self.product.weights.bytes(), self.product.weights.row_bytes());
        for (out, row) in self.outs.clone().zip(panel.chunks_exact_mut(PIECE)) {
            let bytes = &weights[out * row_bytes + piece.start * W::BYTES..out * row_bytes + piece.end * W::BYTES];
            for (to, from) in row.chunks_exact_mut(LANES).zip(bytes.chunks(LANES * W::BYTES)) {
                // SAFETY: the chunk holds this many weights.
                let w = unsafe {
                    if from.len() == LANES * W::BYTES {
                        W::load(s, from.as_ptr())
                    } else {
                        W::load_part(s, from.as_ptr(), from.len() / W::BYTES)
                    }
                };
                s.store_part(to, w);
            }
        }
    }

    /// All rows times all outputs of the panel, R x O at a time. Outputs beyond the last are computed from whatever the
    /// panel holds, and dropped.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const O: usize>(&self, s: S, piece: Range<usize>, scratch: &mut Scratch) {
        let mut row = 0;
        while row < self.rows.len() {
            let whole = row + R <= self.rows.len();
            for out in (0..self.outs.len()).step_by(O) {
                if whole {
                    self.tile::<S, R, O>(s, piece.clone(), scratch, row, out);
                } else {
                    self.tile::<S, 1, O>(s, piece.clone(), scratch, row, out);
                }
            }
            row += if whole { R } else { 1 };
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const O: usize>(
        &self,
        s: S,
        piece: Range<usize>,
        scratch: &mut Scratch,
        row: usize,
        out: usize,
    ) {
        let cols = self.product.weights.cols();
        let x: [&[f32]; R] = std::array::from_fn(|r| {
            let start = (self.rows.start + row + r) * cols;
            &self.product.x[start + piece.start..start + piece.end]
        });
        let w: [&[f32]; O] = std::array::from_fn(|o| &scratch.panel[(out + o) * PIECE..(out + o + 1) * PIECE]);
        let tile = &mut scratch.sums[(row * PANEL_OUTS + out) * LANES..]; // [R][PANEL_OUTS][LANES], O of them ours
        let mut sums = [[s.splat(0.0); O]; R];
        for r in 0..R {
            let from = &tile[r * PANEL_OUTS * LANES..][..O * LANES];
            for o in 0..O {
                sums[r][o] = s.load_part(&from[o * LANES..][..LANES]);
            }
        }
        let columns = piece.len();
        let whole = columns - columns % LANES;
        assert!(columns <= PIECE && x.iter().all(|x| x.len() == columns));
        for k in (0..whole).step_by(LANES) {
            let mut weights = [s.splat(0.0); O];
            for o in 0..O {
                // SAFETY: sixteen columns from k on are within the piece, of x and of the panel.
                weights[o] = unsafe { s.load(w[o].as_ptr().add(k)) };
            }
            for r in 0..R {
                // SAFETY: as above.
                let x = unsafe { s.load(x[r].as_ptr().add(k)) };
                for o in 0..O {
                    sums[r][o] = s.fma(x, weights[o], sums[r][o]);
                }
            }
        }
        if whole < columns {
            for r in 0..R {
                let x = s.load_part(&x[r][whole..]);
                for o in 0..O {
                    sums[r][o] = s.fma(x, s.load_part(&w[o][whole..][..LANES]), sums[r][o]);
                }
            }
        }
        for r in 0..R {
            let to = &mut tile[r * PANEL_OUTS * LANES..][..O * LANES];
            for o in 0..O {
                s.store_part(&mut to[o * LANES..][..LANES], sums[r][o]);
            }
        }
    }
}
