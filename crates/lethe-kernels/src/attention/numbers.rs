//! A block of eight-bit numbers in vectors: R rows that share every K and V read.
//!
//! Products are whole numbers: q, and the weights of the slots, are rounded to sixteen bits, a hundredth of the error that
//! eight bits leave in K and V. Sums in thirty-two bits are exact, so no order of summation has to be kept.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use super::BLOCK_SLOTS;
use super::block::{Row, Tile};
use super::softmax::softmax;
use crate::simd::{LANES, Simd, prefetch};
use lethe_kv::int8::{self, K_GROUP};
use lethe_kv::{PAGE_SLOTS, PageId};

/// The largest of sixteen bits. The sums hold 16 products with K and 256 with V: at most 256 x 32767 x 127 < 2^31.
const MOST: f32 = 32767.0;
const _: () = assert!(BLOCK_SLOTS * 32767 * 127 < 1 << 31);

/// The block as vectors see it.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a, S> {
    pub(super) s: S,
    pub(super) pages: &'a [u8],
    pub(super) table: &'a [PageId],
    pub(super) ahead: &'a [PageId],
    pub(super) head_dim: usize,
    pub(super) scale: f32,
}

impl<S: Simd> Tile for Numbers<'_, S> {
    #[inline(always)]
    fn tile<const R: usize>(&self, rows: &mut [Row<'_>; R]) {
        let mut factors = [0.0; R];
        for r in 0..R {
            factors[r] = self.whole_q(&mut rows[r]) * self.scale;
        }
        match (S::WIDE, R) {
            (true, 1..=3) => self.logits::<R, 4>(rows, factors),
            (true, _) | (false, 1..=3) => self.logits::<R, 2>(rows, factors),
            _ => self.logits::<R, 1>(rows, factors),
        }
        for r in 0..R {
            softmax(self.s, &mut rows[r]);
            factors[r] = self.whole_weights(&mut rows[r]);
        }
        match (S::WIDE, R) {
            (true, 1..=3) => self.values::<R, 4>(rows, factors),
            (true, _) | (false, 1..=3) => self.values::<R, 2>(rows, factors),
            _ => self.values::<R, 1>(rows, factors),
        }
    }
}

