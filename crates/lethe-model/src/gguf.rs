//! GGUF, the single-file format of llama.cpp: metadata, then tensors, memory-mapped.
//!
//! The header is read once, in place, and believed in nothing: a count is compared with the bytes that are left before
//! anything is sized by it, and every string, list and tensor must lie within the file. Lists stay where they are in
//! the mapping and are read as they are asked for. A model split over several files (`-00001-of-00003.gguf`) is opened
//! by its first one.

mod config;
mod convert;
mod cursor;
mod error;
mod generation;
mod names;
mod tokens;
mod value;
mod vocabulary;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lethe_kernels::MappedFile;

pub use convert::{Conversion, ConvertError, convert};
use cursor::Cursor;
pub use error::GgufError;
pub(crate) use names::gguf_name;
pub use value::Kind;
use value::Value;
pub(crate) use vocabulary::Vocabulary;
pub use writer::GgufWriter;

use crate::ggml::GgmlType;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::weights::{find_tensor, refuse_unused};
use crate::{Config, LoadError};

/// Where a tensor lies. Extents are slowest first, as Hugging Face writes them: a linear layer is `[out][in]`.
#[derive(Debug, Clone)]
pub struct GgufTensor {
    /// Element type.
    pub dtype: GgmlType,
    /// Extents, slowest first.
    pub shape: Vec<usize>,
    /// The file, kept mapped as long as the tensor is known.
    pub file: Arc<MappedFile>,
    /// Where in the file the elements are.
    pub range: Range<usize>,
}

/// An open GGUF model.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: Arc<MappedFile>,
    metadata: BTreeMap<String, Value>,
    tensors: BTreeMap<String, GgufTensor>,
    bytes: u64,
}

impl Gguf {
    /// Maps a file, and the others it is split into, and reads the headers.
    ///
    /// # Errors
    /// [`GgufError`], which names the file, and the key or tensor where one is at fault.
    pub fn open(path: impl AsRef<Path>) -> Result<Gguf, GgufError> {
        let path = path.as_ref();
        let mut first = Gguf::open_one(path).map_err(|source| source.in_file(path))?;
        let count = first.size("split.count").map_err(|source| source.in_file(path))?.unwrap_or(1);
        if count > 1 {
            first.open_rest(path, count)?;
        }
        Ok(first)
    }

    fn open_one(path: &Path) -> Result<Gguf, GgufError> {
        let file = Arc::new(MappedFile::open(path).map_err(GgufError::Open)?);
        let (metadata, tensors) = read(&file)?;
        Ok(Gguf { path: path.to_owned(), bytes: file.len() as u64, file, metadata, tensors })
    }

