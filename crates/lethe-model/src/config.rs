//! `config.json`: what shape a model has.
//!
//! Absent keys take the defaults of the configuration classes of transformers 5. Everything the decoder graph does not
//! compute (sliding windows, experts, quantised weights, other activations) is refused by name: a model that would be
//! computed wrongly is never loaded.

use std::path::Path;

mod error;

pub use error::ConfigError;

use crate::json::{Object, parse_object};
use crate::rope::Rope;

/// The model families the decoder graph covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Llama 1 to 3.x and everything that took its shape.
    Llama,
    /// Mistral without a sliding window in use.
    Mistral,
    /// Qwen2 and Qwen2.5: biases on Q, K and V.
    Qwen2,
    /// Qwen3, dense: RMS norms on the heads of Q and K.
    Qwen3,
}

impl Architecture {
    /// The `model_type` of each family, as configs write it.
    const MODEL_TYPES: [(&'static str, Self); 4] =
        [("llama", Self::Llama), ("mistral", Self::Mistral), ("qwen2", Self::Qwen2), ("qwen3", Self::Qwen3)];

    /// The name as `model_type` writes it.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    fn from_model_type(model_type: &str) -> Option<Self> {
        Self::MODEL_TYPES.iter().find(|(name, _)| *name == model_type).map(|(_, arch)| *arch)
    }

    /// `LlamaForCausalLM` and the like; a class that is no causal language model is none of ours.
    fn from_class(class: &str) -> Option<Self> {
        Self::from_model_type(class.to_ascii_lowercase().strip_suffix("forcausallm")?)
    }
}

/// The shape of one decoder, as read from `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The family.
    pub arch: Architecture,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the gated MLP.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub n_layers: usize,
    /// Query heads per layer.
    pub n_heads: usize,
    /// Key/value heads per layer; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Values per head; `n_heads * head_dim` need not equal `hidden_size`.
    pub head_dim: usize,
    /// Rows of the embedding and of the logits.
    pub vocab_size: usize,
    /// Added to the mean square in every RMS norm.
    pub rms_norm_eps: f32,
    /// Rotary position embedding.
    pub rope: Rope,
    /// Positions the model was made for: a request ends before it reaches this one.
    pub max_positions: usize,
    /// Whether the output projection is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// Whether the Q, K and V projections have biases.
    pub qkv_bias: bool,
    /// Whether the output projection of attention has a bias.
    pub o_bias: bool,
    /// Whether each head of Q and K passes an RMS norm before RoPE.
    pub qk_norm: bool,
    /// Ids that end a sequence, as this file gives them (see [`crate::end_ids`] for all of them).
    pub eos: Vec<u32>,
    /// The id that begins a sequence, where the file gives one.
    pub bos: Option<u32>,
}

impl Config {
    /// Reads `config.json` in a model directory.
    ///
    /// # Errors
    /// Any [`ConfigError`], wrapped with the path of the file.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = dir.as_ref().join("config.json");
        let read = std::fs::read(&path).map_err(ConfigError::Read);
        read.and_then(|bytes| Self::from_json(&bytes))
            .map_err(|source| ConfigError::InFile { path: path.display().to_string(), source: Box::new(source) })
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key or feature at fault.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let map = parse_object(json.as_ref())?;
        let top = Object::new(&map);
        refuse_other_layouts(&top)?;
        let arch = architecture(&top)?;
        refuse_other_arithmetic(&top, arch)?;

