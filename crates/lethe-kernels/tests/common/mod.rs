//! Random numbers and processors for the tests.
#![allow(dead_code)] // every test file uses a part of it

mod random;

use lethe_kernels::{Cpu, CpuOptions, Level};
#[allow(unused_imports)] // as above
pub(crate) use random::{Random, weights};

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
