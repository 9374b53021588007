//! Packed weights times activations in eight bits.
//!
//! Of 32 columns the products of whole numbers are added up exactly; each sum is then scaled into the running f32 sum of its
//! output, unit after unit: `y += sum * (weight scale * activation scale)`, then for Q4_K `y -= minimum * (sum of the
//! activations)`. Whole numbers know no order, so every level and any number of rows give the same bits, and the reference too.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use super::activations::{Activations, Row};
use super::packed::{GROUP, UNIT, Unit, VECTOR, block_bytes, group_bytes, q4k, q6k};
use crate::shared::SharedMut;
use crate::simd::{Kernel, Simd};
use crate::{Matrix, WeightDtype};
use std::ops::Range;

/// One output as its tasks share it.
pub(super) struct Whole<'a> {
    pub(super) matrix: &'a Matrix,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) y: SharedMut<'a, f32>, // [m][rows of the matrix]
    pub(super) groups: usize,
    pub(super) step: usize, // groups of a task
    pub(super) tasks: usize,
}

/// Some groups of outputs of some rows.
pub(super) struct Part<'a> {
    pub(super) whole: &'a Whole<'a>,
    pub(super) x: &'a Activations,
    pub(super) groups: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Kernel for Part<'_> {
    type Output = ();

    fn reference(self) {
        let (dtype, matrix) = (self.whole.matrix.dtype(), self.whole.matrix);
        for group in self.groups.clone() {
            let bytes = self.group(group);
            for row in self.rows.clone() {
                let x = self.x.row(row);
                for (lane, out) in (group * GROUP..((group + 1) * GROUP).min(matrix.rows())).enumerate() {
                    let mut sum = 0.0f32;
                    for unit in 0..matrix.cols() / UNIT {
                        let per_block = dtype.block() / UNIT;
                        let block = &bytes[unit / per_block * block_bytes(dtype)..];
                        let w = Unit::read(dtype, block, lane, unit % per_block);
                        let mut total = 0;
                        for (l, (w, factor)) in
                            w.quants.iter().zip(w.factors.map(|f| [f; 16]).as_flattened()).enumerate()
                        {
                            total += i32::from(*w) * i32::from(x.q[unit * UNIT + l]) * i32::from(*factor);
                        }
                        sum = (total as f32).mul_add(w.scale * x.scales[unit], sum);
                        if dtype == WeightDtype::Q4K {
                            sum = w.min.mul_add(-x.sums[unit], sum);
                        }
                    }
                    let bias = self.whole.bias.map_or(0.0, |bias| bias[out]);
                    let at = row * matrix.rows() + out;
                    // SAFETY: this task alone has this output of this row.
                    let y = unsafe { self.whole.y.part(at..at + 1) };
                    y[0] = sum + bias;
                }
            }
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        match self.whole.matrix.dtype() {
            WeightDtype::Q8_0 => self.multiply::<S, Q8_0>(s),
            WeightDtype::Q4_0 => self.multiply::<S, Q4_0>(s),
            WeightDtype::Q4K => self.multiply::<S, Q4K>(s),
            WeightDtype::Q6K => self.multiply::<S, Q6K>(s),
            dtype => unreachable!("{dtype} is not packed"),
        }
    }
}

impl Part<'_> {
    fn group(&self, group: usize) -> &[u8] {
        let matrix = self.whole.matrix;
        let bytes = group_bytes(matrix.dtype(), matrix.cols());
        &matrix.bytes()[group * bytes..(group + 1) * bytes]
    }

    #[inline(always)]
    fn multiply<S: Simd, F: Format>(&self, s: S) {
        for group in self.groups.clone() {
            let mut rows = self.rows.clone();
            while !rows.is_empty() {
                rows.start += match rows.len() {
                    1 => self.tile::<S, F, 1>(s, group, rows.start),
                    2 => self.tile::<S, F, 2>(s, group, rows.start),
                    3 => self.tile::<S, F, 3>(s, group, rows.start),
                    _ => self.tile::<S, F, 4>(s, group, rows.start),
                };
            }
        }
    }

    /// R rows, which share the weights in registers, times the outputs of a group. Returns R.
    #[inline(always)]
    fn tile<S: Simd, F: Format, const R: usize>(&self, s: S, group: usize, first: usize) -> usize {
        let matrix = self.whole.matrix;
        let bytes = self.group(group);
        let blocks = matrix.cols() / F::COLS;
        assert!(bytes.len() == blocks * F::BYTES);
        let mut x = [self.x.row(first); R];
        for r in 1..R {
            x[r] = self.x.row(first + r);
        }
        for r in 0..R {
            let Row { q, scales, sums, pairs } = x[r];
            let units = blocks * F::COLS / UNIT;
            assert!(
                q.len() == units * UNIT && scales.len() == units && sums.len() == units && pairs.len() == 2 * units
            );
        }
        let mut y = [s.splat(0.0); R];
        for block in 0..blocks {
            // SAFETY: the group has this block, and every row has its columns.
            unsafe { F::add(s, bytes.as_ptr().add(block * F::BYTES), x, block * F::COLS / UNIT, &mut y) };
        }
        let outs = group * GROUP..((group + 1) * GROUP).min(matrix.rows());
        for r in 0..R {
            let y = self.whole.bias.map_or(y[r], |bias| s.add(y[r], s.load_part(&bias[outs.clone()])));
            let at = (first + r) * matrix.rows();
            // SAFETY: this task alone has these outputs of these rows.
            s.store_part(unsafe { self.whole.y.part(at + outs.start..at + outs.end) }, y);
        }
        R
    }
}