        let hidden_size = required(&top, "hidden_size", Limits::WIDTH)?;
        let n_heads = required(&top, "num_attention_heads", Limits::HEADS)?;
        let n_kv_heads = bounded(&top, "num_key_value_heads", Limits::HEADS)?.unwrap_or(match arch {
            // Each class has its own default for an absent key; an explicit null means one KV head per query head.
            _ if top.has("num_key_value_heads") => n_heads,
            Architecture::Llama => n_heads,
            Architecture::Mistral => 8,
            Architecture::Qwen2 | Architecture::Qwen3 => 32,
        });
        if n_heads % n_kv_heads != 0 {
            return Err(ConfigError::HeadsNotDivisible { n_heads, n_kv_heads });
        }
        let head_dim = match bounded(&top, "head_dim", Limits::HEAD_DIM)? {
            Some(head_dim) => head_dim,
            None if arch == Architecture::Qwen3 => 128,
            None if hidden_size % n_heads != 0 => return Err(ConfigError::HiddenNotDivisible { hidden_size, n_heads }),
            None => Limits::check("head_dim", hidden_size / n_heads, Limits::HEAD_DIM)?,
        };
        if head_dim % 2 != 0 {
            return Err(out_of_range("head_dim", head_dim, "an even number: RoPE turns pairs"));
        }
        let n_layers = required(&top, "num_hidden_layers", Limits::LAYERS)?;
        let max_positions =
            bounded(&top, "max_position_embeddings", Limits::POSITIONS)?.unwrap_or(default_max_positions(arch));
        refuse_sliding_window(&top, arch, n_layers, max_positions)?;
        let rms_norm_eps = top.number("rms_norm_eps")?.unwrap_or(1e-6);
        if !(rms_norm_eps > 0.0 && rms_norm_eps < 1.0) {
            return Err(out_of_range("rms_norm_eps", rms_norm_eps, "a number above 0 and below 1"));
        }
        let attention_bias = top.flag("attention_bias")?.unwrap_or(false);
        let (qkv_bias, o_bias) = match arch {
            Architecture::Llama | Architecture::Qwen3 => (attention_bias, attention_bias),
            Architecture::Mistral => (false, false),
            Architecture::Qwen2 => (true, false),
        };
        let older = matches!(arch, Architecture::Llama | Architecture::Mistral);
        Ok(Self {
            arch,
            hidden_size,
            intermediate_size: required(&top, "intermediate_size", Limits::WIDTH)?,
            n_layers,
            n_heads,
            n_kv_heads,
            head_dim,
            vocab_size: required(&top, "vocab_size", Limits::VOCAB)?,
            rms_norm_eps: rms_norm_eps as f32,
            rope: Rope::from_config(&top, max_positions)?,
            max_positions,
            tie_word_embeddings: top.flag("tie_word_embeddings")?.unwrap_or(false),
            qkv_bias,
            o_bias,
            qk_norm: arch == Architecture::Qwen3,
            eos: if older && !top.has("eos_token_id") { vec![2] } else { top.token_ids("eos_token_id")? },
            bos: if older && !top.has("bos_token_id") { Some(1) } else { top.token_id("bos_token_id")? },
        })
    }

    /// The tensors of the decoder graph, in Hugging Face's names, with their shapes (`[out][in]` or `[len]`).
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (q, kv) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, hidden])];
        for layer in 0..self.n_layers {
            let mut add = |name: &str, shape: &[usize]| {
                tensors.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
            };
            add("input_layernorm.weight", &[hidden]);
            for (name, out, bias) in [("q", q, self.qkv_bias), ("k", kv, self.qkv_bias), ("v", kv, self.qkv_bias)] {
                add(&format!("self_attn.{name}_proj.weight"), &[out, hidden]);
                if bias {
                    add(&format!("self_attn.{name}_proj.bias"), &[out]);
                }
            }
            add("self_attn.o_proj.weight", &[hidden, q]);
            if self.o_bias {
                add("self_attn.o_proj.bias", &[hidden]);
            }
            if self.qk_norm {
                add("self_attn.q_norm.weight", &[self.head_dim]);
                add("self_attn.k_norm.weight", &[self.head_dim]);
            }
            add("post_attention_layernorm.weight", &[hidden]);
            add("mlp.gate_proj.weight", &[inner, hidden]);
            add("mlp.up_proj.weight", &[inner, hidden]);
            add("mlp.down_proj.weight", &[hidden, inner]);
        }
        tensors.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !self.tie_word_embeddings {
            tensors.push(("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]));
        }
        tensors
    }

    /// Query heads that share one KV head (GQA).
    pub fn group_size(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }
}

/// Far above any model, far below what would overflow a product of three.
pub(crate) struct Limits;

impl Limits {
    pub(crate) const WIDTH: usize = 1 << 20;
    pub(crate) const HEADS: usize = 1 << 12;
    pub(crate) const HEAD_DIM: usize = 1 << 10;
    pub(crate) const LAYERS: usize = 1 << 12;
    pub(crate) const VOCAB: usize = 1 << 24;
    pub(crate) const POSITIONS: usize = 1 << 30;

    /// A size from 1 to `max`.
    pub(crate) fn check(key: impl Into<String>, value: usize, max: usize) -> Result<usize, ConfigError> {
        if value == 0 || value > max {
            return Err(out_of_range(key, value, format!("a number from 1 to {max}")));
        }
        Ok(value)
    }
}

fn default_max_positions(arch: Architecture) -> usize {
    match arch {
        Architecture::Llama => 2048,
        Architecture::Mistral => 131_072,
        Architecture::Qwen2 | Architecture::Qwen3 => 32_768,
    }
}

