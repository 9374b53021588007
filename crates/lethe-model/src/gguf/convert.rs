//! A Hugging Face folder as one GGUF file, the layout that llama.cpp's own converter gives it.

use std::io::{self, Write};
use std::path::Path;

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use lethe_kernels::{Matrix, RopeError, WeightDtype};

use super::tokens::write_vocabulary;
use super::{GgufWriter, gguf_name};
use crate::ggml::{GgmlType, Use};
use crate::weights::from_checkpoint;
use crate::{
    Architecture, Checkpoint, CheckpointError, Config, ConfigError, GenerationConfig, LoadError, RopeScaling,
    TokenizerConfig, TokenizerConfigError, TokenizerError,
};

/// What was written.
#[derive(Debug, Default)]
pub struct Conversion {
    /// Tensors of each type.
    pub tensors: Vec<(GgmlType, usize)>,
    /// What the user should know, a line each.
    pub notices: Vec<String>,
}

/// Why a folder could not be written as GGUF.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// `config.json` or `generation_config.json`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A weight that cannot be used as a matrix.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// `tokenizer.json`.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// `tokenizer_config.json`.
    #[error(transparent)]
    TokenizerConfig(#[from] TokenizerConfigError),
    /// RoPE parameters that cannot be used.
    #[error("rotary embedding: {0}")]
    Rope(#[from] RopeError),
    /// An option of the model that GGUF has no key for.
    #[error("{0} cannot be written to GGUF: no key of the format says it")]
    NoKey(&'static str),
    /// A type that nothing is converted to.
    #[error("{0} is no type to convert to: q8_0, q4_0 and f16 are")]
    Type(String),
    /// A number that the type cannot hold.
    #[error("tensor {name} holds {value}, which f16 cannot: choose q8_0")]
    TooLarge {
        /// The tensor.
        name: String,
        /// The number.
        value: f32,
    },
    /// Writing failed.
    #[error("writing: {0}")]
    Write(#[from] io::Error),
}

/// A tensor on its way.
struct Planned {
    name: String,
    matrix: Matrix,
    dtype: GgmlType,
    /// Heads whose halves are interleaved (Q and K of the Llama architecture).
    interleave: Option<usize>,
}

/// Writes the model in `dir` to `out`, matrices as `dtype` (`Q8_0`, `Q4_0` or `F16`), the rest as f32. `progress` hears how
/// many tensors are done, and of how many.
///
/// With `Q4_0` the output projection, or the embedding that stands for it, is kept at eight bits. Matrices whose rows are
/// no whole blocks become f16.
///
/// # Errors
/// [`ConvertError`] names the file, key or tensor at fault.
pub fn convert(
    dir: &Path,
    dtype: GgmlType,
    out: impl Write,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Conversion, ConvertError> {
    if ![GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::F16].contains(&dtype) {
        return Err(ConvertError::Type(dtype.to_string()));
    }
    let config = Config::from_dir(dir)?;
    let checkpoint = Checkpoint::open(dir)?;
    let mut done = Conversion::default();
    let mut writer = GgufWriter::default();
    let name = dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_string_lossy().into_owned()));
    write_config(&mut writer, &config, name.as_deref().unwrap_or("model"))?;
    let generation = GenerationConfig::from_dir(dir)?;
    write_sampling(&mut writer, &generation);
    let named = TokenizerConfig::from_dir(dir)?;
    done.notices.extend(write_vocabulary(&mut writer, dir, &config, &generation, &named)?);
    if config.arch == Architecture::Qwen3 && config.qkv_bias {
        done.notices.push("biases in a qwen3 model: llama.cpp may refuse the file, Lethe reads it".to_owned());
    }
    let mut planned = plan(&checkpoint, &config, dtype)?;
    if let RopeScaling::Llama3 { .. } = config.rope.scaling {
        planned.push(frequencies(&config)?);
    }
    for tensor in &planned {
        let (rows, cols) = (tensor.matrix.rows(), tensor.matrix.cols());
        let vector = tensor.dtype == GgmlType::F32;
        let shape = [rows, cols];
        writer.tensor(&tensor.name, tensor.dtype, if vector { &shape[1..] } else { &shape });
        match done.tensors.iter_mut().find(|(dtype, _)| *dtype == tensor.dtype) {
            Some((_, count)) => *count += 1,
            None => done.tensors.push((tensor.dtype, 1)),
        }
        if !vector && tensor.dtype == GgmlType::F16 && dtype != GgmlType::F16 {
            done.notices.push(format!("{} stays f16: its rows of {cols} are no whole blocks of {dtype}", tensor.name));
        }
    }
    let mut failed = None;
    let total = planned.len();
    let written = writer.write(out, |index, out| {
        progress(index, total);
        planned[index].write(out).map_err(|error| match error {
            ConvertError::Write(error) => error,
            other => {
                failed = Some(other);
                io::Error::other("the tensor cannot be converted")
            }
        })
    });
    match (failed, written) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(error.into()),
        (None, Ok(())) => {
            progress(total, total);
            Ok(done)
        }
    }
}

fn write_config(w: &mut GgufWriter, c: &Config, name: &str) -> Result<(), ConvertError> {
    let arch = match c.arch {
        Architecture::Llama | Architecture::Mistral => "llama",
        Architecture::Qwen2 => "qwen2",
        Architecture::Qwen3 => "qwen3",
    };
    w.text("general.architecture", arch);
    w.text("general.type", "model");
    w.text("general.name", name);
    w.size("general.quantization_version", 2);
    let key = |key: &str| format!("{arch}.{key}");
    for (suffix, value) in [
        ("block_count", c.n_layers),
        ("context_length", c.max_positions),
        ("embedding_length", c.hidden_size),
        ("feed_forward_length", c.intermediate_size),
        ("attention.head_count", c.n_heads),
        ("attention.head_count_kv", c.n_kv_heads),
        ("attention.key_length", c.head_dim),
        ("attention.value_length", c.head_dim),
        ("rope.dimension_count", c.head_dim),
        ("vocab_size", c.vocab_size),
    ] {
        w.size(&key(suffix), value);
    }
    w.number(&key("attention.layer_norm_rms_epsilon"), c.rms_norm_eps);
    w.number(&key("rope.freq_base"), c.rope.theta as f32);
    match &c.rope.scaling {
        RopeScaling::Default | RopeScaling::Llama3 { .. } => {}
        RopeScaling::Divisors(_) => return Err(ConvertError::NoKey("a list of frequency divisors")),
        RopeScaling::Linear { factor } => {
            w.text(&key("rope.scaling.type"), "linear");
            w.number(&key("rope.scaling.factor"), *factor as f32);
        }
        RopeScaling::Yarn { factor, original_max_position, beta_fast, beta_slow, truncate, .. } => {
            if !truncate {
                return Err(ConvertError::NoKey("YaRN without rounding its ramp (`truncate`: false)"));
            }
            w.text(&key("rope.scaling.type"), "yarn");
            w.number(&key("rope.scaling.factor"), *factor as f32);
            w.size(&key("rope.scaling.original_context_length"), *original_max_position);
            w.number(&key("rope.scaling.yarn_beta_fast"), *beta_fast as f32);
            w.number(&key("rope.scaling.yarn_beta_slow"), *beta_slow as f32);
            // llama.cpp multiplies what is written with the published factor.
            let own = if *factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 };
            let rest = f64::from(c.rope.frequencies(c.head_dim)?.attention_factor()) / own;
            if (rest - 1.0).abs() > 1e-6 {
                w.number(&key("rope.scaling.attn_factor"), rest as f32);
            }
        }
    }
    Ok(())
}

