//! Weights stored in blocks that share scales, multiplied where they lie: 32 columns are unpacked at a time, to the very
//! f32 that [`crate::block`] says, and used at once.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use std::marker::PhantomData;
use std::ops::Range;

use super::many::Vector;
use super::weight::{Weight, fold};
use crate::WeightDtype;
use crate::block::Scales;
use crate::simd::{LANES, Simd};

/// Columns unpacked together, two vectors: no block is smaller.
const UNIT: usize = 2 * LANES;

/// A block format.
pub(super) trait Format {
    const DTYPE: WeightDtype;
    /// What all of a block shares, ready to use.
    type Head: Copy;

    /// Reads the head of a block.
    ///
    /// # Safety
    /// A whole block is readable at `block`.
    unsafe fn head<S: Simd>(s: S, block: *const u8) -> Self::Head;

    /// Columns `unit * 32..unit * 32 + 32` of a block.
    ///
    /// # Safety
    /// A whole block is readable at `block`, and `unit` is within it.
    unsafe fn unit<S: Simd>(s: S, block: *const u8, head: Self::Head, unit: usize) -> [S::V; 2];
}

/// The f16 at `p`.
///
/// # Safety
/// Two bytes are readable at `p`.
#[inline(always)]
unsafe fn scale<S: Simd>(s: S, p: *const u8) -> f32 {
    // SAFETY: the caller's promise.
    s.f16_to_f32(u16::from_le_bytes(unsafe { p.cast::<[u8; 2]>().read() }))
}

/// A scale, then 32 signed bytes.
pub(super) struct Q8_0;
/// A scale, then 32 numbers of four bits from -8 to 7.
pub(super) struct Q4_0;
/// A scale and a minimum, then 32 numbers of four bits from 0 to 15.
pub(super) struct Q4_1;
/// 256 numbers of four bits; each 32 have a scale and a minimum.
pub(super) struct Q4K;
/// 256 numbers of six bits from -32 to 31; each 16 have a scale.
pub(super) struct Q6K;

impl Format for Q8_0 {
    const DTYPE: WeightDtype = WeightDtype::Q8_0;
    type Head = f32;

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, block: *const u8) -> f32 {
        // SAFETY: the block is readable.
        unsafe { scale(s, block) }
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(s: S, block: *const u8, d: f32, _unit: usize) -> [S::V; 2] {
        // SAFETY: the block is readable.
        let (first, second) = unsafe { (s.load_bytes(block.add(2)), s.load_bytes(block.add(18))) };
        let d = s.splat(d);
        [s.mul(s.signed(first), d), s.mul(s.signed(second), d)]
    }
}

impl Format for Q4_0 {
    const DTYPE: WeightDtype = WeightDtype::Q4_0;
    type Head = f32;

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, block: *const u8) -> f32 {
        // SAFETY: the block is readable.
        unsafe { scale(s, block) }
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(s: S, block: *const u8, d: f32, _unit: usize) -> [S::V; 2] {
        // SAFETY: the block is readable.
        let q = unsafe { s.load_bytes(block.add(2)) };
        let (d, eight) = (s.splat(d), s.splat(8.0));
        let (low, high) = (s.unsigned(s.bits(q, 0, 15)), s.unsigned(s.bits(q, 4, 15)));
        [s.mul(s.sub(low, eight), d), s.mul(s.sub(high, eight), d)]
    }
}

impl Format for Q4_1 {
    const DTYPE: WeightDtype = WeightDtype::Q4_1;
    type Head = (f32, f32);

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, block: *const u8) -> (f32, f32) {
        // SAFETY: the block is readable.
        unsafe { (scale(s, block), scale(s, block.add(2))) }
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(s: S, block: *const u8, (d, m): (f32, f32), _unit: usize) -> [S::V; 2] {
        // SAFETY: the block is readable.
        let q = unsafe { s.load_bytes(block.add(4)) };
        let (d, m) = (s.splat(d), s.splat(m));
        let (low, high) = (s.unsigned(s.bits(q, 0, 15)), s.unsigned(s.bits(q, 4, 15)));
        [s.add(s.mul(low, d), m), s.add(s.mul(high, d), m)]
    }
}

impl Format for Q4K {
    const DTYPE: WeightDtype = WeightDtype::Q4K;
    type Head = (f32, f32, Scales);

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, block: *const u8) -> (f32, f32, Scales) {
        // SAFETY: the block is readable.
        unsafe {
            let packed = std::slice::from_raw_parts(block.add(4), 12);
            (scale(s, block), scale(s, block.add(2)), Scales::new(packed))
        }
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(s: S, block: *const u8, (d, dmin, scales): Self::Head, unit: usize) -> [S::V; 2] {
        // SAFETY: the block is readable; units in pairs share 32 bytes.
        let (first, second) = unsafe {
            let q = block.add(16 + unit / 2 * 32);
            (s.load_bytes(q), s.load_bytes(q.add(16)))
        };
        let shift = (unit % 2 * 4) as u32;
        let d = s.splat(d * f32::from(scales.scale[unit]));
        let m = s.splat(dmin * f32::from(scales.min[unit]));
        let (first, second) = (s.unsigned(s.bits(first, shift, 15)), s.unsigned(s.bits(second, shift, 15)));
        [s.sub(s.mul(first, d), m), s.sub(s.mul(second, d), m)]
    }
}

