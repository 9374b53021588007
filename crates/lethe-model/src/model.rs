//! A whole model: decoder, tokenizer, chat template, sampling defaults.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lethe_kernels::{Matrix, MatrixError, RopeError, WeightDtype};

use crate::backend::{Backend, Heads};
use crate::graph::{Decoder, Dims, Layer, Linear, Weights};
use crate::json::JsonError;
use crate::{
    ChatTemplate, Checkpoint, CheckpointError, Config, ConfigError, Dtype, GenerationConfig, TemplateError, TensorView,
    Tokenizer, TokenizerConfig, TokenizerConfigError, TokenizerError, end_ids,
};

/// A model ready to run on a backend.
pub struct Model<B: Backend> {
    /// The graph with its weights.
    pub decoder: Decoder<B>,
    /// The config it was built from.
    pub config: Config,
    /// Positions the model was made for.
    pub max_positions: usize,
    /// `None` for a folder without `tokenizer.json`: prompts are ids then.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// `None` where the model has none.
    pub chat_template: Option<ChatTemplate>,
    /// Sampling defaults.
    pub generation: GenerationConfig,
    /// Ids that end a sequence.
    pub end_ids: Vec<u32>,
    /// Bytes of the weights.
    pub weight_bytes: u64,
}

/// The files of a model that lie in memory, such as one embedded in the program.
#[derive(Clone, Copy, Debug)]
pub struct ModelBytes {
    /// `config.json`.
    pub config: &'static [u8],
    /// `generation_config.json`.
    pub generation_config: &'static [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'static [u8],
    /// `tokenizer_config.json`.
    pub tokenizer_config: &'static [u8],
    /// `model.safetensors`.
    pub weights: &'static [u8],
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder is not there, or is none.
    #[error("{}: no such model folder", .0.display())]
    NoFolder(PathBuf),
    /// `config.json` or `generation_config.json`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `tokenizer.json`.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// `tokenizer_config.json`.
    #[error(transparent)]
    TokenizerConfig(#[from] TokenizerConfigError),
    /// `tokenizer_config.json` in memory.
    #[error("tokenizer_config.json: {0}")]
    TokenizerJson(#[from] JsonError),
    /// The chat template does not compile.
    #[error("chat template: {0}")]
    Template(#[from] TemplateError),
    /// RoPE parameters that cannot be used.
    #[error("config.json: {0}")]
    Rope(#[from] RopeError),
    /// A weight that cannot be used as a matrix.
    #[error("tensor {name}: {source}")]
    Matrix {
        /// The tensor.
        name: String,
        /// What is wrong.
        source: MatrixError,
    },
    /// NaN or infinity among the weights.
    #[error("tensor {name} holds a value that is not finite at row {row}, column {col}: the file is damaged")]
    NonFinite {
        /// The tensor.
        name: String,
        /// Row.
        row: usize,
        /// Column.
        col: usize,
    },
    /// The tokenizer makes ids that the model has no row for.
    #[error("the tokenizer has {tokenizer} tokens, the model's vocabulary only {model}: they do not belong together")]
    VocabMismatch {
        /// Tokens of the tokenizer.
        tokenizer: usize,
        /// Rows of the embedding.
        model: usize,
    },
}

impl<B: Backend> Model<B> {
    /// Loads a Hugging Face folder. Weights are mapped, not read; every value is checked once.
    ///
    /// # Errors
    /// [`LoadError`] names the file, key or tensor at fault.
    pub fn from_dir(dir: impl AsRef<Path>, backend: B) -> Result<Model<B>, LoadError> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(LoadError::NoFolder(dir.to_owned()));
        }
        let config = Config::from_dir(dir)?;
        let generation = GenerationConfig::from_dir(dir)?;
        let path = dir.join("tokenizer.json");
        let tokenizer = if path.exists() { Some(Tokenizer::from_file(path)?) } else { None };
        let tokenizer_config = TokenizerConfig::from_dir(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        Model::assemble(config, generation, tokenizer, &tokenizer_config, &checkpoint, backend)
    }

    /// Loads a model whose files are in memory.
    ///
    /// # Errors
    /// As [`Model::from_dir`].
    pub fn from_bytes(files: ModelBytes, backend: B) -> Result<Model<B>, LoadError> {
        Model::assemble(
            Config::from_json(files.config)?,
            GenerationConfig::from_json(files.generation_config)?,
            Some(Tokenizer::from_bytes(files.tokenizer)?),
            &TokenizerConfig::from_json(files.tokenizer_config)?,
            &Checkpoint::from_static(files.weights)?,
            backend,
        )
    }

    fn assemble(
        config: Config,
        generation: GenerationConfig,
        tokenizer: Option<Tokenizer>,
        tokenizer_config: &TokenizerConfig,
        checkpoint: &Checkpoint,
        backend: B,
    ) -> Result<Model<B>, LoadError> {
        if let Some(t) = tokenizer.as_ref().filter(|t| t.vocab_size() > config.vocab_size) {
            return Err(LoadError::VocabMismatch { tokenizer: t.vocab_size(), model: config.vocab_size });
        }
        let chat_template = match &tokenizer_config.chat_template {
            Some(source) => Some(ChatTemplate::new(source, &tokenizer_config.special_tokens)?),
            None => None,
        };
        let eos = tokenizer_config.special_token("eos_token");
        let eos = eos.and_then(|text| tokenizer.as_ref()?.id(text));
        let mut loader = Loader { checkpoint, backend: &backend, bytes: 0 };
        let weights = loader.weights(&config)?;
        let weight_bytes = loader.bytes;
        Ok(Model {
            weight_bytes,
            decoder: Decoder::new(backend, weights),
            max_positions: config.max_positions,
            end_ids: end_ids(&config, &generation, eos),
            tokenizer: tokenizer.map(Arc::new),
            chat_template,
            generation,
            config,
        })
    }
}

/// Brings tensors into the graph, by the names of Hugging Face.
struct Loader<'a, B> {
    checkpoint: &'a Checkpoint,
    backend: &'a B,
    bytes: u64,
}

impl<B: Backend> Loader<'_, B> {
    fn weights(&mut self, c: &Config) -> Result<Weights<B>, LoadError> {
        let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
        let b = self.backend;
        let embed = self.matrix("model.embed_tokens.weight", c.vocab_size, c.hidden_size)?;
        // A checkpoint of a tied model may still carry the copy: the config decides.
        let head = if c.tie_word_embeddings {
            None
        } else {
            Some(b.weight(self.matrix("lm_head.weight", c.vocab_size, c.hidden_size)?))
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
            embed: b.weight(embed),
            layers,
            norm: b.vector(self.vector("model.norm.weight", c.hidden_size)?),
            head,
            rope: c.rope.frequencies(c.head_dim)?,
        })
    }

