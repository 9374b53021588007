//! Quantised weights laid out for multiplication: sixteen outputs side by side.
//!
//! A *group* is sixteen rows of the matrix, their blocks interleaved so that one 64-byte vector holds four consecutive
//! columns of each. A product then needs no horizontal sum (a lane is an output), the four activations are repeated
//! over the lanes, and a group is one stream of memory. The numbers are those of the file, in as many bytes; only the
//! six-bit scales of Q4_K are spread to whole bytes (148 bytes for 144). Behind the last row come rows of zeros.
//!
//! | type | columns | a block of a group |
//! |---|---|---|
//! | Q8_0 | 32 | 16 scales (f16), 8 vectors of bytes |
//! | Q4_0 | 32 | 16 scales (f16), 4 vectors of nibbles |
//! | Q4_K | 256 | 16 scales, 16 scales of minima (f16), 8 x 16 scales, 8 x 16 minima (bytes), 8 x 4 vectors of nibbles |
//! | Q6_K | 256 | 16 scales (f16), 16 x 16 scales (bytes), 8 x (4 vectors of nibbles, 2 of the upper two bits) |
//!
//! Vector v of nibbles holds columns 4v to 4v + 3 of 32 in its low halves and 16 + 4v to 16 + 4v + 3 in its high ones;
//! vector u of upper bits has those of the low halves of vectors 2u and 2u + 1, then of their high ones.

use crate::block::Scales;
use crate::huge::prefer_huge_pages_for;
use crate::shared::SharedMut;
use crate::{Cpu, WeightDtype};
use half::f16;

/// Outputs of a group.
pub(crate) const GROUP: usize = 16;
/// Columns that share a scale of the activations.
pub(crate) const UNIT: usize = 32;
/// Bytes of a vector: four columns of a group.
pub(super) const VECTOR: usize = 4 * GROUP;

/// Where the parts of a packed Q4_K block begin.
pub(super) mod q4k {
    pub(in super::super) const MINIMA: usize = 32;
    pub(in super::super) const SCALES: usize = 64;
    pub(in super::super) const MINS: usize = 192;
    pub(in super::super) const NIBBLES: usize = 320;
    pub(in super::super) const UNIT_BYTES: usize = 256;
}

/// Where the parts of a packed Q6_K block begin.
pub(super) mod q6k {
    pub(in super::super) const SCALES: usize = 32;
    pub(in super::super) const QUANTS: usize = 288;
    pub(in super::super) const HIGH: usize = 256;
    pub(in super::super) const UNIT_BYTES: usize = 384;
}

/// Whether weights of this type are packed. Q4_1 is not: in the models that use it (SmolLM2) eight bits are too few for the
/// activations, one clear prediction in sixty changes.
pub(crate) fn packs(dtype: WeightDtype) -> bool {
    matches!(dtype, WeightDtype::Q8_0 | WeightDtype::Q4_0 | WeightDtype::Q4K | WeightDtype::Q6K)
}

/// Bytes of a packed block of sixteen rows.
pub(crate) fn block_bytes(dtype: WeightDtype) -> usize {
    match dtype {
        WeightDtype::Q4K => q4k::NIBBLES + 8 * q4k::UNIT_BYTES,
        _ => GROUP * dtype.block_bytes(),
    }
}

/// Bytes of a group.
pub(crate) fn group_bytes(dtype: WeightDtype, cols: usize) -> usize {
    cols / dtype.block() * block_bytes(dtype)
}

/// Packs `rows` rows of blocks as a file has them.
pub(crate) fn pack(cpu: &Cpu, bytes: &[u8], dtype: WeightDtype, rows: usize, cols: usize) -> Vec<u8> {
    let (row_bytes, group_bytes) = (cols / dtype.block() * dtype.block_bytes(), group_bytes(dtype, cols));
    let mut packed = vec![0; rows.div_ceil(GROUP) * group_bytes];
    prefer_huge_pages_for(&mut packed);
    let to = SharedMut::new(&mut packed);
    cpu.split(rows.div_ceil(GROUP), (1 << 16) / group_bytes + 1, |groups| {
        for group in groups {
            // SAFETY: a group belongs to one range of the split.
            let to = unsafe { to.part(group * group_bytes..(group + 1) * group_bytes) };
            let from = &bytes[group * GROUP * row_bytes..((group + 1) * GROUP).min(rows) * row_bytes];
            for (block, to) in to.chunks_exact_mut(block_bytes(dtype)).enumerate() {
                for (out, row) in from.chunks_exact(row_bytes).enumerate() {
                    pack_block(dtype, &row[block * dtype.block_bytes()..][..dtype.block_bytes()], out, to);
                }
            }
        }
    });
    packed
}

/// Four columns a word.
fn words(bytes: &[u8]) -> impl Fn(usize) -> u32 + use<'_> {
    |i| u32::from_le_bytes(*bytes[i * 4..].first_chunk().expect("whole words"))
}

