//! Weights where they lie: in a mapped file, or owned.

use crate::error::MatrixError;
use crate::{Cpu, MappedFile};
use half::{bf16, f16};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Element type of stored weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightDtype {
    /// Single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
}

impl WeightDtype {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            WeightDtype::F32 => 4,
            WeightDtype::F16 | WeightDtype::Bf16 => 2,
        }
    }

    /// The element whose little-endian bytes start `bytes`.
    #[inline]
    fn read(self, bytes: &[u8]) -> f32 {
        match self {
            WeightDtype::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            WeightDtype::F16 => f16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
            WeightDtype::Bf16 => bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        }
    }
}

impl fmt::Display for WeightDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WeightDtype::F32 => "f32",
            WeightDtype::F16 => "f16",
            WeightDtype::Bf16 => "bf16",
        })
    }
}

#[derive(Clone)]
enum Bytes {
    Mapped(Arc<MappedFile>, Range<usize>),
    Owned(Arc<[u8]>),
}

/// A row-major weight matrix `[rows = out][cols = in]`, little-endian, at any alignment. Cloning shares the bytes.
#[derive(Clone)]
pub struct Matrix {
    bytes: Bytes, // [rows][cols]
    dtype: WeightDtype,
    rows: usize,
    cols: usize,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix[{}][{}] {}", self.rows, self.cols, self.dtype)
    }
}

impl Matrix {
    /// The matrix in bytes `range` of a mapped file; nothing is copied.
    ///
    /// # Errors
    /// A range outside the file, a byte count other than `rows * cols` elements, an empty shape.
    pub fn mapped(
        file: &Arc<MappedFile>,
        range: Range<usize>,
        dtype: WeightDtype,
        rows: usize,
        cols: usize,
    ) -> Result<Matrix, MatrixError> {
        if range.start > range.end || range.end > file.len() {
            return Err(MatrixError::OutOfFile { start: range.start, end: range.end, file: file.len() });
        }
        check(range.len(), dtype, rows, cols)?;
        Ok(Matrix { bytes: Bytes::Mapped(Arc::clone(file), range), dtype, rows, cols })
    }

    /// The matrix in `bytes`, owned.
    ///
    /// # Errors
    /// A byte count other than `rows * cols` elements, an empty shape.
    pub fn owned(
        bytes: impl Into<Arc<[u8]>>,
        dtype: WeightDtype,
        rows: usize,
        cols: usize,
    ) -> Result<Matrix, MatrixError> {
        let bytes = bytes.into();
        check(bytes.len(), dtype, rows, cols)?;
        Ok(Matrix { bytes: Bytes::Owned(bytes), dtype, rows, cols })
    }

    /// An f32 matrix from `values` (`[rows][cols]`).
    ///
    /// # Errors
    /// A count other than `rows * cols`, an empty shape.
    pub fn from_f32(values: &[f32], rows: usize, cols: usize) -> Result<Matrix, MatrixError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Matrix::owned(bytes, WeightDtype::F32, rows, cols)
    }

    /// Rows: outputs of a linear layer, tokens of an embedding table.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: inputs of a linear layer.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Element type as stored.
    pub fn dtype(&self) -> WeightDtype {
        self.dtype
    }

    /// All elements as stored, little-endian.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(file, range) => &file[range.clone()],
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.cols * self.dtype.bytes()
    }

    /// Row `i` as f32 into `row` (`[cols]`).
    ///
    /// # Panics
    /// If there is no row `i` or `row` has another length.
    pub fn read_row(&self, i: usize, row: &mut [f32]) {
        assert!(i < self.rows && row.len() == self.cols, "row {i} into {} of {self:?}", row.len());
        let bytes = &self.bytes()[i * self.row_bytes()..(i + 1) * self.row_bytes()];
        for (value, bytes) in row.iter_mut().zip(bytes.chunks_exact(self.dtype.bytes())) {
            *value = self.dtype.read(bytes);
        }
    }

    /// First `(row, col)` that is not a finite number. Reads every byte, on all threads: a check for load time.
    pub fn first_non_finite(&self, cpu: &Cpu) -> Option<(usize, usize)> {
        let first = AtomicUsize::new(usize::MAX);
        let width = self.dtype.bytes();
        cpu.split(self.rows, (1 << 16) / self.row_bytes() + 1, |rows| {
            let start = rows.start * self.cols;
            let bytes = &self.bytes()[start * width..rows.end * self.cols * width];
            if let Some(at) = first_non_finite(bytes, self.dtype) {
                first.fetch_min(start + at, Ordering::Relaxed);
            }
        });
        let first = first.into_inner();
        (first != usize::MAX).then(|| (first / self.cols, first % self.cols))
    }
}

fn check(bytes: usize, dtype: WeightDtype, rows: usize, cols: usize) -> Result<(), MatrixError> {
    if rows == 0 || cols == 0 {
        return Err(MatrixError::Empty { rows, cols });
    }
    let need = rows.checked_mul(cols).and_then(|n| n.checked_mul(dtype.bytes()));
    if need == Some(bytes) { Ok(()) } else { Err(MatrixError::Size { bytes, rows, cols, dtype }) }
}

/// Index of the first element whose exponent is all ones (infinity or NaN).
fn first_non_finite(bytes: &[u8], dtype: WeightDtype) -> Option<usize> {
    match dtype {
        WeightDtype::F32 => scan::<4>(bytes, u32::from_le_bytes, 0x7f80_0000),
        WeightDtype::F16 => scan::<2>(bytes, |b| u16::from_le_bytes(b).into(), 0x7c00),
        WeightDtype::Bf16 => scan::<2>(bytes, |b| u16::from_le_bytes(b).into(), 0x7f80),
    }
}

/// Chunks are tested as a whole, a loop the compiler turns into vector code; only a bad one is searched.
fn scan<const N: usize>(bytes: &[u8], bits: impl Fn([u8; N]) -> u32, exponent: u32) -> Option<usize> {
    const CHUNK: usize = 1024; // elements
    let bad = |element: &[u8; N]| bits(*element) & exponent == exponent;
    let elements = bytes.as_chunks::<N>().0;
    elements.chunks(CHUNK).enumerate().find_map(|(i, chunk)| {
        let any = chunk.iter().fold(false, |any, element| any | bad(element));
        if any { chunk.iter().position(bad).map(|at| i * CHUNK + at) } else { None }
    })
}
