//! A block of f16 or f32 in vectors: R rows that share every K and V read.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use super::block::{Row, Tile};
use super::elem::Elem;
use super::softmax::softmax;
use crate::simd::{LANES, Simd, prefetch};
use lethe_kv::{PAGE_SLOTS, PageId, page_elems};
use std::ops::Range;

/// Half pages that are fetched ahead of the one at work.
const AHEAD: usize = 4;

/// The block as vectors see it.
#[derive(Clone, Copy)]
pub(super) struct Floats<'a, S, T> {
    pub(super) s: S,
    pub(super) pages: &'a [T],
    pub(super) table: &'a [PageId],
    pub(super) ahead: &'a [PageId],
    pub(super) head_dim: usize,
    pub(super) scale: f32,
}

impl<S: Simd, T: Elem> Tile for Floats<'_, S, T> {
    #[inline(always)]
    fn tile<const R: usize>(&self, rows: &mut [Row<'_>; R]) {
        // Pages at a time: enough sums to hide the latency of an addition.
        match (S::WIDE, R) {
            (true, 1) => self.logits::<R, 8>(rows),
            (true, 2) => self.logits::<R, 4>(rows),
            (true, 3 | 4) => self.logits::<R, 4>(rows),
            (true, _) => self.logits::<R, 2>(rows),
            (false, 1) => self.logits::<R, 4>(rows),
            (false, 2) => self.logits::<R, 2>(rows),
            _ => self.logits::<R, 1>(rows),
        }
        for row in rows.iter_mut() {
            softmax(self.s, row);
            row.values.fill(0.0);
        }
        // What all rows see they sum together; the last slots, masked for some, each row takes alone.
        let common = rows[0].visible;
        match (S::WIDE, R) {
            (true, 1..=3) => self.values::<R, 8>(rows, 0..common),
            (true, 4..=6) => self.values::<R, 4>(rows, 0..common),
            (false, 1) => self.values::<R, 4>(rows, 0..common),
            (true, _) | (false, 2 | 3) => self.values::<R, 2>(rows, 0..common),
            _ => self.values::<R, 1>(rows, 0..common),
        }
        for row in rows {
            let rest = common..row.visible;
            if S::WIDE {
                self.values::<1, 8>(std::array::from_mut(row), rest);
            } else {
                self.values::<1, 4>(std::array::from_mut(row), rest);
            }
        }
    }
}

