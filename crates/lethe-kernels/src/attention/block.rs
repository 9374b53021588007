//! One block of slots for up to eight rows of a lane.
#![allow(clippy::needless_range_loop)] // loops over register tiles: counted ones are unrolled for sure

use super::plan::LanePart;
use super::scratch::{Stat, TILE_ROWS, Wave};
use super::{Attention, BLOCK_SLOTS};
use crate::Level;
use crate::simd::{Kernel, LANES, Simd, dispatch, prefetch};
use half::f16;
use lethe_kv::{PAGE_SLOTS, PageId, Pages, k_at, page_elems, v_at};
use std::ops::Range;

/// Pages of a block.
const BLOCK_PAGES: usize = BLOCK_SLOTS / PAGE_SLOTS;

/// One query head of one query, before and after a block.
#[derive(Default)]
struct Row<'a> {
    q: &'a [f32],          // [head_dim]
    visible: usize,        // slots of the block that it sees, at least 1
    exps: &'a mut [f32],   // [BLOCK_SLOTS]: logits, then exp(logit - max) of the slots it sees
    values: &'a mut [f32], // [padded head_dim]: sum of exps[slot] * V[slot]
    stat: Stat,
}

/// Rows that see a block, in the order of their queries: the later ones see more.
struct Block<'a, 'b> {
    pages: Pages<'a>,
    table: &'a [PageId], // pages of the block that the last row sees
    ahead: &'a [PageId], // pages of the block to come, empty if none
    head_dim: usize,
    scale: f32,
    rows: &'b mut [Row<'a>], // 1 to TILE_ROWS
}

impl LanePart {
    /// Task `task` of this part: one tile of rows over a run of blocks.
    pub(super) fn blocks(&self, level: Level, input: &Attention<'_>, wave: &Wave<'_>, task: usize, worker: usize) {
        let (run, tile) = (task / self.tiles(), task % self.tiles());
        let tile = tile * TILE_ROWS..((tile + 1) * TILE_ROWS).min(self.rows());
        let blocks = run * self.run..((run + 1) * self.run).min(self.visible(tile.end - 1).div_ceil(BLOCK_SLOTS));
        let pages = input.lanes.lane(self.seq, self.kv_head).pages;
        let pages = &pages[..self.visible(tile.end - 1).div_ceil(PAGE_SLOTS)];
        for block in blocks.clone() {
            let (table, ahead) =
                pages[block * BLOCK_PAGES..].split_at(BLOCK_PAGES.min(pages.len() - block * BLOCK_PAGES));
            let ahead = if block + 1 < blocks.end { &ahead[..ahead.len().min(BLOCK_PAGES)] } else { &[] };
            self.block(level, input, wave, tile.clone(), block, worker, (table, ahead));
        }
    }

    /// A tile of rows over one block.
    #[allow(clippy::too_many_arguments)]
    fn block(
        &self,
        level: Level,
        input: &Attention<'_>,
        wave: &Wave<'_>,
        tile: Range<usize>,
        block: usize,
        worker: usize,
        (table, ahead): (&[PageId], &[PageId]),
    ) {
        let (start, end) = (block * BLOCK_SLOTS, (block + 1) * BLOCK_SLOTS);
        // The first queries of a tile may end before this block.
        let mut seeing = tile.clone().skip_while(|row| self.visible(*row) <= start);
        let first = seeing.clone().next().unwrap_or(tile.end);
        let row_block = |row: usize| self.first_row_block + row * self.blocks + block;
        let (head_dim, padded) = (input.shape.head_dim, input.shape.padded());
        let mut rows: [Row<'_>; TILE_ROWS] = std::array::from_fn(|_| {
            let Some(row) = seeing.next() else { return Row::default() };
            let q = self.head_at(input.shape.n_heads, row) * head_dim;
            let (exps, exps_at) = match self.mass {
                Some(mass) => (&wave.exps, mass.first_row_block + row * self.blocks + block),
                None => (&wave.tiles, worker * TILE_ROWS + row - tile.start),
            };
            Row {
                q: &input.q[q..q + head_dim],
                visible: self.visible(row).min(end) - start,
                // SAFETY: a row block belongs to one task, a tile to one worker.
                exps: unsafe { exps.part(exps_at * BLOCK_SLOTS..(exps_at + 1) * BLOCK_SLOTS) },
                // SAFETY: a row block belongs to one task.
                values: unsafe { wave.values.part(row_block(row) * padded..(row_block(row) + 1) * padded) },
                stat: Stat::default(),
            }
        });
        if first == tile.end {
            return;
        }
        let rows = &mut rows[..tile.end - first];
        let scale = input.shape.scale;
        dispatch(level, Block { pages: input.pages, table, ahead, head_dim, scale, rows: &mut *rows });
        for (row, done) in (first..tile.end).zip(rows) {
            // SAFETY: a row block belongs to one task.
            let stats = unsafe { wave.stats.part(row_block(row)..row_block(row) + 1) };
            stats[0] = done.stat;
        }
    }
}

