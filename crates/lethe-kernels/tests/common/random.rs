//! Random numbers and weights, for tests and benches.
#![allow(dead_code)] // each uses its part

use half::{bf16, f16};
use lethe_kernels::WeightDtype;

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number in `low..=high`.
    pub(crate) fn within(&mut self, low: usize, high: usize) -> usize {
        low + (self.bits() % (high - low + 1) as u64) as usize
    }

    /// A number in -1..1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(crate) fn vector(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| size * self.unit()).collect()
    }
}

/// `n` stored weights, a multiple of the block: floats in -1..1, or any blocks with small scales.
pub(crate) fn weights(random: &mut Random, dtype: WeightDtype, n: usize) -> Vec<u8> {
    // Where the scales of a block are, and how large they may be for numbers around one.
    let (scales, small): (&[usize], f32) = match dtype {
        WeightDtype::F32 => return (0..n).flat_map(|_| random.unit().to_le_bytes()).collect(),
        WeightDtype::F16 => return (0..n).flat_map(|_| f16::from_f32(random.unit()).to_le_bytes()).collect(),
        WeightDtype::Bf16 => return (0..n).flat_map(|_| bf16::from_f32(random.unit()).to_le_bytes()).collect(),
        WeightDtype::Q8_0 => (&[0], 1.0 / 128.0),
        WeightDtype::Q4_0 => (&[0], 1.0 / 8.0),
        WeightDtype::Q4_1 => (&[0, 2], 1.0 / 16.0),
        WeightDtype::Q4K => (&[0, 2], 1.0 / 1024.0),
        WeightDtype::Q6K => (&[208], 1.0 / 4096.0),
    };
    let mut bytes: Vec<u8> = (0..n / dtype.block() * dtype.block_bytes()).map(|_| random.bits() as u8).collect();
    for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
        for at in scales {
            block[*at..at + 2].copy_from_slice(&f16::from_f32(random.unit() * small).to_le_bytes());
        }
    }
    bytes
}
