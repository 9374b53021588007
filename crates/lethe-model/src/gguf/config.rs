//! The shape of a decoder from the metadata of a GGUF file.
//!
//! llama.cpp's names are translated here, once. What the decoder graph does not compute is refused by name, as in
//! `config.json`.

use lethe_kernels::{Pairing, RopeScaling};

use super::{Gguf, GgufError};
use crate::config::{Architecture, Config, ConfigError, Limits, out_of_range, unsupported};
use crate::ggml::Use;
use crate::rope::Rope;

/// `general.architecture` of the models that run. Mistral models are written as `llama`.
const ARCHITECTURES: [(&str, Architecture); 4] = [
    ("llama", Architecture::Llama),
    ("mistral", Architecture::Mistral),
    ("qwen2", Architecture::Qwen2),
    ("qwen3", Architecture::Qwen3),
];

/// Keys of one architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    arch: &'static str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    fn size(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        Ok(self.gguf.size(&self.name(key))?)
    }

    fn number(&self, key: &str) -> Result<Option<f64>, ConfigError> {
        Ok(self.gguf.number(&self.name(key))?)
    }

    fn bounded(&self, key: &str, max: usize) -> Result<Option<usize>, ConfigError> {
        self.size(key)?.map(|value| Limits::check(self.name(key), value, max)).transpose()
    }

    fn required(&self, key: &str, max: usize) -> Result<usize, ConfigError> {
        self.bounded(key, max)?.ok_or_else(|| ConfigError::MissingKey { key: self.name(key) })
    }

    /// A factor that changes the computation unless it is absent, not above 0, or what it would be anyway.
    fn refuse(&self, key: &str, neutral: f64, why: &'static str) -> Result<(), ConfigError> {
        match self.number(key)? {
            // negative is how llama.cpp writes "as usual"
            Some(value) if value > 0.0 && value != neutral => Err(unsupported(self.name(key), value, why)),
            _ => Ok(()),
        }
    }
}

impl Config {
    /// The shape that the metadata of a GGUF file describes. Where the metadata is silent (biases, tied embeddings,
    /// the vocabulary), the tensors say it.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key or feature at fault.
    pub fn from_gguf(gguf: &Gguf) -> Result<Config, ConfigError> {
        let found = gguf.text("general.architecture")?;
        let found = found.ok_or_else(|| ConfigError::MissingKey { key: "general.architecture".to_owned() })?;
        let Some(&(name, arch)) = ARCHITECTURES.iter().find(|(name, _)| *name == found) else {
            return Err(ConfigError::UnknownArchitecture { found: found.to_owned() });
        };
        let keys = Keys { gguf, arch: name };
        if let Some(experts) = keys.size("expert_count")?.filter(|n| *n > 1) {
            return Err(ConfigError::MixtureOfExperts { key: "expert_count", experts });
        }
        let hidden_size = keys.required("embedding_length", Limits::WIDTH)?;
        let n_heads = keys.required("attention.head_count", Limits::HEADS)?;
        let n_kv_heads = keys.bounded("attention.head_count_kv", Limits::HEADS)?.unwrap_or(n_heads);
        if n_heads % n_kv_heads != 0 {
            return Err(ConfigError::HeadsNotDivisible { n_heads, n_kv_heads });
        }
        let head_dim = match keys.bounded("attention.key_length", Limits::HEAD_DIM)? {
            Some(head_dim) => head_dim,
            None if hidden_size % n_heads != 0 => return Err(ConfigError::HiddenNotDivisible { hidden_size, n_heads }),
            None => Limits::check("head_dim", hidden_size / n_heads, Limits::HEAD_DIM)?,
        };
        if head_dim % 2 != 0 {
            return Err(out_of_range("head_dim", head_dim, "an even number: RoPE turns pairs"));
        }
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(other) = keys.size(key)?.filter(|other| *other != head_dim) {
                return Err(unsupported(keys.name(key), other, "it must equal the length of keys"));
            }
        }
        let max_positions = keys.required("context_length", Limits::POSITIONS)?;
        let n_layers = keys.required("block_count", Limits::LAYERS)?;
        if let Some(window) = keys.size("attention.sliding_window")?.filter(|w| *w > 0 && *w < max_positions) {
            return Err(ConfigError::SlidingWindow { window, layers: n_layers, max_positions });
        }
        keys.refuse("attention.scale", 1.0 / (head_dim as f64).sqrt(), "logits are scaled by the head's size")?;
        keys.refuse("attention.max_alibi_bias", 0.0, "positions are rotary")?;
        keys.refuse("attention.clamp_kqv", 0.0, "projections are not clamped")?;
        for key in ["logit_scale", "residual_scale", "embedding_scale"] {
            keys.refuse(key, 1.0, "the decoder graph has no such factor")?;
        }
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            keys.refuse(key, 0.0, "logits are not capped")?;
        }
        let eps = keys.number("attention.layer_norm_rms_epsilon")?;
        let eps = eps.ok_or_else(|| ConfigError::MissingKey { key: keys.name("attention.layer_norm_rms_epsilon") })?;
        if !(eps > 0.0 && eps < 1.0) {
            let key = keys.name("attention.layer_norm_rms_epsilon");
            return Err(out_of_range(key, eps, "a number above 0 and below 1"));
        }
        let vocab_size = match gguf.tensors().get("token_embd.weight").map(|tensor| tensor.shape.as_slice()) {
            Some([rows, _]) => *rows,
            _ => return Err(ConfigError::MissingKey { key: "token_embd.weight (the tensor)".to_owned() }),
        };
        let has = |tensor: &str| gguf.tensors().contains_key(tensor);
        let id = |key: &str| Ok::<_, GgufError>(gguf.size(key)?.and_then(|id| u32::try_from(id).ok()));
        let mut eos = Vec::new();
        for key in ["eos", "eot", "eom"] {
            eos.extend(id(&format!("tokenizer.ggml.{key}_token_id"))?);
        }
        Ok(Config {
            arch,
            hidden_size,
            intermediate_size: keys.required("feed_forward_length", Limits::WIDTH)?,
            n_layers,
            n_heads,
            n_kv_heads,
            head_dim,
            vocab_size: Limits::check("vocabulary", vocab_size, Limits::VOCAB)?,
            rms_norm_eps: eps as f32,
            rope: rope(&keys, arch, head_dim, max_positions)?,
            max_positions,
            tie_word_embeddings: !has("output.weight"),
            qkv_bias: has("blk.0.attn_q.bias"),
            o_bias: has("blk.0.attn_output.bias"),
            qk_norm: has("blk.0.attn_q_norm.weight"),
            eos,
            bos: id("tokenizer.ggml.bos_token_id")?,
        })
    }
}

