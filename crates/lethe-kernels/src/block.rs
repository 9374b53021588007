//! Block-quantised weights: 32 or 256 numbers share scales and are stored in a few bits each, as GGUF lays them out.
//!
//! This file says what the bytes mean, one number at a time. Vector versions live beside the linear layers and are
//! checked against it to the bit. Products are rounded before they are added (no fused multiply-add), so every reader
//! of a format gets the same f32.

use crate::WeightDtype;
use half::f16;

/// Writes the numbers of one block. `values` has [`WeightDtype::block`] elements, `bytes` [`WeightDtype::block_bytes`].
pub(crate) fn decode(dtype: WeightDtype, bytes: &[u8], values: &mut [f32]) {
    match dtype {
        WeightDtype::Q8_0 => {
            let d = scale(bytes, 0);
            for (value, q) in values.iter_mut().zip(&bytes[2..]) {
                *value = f32::from(*q as i8) * d;
            }
        }
        WeightDtype::Q4_0 => {
            let d = scale(bytes, 0);
            nibbles(&bytes[2..18], values, |q| (f32::from(q) - 8.0) * d);
        }
        WeightDtype::Q4_1 => {
            let (d, m) = (scale(bytes, 0), scale(bytes, 2));
            nibbles(&bytes[4..20], values, |q| f32::from(q) * d + m);
        }
        WeightDtype::Q4K => {
            let (d, dmin) = (scale(bytes, 0), scale(bytes, 2));
            let scales = Scales::new(&bytes[4..16]);
            for (pair, (values, qs)) in values.chunks_exact_mut(64).zip(bytes[16..].chunks_exact(32)).enumerate() {
                let part = |j: usize| (d * f32::from(scales.scale[j]), dmin * f32::from(scales.min[j]));
                let ((d0, m0), (d1, m1)) = (part(2 * pair), part(2 * pair + 1));
                let (low, high) = values.split_at_mut(32);
                for ((low, high), q) in low.iter_mut().zip(high).zip(qs) {
                    *low = d0 * f32::from(q & 15) - m0;
                    *high = d1 * f32::from(q >> 4) - m1;
                }
            }
        }
        WeightDtype::Q6K => {
            let (low, high, scales) = (&bytes[..128], &bytes[128..192], &bytes[192..208]);
            let d = scale(bytes, 208);
            for (i, value) in values.iter_mut().enumerate() {
                // Two halves of 128, each four quarters of 32 that share bytes.
                let (half, quarter, l) = (i / 128, i % 128 / 32, i % 32);
                let four = low[half * 64 + quarter % 2 * 32 + l] >> (quarter / 2 * 4) & 15;
                let two = high[half * 32 + l] >> (quarter * 2) & 3;
                let q = f32::from(four | two << 4) - 32.0;
                *value = d * f32::from(scales[i / 16] as i8) * q;
            }
        }
        WeightDtype::F32 | WeightDtype::F16 | WeightDtype::Bf16 => unreachable!("{dtype} has no blocks"),
    }
}

/// Offsets of the f16 scales of a block.
pub(crate) fn scale_offsets(dtype: WeightDtype) -> &'static [usize] {
    match dtype {
        WeightDtype::Q8_0 | WeightDtype::Q4_0 => &[0],
        WeightDtype::Q4_1 | WeightDtype::Q4K => &[0, 2],
        WeightDtype::Q6K => &[208],
        WeightDtype::F32 | WeightDtype::F16 | WeightDtype::Bf16 => &[],
    }
}

fn scale(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// Sixteen bytes hold 32 numbers: the low halves come first.
fn nibbles(bytes: &[u8], values: &mut [f32], number: impl Fn(u8) -> f32) {
    let (low, high) = values.split_at_mut(16);
    for ((low, high), q) in low.iter_mut().zip(high).zip(bytes) {
        *low = number(q & 15);
        *high = number(q >> 4);
    }
}

/// The scales and minima of the eight parts of a K block, six bits each.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    pub(crate) scale: [u8; 8],
    pub(crate) min: [u8; 8],
}

impl Scales {
    /// Unpacks twelve bytes: four scales, four minima, and the low halves of the others, whose two upper bits sit
    /// on top of the first eight bytes.
    #[inline(always)]
    pub(crate) fn new(packed: &[u8]) -> Scales {
        let word = |at: usize| u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]]);
        let (a, b, c) = (word(0), word(4), word(8));
        const SIX: u32 = 0x3f3f_3f3f;
        const FOUR: u32 = 0x0f0f_0f0f;
        const TWO: u32 = 0x0303_0303;
        let join = |first: u32, second: u32| (u64::from(second) << 32 | u64::from(first)).to_le_bytes();
        Scales {
            scale: join(a & SIX, c & FOUR | (a >> 6 & TWO) << 4),
            min: join(b & SIX, c >> 4 & FOUR | (b >> 6 & TWO) << 4),
        }
    }
}
