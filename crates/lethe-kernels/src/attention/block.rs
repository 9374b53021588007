//! One block of slots for rows of a lane, a tile of them at a time.

use super::elem::{Cells, PagesOf};
use super::floats::Floats;
use super::numbers::Numbers;
use super::plan::LanePart;
use super::scratch::{Stat, TILE_ROWS, Wave};
use super::unfold::{IN_ORDER, UNFOLD_ROWS, Unfold};
use super::{Attention, BLOCK_PAGES, BLOCK_SLOTS};
use crate::Level;
use crate::simd::{Kernel, Simd, dispatch};
use lethe_kv::{PAGE_SLOTS, PageId, Pages, page_elems};
use std::ops::Range;

/// One query head of one query, before and after a block.
#[derive(Default)]
pub(super) struct Row<'a> {
    pub(super) q: &'a [f32],          // [head_dim]
    pub(super) visible: usize,        // slots of the block that it sees, at least 1
    pub(super) exps: &'a mut [f32],   // [BLOCK_SLOTS]: logits, then exp(logit - max) of the slots it sees
    pub(super) values: &'a mut [f32], // [padded head_dim]: sum of exps[slot] * V[slot]
    pub(super) whole: &'a mut [i16],  // [padded head_dim + BLOCK_SLOTS]: q and weights of slots as whole numbers
    pub(super) stat: Stat,
}

/// The pages of a block.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) pages: Pages<'a>,
    pub(super) table: &'a [PageId], // pages of the block that the last row sees
    pub(super) ahead: &'a [PageId], // pages of the block to come, empty if none
}

/// Rows that see a block, in the order of their queries: the later ones see more.
struct Block<'a, 'b> {
    source: Source<'a>,
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
    /// Task `task` of this part: a span of rows over a run of blocks.
    pub(super) fn blocks(&self, work: &Work<'_>, task: usize) {
        let (run, span) = (task / self.spans(), task % self.spans());
        let rows = span * self.span..((span + 1) * self.span).min(self.rows());
        let visible = self.visible(rows.end - 1);
        let blocks = run * self.run..((run + 1) * self.run).min(visible.div_ceil(BLOCK_SLOTS));
        let pages = &work.input.lanes.lane(self.seq, self.kv_head).pages[..visible.div_ceil(PAGE_SLOTS)];
        // Tiles of equal size, as far as that goes.
        let tile = rows.len().div_ceil(rows.len().div_ceil(TILE_ROWS));
        for block in blocks.clone() {
            let mut tables = pages[block * BLOCK_PAGES..].chunks(BLOCK_PAGES);
            let table = tables.next().unwrap_or_default();
            let ahead = tables.next().filter(|_| block + 1 < blocks.end).unwrap_or_default();
            let mut source = Source { pages: work.input.pages, table, ahead };
            if let (Pages::F16(pages), true) = (source.pages, rows.len() >= UNFOLD_ROWS) {
                let (head_dim, n) = (work.input.shape.head_dim, BLOCK_PAGES * page_elems(work.input.shape.head_dim));
                // SAFETY: a worker unfolds one block at a time.
                let to = unsafe { work.wave.unfolded.part(work.worker * n..(work.worker + 1) * n) };
                dispatch(work.level, Unfold { pages, table, head_dim, to: &mut *to });
                source = Source { pages: Pages::F32(to), table: &IN_ORDER[..table.len()], ahead: &[] };
            }
            for first in rows.clone().step_by(tile) {
                self.block(work, source, block, first..(first + tile).min(rows.end));
            }
        }
    }

