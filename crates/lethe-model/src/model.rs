//! A whole model: decoder, tokenizer, chat template, sampling defaults.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lethe_kernels::{MatrixError, RopeError};

use crate::backend::Backend;
use crate::gguf::{Gguf, GgufError, Vocabulary};
use crate::graph::Decoder;
use crate::json::JsonError;
use crate::weights::{Loader, Source};
use crate::{
    ChatTemplate, Checkpoint, CheckpointError, Config, ConfigError, GenerationConfig, TemplateError, Tokenizer,
    TokenizerConfig, TokenizerConfigError, TokenizerError, end_ids,
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
    /// Those of them that are read from the mapped file at every step; the others have been copied.
    pub mapped_bytes: u64,
    /// What the user should know of the loading, a line each: types that were converted.
    pub notices: Vec<String>,
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
    #[error("{}: no such model folder or GGUF file", .0.display())]
    NoModel(PathBuf),
    /// A GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A folder with GGUF files and nothing that says which.
    #[error("{} holds several GGUF files: name one of {}", path.display(), names.join(", "))]
    SeveralGguf {
        /// The folder.
        path: PathBuf,
        /// The files.
        names: Vec<String>,
    },
    /// A tensor whose element type does not run.
    #[error("tensor {name} is of type {dtype}, which does not run here: convert the model to one of {runnable}")]
    UnsupportedType {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: crate::ggml::GgmlType,
        /// The types that run.
        runnable: String,
    },
    /// A tensor that could not be converted.
    #[error("tensor {name} could not be converted: {reason}")]
    Convert {
        /// The tensor.
        name: String,
        /// Why.
        reason: String,
    },
    /// Tensors that the graph would leave out.
    #[error(
        "the file holds {count} tensors that this architecture does not use, {first} among them: the model would be \
         computed wrongly"
    )]
    UnusedTensors {
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// The error of one file, with its path.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<LoadError>,
    },
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
    #[error("rotary embedding: {0}")]
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

/// What is known of a model before its weights are touched.
struct Parts {
    config: Config,
    generation: GenerationConfig,
    tokenizer: Option<Tokenizer>,
    tokenizer_config: TokenizerConfig,
    /// Ids that end a turn, beside those that the configs name.
    ends: Vec<u32>,
}

impl<B: Backend> Model<B> {
    /// Loads a GGUF file, a Hugging Face folder, or the one GGUF file of a folder.
    ///
    /// # Errors
    /// [`LoadError`] names the file, key or tensor at fault.
    pub fn open(path: impl AsRef<Path>, backend: B) -> Result<Model<B>, LoadError> {
        let path = path.as_ref();
        if path.is_file() {
            return Model::from_gguf(&Gguf::open(path)?, backend);
        }
        match gguf_in(path)? {
            Some(file) => Model::from_gguf(&Gguf::open(file)?, backend),
            None => Model::from_dir(path, backend),
        }
    }

    /// Loads an open GGUF file. Weights stay where they are mapped; types that do not run as they are get converted.
    ///
    /// # Errors
    /// [`LoadError`] names the key or tensor at fault, with the path.
    pub fn from_gguf(gguf: &Gguf, backend: B) -> Result<Model<B>, LoadError> {
        let in_file = |source: LoadError| LoadError::InFile { path: gguf.path().to_owned(), source: Box::new(source) };
        let read = || -> Result<Parts, LoadError> {
            let Vocabulary { tokenizer, config: tokenizer_config, ends } = Vocabulary::read(gguf)?;
            let (config, generation) = (Config::from_gguf(gguf)?, GenerationConfig::from_gguf(gguf)?);
            Ok(Parts { config, generation, tokenizer, tokenizer_config, ends })
        };
        read().and_then(|parts| Model::assemble(parts, &Source::Gguf(gguf), backend)).map_err(in_file)
    }

    /// Loads a Hugging Face folder. Weights are mapped, not read; every value is checked once.
    ///
    /// # Errors
    /// [`LoadError`] names the file, key or tensor at fault.
    pub fn from_dir(dir: impl AsRef<Path>, backend: B) -> Result<Model<B>, LoadError> {
        let dir = dir.as_ref();
        if !dir.is_dir() {
            return Err(LoadError::NoModel(dir.to_owned()));
        }
        let config = Config::from_dir(dir)?;
        let generation = GenerationConfig::from_dir(dir)?;
        let path = dir.join("tokenizer.json");
        let tokenizer = if path.exists() { Some(Tokenizer::from_file(path)?) } else { None };
        let tokenizer_config = TokenizerConfig::from_dir(dir)?;
        let checkpoint = Checkpoint::open(dir)?;
        let parts = Parts { config, generation, tokenizer, tokenizer_config, ends: Vec::new() };
        Model::assemble(parts, &Source::Safetensors(&checkpoint), backend)
    }

    /// Loads a model whose files are in memory.
    ///
    /// # Errors
    /// As [`Model::from_dir`].
    pub fn from_bytes(files: ModelBytes, backend: B) -> Result<Model<B>, LoadError> {
        let parts = Parts {
            config: Config::from_json(files.config)?,
            generation: GenerationConfig::from_json(files.generation_config)?,
            tokenizer: Some(Tokenizer::from_bytes(files.tokenizer)?),
            tokenizer_config: TokenizerConfig::from_json(files.tokenizer_config)?,
            ends: Vec::new(),
        };
        Model::assemble(parts, &Source::Safetensors(&Checkpoint::from_static(files.weights)?), backend)
    }

    fn assemble(parts: Parts, source: &Source, backend: B) -> Result<Model<B>, LoadError> {
        let Parts { config, generation, tokenizer, tokenizer_config, ends } = parts;
        if let Some(t) = tokenizer.as_ref().filter(|t| t.vocab_size() > config.vocab_size) {
            return Err(LoadError::VocabMismatch { tokenizer: t.vocab_size(), model: config.vocab_size });
        }
        let chat_template = match &tokenizer_config.chat_template {
            Some(source) => Some(ChatTemplate::new(source, &tokenizer_config.special_tokens)?),
            None => None,
        };
        let eos = tokenizer_config.special_token("eos_token");
        let eos = eos.and_then(|text| tokenizer.as_ref()?.id(text));
        let mut loader = Loader::new(source, &backend);
        let weights = loader.weights(&config)?;
        let (weight_bytes, mapped_bytes, notices) = (loader.bytes(), loader.mapped_bytes(), loader.notices()?);
        Ok(Model {
            weight_bytes,
            mapped_bytes,
            notices,
            decoder: Decoder::new(backend, weights),
            max_positions: config.max_positions,
            end_ids: end_ids(&config, &generation, eos.into_iter().chain(ends)),
            tokenizer: tokenizer.map(Arc::new),
            chat_template,
            generation,
            config,
        })
    }
}

/// The GGUF file of a folder that is no Hugging Face folder.
fn gguf_in(dir: &Path) -> Result<Option<PathBuf>, LoadError> {
    if dir.join("config.json").exists() {
        return Ok(None);
    }
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(None) };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|n| n.ends_with(".gguf"))
        .collect();
    names.sort();
    // Of a split model the first file stands for all.
    names.retain(|name| {
        let part = name.strip_suffix(".gguf").and_then(|name| name.rsplit_once("-of-")).map(|(head, _)| head);
        part.is_none_or(|head| head.ends_with("-00001"))
    });
    match names.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(dir.join(one))),
        _ => Err(LoadError::SeveralGguf { path: dir.to_owned(), names }),
    }
}
