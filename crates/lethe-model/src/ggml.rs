//! The element types of ggml: their names and sizes, and which of them run.

use std::fmt;

use candle_core::quantized::{GgmlDType, QTensor, ggml_file::qtensor_from_ggml};
use lethe_kernels::WeightDtype;

/// An element type as GGUF numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GgmlType(u32);

/// What the engine does with a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Multiplied where it lies.
    Direct(WeightDtype),
    /// Converted to f16 when the model is loaded.
    Converted,
    /// Not at all.
    Unsupported,
}

/// Number, name, elements and bytes of a block.
const TYPES: [(u32, &str, usize, usize); 33] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (9, "Q8_1", 32, 36),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (15, "Q8_K", 256, 292),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
];

impl GgmlType {
    /// f32.
    pub const F32: GgmlType = GgmlType(0);
    /// f16.
    pub const F16: GgmlType = GgmlType(1);
    /// Four bits around zero, blocks of 32.
    pub const Q4_0: GgmlType = GgmlType(2);
    /// Eight bits, blocks of 32.
    pub const Q8_0: GgmlType = GgmlType(8);

    /// The type of this number, if there is one.
    pub fn from_id(id: u32) -> Option<GgmlType> {
        TYPES.iter().any(|entry| entry.0 == id).then_some(GgmlType(id))
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<GgmlType> {
        TYPES.iter().find(|entry| entry.1.eq_ignore_ascii_case(name)).map(|entry| GgmlType(entry.0))
    }

    /// Its number in files.
    pub fn id(self) -> u32 {
        self.0
    }

    /// Its name, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// Elements stored together.
    pub fn block(self) -> usize {
        self.entry().2
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.entry().3
    }

    fn entry(self) -> &'static (u32, &'static str, usize, usize) {
        TYPES.iter().find(|entry| entry.0 == self.0).expect("only numbers of the table are made")
    }

    /// What the engine does with it.
    pub fn usage(self) -> Use {
        match self.name() {
            "F32" => Use::Direct(WeightDtype::F32),
            "F16" => Use::Direct(WeightDtype::F16),
            "BF16" => Use::Direct(WeightDtype::Bf16),
            "Q8_0" => Use::Direct(WeightDtype::Q8_0),
            "Q4_0" => Use::Direct(WeightDtype::Q4_0),
            "Q4_1" => Use::Direct(WeightDtype::Q4_1),
            "Q4_K" => Use::Direct(WeightDtype::Q4K),
            "Q6_K" => Use::Direct(WeightDtype::Q6K),
            _ if self.candle().is_some() => Use::Converted,
            _ => Use::Unsupported,
        }
    }

    /// The type for candle, of those that weights are stored in.
    pub(crate) fn candle(self) -> Option<GgmlDType> {
        Some(match self.name() {
            "F16" => GgmlDType::F16,
            "Q4_0" => GgmlDType::Q4_0,
            "Q5_0" => GgmlDType::Q5_0,
            "Q5_1" => GgmlDType::Q5_1,
            "Q8_0" => GgmlDType::Q8_0,
            "Q2_K" => GgmlDType::Q2K,
            "Q3_K" => GgmlDType::Q3K,
            "Q5_K" => GgmlDType::Q5K,
            _ => return None,
        })
    }

    /// Names of the types that run, for messages.
    pub(crate) fn runnable() -> String {
        let names = TYPES.iter().filter(|entry| GgmlType(entry.0).usage() != Use::Unsupported).map(|entry| entry.1);
        names.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The f16 numbers (little-endian) of a row-major `[rows][cols]` tensor of a type that has to be converted.
///
/// # Errors
/// What candle says, which for whole blocks of a type it knows is nothing.
pub(crate) fn to_f16(dtype: GgmlType, bytes: &[u8], rows: usize, cols: usize) -> Result<Vec<u8>, candle_core::Error> {
    let device = candle_core::Device::Cpu;
    let Some(candle) = dtype.candle() else { candle_core::bail!("{dtype} is not known to candle") };
    let row_bytes = cols / dtype.block() * dtype.block_bytes();
    let mut converted = Vec::with_capacity(rows * cols * 2);
    // Some rows at a time: the f32 numbers in between stay small.
    let step = ((1 << 20) / cols).max(1);
    for start in (0..rows).step_by(step) {
        let n = step.min(rows - start);
        let part = &bytes[start * row_bytes..(start + n) * row_bytes];
        let tensor: QTensor = qtensor_from_ggml(candle, part, vec![n, cols], &device)?;
        let numbers = tensor.dequantize(&device)?.flatten_all()?.to_vec1::<f32>()?;
        converted.extend(numbers.into_iter().flat_map(|x| half::f16::from_f32(x).to_le_bytes()));
    }
    Ok(converted)
}