fn rope(keys: &Keys, arch: Architecture, head_dim: usize, max_positions: usize) -> Result<Rope, ConfigError> {
    let theta = keys.number("rope.freq_base")?.unwrap_or(10_000.0);
    if !(theta > 1.0 && theta.is_finite()) {
        return Err(out_of_range(keys.name("rope.freq_base"), theta, "a finite number above 1"));
    }
    // The converter for Llama interleaves the two halves of every head of Q and K.
    let pairing = match arch {
        Architecture::Llama | Architecture::Mistral => Pairing::Neighbours,
        Architecture::Qwen2 | Architecture::Qwen3 => Pairing::Halves,
    };
    for tensor in ["rope_factors_long.weight", "rope_factors_short.weight"] {
        if keys.gguf.tensors().contains_key(tensor) {
            return Err(ConfigError::UnknownRopeType { found: format!("longrope ({tensor})") });
        }
    }
    let scaling_type = keys.gguf.text(&keys.name("rope.scaling.type"))?;
    // Before there were types, a factor alone meant linear.
    let factor = match keys.number("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => keys.number("rope.scale_linear")?,
    };
    let factor = factor.filter(|factor| *factor != 0.0);
    if let Some(factor) = factor.filter(|factor| !(factor.is_finite() && *factor > 0.0)) {
        return Err(out_of_range(keys.name("rope.scaling.factor"), factor, "a finite number above 0"));
    }
    let divisors = divisors(keys.gguf, head_dim)?;
    let scaling = match (scaling_type.unwrap_or("linear"), factor, divisors) {
        ("none", _, None) | ("linear", None | Some(1.0), None) => RopeScaling::Default,
        ("none", _, Some(divisors)) | ("linear", None | Some(1.0), Some(divisors)) => RopeScaling::Divisors(divisors),
        ("linear", Some(factor), None) => {
            keys.refuse("rope.scaling.attn_factor", 1.0, "it is applied with yarn only")?;
            RopeScaling::Linear { factor }
        }
        ("yarn", Some(factor), None) => {
            keys.refuse("rope.scaling.yarn_log_multiplier", 0.0, "the factor of YaRN is the published one")?;
            keys.refuse("rope.scaling.yarn_ext_factor", 1.0, "the ramp of YaRN is applied in full")?;
            keys.refuse("rope.scaling.yarn_attn_factor", 1.0, "only `rope.scaling.attn_factor` is applied")?;
            RopeScaling::Yarn {
                factor,
                original_max_position: keys
                    .bounded("rope.scaling.original_context_length", Limits::POSITIONS)?
                    .unwrap_or(max_positions),
                beta_fast: keys.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: keys.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                attention_factor: attention_factor(keys, factor)?,
                mscale: None,
                mscale_all_dim: None,
                truncate: true,
            }
        }
        ("yarn", None, _) => return Err(ConfigError::MissingKey { key: keys.name("rope.scaling.factor") }),
        ("linear" | "yarn", _, Some(_)) => {
            return Err(unsupported("rope_freqs.weight", "beside a scaling type", "only one of the two is applied"));
        }
        (other, ..) => return Err(ConfigError::UnknownRopeType { found: other.to_owned() }),
    };
    Ok(Rope { theta, scaling, pairing })
}

/// llama.cpp multiplies its factor with YaRN's own.
fn attention_factor(keys: &Keys, factor: f64) -> Result<Option<f64>, ConfigError> {
    const KEY: &str = "rope.scaling.attn_factor";
    let own = if factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 };
    match keys.number(KEY)?.filter(|given| *given != 0.0) {
        Some(given) if !(given.is_finite() && given > 0.0) => {
            Err(out_of_range(keys.name(KEY), given, "a finite number above 0"))
        }
        given => Ok(given.map(|given| given * own)),
    }
}

/// `rope_freqs.weight`: a divisor for every frequency (Llama 3.1 and later).
fn divisors(gguf: &Gguf, head_dim: usize) -> Result<Option<Vec<f32>>, ConfigError> {
    const NAME: &str = "rope_freqs.weight";
    let Some(tensor) = gguf.tensors().get(NAME) else { return Ok(None) };
    if tensor.shape != [head_dim / 2] || tensor.dtype.usage() != Use::Direct(lethe_kernels::WeightDtype::F32) {
        let found = format!("{} of {:?}", tensor.dtype, tensor.shape);
        return Err(out_of_range(NAME, found, format!("F32 of [{}], half a head", head_dim / 2)));
    }
    let bytes = &tensor.file[tensor.range.clone()];
    let divisors: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    match divisors.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
        Some(bad) => Err(out_of_range(NAME, bad, "finite numbers above 0")),
        None => Ok(Some(divisors)),
    }
}
