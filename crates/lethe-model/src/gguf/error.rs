//! What can be wrong with a GGUF file.

use std::path::{Path, PathBuf};

use crate::ggml::GgmlType;

/// Why a GGUF file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The error of one file, with its path.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<GgufError>,
    },
    /// The error at one key of the metadata.
    #[error("metadata key `{key}`: {source}")]
    AtKey {
        /// The key.
        key: String,
        /// What is wrong with it.
        source: Box<GgufError>,
    },
    /// The error of one tensor.
    #[error("tensor {name}: {source}")]
    AtTensor {
        /// The tensor.
        name: String,
        /// What is wrong with it.
        source: Box<GgufError>,
    },
    /// The file cannot be opened or mapped.
    #[error("{0}")]
    Open(std::io::Error),
    /// Another kind of file.
    #[error("not a GGUF file: it begins with {:?} instead of \"GGUF\"", String::from_utf8_lossy(.0))]
    Magic([u8; 4]),
    /// Written for machines with the other byte order.
    #[error("big-endian GGUF files are not supported: convert the model for this machine")]
    BigEndian,
    /// An older or newer layout.
    #[error("GGUF version {0} is not supported: versions 2 and 3 are; convert the model again with a current tool")]
    Version(u32),
    /// The file ends before something that it claims to hold.
    #[error("the file is truncated: {needed} bytes needed, {found} found (download it again)")]
    Truncated {
        /// Bytes asked for.
        needed: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A count that the file cannot hold.
    #[error(
        "the header claims {count} {what}, more than the {left} bytes left could hold: the file is truncated or damaged"
    )]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there should be.
        count: u64,
        /// Bytes after the count.
        left: usize,
    },
    /// A string that is no text.
    #[error("{key} is not UTF-8: the file is damaged")]
    NotUtf8 {
        /// Where.
        key: String,
    },
    /// An unknown type of a metadata value.
    #[error("value type {0} is unknown: the file is damaged, or newer than this program")]
    UnknownKind(u32),
    /// Lists in lists in lists.
    #[error("lists are nested too deeply")]
    TooDeep,
    /// A key or tensor that is there twice.
    #[error("{what} {name} is there twice: the file is damaged")]
    Twice {
        /// Key or tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Not a usable alignment.
    #[error("`general.alignment` is {0}, but should be a power of two from 8 to 1048576")]
    Alignment(String),
    /// No or too many extents.
    #[error("{0} dimensions: a tensor has 1 to 4")]
    Dimensions(u32),
    /// An unknown element type.
    #[error("element type {0} is unknown: the file is damaged, or newer than this program")]
    UnknownType(u32),
    /// A tensor larger than memory could ever be.
    #[error("its extents or its offset are absurdly large: the file is damaged")]
    TensorSize,
    /// A tensor between the marks.
    #[error("offset {offset} is not a multiple of the alignment {alignment}: the file is damaged")]
    Misaligned {
        /// Offset in the data.
        offset: u64,
        /// `general.alignment`.
        alignment: usize,
    },
    /// Rows that end inside a block.
    #[error("rows of {cols} numbers are not whole blocks of {dtype}, which stores {} at a time", dtype.block())]
    PartBlock {
        /// Numbers of a row.
        cols: usize,
        /// Element type.
        dtype: GgmlType,
    },
    /// A value of another type.
    #[error("metadata key `{key}` should be {expected}, found {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A later file of a split model.
    #[error("this is file {number} of {count}: give the first one, named ...-00001-of-{count:05}.gguf")]
    NotFirstSplit {
        /// Which file it is.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// A file of another model where one of this was expected.
    #[error("its metadata does not say that it is file {number} of {count}: it belongs to another model")]
    OtherSplit {
        /// Which file it should be.
        number: usize,
        /// Of how many.
        count: usize,
    },
    /// A split model that is not complete.
    #[error("the split files hold {found} tensors together, the first one promises {expected}: one of them is wrong")]
    SplitTensors {
        /// Promised.
        expected: usize,
        /// Found.
        found: usize,
    },
}

impl GgufError {
    pub(crate) fn in_file(self, path: &Path) -> GgufError {
        GgufError::InFile { path: path.to_owned(), source: Box::new(self) }
    }

    pub(super) fn at_key(self, key: &str) -> GgufError {
        GgufError::AtKey { key: key.to_owned(), source: Box::new(self) }
    }

    pub(super) fn at_tensor(self, name: &str) -> GgufError {
        GgufError::AtTensor { name: name.to_owned(), source: Box::new(self) }
    }
}
