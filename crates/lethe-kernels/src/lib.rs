//! Everything that computes: attention with mass, linear layers, norms, RoPE, activations, and the one compute pool.
//!
//! Each operation is a struct of its arguments with two implementations: a plain scalar *reference*,
//! and a *vector* one written once over sixteen lanes and compiled for every instruction set (NEON as four registers of
//! four, AVX2 as two of eight, AVX-512 as one of sixteen). The [`Level`] is chosen at run time.
//!
//! Two promises hold for every operation at every level:
//! - a row of the result is a function of its own row of the input: the same bits alone or in a batch, for any thread
//!   count and any place;
//! - attention has one arithmetic: the same bits for whole prompts and chunks, with mass or without.
//!
//! All unsafe code of the project lives in this crate. Shapes are asserted before any pointer is used: a wrong shape is
//! a defect of the caller and panics.

#![cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))] // the vector kernels have no instruction set there

mod attention;
mod block;
mod cpu;
mod elementwise;
mod error;
mod huge;
mod linear;
mod mapped;
mod matrix;
mod rope;
mod shared;
mod simd;
mod store;

pub use attention::{Attention, AttentionScratch, AttentionSeq, AttentionShape, BLOCK_SLOTS, Lanes};
pub use cpu::{Cpu, CpuOptions, Level};
pub use error::{CpuError, EmbedError, MatrixError, RopeError};
pub use huge::prefer_huge_pages;
pub use linear::Output;
pub use mapped::MappedFile;
pub use matrix::{Matrix, WeightDtype};
pub use rope::{Pairing, Rope, RopeScaling};