/// An element of a page.
trait Elem: Copy {
    fn value(self) -> f32;

    /// # Safety
    /// Sixteen elements are readable at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;

    /// The first lanes from a slice of less than sixteen, zeros in the others.
    #[inline(always)]
    fn load_part<S: Simd>(s: S, x: &[Self]) -> S::V {
        let mut whole = [0.0; LANES];
        for (to, x) in whole.iter_mut().zip(x) {
            *to = x.value();
        }
        s.load_part(&whole)
    }
}

impl Elem for u16 {
    #[inline(always)]
    fn value(self) -> f32 {
        f16::from_bits(self).to_f32()
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u16) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load_f16(p) }
    }
}

impl Elem for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f32) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load(p) }
    }
}

impl Kernel for Block<'_, '_> {
    type Output = ();

    fn reference(self) {
        match self.pages {
            Pages::F16(pages) => self.rows_one_by_one(pages),
            Pages::F32(pages) => self.rows_one_by_one(pages),
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        match self.pages {
            Pages::F16(pages) => self.tiles(s, pages),
            Pages::F32(pages) => self.tiles(s, pages),
        }
    }
}

impl Block<'_, '_> {
    fn rows_one_by_one<T: Elem>(self, pages: &[T]) {
        let page_of = |slot: usize| &pages[self.table[slot / PAGE_SLOTS] as usize * page_elems(self.head_dim)..];
        for row in self.rows {
            for slot in 0..row.visible {
                let page = page_of(slot);
                let k = |d| page[k_at(slot % PAGE_SLOTS, d)].value();
                row.exps[slot] = row.q.iter().enumerate().fold(0.0, |sum, (d, q)| sum + q * k(d)) * self.scale;
            }
            let seen = &mut row.exps[..row.visible];
            row.stat.max = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for x in seen.iter_mut() {
                *x = (*x - row.stat.max).exp();
            }
            row.stat.sum = seen.iter().sum();
            row.values.fill(0.0);
            for (slot, p) in seen.iter().enumerate() {
                let page = page_of(slot);
                for (d, value) in row.values[..self.head_dim].iter_mut().enumerate() {
                    *value += p * page[v_at(self.head_dim, slot % PAGE_SLOTS, d)].value();
                }
            }
        }
    }

    /// Rows in tiles that fit the registers.
    #[inline(always)]
    fn tiles<S: Simd, T: Elem>(self, s: S, pages: &[T]) {
        let Block { table, ahead, head_dim, scale, rows, .. } = self;
        let lane = Tiles { s, pages, table, ahead, head_dim, scale };
        for rows in rows.chunks_mut(if S::WIDE { 8 } else { 4 }) {
            match rows.len() {
                1 => lane.tile::<1>(rows),
                2 => lane.tile::<2>(rows),
                3 => lane.tile::<3>(rows),
                4 => lane.tile::<4>(rows),
                n if S::WIDE => match n {
                    5 => lane.tile::<5>(rows),
                    6 => lane.tile::<6>(rows),
                    7 => lane.tile::<7>(rows),
                    _ => lane.tile::<8>(rows),
                },
                _ => {}
            }
        }
    }
}

/// The block as vectors see it.
#[derive(Clone, Copy)]
struct Tiles<'a, S, T> {
    s: S,
    pages: &'a [T],
    table: &'a [PageId],
    ahead: &'a [PageId],
    head_dim: usize,
    scale: f32,
}