fn write_sampling(w: &mut GgufWriter, g: &GenerationConfig) {
    if !g.do_sample {
        return;
    }
    w.number("general.sampling.temp", g.temperature);
    w.number("general.sampling.top_p", g.top_p);
    w.size("general.sampling.top_k", g.top_k);
    w.number("general.sampling.min_p", g.min_p);
    w.number("general.sampling.penalty_repeat", g.repetition_penalty);
}

/// The tensors of the graph with the types they get.
fn plan(checkpoint: &Checkpoint, c: &Config, dtype: GgmlType) -> Result<Vec<Planned>, ConvertError> {
    let llama = matches!(c.arch, Architecture::Llama | Architecture::Mistral);
    c.tensors()
        .into_iter()
        .map(|(name, shape)| {
            let matrix = from_checkpoint(checkpoint, &name, &shape)?;
            let heads = match name.as_str() {
                _ if !llama => None,
                name if name.contains("self_attn.q_proj") => Some(c.n_heads),
                name if name.contains("self_attn.k_proj") => Some(c.n_kv_heads),
                _ => None,
            };
            let output = name == "lm_head.weight" || (c.tie_word_embeddings && name == "model.embed_tokens.weight");
            let wanted = if dtype == GgmlType::Q4_0 && output { GgmlType::Q8_0 } else { dtype };
            let dtype = match shape.len() {
                1 => GgmlType::F32,
                _ if matrix.cols().is_multiple_of(wanted.block()) => wanted,
                _ => GgmlType::F16,
            };
            Ok(Planned { name: gguf_name(&name).unwrap_or(name), matrix, dtype, interleave: heads })
        })
        .collect()
}