impl<S: Simd, T: Elem> Floats<'_, S, T> {
    /// Page `i` of the block, checked to lie within the arena.
    #[inline(always)]
    fn page(&self, i: usize) -> &[T] {
        let elems = page_elems(self.head_dim);
        let start = self.table[i] as usize * elems;
        &self.pages[start..start + elems]
    }

    /// What to fetch while half page `half` is at work, counted as they are read: the K of all pages, then their V, then
    /// those of the next block. Far enough ahead to hide the memory, near enough to be still in the cache when its turn comes.
    #[inline(always)]
    fn fetch(&self, half: usize) -> *const T {
        let n = self.table.len();
        let (table, half) = if half < 2 * n { (self.table, half) } else { (self.ahead, half - 2 * n) };
        let (page, v) = (half % n, half / n % 2);
        let id = table.get(page).map_or(0, |id| *id as usize);
        self.pages.as_ptr().wrapping_add(id * page_elems(self.head_dim) + v * PAGE_SLOTS * self.head_dim)
    }

    /// `exps[slot] = (q . K[slot]) * scale` for whole pages, P at a time. Slots of the last page that a row does not
    /// see get meaningless logits: lanes do not mix, and nobody reads them.
    #[inline(always)]
    fn logits<const R: usize, const P: usize>(&self, rows: &mut [Row<'_>; R]) {
        let n = self.table.len();
        let whole = n - n % P;
        for first in (0..whole).step_by(P) {
            self.logits_of::<R, P>(rows, first);
        }
        for first in whole..n {
            self.logits_of::<R, 1>(rows, first);
        }
    }

    #[inline(always)]
    fn logits_of<const R: usize, const P: usize>(&self, rows: &mut [Row<'_>; R], first: usize) {
        let s = self.s;
        let mut pages = [self.pages; P];
        let mut next = [self.pages.as_ptr(); P];
        for (p, (page, next)) in pages.iter_mut().zip(&mut next).enumerate() {
            *page = self.page(first + p);
            *next = self.fetch(first + p + P.max(AHEAD));
        }
        let mut q: [&[f32]; R] = [&[]; R];
        for (q, row) in q.iter_mut().zip(rows.iter()) {
            *q = row.q;
            assert!(q.len() == self.head_dim);
        }
        let mut sums = [[s.splat(0.0); P]; R];
        for d in 0..self.head_dim {
            let at = d * PAGE_SLOTS;
            let mut k = [s.splat(0.0); P];
            for p in 0..P {
                if size_of::<T>() == 4 || d % 2 == 0 {
                    prefetch(next[p].wrapping_add(at)); // a cache line holds 64 bytes
                }
                // SAFETY: the K part of a page is `head_dim` rows of 16.
                k[p] = unsafe { T::load(s, pages[p].as_ptr().add(at)) };
            }
            for r in 0..R {
                // SAFETY: `d` is below `head_dim`, the length of q.
                let q = s.splat(unsafe { *q[r].get_unchecked(d) });
                for p in 0..P {
                    sums[r][p] = s.fma(q, k[p], sums[r][p]);
                }
            }
        }
        let scale = s.splat(self.scale);
        for r in 0..R {
            let logits = &mut rows[r].exps[first * PAGE_SLOTS..][..P * PAGE_SLOTS];
            for p in 0..P {
                s.store_part(&mut logits[p * LANES..][..LANES], s.mul(sums[r][p], scale));
            }
        }
    }

    /// `values += exps[slot] * V[slot]` for the slots of `range`, in order; C vectors of a V row at a time.
    #[inline(always)]
    fn values<const R: usize, const C: usize>(&self, rows: &mut [Row<'_>; R], range: Range<usize>) {
        let whole = self.head_dim / LANES;
        for i in range.start / PAGE_SLOTS..range.end.div_ceil(PAGE_SLOTS) {
            let start = i * PAGE_SLOTS;
            let slots = range.start.max(start) - start..range.end.min(start + PAGE_SLOTS) - start;
            let v = &self.page(i)[PAGE_SLOTS * self.head_dim..]; // [PAGE_SLOTS][head_dim]
            let next = self.fetch(self.table.len() + i + AHEAD);
            let mut c = 0;
            while c + C <= whole {
                self.values_of::<R, C>(rows, v, next, c, i, slots.clone());
                c += C;
            }
            while c < whole {
                self.values_of::<R, 1>(rows, v, next, c, i, slots.clone());
                c += 1;
            }
            if whole * LANES < self.head_dim {
                self.values_tail(rows, v, i, slots);
            }
        }
    }

    /// Vectors `c..c + C` of the V rows of page `i`.
    #[inline(always)]
    fn values_of<const R: usize, const C: usize>(
        &self,
        rows: &mut [Row<'_>; R],
        v: &[T],
        next: *const T,
        c: usize,
        i: usize,
        slots: Range<usize>,
    ) {
        let (s, column) = (self.s, c * LANES);
        assert!(
            slots.end <= PAGE_SLOTS && column + C * LANES <= self.head_dim && v.len() == PAGE_SLOTS * self.head_dim
        );
        let mut exps: [&[f32]; R] = [&[]; R];
        let mut sums = [[s.splat(0.0); C]; R];
        for r in 0..R {
            exps[r] = &rows[r].exps[i * PAGE_SLOTS..(i + 1) * PAGE_SLOTS];
            let values = &rows[r].values[column..][..C * LANES];
            for c in 0..C {
                sums[r][c] = s.load_part(&values[c * LANES..][..LANES]);
            }
        }
        for slot in slots {
            let at = slot * self.head_dim + column;
            let mut row = [s.splat(0.0); C];
            for c in 0..C {
                prefetch(next.wrapping_add(at + c * LANES));
                // SAFETY: `slot` and the columns lie within V by the assertion above.
                row[c] = unsafe { T::load(s, v.as_ptr().add(at + c * LANES)) };
            }
            for r in 0..R {
                // SAFETY: `slot` is below the 16 exponentials of the page.
                let p = s.splat(unsafe { *exps[r].get_unchecked(slot) });
                for c in 0..C {
                    sums[r][c] = s.fma(p, row[c], sums[r][c]);
                }
            }
        }
        for r in 0..R {
            let values = &mut rows[r].values[column..][..C * LANES];
            for c in 0..C {
                s.store_part(&mut values[c * LANES..][..LANES], sums[r][c]);
            }
        }
    }

    /// The last columns of a head_dim that is no multiple of 16.
    #[inline(always)]
    fn values_tail<const R: usize>(&self, rows: &mut [Row<'_>; R], v: &[T], i: usize, slots: Range<usize>) {
        let s = self.s;
        let column = self.head_dim / LANES * LANES;
        for slot in slots {
            let v = T::load_part(s, &v[slot * self.head_dim + column..(slot + 1) * self.head_dim]);
            for row in rows.iter_mut() {
                let p = s.splat(row.exps[i * PAGE_SLOTS + slot]);
                let values = &mut row.values[column..];
                s.store_part(values, s.fma(p, v, s.load_part(values)));
            }
        }
    }
}
