//! Many rows: weights are unpacked to f32 once and used by a whole block of rows.
//!
//! A task takes [`BLOCK_OUTS`] outputs of [`BLOCK_ROWS`] rows. The running sums of all of them are kept in memory
//! while the columns pass by in pieces of [`PIECE`]. Each piece of the activations, and of the weights of one panel of
//! [`PANEL_OUTS`] outputs after the other, is laid out in aligned vectors, padded with zeros. All of it stays in the L2
//! cache, what one register tile needs in L1.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use super::weight::{Weight, reference};
use super::{Product, by_dtype};
use crate::simd::{Kernel, LANES, Simd};
use std::cell::RefCell;
use std::ops::Range;

/// Outputs of a task.
pub(super) const BLOCK_OUTS: usize = 128;
/// Outputs unpacked at a time, a multiple of every tile width.
const PANEL_OUTS: usize = 32;
/// Rows of a task, a multiple of every tile height.
pub(super) const BLOCK_ROWS: usize = 48;
/// Columns at a time.
const PIECE: usize = 512;
/// Vectors of a piece.
const VECTORS: usize = PIECE / LANES;

/// One vector, on a cache line of its own.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Vector(pub(super) [f32; LANES]);

/// Working memory of a thread, the same for every product; made at the first one.
pub(super) struct Scratch {
    weights: Box<[Vector]>, // [PANEL_OUTS][VECTORS]
    x: Box<[Vector]>,       // [BLOCK_ROWS][VECTORS]
    sums: Box<[Vector]>,    // [BLOCK_ROWS][BLOCK_OUTS]
}

impl Scratch {
    /// Runs `f` with the scratch of this thread.
    pub(super) fn with(f: impl FnOnce(&mut Scratch)) {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
                weights: vec![Vector([0.0; LANES]); PANEL_OUTS * VECTORS].into(),
                x: vec![Vector([0.0; LANES]); BLOCK_ROWS * VECTORS].into(),
                sums: vec![Vector([0.0; LANES]); BLOCK_ROWS * BLOCK_OUTS].into(),
            });
        }
        SCRATCH.with_borrow_mut(f);
    }
}

/// Some outputs (at most [`BLOCK_OUTS`]) of some rows (at most [`BLOCK_ROWS`]).
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
        by_dtype!(self.part.product.weights.dtype(), W => self.part.multiply::<S, W>(s, self.scratch));
    }
}

impl Part<'_> {
    #[inline(always)]
    fn multiply<S: Simd, W: Weight>(&self, s: S, scratch: &mut Scratch) {
        let cols = self.product.weights.cols();
        scratch.sums.fill(Vector([0.0; LANES]));
        for first in (0..cols).step_by(PIECE) {
            let piece = first..(first + PIECE).min(cols);
            let vectors = piece.len().div_ceil(LANES);
            self.unpack_x(s, piece.clone(), &mut scratch.x);
            for first in (0..self.outs.len()).step_by(PANEL_OUTS) {
                let panel = first..(first + PANEL_OUTS).min(self.outs.len());
                self.unpack_weights::<S, W>(s, piece.clone(), panel.clone(), &mut scratch.weights);
                // Rows in sixes (or threes), outputs in fours (or twos): the sums of a tile fill the registers.
                if S::WIDE {
                    self.tiles::<S, 6, 4>(s, vectors, panel, scratch);
                } else {
                    self.tiles::<S, 3, 2>(s, vectors, panel, scratch);
                }
            }
        }
        let (width, out) = (self.product.weights.rows(), self.outs.start);
        for (row, sums) in self.rows.clone().zip(scratch.sums.chunks_exact(BLOCK_OUTS)) {
            // SAFETY: this task alone has these outputs of these rows.
            let y = unsafe { self.product.y.part(row * width + out..row * width + self.outs.end) };
            for ((o, y), sums) in y.iter_mut().enumerate().zip(sums) {
                *y = s.sum(s.load_part(&sums.0)) + self.product.bias(out + o);
            }
        }
    }

    /// Columns `piece` of the weights of outputs `panel` (of this task) to f32.
    #[inline(always)]
    fn unpack_weights<S: Simd, W: Weight>(&self, s: S, piece: Range<usize>, panel: Range<usize>, to: &mut [Vector]) {
        let (weights, row_bytes) = (self.product.weights.bytes(), self.product.weights.row_bytes());
        for (out, to) in panel.zip(to.chunks_exact_mut(VECTORS)) {
            let out = self.outs.start + out;
            W::unpack(s, &weights[out * row_bytes..(out + 1) * row_bytes], piece.clone(), to);
        }
    }

    /// Columns `piece` of the rows.
    #[inline(always)]
    fn unpack_x<S: Simd>(&self, s: S, piece: Range<usize>, to: &mut [Vector]) {
        let cols = self.product.weights.cols();
        for (row, to) in self.rows.clone().zip(to.chunks_exact_mut(VECTORS)) {
            let from = &self.product.x[row * cols + piece.start..row * cols + piece.end];
            for (to, from) in to.iter_mut().zip(from.chunks(LANES)) {
                s.store_part(&mut to.0, s.load_part(from));
            }
        }
    }

    /// All rows times the outputs of a panel, R x O at a time. Rows and outputs beyond the last are computed from whatever lies
    /// there, and dropped.
    #[inline(always)]
    fn tiles<S: Simd, const R: usize, const O: usize>(
        &self,
        s: S,
        vectors: usize,
        panel: Range<usize>,
        scratch: &mut Scratch,
    ) {
        const { assert!(PANEL_OUTS.is_multiple_of(O) && BLOCK_ROWS.is_multiple_of(R)) };
        for row in (0..self.rows.len()).step_by(R) {
            let x = &scratch.x[row * VECTORS..(row + R) * VECTORS];
            for out in panel.clone().step_by(O) {
                let weights = &scratch.weights[(out - panel.start) * VECTORS..][..O * VECTORS];
                let sums = &mut scratch.sums[row * BLOCK_OUTS + out..(row + R - 1) * BLOCK_OUTS + out + O];
                tile::<S, R, O>(s, x, weights, vectors, sums);
            }
        }
    }
}

/// Adds the products of R rows (`[R][VECTORS]`) and O outputs (`[O][VECTORS]`) to their sums (rows [`BLOCK_OUTS`] apart).
#[inline(always)]
fn tile<S: Simd, const R: usize, const O: usize>(
    s: S,
    x: &[Vector],
    weights: &[Vector],
    vectors: usize,
    sums: &mut [Vector],
) {
    assert!(vectors <= VECTORS && x.len() == R * VECTORS && weights.len() == O * VECTORS);
    let mut tile = [[s.splat(0.0); O]; R];
    for r in 0..R {
        for o in 0..O {
            tile[r][o] = s.load_part(&sums[r * BLOCK_OUTS + o].0);
        }
    }
    for v in 0..vectors {
        let mut w = [s.splat(0.0); O];
        for o in 0..O {
            // SAFETY: `v` is below VECTORS, and there are O rows of them.
            w[o] = s.load_part(unsafe { &weights.get_unchecked(o * VECTORS + v).0 });
        }
        for r in 0..R {
            // SAFETY: as above, with R rows.
            let x = s.load_part(unsafe { &x.get_unchecked(r * VECTORS + v).0 });
            for o in 0..O {
                tile[r][o] = s.fma(x, w[o], tile[r][o]);
            }
        }
    }
    for r in 0..R {
        for o in 0..O {
            s.store_part(&mut sums[r * BLOCK_OUTS + o].0, tile[r][o]);
        }
    }
}
