//! Weights where they lie: in a mapped file, or owned.

use crate::error::MatrixError;
use crate::linear::packed;
use crate::{Cpu, MappedFile, block};
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
    /// Blocks of 32: a scale and 8 bits each.
    Q8_0,
    /// Blocks of 32: a scale and 4 bits each, around zero.
    Q4_0,
    /// Blocks of 32: a scale, a minimum and 4 bits each.
    Q4_1,
    /// Blocks of 256: a scale and a minimum for every 32, six bits each, and 4 bits a number.
    Q4K,
    /// Blocks of 256: a scale for every 16, eight bits each, and 6 bits a number.
    Q6K,
}

impl WeightDtype {
    /// Every type.
    pub const ALL: [WeightDtype; 8] = [
        WeightDtype::F32,
        WeightDtype::F16,
        WeightDtype::Bf16,
        WeightDtype::Q8_0,
        WeightDtype::Q4_0,
        WeightDtype::Q4_1,
        WeightDtype::Q4K,
        WeightDtype::Q6K,
    ];

    /// Numbers that are stored together; columns come in whole blocks.
    pub fn block(self) -> usize {
        match self {
            WeightDtype::F32 | WeightDtype::F16 | WeightDtype::Bf16 => 1,
            WeightDtype::Q8_0 | WeightDtype::Q4_0 | WeightDtype::Q4_1 => 32,
            WeightDtype::Q4K | WeightDtype::Q6K => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            WeightDtype::F32 => 4,
            WeightDtype::F16 | WeightDtype::Bf16 => 2,
            WeightDtype::Q8_0 => 34,
            WeightDtype::Q4_0 => 18,
            WeightDtype::Q4_1 => 20,
            WeightDtype::Q4K => 144,
            WeightDtype::Q6K => 210,
        }
    }

    /// Writes the numbers of one block.
    #[inline]
    fn read(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            WeightDtype::F32 => values[0] = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            WeightDtype::F16 => values[0] = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
            WeightDtype::Bf16 => values[0] = bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
            _ => block::decode(self, bytes, values),
        }
    }
}

impl fmt::Display for WeightDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WeightDtype::F32 => "f32",
            WeightDtype::F16 => "f16",
            WeightDtype::Bf16 => "bf16",
            WeightDtype::Q8_0 => "q8_0",
            WeightDtype::Q4_0 => "q4_0",
            WeightDtype::Q4_1 => "q4_1",
            WeightDtype::Q4K => "q4_K",
            WeightDtype::Q6K => "q6_K",
        })
    }
}

#[derive(Clone)]
enum Bytes {
    Mapped(Arc<MappedFile>, Range<usize>),
    Owned(Arc<Vec<u8>>),
}