    /// A tile of rows over one block.
    fn block(&self, work: &Work<'_>, source: Source<'_>, block: usize, tile: Range<usize>) {
        let Work { level, input, wave, worker } = *work;
        let (start, end) = (block * BLOCK_SLOTS, (block + 1) * BLOCK_SLOTS);
        // The first queries may end before this block.
        let mut seeing = tile.clone().skip_while(|row| self.visible(*row) <= start);
        let Some(first) = seeing.clone().next() else { return };
        let row_block = |row: usize| self.first_row_block + row * self.blocks + block;
        let (head_dim, padded) = (input.shape.head_dim, input.shape.padded());
        let mut rows: [Row<'_>; TILE_ROWS] = std::array::from_fn(|i| {
            let Some(row) = seeing.next() else { return Row::default() };
            let q = self.head_at(input.shape.n_heads, row) * head_dim;
            let (exps, exps_at) = match self.mass {
                Some(mass) => (&wave.exps, mass.first_row_block + row * self.blocks + block),
                None => (&wave.tiles, worker * TILE_ROWS + i),
            };
            let per_row = padded + BLOCK_SLOTS;
            let whole = (worker * TILE_ROWS + i) * per_row..(worker * TILE_ROWS + i + 1) * per_row;
            Row {
                q: &input.q[q..q + head_dim],
                visible: self.visible(row).min(end) - start,
                // SAFETY: a row block belongs to one task, a tile to one worker.
                exps: unsafe { exps.part(exps_at * BLOCK_SLOTS..(exps_at + 1) * BLOCK_SLOTS) },
                // SAFETY: a row block belongs to one task.
                values: unsafe { wave.values.part(row_block(row) * padded..(row_block(row) + 1) * padded) },
                // SAFETY: a tile belongs to one worker.
                whole: unsafe { wave.whole.part(whole) },
                stat: Stat::default(),
            }
        });
        let rows = &mut rows[..tile.end - first];
        dispatch(level, Block { source, head_dim, scale: input.shape.scale, rows: &mut *rows });
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
        match self.source.pages {
            Pages::F16(pages) => self.rows_one_by_one(PagesOf(pages)),
            Pages::F32(pages) => self.rows_one_by_one(PagesOf(pages)),
            Pages::I8(pages) => self.rows_one_by_one(PagesOf(pages)),
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        let Block { source: Source { pages, table, ahead }, head_dim, scale, rows } = self;
        match pages {
            Pages::F16(pages) => by_rows(&Floats { s, pages, table, ahead, head_dim, scale }, rows),
            Pages::F32(pages) => by_rows(&Floats { s, pages, table, ahead, head_dim, scale }, rows),
            Pages::I8(pages) => by_rows(&Numbers { s, pages, table, ahead, head_dim, scale }, rows),
        }
    }
}

/// Something that can take a number of rows, known at compile time, over its block.
pub(super) trait Tile {
    fn tile<const R: usize>(&self, rows: &mut [Row<'_>; R]);
}

const _: () = assert!(TILE_ROWS == 6, "by_rows names every number of rows");

#[inline(always)]
fn by_rows(block: &impl Tile, rows: &mut [Row<'_>]) {
    #[inline(always)]
    fn of<const R: usize>(block: &impl Tile, rows: &mut [Row<'_>]) {
        if let Ok(rows) = rows.try_into() {
            block.tile::<R>(rows);
        }
    }
    match rows.len() {
        1 => of::<1>(block, rows),
        2 => of::<2>(block, rows),
        3 => of::<3>(block, rows),
        4 => of::<4>(block, rows),
        5 => of::<5>(block, rows),
        _ => of::<TILE_ROWS>(block, rows),
    }
}

impl Block<'_, '_> {
    fn rows_one_by_one(self, pages: impl Cells) {
        let (hd, table) = (self.head_dim, self.source.table);
        let at = |slot: usize| (table[slot / PAGE_SLOTS] as usize, slot % PAGE_SLOTS);
        for row in self.rows {
            for slot in 0..row.visible {
                let (page, place) = at(slot);
                let products = row.q.iter().enumerate().map(|(d, q)| q * pages.k(hd, page, place, d));
                row.exps[slot] = products.fold(0.0, |sum, x| sum + x) * self.scale;
            }
            let seen = &mut row.exps[..row.visible];
            row.stat.max = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for x in seen.iter_mut() {
                *x = (*x - row.stat.max).exp();
            }
            row.stat.sum = seen.iter().sum();
            row.values.fill(0.0);
            for (slot, p) in seen.iter().enumerate() {
                let (page, place) = at(slot);
                for (d, value) in row.values[..hd].iter_mut().enumerate() {
                    *value += p * pages.v(hd, page, place, d);
                }
            }
        }
    }
}