    fn linear(&mut self, name: &str, rows: usize, cols: usize, bias: bool) -> Result<Linear<B>, LoadError> {
        let weight = self.backend.weight(self.matrix(&format!("{name}.weight"), rows, cols)?);
        let bias = if bias { Some(self.backend.vector(self.vector(&format!("{name}.bias"), rows)?)) } else { None };
        Ok(Linear { weight, bias })
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix, LoadError> {
        let view = self.checkpoint.tensor_of_shape(name, &[rows, cols])?;
        self.checked(name, &view, rows, cols)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let view = self.checkpoint.tensor_of_shape(name, &[len])?;
        let mut values = vec![0.0; len];
        self.checked(name, &view, 1, len)?.read_row(0, &mut values);
        Ok(values)
    }

    fn checked(&mut self, name: &str, view: &TensorView, rows: usize, cols: usize) -> Result<Matrix, LoadError> {
        let dtype = match view.dtype {
            Dtype::F32 => WeightDtype::F32,
            Dtype::F16 => WeightDtype::F16,
            Dtype::Bf16 => WeightDtype::Bf16,
        };
        let matrix = Matrix::mapped(&view.file, view.range.clone(), dtype, rows, cols)
            .map_err(|source| LoadError::Matrix { name: name.to_owned(), source })?;
        if let Some((row, col)) = matrix.first_non_finite(self.backend.host()) {
            return Err(LoadError::NonFinite { name: name.to_owned(), row, col });
        }
        self.bytes += view.range.len() as u64;
        Ok(matrix)
    }
}
