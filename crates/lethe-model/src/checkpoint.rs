//! Safetensors weights, memory-mapped: one `model.safetensors`, or shards named by `model.safetensors.index.json`.
//!
//! Opening reads headers only. A view is a name, a shape and a byte range of a mapped file: weights are used where
//! they lie and are never copied here.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use lethe_kernels::MappedFile;
use safetensors::tensor::Metadata;

use crate::json::{JsonError, Object, parse_object};

/// Element types the engine reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    Bf16,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// One tensor, where it lies in a mapped file. Row-major, little-endian; the start need not be aligned.
#[derive(Debug, Clone)]
pub struct TensorView {
    /// Element type.
    pub dtype: Dtype,
    /// Extents, slowest first: a linear layer is `[out_features][in_features]`.
    pub shape: Vec<usize>,
    /// The file, kept mapped as long as a view of it lives.
    pub file: Arc<MappedFile>,
    /// Where in the file the elements are: `shape` product times `dtype.size()` bytes.
    pub range: Range<usize>,
}

impl TensorView {
    /// The raw elements.
    pub fn bytes(&self) -> &[u8] {
        &self.file[self.range.clone()]
    }
}

/// The tensors of one model directory.
#[derive(Debug)]
pub struct Checkpoint {
    tensors: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    file: Arc<MappedFile>,
    range: Range<usize>,
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl Checkpoint {
    /// Maps the weights in a model directory and checks every header against its file.
    ///
    /// # Errors
    /// A [`CheckpointError`] that names the file and, where one is at fault, the tensor.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let dir = dir.as_ref();
        let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
        let tensors = if single.exists() {
            read_shard(&single)?
        } else if index.exists() {
            read_indexed(dir, &index)?
        } else {
            return Err(CheckpointError::NoWeights { dir: dir.to_owned() });
        };
        Ok(Self { tensors })
    }

    /// The tensors of a safetensors file that is part of the program.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, CheckpointError> {
        Ok(Self { tensors: read_file(Path::new("(embedded weights)"), MappedFile::embedded(bytes))? })
    }

    /// All tensor names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor of this name.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`] with the nearest names, or [`CheckpointError::UnsupportedDtype`].
    pub fn tensor(&self, name: &str) -> Result<TensorView, CheckpointError> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(CheckpointError::MissingTensor { name: name.to_owned(), nearest: nearest(name, self.names()) });
        };
        let dtype = match entry.dtype {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::Bf16,
            other => return Err(CheckpointError::UnsupportedDtype { name: name.to_owned(), dtype: other.to_string() }),
        };
        let Entry { shape, file, range, .. } = entry;
        Ok(TensorView { dtype, shape: shape.clone(), file: Arc::clone(file), range: range.clone() })
    }

    /// The tensor of this name, which must have this shape.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`], and [`CheckpointError::WrongShape`].
    pub fn tensor_of_shape(&self, name: &str, shape: &[usize]) -> Result<TensorView, CheckpointError> {
        let view = self.tensor(name)?;
        if view.shape != shape {
            let (expected, found) = (shape.to_vec(), view.shape);
            return Err(CheckpointError::WrongShape { name: name.to_owned(), expected, found });
        }
        Ok(view)
    }
}

/// The three names that take the fewest edits to reach `name`.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<&str> = names.collect();
    names.sort_by_cached_key(|other| edit_distance(name, other));
    names.into_iter().take(3).map(str::to_owned).collect()
}

/// The shards of an index, each mapped once; only the tensors the index names.
fn read_indexed(dir: &Path, index: &Path) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let in_index = |source| CheckpointError::Index { path: index.to_owned(), source };
    let bytes = std::fs::read(index).map_err(|source| CheckpointError::Open { path: index.to_owned(), source })?;
    let map = parse_object(&bytes).map_err(in_index)?;
    let Some(weight_map) = Object::new(&map).object("weight_map").map_err(in_index)? else {
        return Err(CheckpointError::NoWeightMap { path: index.to_owned() });
    };

    let mut shards: HashMap<&str, BTreeMap<String, Entry>> = HashMap::new();
    let mut tensors = BTreeMap::new();
    for (name, _) in weight_map.values() {
        let shard = weight_map.text(name).map_err(in_index)?.unwrap_or_default();
        if !shards.contains_key(shard) {
            shards.insert(shard, read_shard(&shard_path(dir, index, shard)?)?);
        }
        let Some(entry) = shards.get_mut(shard).and_then(|shard| shard.remove(name)) else {
            return Err(CheckpointError::NotInShard { name: name.to_owned(), shard: dir.join(shard) });
        };
        tensors.insert(name.to_owned(), entry);
    }
    Ok(tensors)
}