    /// Adds the tensors of the files after the first.
    fn open_rest(&mut self, path: &Path, count: usize) -> Result<(), GgufError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = self.size("split.no").map_err(|source| source.in_file(path))?.unwrap_or(0);
        let stem = name.strip_suffix(&format!("-00001-of-{count:05}.gguf"));
        let Some(stem) = stem.filter(|_| number == 0 && count <= 99_999) else {
            return Err(GgufError::NotFirstSplit { number: number.saturating_add(1), count }.in_file(path));
        };
        for number in 2..=count {
            let part = path.with_file_name(format!("{stem}-{number:05}-of-{count:05}.gguf"));
            let other = Gguf::open_one(&part).map_err(|source| source.in_file(&part))?;
            let numbered = (other.size("split.no"), other.size("split.count"));
            if !matches!(numbered, (Ok(Some(no)), Ok(Some(of))) if (no, of) == (number - 1, count)) {
                return Err(GgufError::OtherSplit { number, count }.in_file(&part));
            }
            self.bytes += other.bytes;
            for (name, tensor) in other.tensors {
                if self.tensors.insert(name.clone(), tensor).is_some() {
                    return Err(GgufError::Twice { what: "tensor", name }.in_file(&part));
                }
            }
        }
        let expected = self.size("split.tensors.count").map_err(|source| source.in_file(path))?;
        match expected {
            Some(expected) if expected != self.tensors.len() => {
                Err(GgufError::SplitTensors { expected, found: self.tensors.len() }.in_file(path))
            }
            _ => Ok(()),
        }
    }

    /// The file, or the first of them.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All tensors, by name.
    pub fn tensors(&self) -> &BTreeMap<String, GgufTensor> {
        &self.tensors
    }

    /// The keys of the metadata, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.metadata.keys().map(String::as_str)
    }

    /// A value for people: strings shortened, of lists the type, the length and the first few.
    pub fn display(&self, key: &str) -> Option<String> {
        Some(self.metadata.get(key)?.display(&self.file))
    }

    /// A whole number of at least 0.
    ///
    /// # Errors
    /// [`GgufError::WrongType`].
    pub fn size(&self, key: &str) -> Result<Option<usize>, GgufError> {
        self.read(key, "a whole number of at least 0", |value| value.unsigned().and_then(|n| n.try_into().ok()))
    }

    /// A number.
    ///
    /// # Errors
    /// [`GgufError::WrongType`].
    pub fn number(&self, key: &str) -> Result<Option<f64>, GgufError> {
        self.read(key, "a number", Value::number)
    }

    /// A flag.
    ///
    /// # Errors
    /// [`GgufError::WrongType`].
    pub fn flag(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.read(key, "true or false", Value::flag)
    }

    /// A string.
    ///
    /// # Errors
    /// [`GgufError::WrongType`].
    pub fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.read(key, "a string", |value| value.text(&self.file))
    }

    /// A list of strings.
    ///
    /// # Errors
    /// [`GgufError::WrongType`], [`GgufError::NotUtf8`] for an entry that is no text.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, GgufError> {
        let Some(list) = self.read(key, "a list of strings", Value::list_of(Kind::Text))? else { return Ok(None) };
        let mut cursor = Cursor::new(&self.file[list.range]);
        // The reader of the header has seen every entry, so the count is true.
        let mut texts = Vec::with_capacity(list.count);
        for index in 0..list.count {
            let text = cursor.string().map_err(|_| GgufError::NotUtf8 { key: format!("{key}[{index}]") })?;
            texts.push(text);
        }
        Ok(Some(texts))
    }

    /// A list of numbers, read where it lies.
    ///
    /// # Errors
    /// [`GgufError::WrongType`].
    pub fn numbers(&self, key: &str) -> Result<Option<impl ExactSizeIterator<Item = f64> + Clone + '_>, GgufError> {
        let Some(list) = self.read(key, "a list of numbers", Value::list_of_numbers)? else { return Ok(None) };
        let (kind, width) = (list.kind, list.kind.width().unwrap_or(1));
        Ok(Some(self.file[list.range].chunks_exact(width).map(move |bytes| kind.number(bytes))))
    }

    /// Whether there is such a key.
    pub fn has(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(GgufError::WrongType { key: key.to_owned(), expected, found: value.display(&self.file) }),
        }
    }
}

/// The tokenizer of a file, if it holds one; the file need not be a whole model.
///
/// # Errors
/// [`TokenizerError`] with the key at fault.
pub fn tokenizer(gguf: &Gguf) -> Result<Option<Tokenizer>, TokenizerError> {
    Ok(Vocabulary::read(gguf)?.tokenizer)
}

