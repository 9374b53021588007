//! Memory that attention works in, made once.

use super::plan::LanePart;
use super::{AttentionShape, BLOCK_PAGES, BLOCK_SLOTS};
use crate::shared::{SharedMut, grow};
use lethe_kv::page_elems;

/// Most rows of a tile: query heads that share every read of K and V. Twelve sums, two vectors of K and one of q fill the
/// sixteen registers of AVX2.
pub(super) const TILE_ROWS: usize = 6;
/// Elements of a wave's partial values, and of its exponentials: 8 MiB each, about what caches hold.
const WAVE: usize = 2 << 20;

/// Working memory of [`crate::Cpu::attention`]: partial results of the blocks computed together.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    pub(super) parts: Vec<LanePart>,
    values: Vec<f32>, // [row blocks][padded head_dim]: weighted values
    stats: Vec<Stat>, // [row blocks]
    exps: Vec<f32>,   // [row blocks with mass][BLOCK_SLOTS]
    // What a worker needs for the tile at work:
    tiles: Vec<f32>,    // [threads][TILE_ROWS][BLOCK_SLOTS]: exponentials that nobody needs afterwards
    whole: Vec<i16>,    // [threads][TILE_ROWS][padded head_dim + BLOCK_SLOTS]
    unfolded: Vec<f32>, // [threads][BLOCK_PAGES][page_elems]
}

/// What a block leaves of a row besides values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stat {
    /// Largest logit.
    pub(super) max: f32,
    /// Sum of `exp(logit - max)`.
    pub(super) sum: f32,
}

/// The buffers of one wave, shared by its tasks.
pub(super) struct Wave<'a> {
    pub(super) parts: &'a [LanePart],
    pub(super) values: SharedMut<'a, f32>,
    pub(super) stats: SharedMut<'a, Stat>,
    pub(super) exps: SharedMut<'a, f32>,
    pub(super) tiles: SharedMut<'a, f32>,
    pub(super) whole: SharedMut<'a, i16>,
    pub(super) unfolded: SharedMut<'a, f32>,
}

impl AttentionScratch {
    /// Room for batches of up to `seqs` sequences with lanes of up to `longest` slots on `threads` threads.
    pub fn reserve(&mut self, shape: &AttentionShape, seqs: usize, longest: usize, threads: usize) {
        let query = shape.n_heads * longest.div_ceil(BLOCK_SLOTS); // row blocks of one query, the least of a wave
        grow(&mut self.values, (query * shape.padded()).max(WAVE));
        grow(&mut self.exps, (query * BLOCK_SLOTS).max(WAVE));
        grow(&mut self.stats, query.max(WAVE / shape.padded()));
        // A sequence whose mass starts within its chunk is planned as two.
        self.parts.reserve((2 * seqs * shape.n_kv_heads).saturating_sub(self.parts.len()));
        self.prepare(shape, threads);
    }

    /// Room for what threads have of their own.
    pub(super) fn prepare(&mut self, shape: &AttentionShape, threads: usize) {
        grow(&mut self.tiles, threads * TILE_ROWS * BLOCK_SLOTS);
        grow(&mut self.whole, threads * TILE_ROWS * (shape.padded() + BLOCK_SLOTS));
        grow(&mut self.unfolded, threads * BLOCK_PAGES * page_elems(shape.head_dim));
    }

    /// Row blocks that fit a wave: all, and those with mass.
    pub(super) fn room(&self, shape: &AttentionShape) -> (usize, usize) {
        ((self.values.len().max(WAVE) / shape.padded()), self.exps.len().max(WAVE) / BLOCK_SLOTS)
    }

    /// Makes sure of this many row blocks.
    pub(super) fn ensure(&mut self, shape: &AttentionShape, row_blocks: usize, with_mass: usize) {
        grow(&mut self.values, row_blocks * shape.padded());
        grow(&mut self.stats, row_blocks);
        grow(&mut self.exps, with_mass * BLOCK_SLOTS);
    }

    /// The planned wave.
    pub(super) fn wave(&mut self) -> Wave<'_> {
        Wave {
            parts: &self.parts,
            values: SharedMut::new(&mut self.values),
            stats: SharedMut::new(&mut self.stats),
            exps: SharedMut::new(&mut self.exps),
            tiles: SharedMut::new(&mut self.tiles),
            whole: SharedMut::new(&mut self.whole),
            unfolded: SharedMut::new(&mut self.unfolded),
        }
    }
}

impl Wave<'_> {
    /// Tasks of the wave.
    pub(super) fn tasks(&self) -> usize {
        self.parts.last().map_or(0, |part| part.first_task + part.tasks())
    }

    /// The part that `task` belongs to, and its number there.
    pub(super) fn find(&self, task: usize) -> (&LanePart, usize) {
        let part = &self.parts[self.parts.partition_point(|part| part.first_task <= task) - 1];
        (part, task - part.first_task)
    }
}
