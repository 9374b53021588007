//! Blocks to outputs and mass.

use super::plan::LanePart;
use super::scratch::{Stat, Wave};
use super::{Attention, BLOCK_SLOTS};
use crate::Level;
use crate::shared::SharedMut;
use crate::simd::{Kernel, LANES, Simd, dispatch};

impl LanePart {
    /// Adds up the blocks of every row, in order; then adds the mass, query after query.
    pub(super) fn combine(
        &self,
        level: Level,
        input: &Attention<'_>,
        wave: &Wave<'_>,
        out: &SharedMut<'_, f32>,
        mass: &SharedMut<'_, f32>,
    ) {
        let (head_dim, padded) = (input.shape.head_dim, input.shape.padded());
        for query in 0..self.queries {
            let rows = query * self.group..(query + 1) * self.group;
            let visible = self.visible(rows.start);
            let blocks = visible.div_ceil(BLOCK_SLOTS); // the others of `self.blocks` are not there
            let first = self.first_row_block + rows.start * self.blocks;
            // SAFETY: a part alone has its row blocks.
            let stats = unsafe { wave.stats.part(first..first + self.group * self.blocks) };
            for (row, stats) in rows.clone().zip(stats.chunks_exact_mut(self.blocks)) {
                let stats = &mut stats[..blocks];
                weigh(stats);
                let first = self.first_row_block + row * self.blocks;
                let head = self.head_at(input.shape.n_heads, row) * head_dim;
                // SAFETY: a part alone has its row blocks and its rows of the output.
                let (values, out) = unsafe {
                    let values = wave.values.part(first * padded..(first + blocks) * padded);
                    (values, out.part(head..head + head_dim))
                };
                dispatch(level, Merge { stats, values, out });
            }
            let Some(to) = self.mass else { continue };
            let stats = &*stats;
            let first = (to.first_row_block + rows.start * self.blocks) * BLOCK_SLOTS;
            // SAFETY: a part alone has its exponentials, and a wave has at most one part with the mass of a lane.
            let (exps, sums) = unsafe {
                let exps = wave.exps.part(first..first + self.group * self.blocks * BLOCK_SLOTS);
                (exps, mass.part(to.start..to.start + visible))
            };
            for (block, sums) in sums.chunks_mut(BLOCK_SLOTS).enumerate() {
                dispatch(level, AddWeights { exps, stats, block, blocks: self.blocks, sums });
            }
        }
    }
}

/// Turns every block's `sum` into the factor that makes its exponentials softmax weights: `exp(max - M) / L`, where M is
/// the largest logit of all blocks and L the sum of all exponentials relative to it.
fn weigh(stats: &mut [Stat]) {
    let max = stats.iter().fold(f32::NEG_INFINITY, |max, stat| max.max(stat.max));
    let factor = |stat: &Stat| (stat.max - max).exp();
    let total: f32 = stats.iter().fold(0.0, |total, stat| total + stat.sum * factor(stat));
    for stat in stats {
        stat.sum = factor(stat) / total;
    }
}

/// `out = sum over blocks of values[block] * stats[block].sum`.
struct Merge<'a> {
    stats: &'a [Stat],  // [blocks], weighed
    values: &'a [f32],  // [blocks][padded head_dim]
    out: &'a mut [f32], // [head_dim]
}

impl Kernel for Merge<'_> {
    type Output = ();

    fn reference(self) {
        let padded = self.values.len() / self.stats.len();
        for (d, out) in self.out.iter_mut().enumerate() {
            let blocks = self.stats.iter().zip(self.values.chunks_exact(padded));
            *out = blocks.fold(0.0, |sum, (stat, values)| sum + values[d] * stat.sum);
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        let padded = self.values.len() / self.stats.len();
        for (c, out) in self.out.chunks_mut(LANES).enumerate() {
            let mut sum = s.splat(0.0);
            for (stat, values) in self.stats.iter().zip(self.values.chunks_exact(padded)) {
                sum = s.fma(s.load_part(&values[c * LANES..]), s.splat(stat.sum), sum);
            }
            s.store_part(out, sum);
        }
    }
}

/// `sums[slot] += exps[row][block][slot] * stats[row][block].sum`, row after row.
struct AddWeights<'a> {
    exps: &'a [f32],   // [rows][blocks][BLOCK_SLOTS]
    stats: &'a [Stat], // [rows][blocks], weighed
    block: usize,
    blocks: usize,
    sums: &'a mut [f32], // at most [BLOCK_SLOTS]
}

impl Kernel for AddWeights<'_> {
    type Output = ();

    fn reference(self) {
        for (exps, stats) in self.exps.chunks(self.blocks * BLOCK_SLOTS).zip(self.stats.chunks(self.blocks)) {
            for (sum, e) in self.sums.iter_mut().zip(&exps[self.block * BLOCK_SLOTS..]) {
                *sum += e * stats[self.block].sum;
            }
        }
    }

    /// Sums stay in registers over the rows.
    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        for (c, sums) in self.sums.chunks_mut(LANES).enumerate() {
            let at = self.block * BLOCK_SLOTS + c * LANES;
            let mut sum = s.load_part(sums);
            for (exps, stats) in self.exps.chunks(self.blocks * BLOCK_SLOTS).zip(self.stats.chunks(self.blocks)) {
                sum = s.fma(s.load_part(&exps[at..at + LANES]), s.splat(stats[self.block].sum), sum);
            }
            s.store_part(sums, sum);
        }
    }
}