/// Lays one block of row `out` of a group into its place.
fn pack_block(dtype: WeightDtype, from: &[u8], out: usize, to: &mut [u8]) {
    const FOUR: u32 = 0x0f0f_0f0f;
    const TWO: u32 = 0x0303_0303;
    // Vectors come after one another; this row has one word in each.
    let put = |to: &mut [u8], start: usize, vector: usize, word: u32| {
        to[start + vector * VECTOR + out * 4..][..4].copy_from_slice(&word.to_le_bytes());
    };
    let half = |to: &mut [u8], start: usize, at: usize| to[start + out * 2..][..2].copy_from_slice(&from[at..at + 2]);
    match dtype {
        WeightDtype::Q8_0 | WeightDtype::Q4_0 => {
            half(to, 0, 0);
            let quants = words(&from[2..]);
            (0..from.len() / 4).for_each(|v| put(to, 32, v, quants(v)));
        }
        WeightDtype::Q4K => {
            half(to, 0, 0);
            half(to, q4k::MINIMA, 2);
            let scales = Scales::new(&from[4..16]);
            for unit in 0..8 {
                to[q4k::SCALES + unit * GROUP + out] = scales.scale[unit];
                to[q4k::MINS + unit * GROUP + out] = scales.min[unit];
                let shared = words(&from[16 + unit / 2 * UNIT..]);
                let nibbles = |i: usize| shared(i) >> (unit % 2 * 4) & FOUR;
                for v in 0..4 {
                    put(to, q4k::NIBBLES + unit * q4k::UNIT_BYTES, v, nibbles(v) | nibbles(v + 4) << 4);
                }
            }
        }
        WeightDtype::Q6K => {
            half(to, 0, 208);
            for sixteen in 0..16 {
                to[q6k::SCALES + sixteen * GROUP + out] = from[192 + sixteen];
            }
            for unit in 0..8 {
                // Two halves of 128, each four quarters of 32 that share bytes.
                let (half, quarter) = (unit / 4, unit % 4);
                let (low, high) = (words(&from[half * 64 + quarter % 2 * 32..]), words(&from[128 + half * 32..]));
                let four_bits = |i: usize| low(i) >> (quarter / 2 * 4) & FOUR;
                let two_bits = |i: usize| high(i) >> (quarter * 2) & TWO;
                let start = q6k::QUANTS + unit * q6k::UNIT_BYTES;
                for v in 0..4 {
                    put(to, start, v, four_bits(v) | four_bits(v + 4) << 4);
                }
                for u in 0..2 {
                    let i = 2 * u;
                    let word = two_bits(i) | two_bits(i + 1) << 2 | two_bits(i + 4) << 4 | two_bits(i + 5) << 6;
                    put(to, start + q6k::HIGH, u, word);
                }
            }
        }
        _ => unreachable!("{dtype} is not packed"),
    }
}

/// 32 columns of one row of a group: whole numbers, and what makes them weights.
pub(super) struct Unit {
    /// Whole numbers around zero (Q4_K: from zero).
    pub(super) quants: [i8; UNIT],
    /// Whole factors of the two halves: 1 but for Q6_K.
    pub(super) factors: [i8; 2],
    /// Factor of all.
    pub(super) scale: f32,
    /// What every weight is less, already a weight: 0 but for Q4_K.
    pub(super) min: f32,
}

impl Unit {
    /// Unit `unit` of row `out` in a packed block.
    pub(super) fn read(dtype: WeightDtype, block: &[u8], out: usize, unit: usize) -> Unit {
        let half = |at: usize| f16::from_le_bytes([block[at + out * 2], block[at + out * 2 + 1]]).to_f32();
        let byte = |start: usize, l: usize| block[start + l / 4 * VECTOR + out * 4 + l % 4];
        let nibble = |start: usize, l: usize| byte(start, l % 16) >> (l / 16 * 4) & 15;
        let mut unit_read = Unit { quants: [0; UNIT], factors: [1; 2], scale: half(0), min: 0.0 };
        let Unit { quants, factors, scale, min } = &mut unit_read;
        let quants = quants.iter_mut().enumerate();
        match dtype {
            WeightDtype::Q8_0 => quants.for_each(|(l, q)| *q = byte(32, l) as i8),
            WeightDtype::Q4_0 => quants.for_each(|(l, q)| *q = nibble(32, l) as i8 - 8),
            WeightDtype::Q4K => {
                *scale *= f32::from(block[q4k::SCALES + unit * GROUP + out]);
                *min = half(q4k::MINIMA) * f32::from(block[q4k::MINS + unit * GROUP + out]);
                quants.for_each(|(l, q)| *q = nibble(q4k::NIBBLES + unit * q4k::UNIT_BYTES, l) as i8);
            }
            WeightDtype::Q6K => {
                let start = q6k::QUANTS + unit * q6k::UNIT_BYTES;
                *factors = [0, 1].map(|half| block[q6k::SCALES + (unit * 2 + half) * GROUP + out] as i8);
                quants.for_each(|(l, q)| {
                    let two = byte(start + q6k::HIGH, l % 16 / 8 * 4 + l % 4) >> (l / 16 * 4 + l % 8 / 4 * 2) & 3;
                    *q = (nibble(start, l) | two << 4) as i8 - 32;
                });
            }
            _ => unreachable!("{dtype} is not packed"),
        }
        unit_read
    }
}

/// Row `out` of a group as f32, the very numbers of [`crate::block::decode`].
pub(crate) fn read_row(dtype: WeightDtype, group: &[u8], out: usize, row: &mut [f32]) {
    for (block, values) in group.chunks_exact(block_bytes(dtype)).zip(row.chunks_exact_mut(dtype.block())) {
        for (unit, values) in values.chunks_exact_mut(UNIT).enumerate() {
            let read = Unit::read(dtype, block, out, unit);
            for (l, (value, q)) in values.iter_mut().zip(read.quants).enumerate() {
                let scale =
                    if dtype == WeightDtype::Q6K { read.scale * f32::from(read.factors[l / 16]) } else { read.scale };
                *value = scale * f32::from(q) - read.min;
            }
        }
    }
}