/// A row-major weight matrix `[rows = out][cols = in]`, little-endian, at any alignment. Cloning shares the bytes.
#[derive(Clone)]
pub struct Matrix {
    bytes: Bytes, // [rows][cols], or groups of sixteen rows
    packed: bool,
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
        Ok(Matrix { bytes: Bytes::Mapped(Arc::clone(file), range), packed: false, dtype, rows, cols })
    }

    /// The matrix in `bytes`, owned.
    ///
    /// # Errors
    /// A byte count other than `rows * cols` elements, an empty shape.
    pub fn owned(bytes: Vec<u8>, dtype: WeightDtype, rows: usize, cols: usize) -> Result<Matrix, MatrixError> {
        check(bytes.len(), dtype, rows, cols)?;
        Ok(Matrix { bytes: Bytes::Owned(Arc::new(bytes)), packed: false, dtype, rows, cols })
    }

    /// An f32 matrix from `values` (`[rows][cols]`).
    ///
    /// # Errors
    /// A count other than `rows * cols`, an empty shape.
    pub fn from_f32(values: &[f32], rows: usize, cols: usize) -> Result<Matrix, MatrixError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Matrix::owned(bytes, WeightDtype::F32, rows, cols)
    }

    /// The same weights laid out for fast products with activations in eight bits, which they are from now on multiplied
    /// with; types that have no such layout stay as they are. The bytes of a mapped file are given back to the system.
    #[must_use]
    pub fn packed(self, cpu: &Cpu) -> Matrix {
        if self.packed || !packed::packs(self.dtype) {
            return self;
        }
        let bytes = packed::pack(cpu, self.bytes(), self.dtype, self.rows, self.cols);
        if let Bytes::Mapped(file, range) = &self.bytes {
            file.release(range.clone());
        }
        Matrix { bytes: Bytes::Owned(Arc::new(bytes)), packed: true, ..self }
    }

    /// Whether products take activations in eight bits.
    pub fn is_packed(&self) -> bool {
        self.packed
    }

    /// Bytes of a mapped file that it is read from; 0 if it has memory of its own.
    pub fn mapped_bytes(&self) -> usize {
        match &self.bytes {
            Bytes::Mapped(_, range) => range.len(),
            Bytes::Owned(_) => 0,
        }
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

    /// All elements as they lie in memory, little-endian.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(file, range) => &file[range.clone()],
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// Bytes of one row as a file has it.
    pub fn row_bytes(&self) -> usize {
        self.cols / self.dtype.block() * self.dtype.block_bytes()
    }

    /// Row `i` as f32 into `row` (`[cols]`).
    ///
    /// # Panics
    /// If there is no row `i` or `row` has another length.
    pub fn read_row(&self, i: usize, row: &mut [f32]) {
        assert!(i < self.rows && row.len() == self.cols, "row {i} into {} of {self:?}", row.len());
        if self.packed {
            let bytes = packed::group_bytes(self.dtype, self.cols);
            let group = &self.bytes()[i / packed::GROUP * bytes..(i / packed::GROUP + 1) * bytes];
            return packed::read_row(self.dtype, group, i % packed::GROUP, row);
        }
        let bytes = &self.bytes()[i * self.row_bytes()..(i + 1) * self.row_bytes()];
        let blocks = bytes.chunks_exact(self.dtype.block_bytes());
        for (values, bytes) in row.chunks_exact_mut(self.dtype.block()).zip(blocks) {
            self.dtype.read(bytes, values);
        }
    }

    /// First `(row, col)` that is not a finite number; of a block with such a scale, its first column. Reads every
    /// cache line, on all threads: a check for load time.
    ///
    /// # Panics
    /// If the matrix is packed.
    pub fn first_non_finite(&self, cpu: &Cpu) -> Option<(usize, usize)> {
        assert!(!self.packed, "weights are checked before they are packed");
        let first = AtomicUsize::new(usize::MAX);
        let (blocks, row_bytes) = (self.cols / self.dtype.block(), self.row_bytes());
        cpu.split(self.rows, (1 << 16) / row_bytes + 1, |rows| {
            let bytes = &self.bytes()[rows.start * row_bytes..rows.end * row_bytes];
            if let Some(at) = first_non_finite(bytes, self.dtype) {
                first.fetch_min(rows.start * blocks + at, Ordering::Relaxed);
            }
        });
        let first = first.into_inner();
        (first != usize::MAX).then(|| (first / blocks, first % blocks * self.dtype.block()))
    }
}

fn check(bytes: usize, dtype: WeightDtype, rows: usize, cols: usize) -> Result<(), MatrixError> {
    if rows == 0 || cols == 0 {
        return Err(MatrixError::Empty { rows, cols });
    }
    if !cols.is_multiple_of(dtype.block()) {
        return Err(MatrixError::PartBlock { cols, dtype });
    }
    let need = rows.checked_mul(cols / dtype.block()).and_then(|n| n.checked_mul(dtype.block_bytes()));
    if need == Some(bytes) { Ok(()) } else { Err(MatrixError::Size { bytes, rows, cols, dtype }) }
}

/// Index of the first block with a number or scale whose exponent is all ones (infinity or NaN).
fn first_non_finite(bytes: &[u8], dtype: WeightDtype) -> Option<usize> {
    match dtype {
        WeightDtype::F32 => scan::<4>(bytes, u32::from_le_bytes, 0x7f80_0000),
        WeightDtype::F16 => scan::<2>(bytes, |b| u16::from_le_bytes(b).into(), 0x7c00),
        WeightDtype::Bf16 => scan::<2>(bytes, |b| u16::from_le_bytes(b).into(), 0x7f80),
        _ => {
            let bad = |block: &[u8], at: &usize| block[at + 1] & 0x7c == 0x7c;
            let scales = block::scale_offsets(dtype);
            bytes.chunks_exact(dtype.block_bytes()).position(|block| scales.iter().any(|at| bad(block, at)))
        }
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