impl<S: Simd> Numbers<'_, S> {
    /// Page `i` of the block, checked to lie within the arena.
    #[inline(always)]
    fn page(&self, i: usize) -> &[u8] {
        let bytes = int8::page_bytes(self.head_dim);
        &self.pages[self.table[i] as usize * bytes..][..bytes]
    }

    /// Where page `i` of the next block begins.
    #[inline(always)]
    fn next(&self, i: usize) -> *const u8 {
        let id = self.ahead.get(i).map_or(0, |id| *id as usize);
        self.pages.as_ptr().wrapping_add(id * int8::page_bytes(self.head_dim))
    }

    /// Rounds q to whole numbers; what one of them is worth. NaN if q is not finite.
    #[inline(always)]
    fn whole_q(&self, row: &mut Row<'_>) -> f32 {
        let s = self.s;
        let (mut max, mut sum) = (s.splat(0.0), s.splat(0.0));
        for q in row.q.chunks(LANES) {
            let size = s.abs(s.load_part(q));
            (max, sum) = (s.max(size, max), s.add(sum, size));
        }
        let (worth, per_one) = worth(s.max_lane(max), s.sum(sum));
        let per_one = s.splat(per_one);
        for (q, whole) in row.q.chunks(LANES).zip(row.whole.as_chunks_mut::<LANES>().0) {
            *whole = s.to_i16(s.mul(s.load_part(q), per_one));
        }
        worth
    }

    /// The exponentials times the scales of V as whole numbers, zeros for slots that the row does not see; what one of them
    /// is worth. NaN if a scale is.
    #[inline(always)]
    fn whole_weights(&self, row: &mut Row<'_>) -> f32 {
        let s = self.s;
        let weights = &mut row.whole[self.head_dim.next_multiple_of(LANES)..];
        let (mut max, mut sum) = (s.splat(0.0), s.splat(0.0));
        let pages = row.visible.div_ceil(PAGE_SLOTS);
        for i in 0..pages {
            let weight = self.weight(row.exps, row.visible, i);
            (max, sum) = (s.max(weight, max), s.add(sum, weight));
        }
        let (worth, per_one) = worth(s.max_lane(max), s.sum(sum));
        let per_one = s.splat(per_one);
        let (seen, unseen) = weights.as_chunks_mut::<LANES>().0.split_at_mut(pages);
        for (i, whole) in seen.iter_mut().enumerate() {
            *whole = s.to_i16(s.mul(self.weight(row.exps, row.visible, i), per_one));
        }
        unseen.as_flattened_mut().fill(0);
        worth
    }

    /// `exps[slot] * V's scale` of page `i`, zeros from slot `visible` of the block on.
    #[inline(always)]
    fn weight(&self, exps: &[f32], visible: usize, i: usize) -> S::V {
        let s = self.s;
        // SAFETY: sixteen f16 end a page.
        let scales = unsafe { s.load_f16(self.page(i)[int8::v_scale_at(self.head_dim, 0)..].as_ptr().cast()) };
        let weight = s.mul(s.load_part(&exps[i * PAGE_SLOTS..]), scales);
        s.keep_first(visible - i * PAGE_SLOTS, weight, s.splat(0.0))
    }

    /// `exps[slot] = (q . K[slot]) * factor` for whole pages, P at a time.
    #[inline(always)]
    fn logits<const R: usize, const P: usize>(&self, rows: &mut [Row<'_>; R], factors: [f32; R]) {
        let n = self.table.len();
        let whole = n - n % P;
        for first in (0..whole).step_by(P) {
            self.logits_of::<R, P>(rows, factors, first);
        }
        for first in whole..n {
            self.logits_of::<R, 1>(rows, factors, first);
        }
    }

    #[inline(always)]
    fn logits_of<const R: usize, const P: usize>(&self, rows: &mut [Row<'_>; R], factors: [f32; R], first: usize) {
        let (s, hd) = (self.s, self.head_dim);
        let pages: [&[u8]; P] = std::array::from_fn(|p| self.page(first + p));
        let next: [*const u8; P] = std::array::from_fn(|p| self.next(first + p));
        let q: [*const i16; R] = std::array::from_fn(|r| rows[r].whole[..hd].as_ptr());
        for group in 0..int8::k_groups(hd) {
            let mut sums = [[s.splat_i16(0); P]; R];
            for d in (group * K_GROUP..((group + 1) * K_GROUP).min(hd)).step_by(2) {
                let at = int8::k_at(0, d);
                let mut k = [s.splat_i16(0); P];
                for p in 0..P {
                    if d % 4 == 0 {
                        prefetch(next[p].wrapping_add(at)); // a cache line holds four coordinates
                    }
                    // SAFETY: the K part of a page is `head_dim / 2` rows of 32 bytes.
                    k[p] = unsafe { s.load_i8(pages[p].as_ptr().add(at)) };
                }
                for r in 0..R {
                    // SAFETY: `d` and `d + 1` are below `head_dim`, which is even, the length of q.
                    let q = unsafe { s.repeat(q[r].add(d).cast()) };
                    for p in 0..P {
                        sums[r][p] = s.add_i32(sums[r][p], s.mul_i16(k[p], q));
                    }
                }
            }
            for p in 0..P {
                let at = int8::k_scale_at(hd, 0, group);
                prefetch(next[p].wrapping_add(at));
                // SAFETY: sixteen f16 lie there.
                let scales = unsafe { s.load_f16(pages[p][at..at + 2 * LANES].as_ptr().cast()) };
                for r in 0..R {
                    let logits = &mut rows[r].exps[(first + p) * PAGE_SLOTS..][..LANES];
                    let sum = if group == 0 { s.splat(0.0) } else { s.load_part(logits) };
                    let sum = s.fma(s.float(sums[r][p]), scales, sum);
                    let last = group + 1 == int8::k_groups(hd);
                    s.store_part(logits, if last { s.mul(sum, s.splat(factors[r])) } else { sum });
                }
            }
        }
    }

    /// `values = sum of weight[slot] * V[slot]`, times the factor; C vectors of columns at a time over all pages.
    #[inline(always)]
    fn values<const R: usize, const C: usize>(&self, rows: &mut [Row<'_>; R], factors: [f32; R]) {
        let vectors = self.head_dim.div_ceil(LANES);
        let whole = vectors - vectors % C;
        for c in (0..whole).step_by(C) {
            self.values_of::<R, C>(rows, factors, c);
        }
        for c in whole..vectors {
            self.values_of::<R, 1>(rows, factors, c);
        }
    }

    #[inline(always)]
    fn values_of<const R: usize, const C: usize>(&self, rows: &mut [Row<'_>; R], factors: [f32; R], c: usize) {
        let (s, hd) = (self.s, self.head_dim);
        let (v_at, padded) = (int8::v_at(hd, 0, 0), hd.next_multiple_of(LANES));
        assert!(c + C <= padded / LANES && self.table.len() * PAGE_SLOTS <= BLOCK_SLOTS);
        let weights: [&[i16]; R] = std::array::from_fn(|r| &rows[r].whole[padded..padded + BLOCK_SLOTS]);
        let mut sums = [[s.splat_i16(0); C]; R];
        for i in 0..self.table.len() {
            let v = &self.page(i)[v_at..]; // [PAGE_SLOTS / 2][head_dim][2], then the scales
            let next = self.next(i).wrapping_add(v_at);
            for pair in 0..PAGE_SLOTS / 2 {
                let mut row = [s.splat_i16(0); C];
                for k in 0..C {
                    let at = 2 * (pair * hd + (c + k) * LANES);
                    prefetch(next.wrapping_add(at));
                    // SAFETY: a vector starts within a row of V, and at least 32 bytes follow the last row: the scales.
                    // Columns beyond `head_dim` go to the padding of the values.
                    row[k] = unsafe { s.load_i8(v.as_ptr().add(at)) };
                }
                for r in 0..R {
                    // SAFETY: the block has at most as many slots as there are weights.
                    let weight = unsafe { s.repeat(weights[r].as_ptr().add(i * PAGE_SLOTS + 2 * pair).cast()) };
                    for k in 0..C {
                        sums[r][k] = s.add_i32(sums[r][k], s.mul_i16(row[k], weight));
                    }
                }
            }
        }
        for r in 0..R {
            let factor = s.splat(factors[r]);
            for k in 0..C {
                s.store_part(&mut rows[r].values[(c + k) * LANES..][..LANES], s.mul(s.float(sums[r][k]), factor));
            }
        }
    }
}

/// What a whole number is worth if the largest size becomes 32767, and its inverse; NaN and 0 where the sum of all sizes
/// is not finite, 0 and 0 where all are next to nothing.
#[inline(always)]
fn worth(max: f32, sum: f32) -> (f32, f32) {
    const LEAST: f32 = 1e-30; // its inverse is finite
    match (sum.is_finite(), max > LEAST) {
        (false, _) => (f32::NAN, 0.0),
        (true, false) => (0.0, 0.0),
        (true, true) => (max / MOST, MOST / max),
    }
}