impl Format for Q6K {
    const DTYPE: WeightDtype = WeightDtype::Q6K;
    type Head = f32;

    #[inline(always)]
    unsafe fn head<S: Simd>(s: S, block: *const u8) -> f32 {
        // SAFETY: the block is readable.
        unsafe { scale(s, block.add(208)) }
    }

    #[inline(always)]
    unsafe fn unit<S: Simd>(s: S, block: *const u8, d: f32, unit: usize) -> [S::V; 2] {
        // SAFETY: the caller's promise is the same.
        unsafe { [Q6K::sixteen(s, block, d, unit, 0), Q6K::sixteen(s, block, d, unit, 1)] }
    }
}

impl Q6K {
    /// Half of a unit: sixteen columns, which share a scale.
    ///
    /// # Safety
    /// As for [`Format::unit`].
    #[inline(always)]
    unsafe fn sixteen<S: Simd>(s: S, block: *const u8, d: f32, unit: usize, i: usize) -> S::V {
        // Two halves of 128, each four quarters of 32 that share bytes.
        let (half, quarter) = (unit / 4, unit % 4);
        let (four, two) = ((quarter / 2 * 4) as u32, (quarter * 2) as u32);
        // SAFETY: the block is readable: 128 bytes of low bits, 64 of high bits, 16 scales.
        let (low, high, scale) = unsafe {
            let low = s.load_bytes(block.add(half * 64 + quarter % 2 * 32 + i * LANES));
            let high = s.load_bytes(block.add(128 + half * 32 + i * LANES));
            (low, high, *block.add(192 + unit * 2 + i) as i8)
        };
        let q = s.unsigned(s.or_high(s.bits(low, four, 15), s.bits(high, two, 3)));
        s.mul(s.sub(q, s.splat(32.0)), s.splat(d * f32::from(scale)))
    }
}

/// Rows of blocks.
pub(super) struct Blocks<F>(PhantomData<F>);

impl<F: Format> Weight for Blocks<F> {
    const BLOCKS: bool = true;

    #[inline(always)]
    fn dots<S: Simd, const R: usize, const O: usize>(s: S, x: [&[f32]; R], w: [&[u8]; O]) -> [[f32; O]; R] {
        let (block, bytes) = (F::DTYPE.block(), F::DTYPE.block_bytes());
        let blocks = x[0].len() / block;
        assert!(x.iter().all(|x| x.len() == blocks * block) && w.iter().all(|w| w.len() == blocks * bytes));
        let mut sums = [[s.splat(0.0); O]; R];
        for b in 0..blocks {
            let mut at = [std::ptr::null(); O];
            for o in 0..O {
                // SAFETY: every weight row has this many blocks.
                at[o] = unsafe { w[o].as_ptr().add(b * bytes) };
            }
            // SAFETY: a whole block is readable at each.
            let mut heads = [unsafe { F::head(s, at[0]) }; O];
            for o in 1..O {
                // SAFETY: as above.
                heads[o] = unsafe { F::head(s, at[o]) };
            }
            for unit in 0..block / UNIT {
                let k = b * block + unit * UNIT;
                for o in 0..O {
                    // SAFETY: a whole block is readable, and the unit is within it.
                    let w = unsafe { F::unit(s, at[o], heads[o], unit) };
                    for r in 0..R {
                        // SAFETY: 32 columns from k on are within every row.
                        let (first, second) =
                            unsafe { (s.load(x[r].as_ptr().add(k)), s.load(x[r].as_ptr().add(k + LANES))) };
                        sums[r][o] = s.fma(first, w[0], sums[r][o]);
                        sums[r][o] = s.fma(second, w[1], sums[r][o]);
                    }
                }
            }
        }
        fold(s, sums)
    }

    #[inline(always)]
    fn unpack<S: Simd>(s: S, row: &[u8], piece: Range<usize>, to: &mut [Vector]) {
        let (block, bytes) = (F::DTYPE.block(), F::DTYPE.block_bytes());
        let from = &row[piece.start / block * bytes..piece.end / block * bytes];
        for (to, from) in to.chunks_exact_mut(block / LANES).zip(from.chunks_exact(bytes)) {
            // SAFETY: the chunk is a whole block.
            let head = unsafe { F::head(s, from.as_ptr()) };
            for (unit, to) in to.chunks_exact_mut(2).enumerate() {
                // SAFETY: as above; there are as many pairs of vectors as units.
                let [first, second] = unsafe { F::unit(s, from.as_ptr(), head, unit) };
                s.store_part(&mut to[0].0, first);
                s.store_part(&mut to[1].0, second);
            }
        }
    }
}