/// Magic, version, counts, metadata, tensor list.
#[allow(clippy::type_complexity)] // the two halves of a header
fn read(file: &Arc<MappedFile>) -> Result<(BTreeMap<String, Value>, BTreeMap<String, GgufTensor>), GgufError> {
    let bytes: &[u8] = file;
    let mut cursor = Cursor::new(bytes);
    let magic = cursor.array::<4>()?;
    if magic != *b"GGUF" {
        return Err(GgufError::Magic(magic));
    }
    let version = cursor.u32()?;
    if (1..=3).contains(&version.swap_bytes()) {
        return Err(GgufError::BigEndian);
    }
    if !(2..=3).contains(&version) {
        return Err(GgufError::Version(version));
    }
    let (n_tensors, n_keys) = (cursor.u64()?, cursor.u64()?);
    // A key takes at least its length, its type and a byte; a tensor its length, extents, type and offset.
    let n_keys = cursor.count("metadata keys", n_keys, 8 + 4 + 1)?;
    let n_tensors = cursor.count("tensors", n_tensors, 8 + 4 + 8 + 4 + 8)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..n_keys {
        let key = cursor.string()?.to_owned();
        let value = Value::read(&mut cursor).map_err(|source| source.at_key(&key))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(GgufError::Twice { what: "key", name: key });
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(value) => match value.unsigned().and_then(|n| usize::try_from(n).ok()) {
            // the format asks for a multiple of 8
            Some(n) if n.is_power_of_two() && (8..=1 << 20).contains(&n) => n,
            _ => return Err(GgufError::Alignment(value.display(file))),
        },
    };
    let mut found = Vec::new(); // grows as entries are really there
    for _ in 0..n_tensors {
        let name = cursor.string()?.to_owned();
        let tensor = Header::read(&mut cursor).map_err(|source| source.at_tensor(&name))?;
        found.push((name, tensor));
    }
    let start = cursor.position().next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    for (name, header) in found {
        let range = header.range(start, alignment, bytes.len()).map_err(|source| source.at_tensor(&name))?;
        let tensor = GgufTensor { dtype: header.dtype, shape: header.shape, file: Arc::clone(file), range };
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(GgufError::Twice { what: "tensor", name });
        }
    }
    Ok((metadata, tensors))
}

/// One entry of the tensor list.
struct Header {
    dtype: GgmlType,
    shape: Vec<usize>,
    offset: u64,
}

impl Header {
    fn read(cursor: &mut Cursor) -> Result<Header, GgufError> {
        let n_dims = cursor.u32()?;
        if n_dims == 0 || n_dims > 4 {
            return Err(GgufError::Dimensions(n_dims));
        }
        let mut shape = Vec::with_capacity(4);
        for _ in 0..n_dims {
            let extent = cursor.u64()?;
            shape.push(usize::try_from(extent).map_err(|_| GgufError::TensorSize)?);
        }
        shape.reverse(); // the file writes the fastest first
        let dtype = cursor.u32()?;
        let dtype = GgmlType::from_id(dtype).ok_or(GgufError::UnknownType(dtype))?;
        Ok(Header { dtype, shape, offset: cursor.u64()? })
    }

    /// The bytes of the tensor in a file of `len` bytes whose data begin at `start`.
    fn range(&self, start: usize, alignment: usize, len: usize) -> Result<Range<usize>, GgufError> {
        let cols = self.shape.last().copied().unwrap_or(0);
        if !cols.is_multiple_of(self.dtype.block()) {
            return Err(GgufError::PartBlock { cols, dtype: self.dtype });
        }
        let elements = self.shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent));
        let size = elements.and_then(|n| (n / self.dtype.block()).checked_mul(self.dtype.block_bytes()));
        let offset = usize::try_from(self.offset).ok();
        let begin = offset.and_then(|offset| start.checked_add(offset));
        let end = begin.zip(size).and_then(|(begin, size)| begin.checked_add(size));
        let (Some(begin), Some(end)) = (begin, end) else { return Err(GgufError::TensorSize) };
        if !self.offset.is_multiple_of(alignment as u64) {
            return Err(GgufError::Misaligned { offset: self.offset, alignment });
        }
        if end > len {
            return Err(GgufError::Truncated { needed: end, found: len });
        }
        Ok(begin..end)
    }
}

/// Checks that a file holds the tensors of a graph, with its shapes, in types that run, and no others: all that can be said
/// without looking at weights.
///
/// # Errors
/// [`LoadError`] names the tensor at fault.
pub fn check_tensors(gguf: &Gguf, config: &Config) -> Result<(), LoadError> {
    let mut used = BTreeSet::new();
    for (name, shape) in config.tensors() {
        let name = gguf_name(&name).unwrap_or(name);
        find_tensor(gguf, &name, &shape)?;
        used.insert(name);
    }
    refuse_unused(gguf, &used)
}
