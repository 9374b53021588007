//! What can be wrong with a config.

use crate::json::JsonError;

/// Why a `config.json` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The error of one file, with its path.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: Box<ConfigError>,
    },
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// The text is not JSON, or a key has the wrong type.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A key of GGUF metadata has the wrong type.
    #[error(transparent)]
    Gguf(#[from] crate::gguf::GgufError),
    /// A key without a sensible default is absent.
    #[error("`{key}` is missing")]
    MissingKey {
        /// The absent key.
        key: String,
    },
    /// A family the decoder graph does not cover.
    #[error("unknown architecture {found}: supported are llama, mistral, qwen2 and qwen3 causal language models")]
    UnknownArchitecture {
        /// The `model_type` or class found.
        found: String,
    },
    /// A mixture-of-experts model.
    #[error("mixture of experts is not supported (`{key}` is {experts}): use a dense model")]
    MixtureOfExperts {
        /// The key that says so.
        key: &'static str,
        /// The number of experts.
        experts: usize,
    },
    /// Quantised safetensors weights.
    #[error("weights quantised with {method} (`quantization_config`) are not supported: use the float weights")]
    Quantized {
        /// `quant_method`, as written.
        method: String,
    },
    /// Layers attend to a window only.
    #[error(
        "a sliding window of {window} in {layers} layers is not supported: it is shorter than the {max_positions} \
         positions of the model (lower `max_position_embeddings` to {window} to use the model within its window)"
    )]
    SlidingWindow {
        /// Window in tokens.
        window: usize,
        /// Layers that use it.
        layers: usize,
        /// `max_position_embeddings`.
        max_positions: usize,
    },
    /// Another activation than SiLU.
    #[error("activation {found} (`hidden_act`) is not supported: the gated MLP is computed with silu")]
    UnsupportedActivation {
        /// The activation found.
        found: String,
    },
    /// A position embedding not computed here.
    #[error("RoPE type {found} is not supported: known are default, linear, llama3 and yarn")]
    UnknownRopeType {
        /// The type found.
        found: String,
    },
    /// An option with a meaning that is not computed.
    #[error("`{key}` = {value} is not supported: {why}")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What would be wrong.
        why: &'static str,
    },
    /// A size of zero, an absurd one, or a number that makes no sense.
    #[error("`{key}` is {value}, but should be {allowed}")]
    OutOfRange {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What would be right.
        allowed: String,
    },
    /// Query heads do not fall into whole groups.
    #[error(
        "{n_heads} query heads (`num_attention_heads`) do not divide by {n_kv_heads} KV heads (`num_key_value_heads`)"
    )]
    HeadsNotDivisible {
        /// Query heads.
        n_heads: usize,
        /// KV heads.
        n_kv_heads: usize,
    },
    /// `head_dim` is absent and cannot be derived.
    #[error("`head_dim` is absent and `hidden_size` {hidden_size} does not divide by {n_heads} heads")]
    HiddenNotDivisible {
        /// `hidden_size`.
        hidden_size: usize,
        /// Query heads.
        n_heads: usize,
    },
}
