//! Weights from their files into the graph, by the names of Hugging Face.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lethe_kernels::{Matrix, WeightDtype};

use crate::backend::{Backend, Heads};
use crate::ggml::{GgmlType, Use, to_f16};
use crate::gguf::{Gguf, GgufTensor, gguf_name};
use crate::graph::{Dims, Layer, Linear, Weights};
use crate::{Checkpoint, CheckpointError, Config, Dtype, LoadError};

/// Where the tensors are.
pub(crate) enum Source<'a> {
    Safetensors(&'a Checkpoint),
    Gguf(&'a Gguf),
}

/// Brings tensors into the graph. Every value is checked once.
pub(crate) struct Loader<'a, B> {
    source: &'a Source<'a>,
    backend: &'a B,
    bytes: u64,
    mapped_bytes: u64,
    used: BTreeSet<String>,
    /// Tensors converted, by their type.
    converted: RefCell<BTreeMap<GgmlType, usize>>,
}

impl<'a, B: Backend> Loader<'a, B> {
    pub(crate) fn new(source: &'a Source<'a>, backend: &'a B) -> Self {
        Loader { source, backend, bytes: 0, mapped_bytes: 0, used: BTreeSet::new(), converted: RefCell::default() }
    }

    /// Bytes of the tensors brought so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of those that are still read from their file.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.mapped_bytes
    }

    /// What the user should know, once all weights are there.
    ///
    /// # Errors
    /// [`LoadError::UnusedTensors`].
    pub(crate) fn notices(self) -> Result<Vec<String>, LoadError> {
        if let Source::Gguf(gguf) = self.source {
            refuse_unused(gguf, &self.used)?;
        }
        let line = |(dtype, count)| {
            format!("{count} tensors of type {dtype} were converted to f16: they take more memory than the file does")
        };
        Ok(self.converted.into_inner().into_iter().map(line).collect())
    }

    pub(crate) fn weights(&mut self, c: &Config) -> Result<Weights<B>, LoadError> {
        let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
        let b = self.backend;
        let embed = self.weight("model.embed_tokens.weight", c.vocab_size, c.hidden_size)?;
        // A checkpoint of a tied model may still carry the copy: the config decides.
        let head = if c.tie_word_embeddings {
            None
        } else {
            Some(self.weight("lm_head.weight", c.vocab_size, c.hidden_size)?)
        };
        let mut layers = Vec::with_capacity(c.n_layers);
        for l in 0..c.n_layers {
            let at = |name: &str| format!("model.layers.{l}.{name}");
            let attn = |name: &str| at(&format!("self_attn.{name}"));
            let mlp = |name: &str| at(&format!("mlp.{name}"));
            let qk_norm = if c.qk_norm {
                let q = self.vector(&attn("q_norm.weight"), c.head_dim)?;
                Some((b.vector(q), b.vector(self.vector(&attn("k_norm.weight"), c.head_dim)?)))
            } else {
                None
            };
            layers.push(Layer {
                attn_norm: b.vector(self.vector(&at("input_layernorm.weight"), c.hidden_size)?),
                q: self.linear(&attn("q_proj"), q, c.hidden_size, c.qkv_bias)?,
                k: self.linear(&attn("k_proj"), kv, c.hidden_size, c.qkv_bias)?,
                v: self.linear(&attn("v_proj"), kv, c.hidden_size, c.qkv_bias)?,
                o: self.linear(&attn("o_proj"), c.hidden_size, q, c.o_bias)?,
                qk_norm,
                mlp_norm: b.vector(self.vector(&at("post_attention_layernorm.weight"), c.hidden_size)?),
                gate: self.linear(&mlp("gate_proj"), c.intermediate_size, c.hidden_size, false)?,
                up: self.linear(&mlp("up_proj"), c.intermediate_size, c.hidden_size, false)?,
                down: self.linear(&mlp("down_proj"), c.hidden_size, c.intermediate_size, false)?,
            });
        }
        Ok(Weights {
            dims: Dims {
                hidden: c.hidden_size,
                intermediate: c.intermediate_size,
                heads: Heads { queries: c.n_heads, kv: c.n_kv_heads, dim: c.head_dim },
                vocab: c.vocab_size,
                eps: c.rms_norm_eps,
            },
            embed,
            layers,
            norm: b.vector(self.vector("model.norm.weight", c.hidden_size)?),
            head,
            rope: c.rope.frequencies(c.head_dim)?,
        })
    }

    fn linear(&mut self, name: &str, rows: usize, cols: usize, bias: bool) -> Result<Linear<B>, LoadError> {
        let weight = self.weight(&format!("{name}.weight"), rows, cols)?;
        let bias = if bias { Some(self.backend.vector(self.vector(&format!("{name}.bias"), rows)?)) } else { None };
        Ok(Linear { weight, bias })
    }

    fn weight(&mut self, name: &str, rows: usize, cols: usize) -> Result<B::Weight, LoadError> {
        let weight = self.backend.weight(self.checked(name, &[rows, cols])?);
        self.mapped_bytes += self.backend.mapped_bytes(&weight);
        Ok(weight)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let mut values = vec![0.0; len];
        self.checked(name, &[len])?.read_row(0, &mut values);
        Ok(values)
    }

    /// The tensor of this shape as a matrix; a vector is a row.
    fn checked(&mut self, name: &str, shape: &[usize]) -> Result<Matrix, LoadError> {
        let (name, matrix) = match self.source {
            Source::Safetensors(checkpoint) => (name.to_owned(), from_checkpoint(checkpoint, name, shape)?),
            Source::Gguf(gguf) => {
                let name = gguf_name(name).unwrap_or_else(|| name.to_owned());
                let matrix = self.in_gguf(gguf, &name, shape)?;
                self.used.insert(name.clone());
                (name, matrix)
            }
        };
        if let Some((row, col)) = matrix.first_non_finite(self.backend.host()) {
            return Err(LoadError::NonFinite { name, row, col });
        }
        self.bytes += (matrix.rows() * matrix.row_bytes()) as u64;
        Ok(matrix)
    }

    fn in_gguf(&self, gguf: &Gguf, name: &str, shape: &[usize]) -> Result<Matrix, LoadError> {
        let tensor = find_tensor(gguf, name, shape)?;
        let (rows, cols) = extents(shape);
        let matrix = match tensor.dtype.usage() {
            Use::Direct(dtype) => Matrix::mapped(&tensor.file, tensor.range.clone(), dtype, rows, cols),
            _ => {
                *self.converted.borrow_mut().entry(tensor.dtype).or_default() += 1;
                let bytes = to_f16(tensor.dtype, &tensor.file[tensor.range.clone()], rows, cols)
                    .map_err(|error| LoadError::Convert { name: name.to_owned(), reason: error.to_string() })?;
                Matrix::owned(bytes, WeightDtype::F16, rows, cols)
            }
        };
        matrix.map_err(|source| LoadError::Matrix { name: name.to_owned(), source })
    }
}

