//! Random numbers and processors for the tests.
#![allow(dead_code)] // every test file uses a part of it

use lethe_kernels::{Cpu, CpuOptions, Level};

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

pub(crate) fn cpu(level: Level, threads: usize) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), level: Some(level) }).unwrap()
}

/// The bits of every element: equality that knows NaN and signed zeros.
pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Every element within `relative` of the expected one, or within `absolute`.
pub(crate) fn assert_close(got: &[f32], expected: &[f64], relative: f64, absolute: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected).abs();
        assert!(error <= relative * expected.abs() + absolute, "{what}: element {i} is {got}, expected {expected}");
    }
}
