//! What can be wrong with what a user brings: flags, files, configs.

use crate::{Level, WeightDtype};

/// Why no [`crate::Cpu`] could be made.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// A thread count outside `1..=1024`.
    #[error("threads = {0} makes no sense: ask for 1 to 1024, or leave it out to use every physical core")]
    Threads(usize),
    /// `LETHE_SIMD` holds an unknown word.
    #[error("LETHE_SIMD = {0:?} is unknown: use reference, neon, avx2 or avx512, or unset it")]
    UnknownLevel(String),
    /// The level asked for needs instructions this machine lacks.
    #[error("SIMD level {asked} needs instructions this machine lacks: the best it has is {best}")]
    Unsupported {
        /// The level asked for.
        asked: Level,
        /// The best level here.
        best: Level,
    },
    /// The operating system refused a thread.
    #[error("cannot start compute thread {index}: {source}; ask for fewer threads")]
    Spawn {
        /// Which worker.
        index: usize,
        /// The refusal.
        source: std::io::Error,
    },
}

/// Why bytes are not a [`crate::Matrix`].
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// The byte range ends beyond the file.
    #[error("bytes {start}..{end} lie outside the file of {file} bytes: the file is cut short, fetch it again")]
    OutOfFile {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
        /// Size of the file.
        file: usize,
    },
    /// The byte count does not match the shape.
    #[error("{bytes} bytes cannot hold a {rows} x {cols} matrix of {dtype}: the header and the data disagree")]
    Size {
        /// Bytes given.
        bytes: usize,
        /// Rows (out).
        rows: usize,
        /// Columns (in).
        cols: usize,
        /// Element type.
        dtype: WeightDtype,
    },
    /// Rows that end inside a block.
    #[error("rows of {cols} numbers are not whole blocks: {dtype} stores {} at a time", dtype.block())]
    PartBlock {
        /// Columns (in).
        cols: usize,
        /// Element type.
        dtype: WeightDtype,
    },
    /// A matrix without elements.
    #[error("a {rows} x {cols} matrix is empty: every dimension must be at least 1")]
    Empty {
        /// Rows (out).
        rows: usize,
        /// Columns (in).
        cols: usize,
    },
}

/// A token id beyond the embedding table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "token {token} at row {row} is outside the vocabulary of {vocab}: tokenizer and weights do not belong together"
)]
pub struct EmbedError {
    /// Row of the batch.
    pub row: usize,
    /// The token id.
    pub token: u32,
    /// Rows of the table.
    pub vocab: usize,
}

/// Why a RoPE configuration cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RopeError {
    /// RoPE turns pairs of coordinates.
    #[error("head_dim = {0} cannot be rotated: RoPE needs an even, positive head_dim")]
    HeadDim(usize),
    /// A parameter that is not a usable number.
    #[error("rope parameter {name} = {value} is unusable: {need}")]
    Parameter {
        /// Its name in `config.json`.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        need: &'static str,
    },
}
