//! Blocks to outputs and mass.

use super::plan::LanePart;
use super::scratch::{Stat, Wave};
use super::{Attention, BLOCK_SLOTS};
use crate::Level;
use crate::shared::SharedMut;
use crate::simd::{Kernel, LANES, Simd, dispatch};

impl LanePart {
    /// Adds up the blocks of every row, in order; then adds the mass, row after row.
    pub(super) fn combine(
        &self,
        level: Level,
        input: &Attention<'_>,
        wave: &Wave<'_>,
        out: &SharedMut<'_, f32>,
        mass: &SharedMut<'_, f32>,
    ) {
        let (head_dim, padded) = (input.shape.head_dim, input.shape.padded());
        for row in 0..self.rows() {
            let visible = self.visible(row);
            let at = row * self.blocks;
            let first = self.first_row_block + at;
            let blocks = first..first + visible.div_ceil(BLOCK_SLOTS);
            let head = self.head_at(input.shape.n_heads, row) * head_dim;
            // SAFETY: a part alone has its row blocks and its rows of the output.
            let (stats, values, out) = unsafe {
                (
                    wave.stats.part(blocks.clone()),
                    wave.values.part(blocks.start * padded..blocks.end * padded),
                    out.part(head..head + head_dim),
                )
            };
            weigh(stats);
            dispatch(level, Merge { stats, values, out });
            let Some(to) = self.mass else { continue };
            // SAFETY: a part alone has its exponentials, and a wave has at most one part with the mass of a lane.
            let (exps, sums) = unsafe {
                (
                    wave.exps.part(
                        (to.first_row_block + at) * BLOCK_SLOTS..(to.first_row_block + at) * BLOCK_SLOTS + visible,
                    ),
                    mass.part(to.start..to.start + visible),
                )
            };
            for ((exps, sums), stat) in exps.chunks(BLOCK_SLOTS).zip(sums.chunks_mut(BLOCK_SLOTS)).zip(stats) {
                dispatch(level, AddWeights { exps, weight: stat.sum, sums });
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

/// `sums[slot] += exps[slot] * weight`.
struct AddWeights<'a> {
    exps: &'a [f32],
    weight: f32,
    sums: &'a mut [f32],
}

impl Kernel for AddWeights<'_> {
    type Output = ();

    fn reference(self) {
        for (sum, e) in self.sums.iter_mut().zip(self.exps) {
            *sum += e * self.weight;
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        let weight = s.splat(self.weight);
        for (sums, exps) in self.sums.chunks_mut(LANES).zip(self.exps.chunks(LANES)) {
            s.store_part(sums, s.fma(s.load_part(exps), weight, s.load_part(sums)));
        }
    }
}