/// The tensor of this name and shape, in a type that runs.
pub(crate) fn find_tensor<'a>(gguf: &'a Gguf, name: &str, shape: &[usize]) -> Result<&'a GgufTensor, LoadError> {
    let tensors = gguf.tensors();
    let Some(tensor) = tensors.get(name) else {
        let nearest = crate::checkpoint::nearest(name, tensors.keys().map(String::as_str));
        return Err(CheckpointError::MissingTensor { name: name.to_owned(), nearest }.into());
    };
    if tensor.shape != shape {
        let (expected, found) = (shape.to_vec(), tensor.shape.clone());
        return Err(CheckpointError::WrongShape { name: name.to_owned(), expected, found }.into());
    }
    if tensor.dtype.usage() == Use::Unsupported {
        let (name, dtype, runnable) = (name.to_owned(), tensor.dtype, GgmlType::runnable());
        return Err(LoadError::UnsupportedType { name, dtype, runnable });
    }
    Ok(tensor)
}

/// A GGUF file must hold no tensors beside those used: its metadata does not say what one that the graph leaves out would
/// have done.
pub(crate) fn refuse_unused(gguf: &Gguf, used: &BTreeSet<String>) -> Result<(), LoadError> {
    let read_elsewhere = |name: &str| name == "rope_freqs.weight";
    let mut unused = gguf.tensors().keys().filter(|name| !used.contains(*name) && !read_elsewhere(name));
    match unused.next() {
        Some(first) => Err(LoadError::UnusedTensors { count: 1 + unused.count(), first: first.clone() }),
        None => Ok(()),
    }
}

/// The tensor of this shape as a matrix; a vector is one row.
pub(crate) fn from_checkpoint(checkpoint: &Checkpoint, name: &str, shape: &[usize]) -> Result<Matrix, LoadError> {
    let view = checkpoint.tensor_of_shape(name, shape)?;
    let dtype = match view.dtype {
        Dtype::F32 => WeightDtype::F32,
        Dtype::F16 => WeightDtype::F16,
        Dtype::Bf16 => WeightDtype::Bf16,
    };
    let (rows, cols) = extents(shape);
    let matrix = Matrix::mapped(&view.file, view.range.clone(), dtype, rows, cols);
    matrix.map_err(|source| LoadError::Matrix { name: name.to_owned(), source })
}

/// Rows and columns; a vector is one row.
fn extents(shape: &[usize]) -> (usize, usize) {
    match shape {
        [rows, cols] => (*rows, *cols),
        _ => (1, shape.iter().product()),
    }
}