/// A packed type.
trait Format {
    /// Columns of a block.
    const COLS: usize;
    /// Bytes of a block.
    const BYTES: usize;

    /// Adds the products of a block, whose first columns are those of `unit`, with R rows.
    ///
    /// # Safety
    /// A whole block is readable at `block`, and every row has its units.
    unsafe fn add<S: Simd, const R: usize>(s: S, block: *const u8, x: [Row<'_>; R], unit: usize, y: &mut [S::V; R]);
}

struct Q8_0;
struct Q4_0;
struct Q4K;
struct Q6K;

/// The activations of four columns, over all lanes.
///
/// # Safety
/// The row has these columns.
#[inline(always)]
unsafe fn four<S: Simd>(s: S, x: Row<'_>, col: usize) -> S::I {
    // SAFETY: the caller's promise.
    unsafe { s.repeat(x.q.as_ptr().add(col).cast()) }
}

/// Scales the exact sums of a unit into the running sums.
///
/// # Safety
/// The row has this unit.
#[inline(always)]
unsafe fn scale<S: Simd>(s: S, sums: S::I, scale: S::V, x: Row<'_>, unit: usize, y: S::V) -> S::V {
    // SAFETY: the caller's promise.
    let by = s.splat(unsafe { *x.scales.get_unchecked(unit) });
    s.fma(s.float(sums), s.mul(scale, by), y)
}

impl Format for Q8_0 {
    const COLS: usize = 32;
    const BYTES: usize = GROUP * 34;

    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize>(s: S, block: *const u8, x: [Row<'_>; R], unit: usize, y: &mut [S::V; R]) {
        let ones = s.splat_i16(1);
        let mut sums = [s.splat_i16(0); R];
        for v in 0..UNIT / 4 {
            // SAFETY: eight vectors follow the scales.
            let w = unsafe { s.load_i(block.add(32 + v * VECTOR)) };
            let size = s.abs_i8(w);
            for r in 0..R {
                // SAFETY: the row has these columns. Products of a pair stay below 2 x 128 x 127.
                let products = s.mul_i8(size, s.negate_i8(unsafe { four(s, x[r], unit * UNIT + v * 4) }, w));
                sums[r] = s.add_i32(sums[r], s.mul_i16(products, ones));
            }
        }
        // SAFETY: sixteen f16 begin the block.
        let d = unsafe { s.load_f16(block.cast()) };
        for r in 0..R {
            // SAFETY: the row has this unit.
            y[r] = unsafe { scale(s, sums[r], d, x[r], unit, y[r]) };
        }
    }
}

/// Adds the products of 32 columns of nibbles (four vectors at `w`) to `sums` in sixteen bits: at most 8 x 2 x 15 x 127.
///
/// # Safety
/// The vectors are readable, and every row has this unit.
#[inline(always)]
unsafe fn nibbles<S: Simd, const R: usize>(s: S, w: *const u8, x: [Row<'_>; R], unit: usize, sums: &mut [S::I; R]) {
    for v in 0..4 {
        // SAFETY: the caller's promise.
        let both = unsafe { s.load_i(w.add(v * VECTOR)) };
        let (low, high) = (s.bits_i(both, 0, 15), s.bits_i(both, 4, 15));
        for r in 0..R {
            // SAFETY: as above.
            let x = unsafe { four(s, x[r], unit * UNIT + v * 4) };
            sums[r] = s.add_i16(sums[r], s.mul_i8(low, x));
        }
        for r in 0..R {
            // SAFETY: as above.
            let x = unsafe { four(s, x[r], unit * UNIT + 16 + v * 4) };
            sums[r] = s.add_i16(sums[r], s.mul_i8(high, x));
        }
    }
}

impl Format for Q4_0 {
    const COLS: usize = 32;
    const BYTES: usize = GROUP * 18;

    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize>(s: S, block: *const u8, x: [Row<'_>; R], unit: usize, y: &mut [S::V; R]) {
        // Nibbles are 8 too large. Sums may leave sixteen bits on the way and come back: at the end they are below
        // 16 x 8 x 127.
        let mut sums = [s.splat_i16(0); R];
        for r in 0..R {
            // SAFETY: the row has two pairs of sums for this unit.
            let (a, b) = unsafe {
                let pairs = x[r].pairs.as_ptr().add(unit * 2);
                (s.repeat(pairs.cast()), s.repeat(pairs.add(1).cast()))
            };
            sums[r] = s.sub_i16(sums[r], s.shl_i16(s.add_i16(a, b), 3));
        }
        // SAFETY: four vectors follow the scales.
        unsafe { nibbles(s, block.add(32), x, unit, &mut sums) };
        // SAFETY: sixteen f16 begin the block.
        let d = unsafe { s.load_f16(block.cast()) };
        let ones = s.splat_i16(1);
        for r in 0..R {
            // SAFETY: the row has this unit.
            y[r] = unsafe { scale(s, s.mul_i16(sums[r], ones), d, x[r], unit, y[r]) };
        }
    }
}

impl Format for Q4K {
    const COLS: usize = 256;
    const BYTES: usize = q4k::NIBBLES + 8 * q4k::UNIT_BYTES;

    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize>(s: S, block: *const u8, x: [Row<'_>; R], unit: usize, y: &mut [S::V; R]) {
        // SAFETY: thirty-two f16 begin the block.
        let (d, m) = unsafe { (s.load_f16(block.cast()), s.load_f16(block.add(q4k::MINIMA).cast())) };
        let m = s.sub(s.splat(0.0), m);
        let ones = s.splat_i16(1);
        for u in 0..Self::COLS / UNIT {
            let mut sums = [s.splat_i16(0); R];
            // SAFETY: the block has eight units of four vectors, and of sixteen scales and minima.
            let (factor, min) = unsafe {
                nibbles(s, block.add(q4k::NIBBLES + u * q4k::UNIT_BYTES), x, unit + u, &mut sums);
                (s.load_bytes(block.add(q4k::SCALES + u * GROUP)), s.load_bytes(block.add(q4k::MINS + u * GROUP)))
            };
            let (d, m) = (s.mul(d, s.unsigned(factor)), s.mul(m, s.unsigned(min)));
            for r in 0..R {
                // SAFETY: the row has this unit.
                unsafe {
                    y[r] = scale(s, s.mul_i16(sums[r], ones), d, x[r], unit + u, y[r]);
                    y[r] = s.fma(m, s.splat(*x[r].sums.get_unchecked(unit + u)), y[r]);
                }
            }
        }
    }
}

impl Format for Q6K {
    const COLS: usize = 256;
    const BYTES: usize = GROUP * 210;

    #[inline(always)]
    unsafe fn add<S: Simd, const R: usize>(s: S, block: *const u8, x: [Row<'_>; R], unit: usize, y: &mut [S::V; R]) {
        // SAFETY: sixteen f16 begin the block.
        let d = unsafe { s.load_f16(block.cast()) };
        for u in 0..Self::COLS / UNIT {
            // SAFETY: the block has eight units.
            let w = unsafe { block.add(q6k::QUANTS + u * q6k::UNIT_BYTES) };
            let mut totals = [s.splat_i16(0); R];
            for half in 0..2 {
                // Numbers are 32 too large. Sums may leave sixteen bits on the way and come back: at the end they are below
                // 8 x 32 x 127.
                let mut sums = [s.splat_i16(0); R];
                for r in 0..R {
                    // SAFETY: the row has two pairs of sums for this unit.
                    let pair = unsafe { s.repeat(x[r].pairs.as_ptr().add((unit + u) * 2 + half).cast()) };
                    sums[r] = s.sub_i16(sums[r], s.shl_i16(pair, 5));
                }
                for v in 0..4 {
                    // SAFETY: four vectors of nibbles, then two of upper bits.
                    let (four_bits, two_bits) =
                        unsafe { (s.load_i(w.add(v * VECTOR)), s.load_i(w.add(q6k::HIGH + v / 2 * VECTOR))) };
                    let upper = match half * 2 + v % 2 {
                        0 => s.bits_i_up(two_bits, 4, 0x30),
                        1 => s.bits_i_up(two_bits, 2, 0x30),
                        2 => s.bits_i(two_bits, 0, 0x30),
                        _ => s.bits_i(two_bits, 2, 0x30),
                    };
                    let q = s.or_i(s.bits_i(four_bits, half as u32 * 4, 15), upper);
                    for r in 0..R {
                        // SAFETY: the row has these columns. Products of a pair stay below 2 x 63 x 127.
                        let x = unsafe { four(s, x[r], (unit + u) * UNIT + half * 16 + v * 4) };
                        sums[r] = s.add_i16(sums[r], s.mul_i8(q, x));
                    }
                }
                // SAFETY: the block has sixteen times sixteen factors.
                let factors = unsafe { s.load_twice(block.add(q6k::SCALES + (2 * u + half) * GROUP)) };
                for r in 0..R {
                    totals[r] = s.add_i32(totals[r], s.mul_i16(sums[r], factors));
                }
            }
            for r in 0..R {
                // SAFETY: the row has this unit.
                y[r] = unsafe { scale(s, totals[r], d, x[r], unit + u, y[r]) };
            }
        }
    }
}