/// The family, from `model_type` and the class in `architectures`, which must agree where both are given.
fn architecture(top: &Object) -> Result<Architecture, ConfigError> {
    let unknown = |found: &str| ConfigError::UnknownArchitecture { found: found.to_owned() };
    let model_type = top.text("model_type")?;
    let classes = top.texts("architectures")?.unwrap_or_default();
    let class = classes.first().copied();
    let by_type =
        model_type.map(|name| Architecture::from_model_type(name).ok_or_else(|| unknown(name))).transpose()?;
    let by_class = class.map(|name| Architecture::from_class(name).ok_or_else(|| unknown(name))).transpose()?;
    match (by_type, by_class) {
        (Some(a), Some(b)) if a != b => Err(unknown(&format!(
            "{} (`model_type`) with {} (`architectures`)",
            a.model_type(),
            class.unwrap_or_default()
        ))),
        (Some(arch), _) | (None, Some(arch)) => Ok(arch),
        (None, None) => Err(ConfigError::MissingKey { key: "model_type".to_owned() }),
    }
}

/// Refuses weights laid out otherwise, before the family is looked at: `mixtral` should be told about its experts.
fn refuse_other_layouts(top: &Object) -> Result<(), ConfigError> {
    for key in ["num_local_experts", "num_experts", "n_routed_experts"] {
        let experts = top.size(key)?.unwrap_or(0);
        if experts > 1 {
            return Err(ConfigError::MixtureOfExperts { key, experts });
        }
    }
    if let Some(quantization) = top.object("quantization_config")? {
        let method = quantization.text("quant_method")?.unwrap_or("of an unnamed method").to_owned();
        return Err(ConfigError::Quantized { method });
    }
    Ok(())
}

/// Refuses options that would change what a layer computes.
fn refuse_other_arithmetic(top: &Object, arch: Architecture) -> Result<(), ConfigError> {
    let activation = top.text("hidden_act")?.unwrap_or("silu");
    if !matches!(activation, "silu" | "swish") {
        return Err(ConfigError::UnsupportedActivation { found: activation.to_owned() });
    }
    // Only the Llama class reads `mlp_bias`.
    if arch == Architecture::Llama && top.flag("mlp_bias")?.unwrap_or(false) {
        return Err(unsupported("mlp_bias", "true", "biases in the MLP are not computed"));
    }
    Ok(())
}

/// Refuses a window that some layer would apply before the last position.
fn refuse_sliding_window(
    top: &Object,
    arch: Architecture,
    n_layers: usize,
    max_positions: usize,
) -> Result<(), ConfigError> {
    let window = match top.size("sliding_window")? {
        None if top.has("sliding_window") => None,
        None => Some(4096),
        set => set,
    };
    let layers = match arch {
        Architecture::Llama => 0,
        Architecture::Mistral => n_layers,
        Architecture::Qwen2 | Architecture::Qwen3 => sliding_layers(top, n_layers)?,
    };
    match window {
        Some(window) if layers > 0 && window < max_positions => {
            Err(ConfigError::SlidingWindow { window, layers, max_positions })
        }
        _ => Ok(()),
    }
}

/// How many layers of a Qwen model use the window.
fn sliding_layers(top: &Object, n_layers: usize) -> Result<usize, ConfigError> {
    let in_use = top.flag("use_sliding_window")?.unwrap_or(false);
    let first = top.size("max_window_layers")?.unwrap_or(28);
    let Some(layer_types) = top.texts("layer_types")? else {
        return Ok(if in_use { n_layers.saturating_sub(first) } else { 0 });
    };
    if let Some(other) = layer_types.iter().find(|name| !matches!(**name, "full_attention" | "sliding_attention")) {
        return Err(unsupported("layer_types", other, "only full attention is computed"));
    }
    let sliding = layer_types.iter().filter(|name| **name == "sliding_attention").count();
    Ok(if in_use { sliding } else { 0 })
}

fn required(top: &Object, key: &'static str, max: usize) -> Result<usize, ConfigError> {
    bounded(top, key, max)?.ok_or_else(|| ConfigError::MissingKey { key: key.to_owned() })
}

fn bounded(top: &Object, key: &'static str, max: usize) -> Result<Option<usize>, ConfigError> {
    top.size(key)?.map(|value| Limits::check(key, value, max)).transpose()
}

pub(crate) fn out_of_range(key: impl Into<String>, value: impl ToString, allowed: impl Into<String>) -> ConfigError {
    ConfigError::OutOfRange { key: key.into(), value: value.to_string(), allowed: allowed.into() }
}

pub(crate) fn unsupported(key: impl Into<String>, value: impl ToString, why: &'static str) -> ConfigError {
    ConfigError::Unsupported { key: key.into(), value: value.to_string(), why }
}