/// `rope_freqs.weight`: what each plain frequency is divided by.
fn frequencies(c: &Config) -> Result<Planned, ConvertError> {
    let plain = lethe_kernels::Rope::new(c.head_dim, c.rope.theta, &RopeScaling::Default)?;
    let stretched = c.rope.frequencies(c.head_dim)?;
    let divisors: Vec<f32> = plain.inv_freq().iter().zip(stretched.inv_freq()).map(|(p, s)| p / s).collect();
    let name = "rope_freqs.weight".to_owned();
    let matrix = Matrix::from_f32(&divisors, 1, divisors.len())
        .map_err(|source| LoadError::Matrix { name: name.clone(), source })?;
    Ok(Planned { name, matrix, dtype: GgmlType::F32, interleave: None })
}

impl Planned {
    fn write(&self, out: &mut dyn Write) -> Result<(), ConvertError> {
        let (rows, cols) = (self.matrix.rows(), self.matrix.cols());
        if rows == 1 {
            let mut values = vec![0.0; cols];
            self.matrix.read_row(0, &mut values);
            let order: Vec<f32> = (0..cols).map(|i| values[self.source(i, cols)]).collect();
            return self.encode(&order, 0, cols, out);
        }
        // A few rows at a time: the f32 numbers in between stay small.
        let step = ((1 << 20) / cols).max(1);
        let mut values = Vec::new();
        for start in (0..rows).step_by(step) {
            let n = step.min(rows - start);
            values.resize(n * cols, 0.0);
            for (row, values) in (start..).zip(values.chunks_exact_mut(cols)) {
                self.matrix.read_row(self.source(row, rows), values);
            }
            self.encode(&values, start, cols, out)?;
        }
        Ok(())
    }

    /// Which row of `rows` comes at `row`: pairs of a head side by side instead of half a head apart.
    fn source(&self, row: usize, rows: usize) -> usize {
        let Some(heads) = self.interleave else { return row };
        let dim = rows / heads;
        let (head, j) = (row / dim, row % dim);
        head * dim + j % 2 * (dim / 2) + j / 2
    }

    /// Writes some whole rows, the first of them `row`.
    fn encode(&self, values: &[f32], row: usize, cols: usize, out: &mut dyn Write) -> Result<(), ConvertError> {
        // A quantiser would make a number of it.
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(LoadError::NonFinite { name: self.name.clone(), row: row + at / cols, col: at % cols }.into());
        }
        let rows = values.len() / cols;
        let bytes: Vec<u8> = match self.dtype.usage() {
            Use::Direct(WeightDtype::F32) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Use::Direct(WeightDtype::F16) => {
                if let Some(&value) = values.iter().find(|x| !half::f16::from_f32(**x).is_finite()) {
                    return Err(ConvertError::TooLarge { name: self.name.clone(), value });
                }
                values.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect()
            }
            _ => {
                let quantised = || {
                    let candle = self.dtype.candle().expect("only types that candle quantises to are planned");
                    let tensor = Tensor::from_slice(values, (rows, cols), &Device::Cpu)?;
                    QTensor::quantize(&tensor, candle)?.data().map(|bytes| bytes.into_owned())
                };
                quantised().map_err(|error: candle_core::Error| io::Error::other(error.to_string()))?
            }
        };
        Ok(out.write_all(&bytes)?)
    }
}
