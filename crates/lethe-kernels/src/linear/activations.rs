//! Activations in eight bits, 32 columns to a scale, for products with packed weights.

use super::packed::UNIT;
use crate::Cpu;
use crate::shared::{SharedMut, grow};
use crate::simd::{Kernel, LANES, Simd, dispatch};
use std::cell::RefCell;

/// Rows of activations as whole numbers: `x = scale * q`, `scale` the largest magnitude of 32 columns over 127.
#[derive(Default)]
pub(super) struct Activations {
    cols: usize,
    q: Vec<i8>,           // [m][cols]
    scales: Vec<f32>,     // [m][cols / 32]
    sums: Vec<f32>,       // [m][cols / 32]: scale times the sum of q
    pairs: Vec<[i16; 2]>, // [m][cols / 16]: sums of q over columns 0 and 1, and over 2 and 3, of every four
}

/// One row of [`Activations`].
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) q: &'a [i8],           // [cols]
    pub(super) scales: &'a [f32],     // [cols / 32]
    pub(super) sums: &'a [f32],       // [cols / 32]
    pub(super) pairs: &'a [[i16; 2]], // [cols / 16]
}

impl Activations {
    /// Runs `f` with the rows of `x` (`[m][cols]`), quantised in memory that this thread keeps.
    pub(super) fn with(cpu: &Cpu, x: &[f32], cols: usize, f: impl FnOnce(&Activations)) {
        thread_local! {
            static ACTIVATIONS: RefCell<Activations> = RefCell::default();
        }
        ACTIVATIONS.with_borrow_mut(|rows| {
            rows.quantise(cpu, x, cols);
            f(rows);
        });
    }

    fn quantise(&mut self, cpu: &Cpu, x: &[f32], cols: usize) {
        assert!(cols.is_multiple_of(UNIT), "packed weights have whole units of {UNIT} columns");
        self.cols = cols;
        let (m, units) = (x.len() / cols, x.len() / UNIT);
        grow(&mut self.q, x.len());
        grow(&mut self.scales, units);
        grow(&mut self.sums, units);
        grow(&mut self.pairs, 2 * units);
        let (q, scales) = (SharedMut::new(&mut self.q), SharedMut::new(&mut self.scales));
        let (sums, pairs) = (SharedMut::new(&mut self.sums), SharedMut::new(&mut self.pairs));
        cpu.split(m, (1 << 15) / cols + 1, |rows| {
            let (cols, units) = (rows.start * cols..rows.end * cols, rows.start * cols / UNIT..rows.end * cols / UNIT);
            // SAFETY: rows do not overlap, and each is in one range of the split.
            let row = unsafe {
                Quantise {
                    x: &x[cols.clone()],
                    q: q.part(cols),
                    scales: scales.part(units.clone()),
                    sums: sums.part(units.clone()),
                    pairs: pairs.part(2 * units.start..2 * units.end),
                }
            };
            dispatch(cpu.level(), row);
        });
    }

    pub(super) fn row(&self, r: usize) -> Row<'_> {
        let (cols, units) = (self.cols, self.cols / UNIT);
        Row {
            q: &self.q[r * cols..(r + 1) * cols],
            scales: &self.scales[r * units..(r + 1) * units],
            sums: &self.sums[r * units..(r + 1) * units],
            pairs: &self.pairs[2 * r * units..2 * (r + 1) * units],
        }
    }
}

/// Some rows.
struct Quantise<'a> {
    x: &'a [f32],
    q: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [f32],
    pairs: &'a mut [[i16; 2]],
}

/// Scale of 32 columns whose largest magnitude is `max`, and its inverse. Magnitudes that no f32 can be the inverse of
/// count as zero.
#[inline(always)]
fn scale(max: f32) -> (f32, f32) {
    if max < 1e-30 { (0.0, 0.0) } else { (max / 127.0, 127.0 / max) }
}

impl Quantise<'_> {
    /// The sums, once scale and q of a unit are there.
    #[inline(always)]
    fn add_up(&mut self, unit: usize) {
        let mut total = 0;
        for half in 2 * unit..2 * unit + 2 {
            let mut pair = [0i16; 2];
            for four in self.q[half * 16..half * 16 + 16].as_chunks::<4>().0 {
                pair[0] += i16::from(four[0]) + i16::from(four[1]);
                pair[1] += i16::from(four[2]) + i16::from(four[3]);
            }
            self.pairs[half] = pair;
            total += i32::from(pair[0]) + i32::from(pair[1]);
        }
        self.sums[unit] = self.scales[unit] * total as f32;
    }
}

impl Kernel for Quantise<'_> {
    type Output = ();

    fn reference(mut self) {
        for unit in 0..self.scales.len() {
            let x = &self.x[unit * UNIT..(unit + 1) * UNIT];
            let finite = x.iter().all(|x| x.is_finite());
            let (scale, inverse) = scale(x.iter().fold(0.0, |max, x| x.abs().max(max)));
            // A number that is none must show in the result.
            self.scales[unit] = if finite { scale } else { f32::NAN };
            for (q, x) in self.q[unit * UNIT..].iter_mut().zip(x) {
                *q = if finite { (x * inverse).round_ties_even() as i8 } else { 0 };
            }
            self.add_up(unit);
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(mut self, s: S) {
        for unit in 0..self.scales.len() {
            let (low, high) = self.x[unit * UNIT..(unit + 1) * UNIT].split_at(LANES);
            let (low, high) = (s.load_part(low), s.load_part(high));
            let max = s.max_lane(s.max(s.abs(low), s.abs(high)));
            // Not zero for infinities and NaN.
            let strange = s.sum(s.add(s.sub(low, low), s.sub(high, high)));
            let (scale, inverse) = scale(max);
            let q: &mut [i8] = &mut self.q[unit * UNIT..(unit + 1) * UNIT];
            if strange == 0.0 {
                self.scales[unit] = scale;
                let inverse = s.splat(inverse);
                q[..LANES].copy_from_slice(&s.to_i8(s.mul(low, inverse)));
                q[LANES..].copy_from_slice(&s.to_i8(s.mul(high, inverse)));
            } else {
                self.scales[unit] = f32::NAN;
                q.fill(0);
            }
            self.add_up(unit);
        }
    }
}
