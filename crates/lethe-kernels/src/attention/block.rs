//! One block of slots for up to eight rows of a lane.

use super::elem::Elem;
use super::plan::LanePart;
use super::scratch::{Stat, TILE_ROWS, Wave};
use super::tiles::Tiles;
use super::{Attention, BLOCK_SLOTS};
use crate::Level;
use crate::simd::{Kernel, Simd, dispatch};
use lethe_kv::{PAGE_SLOTS, PageId, Pages, k_at, page_elems, v_at};
use std::ops::Range;

/// Pages of a block.
pub(super) const BLOCK_PAGES: usize = BLOCK_SLOTS / PAGE_SLOTS;

/// One query head of one query, before and after a block.
#[derive(Default)]
pub(super) struct Row<'a> {
    pub(super) q: &'a [f32],          // [head_dim]
    pub(super) visible: usize,        // slots of the block that it sees, at least 1
    pub(super) exps: &'a mut [f32],   // [BLOCK_SLOTS]: logits, then exp(logit - max) of the slots it sees
    pub(super) values: &'a mut [f32], // [padded head_dim]: sum of exps[slot] * V[slot]
    pub(super) stat: Stat,
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

/// What the tasks of a wave share, and who carries this one out.
pub(super) struct Work<'a> {
    pub(super) level: Level,
    pub(super) input: &'a Attention<'a>,
    pub(super) wave: &'a Wave<'a>,
    pub(super) worker: usize,
}

impl LanePart {
    /// Task `task` of this part: one tile of rows over a run of blocks.
    pub(super) fn blocks(&self, work: &Work<'_>, task: usize) {
        let (run, tile) = (task / self.tiles(), task % self.tiles());
        let tile = tile * TILE_ROWS..((tile + 1) * TILE_ROWS).min(self.rows());
        let blocks = run * self.run..((run + 1) * self.run).min(self.visible(tile.end - 1).div_ceil(BLOCK_SLOTS));
        let pages = work.input.lanes.lane(self.seq, self.kv_head).pages;
        let pages = &pages[..self.visible(tile.end - 1).div_ceil(PAGE_SLOTS)];
        for block in blocks.clone() {
            let mut tables = pages[block * BLOCK_PAGES..].chunks(BLOCK_PAGES);
            let table = tables.next().unwrap_or_default();
            let ahead = tables.next().filter(|_| block + 1 < blocks.end).unwrap_or_default();
            self.block(work, tile.clone(), block, table, ahead);
        }
    }

    /// A tile of rows over one block.
    fn block(&self, work: &Work<'_>, tile: Range<usize>, block: usize, table: &[PageId], ahead: &[PageId]) {
        let Work { level, input, wave, worker } = *work;
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