/// A shard is a plain file name: an index must not make us map files elsewhere.
fn shard_path(dir: &Path, index: &Path, shard: &str) -> Result<PathBuf, CheckpointError> {
    let mut components = Path::new(shard).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    if !plain || shard.contains(['/', '\\']) {
        return Err(CheckpointError::ShardOutside { path: index.to_owned(), shard: shard.to_owned() });
    }
    let path = dir.join(shard);
    if !path.exists() {
        return Err(CheckpointError::MissingShard { path });
    }
    Ok(path)
}

/// Maps one file and reads its header.
fn read_shard(path: &Path) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    let file = MappedFile::open(path).map_err(|source| CheckpointError::Open { path: path.to_owned(), source })?;
    read_file(path, file)
}

/// Reads the header of a file: 8 bytes of length, then JSON, then the data without holes.
fn read_file(path: &Path, file: MappedFile) -> Result<BTreeMap<String, Entry>, CheckpointError> {
    // The format allows no larger header.
    const MAX_HEADER: u64 = 100_000_000;

    let bytes: &[u8] = &file;
    let truncated = |needed: usize| CheckpointError::Truncated { path: path.to_owned(), needed, found: bytes.len() };
    let corrupt = |reason: String| CheckpointError::CorruptHeader { path: path.to_owned(), reason };

    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| truncated(8))?;
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(corrupt(format!("it claims {length} bytes, more than the {MAX_HEADER} of the format")));
    }
    let data_start = 8 + length as usize;
    let header = rest.get(..length as usize).ok_or_else(|| truncated(data_start))?;
    let metadata: Metadata = serde_json::from_slice(header).map_err(|error| corrupt(error.to_string()))?;

    let end = data_start
        .checked_add(metadata.data_len())
        .ok_or_else(|| corrupt("its tensors are larger than the address space".to_owned()))?;
    if end > bytes.len() {
        return Err(truncated(end));
    }
    if end < bytes.len() {
        return Err(corrupt(format!("its tensors end at byte {end}, the file at byte {}", bytes.len())));
    }
    let file = Arc::new(file);
    let entry = |info: &safetensors::tensor::TensorInfo| Entry {
        dtype: info.dtype,
        shape: info.shape.clone(),
        file: Arc::clone(&file),
        range: data_start + info.data_offsets.0..data_start + info.data_offsets.1,
    };
    Ok(metadata.tensors().into_iter().map(|(name, info)| (name, entry(info))).collect())
}

/// Levenshtein distance in bytes, in one row of memory.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Why weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Neither weights nor an index.
    #[error("{} has neither model.safetensors nor model.safetensors.index.json", dir.display())]
    NoWeights {
        /// The model directory.
        dir: PathBuf,
    },
    /// A file cannot be opened or mapped.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file ends before its header or its tensors do.
    #[error("{} is truncated: {needed} bytes needed, {found} found (download it again)", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes the header asks for.
        needed: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A header that is no JSON, or whose offsets, shapes and sizes disagree.
    #[error("{} has a corrupt header: {reason}", path.display())]
    CorruptHeader {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the tensor where there is one.
        reason: String,
    },
    /// The index is not what it should be.
    #[error("{}: {source}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        source: JsonError,
    },
    /// The index has no `weight_map`.
    #[error("{} has no `weight_map`", path.display())]
    NoWeightMap {
        /// The index.
        path: PathBuf,
    },
    /// The index names a file that is not in the model directory.
    #[error("{} names the shard {shard:?}: a shard must be a file name in the same directory", path.display())]
    ShardOutside {
        /// The index.
        path: PathBuf,
        /// The path it names.
        shard: String,
    },
    /// A shard is not there.
    #[error("the shard {} is missing (the index names it)", path.display())]
    MissingShard {
        /// The absent file.
        path: PathBuf,
    },
    /// The index names a tensor its shard does not hold.
    #[error("the index puts tensor {name} into {}, which lacks it", shard.display())]
    NotInShard {
        /// The tensor.
        name: String,
        /// The shard.
        shard: PathBuf,
    },
    /// No tensor of this name.
    #[error("tensor {name} is missing; the nearest names are: {}", nearest.join(", "))]
    MissingTensor {
        /// The name asked for.
        name: String,
        /// At most three names that are there.
        nearest: Vec<String>,
    },
    /// Elements of a type the engine does not read.
    #[error("tensor {name} has elements of type {dtype}: supported are F32, F16 and BF16")]
    UnsupportedDtype {
        /// The tensor.
        name: String,
        /// Its type as the format writes it.
        dtype: String,
    },
    /// A tensor has another shape than the config asks for.
    #[error("tensor {name} has shape {found:?}, but the config asks for {expected:?}")]
    WrongShape {
        /// The tensor.
        name: String,
        /// From the config.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },
}