impl<S: Simd, T: Elem> Tiles<'_, S, T> {
    /// Page `i` of the block, checked to lie within the arena.
    #[inline(always)]
    fn page(&self, i: usize) -> &[T] {
        let elems = page_elems(self.head_dim);
        let start = self.table[i] as usize * elems;
        &self.pages[start..start + elems]
    }

    /// What to fetch while half `half` of the block is at work, counted through the K of all pages and then their V: the
    /// same share of the next block, whole pages in their order in memory. Without a next block, half `own` of this one.
    #[inline(always)]
    fn fetch(&self, half: usize, own: usize) -> *const T {
        let (table, i, v) = if self.ahead.is_empty() {
            (self.table, own % BLOCK_PAGES, own / BLOCK_PAGES % 2)
        } else {
            (self.ahead, half / 2, half % 2)
        };
        let id = table[i.min(table.len() - 1)] as usize;
        self.pages.as_ptr().wrapping_add(id * page_elems(self.head_dim) + v * PAGE_SLOTS * self.head_dim)
    }

    #[inline(always)]
    fn tile<const R: usize>(&self, rows: &mut [Row<'_>]) {
        let Ok(rows) = <&mut [Row<'_>; R]>::try_from(rows) else { return };
        // Pages at a time: enough sums to hide the latency of an addition.
        match (S::WIDE, R) {
            (true, 1) => self.logits::<R, 8>(rows),
            (true, 2) => self.logits::<R, 4>(rows),
            (true, 3 | 4) => self.logits::<R, 2>(rows),
            (false, 1) => self.logits::<R, 4>(rows),
            (false, 2) => self.logits::<R, 2>(rows),
            _ => self.logits::<R, 1>(rows),
        }
        for row in rows.iter_mut() {
            self.softmax(row);
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
            *next = self.fetch(first + p, first + P + p);
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

    /// Logits to exponentials; the largest logit and the sum.
    #[inline(always)]
    fn softmax(&self, row: &mut Row<'_>) {
        let s = self.s;
        let (whole, rest) = (row.visible / LANES, row.visible % LANES);
        let (seen, partly) = row.exps.split_at_mut(whole * LANES);
        let mut max = s.splat(f32::NEG_INFINITY);
        for x in seen.chunks_exact(LANES) {
            max = s.max(s.load_part(x), max);
        }
        if rest > 0 {
            max = s.max(s.keep_first(rest, s.load_part(partly), max), max);
        }
        row.stat.max = s.max_lane(max);
        let max = s.splat(row.stat.max);
        let mut sum = s.splat(0.0);
        for x in seen.chunks_exact_mut(LANES) {
            let e = s.exp(s.sub(s.load_part(x), max));
            sum = s.add(sum, e);
            s.store_part(x, e);
        }
        if rest > 0 {
            let e = s.exp(s.sub(s.load_part(partly), max));
            let e = s.keep_first(rest, e, s.splat(0.0));
            sum = s.add(sum, e);
            s.store_part(partly, e);
        }
        row.stat.sum = s.sum(sum);
    }

    /// `values += exps[slot] * V[slot]` for the slots of `range`, in order; C vectors of a V row at a time.
    #[inline(always)]
    fn values<const R: usize, const C: usize>(&self, rows: &mut [Row<'_>; R], range: Range<usize>) {
        let whole = self.head_dim / LANES;
        for i in range.start / PAGE_SLOTS..range.end.div_ceil(PAGE_SLOTS) {
            let start = i * PAGE_SLOTS;
            let slots = range.start.max(start) - start..range.end.min(start + PAGE_SLOTS) - start;
            let v = &self.page(i)[PAGE_SLOTS * self.head_dim..]; // [PAGE_SLOTS][head_dim]
            let next = self.fetch(BLOCK_PAGES + i, BLOCK_PAGES + i + 1);
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
