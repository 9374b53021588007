//! Options that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lethe_engine::{MemoryAmount, Sampling};
use lethe_kv::KvDtype;
use lethe_model::GenerationConfig;
use lethe_policy::PolicySpec;

use crate::Fault;

/// Which model, on how much of the machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// Model folder (config.json, *.safetensors, tokenizer.json) [default: the embedded reasoner-s]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Compute threads [default: physical cores this process may use]
    #[arg(short, long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Memory for the KV cache: 512MiB, 4GiB, or a share of what is available after the weights
    #[arg(long, value_name = "SIZE", default_value = "50%")]
    pub(crate) kv_memory: MemoryAmount,
    /// Element type of cached keys and values
    #[arg(long, value_enum, default_value = "f16", value_name = "TYPE")]
    pub(crate) kv_dtype: Dtype,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Dtype {
    /// Half precision
    F16,
    /// Single precision
    F32,
}

impl From<Dtype> for KvDtype {
    fn from(d: Dtype) -> KvDtype {
        match d {
            Dtype::F16 => KvDtype::F16,
            Dtype::F32 => KvDtype::F32,
        }
    }
}

/// What the cache forgets.
#[derive(Args, Clone, Debug)]
pub(crate) struct PolicyArgs {
    /// Eviction policy, NAME[:key=value,...]; `lethe policies` lists them [default: auto]
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Option<PolicySpec>,
    /// Most slots a layer keeps after a round; without --policy it means lethe:cap=N,trigger=cap
    #[arg(long, value_name = "N")]
    pub(crate) cap: Option<usize>,
    /// Which prompts are never forgotten: all, newest, none
    #[arg(long, value_name = "WHICH")]
    pub(crate) protect_prompt: Option<String>,
}

impl PolicyArgs {
    /// The policy with its short cuts applied.
    pub(crate) fn spec(&self) -> Result<PolicySpec, Fault> {
        let mut spec = match (&self.policy, self.cap) {
            (Some(spec), _) => spec.clone(),
            (None, None) => PolicySpec::default(),
            (None, Some(_)) => PolicySpec::new("lethe")?.set("trigger", "cap")?,
        };
        if let Some(cap) = self.cap {
            spec = spec.set("cap", cap)?;
        }
        if let Some(which) = &self.protect_prompt {
            spec = spec.set("protect_prompt", which)?;
        }
        Ok(spec)
    }
}

/// How tokens are chosen.
#[derive(Args, Clone, Debug)]
pub(crate) struct SamplingArgs {
    /// 0 is greedy [default: the model's generation_config.json, else 0]
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Fewest tokens that reach this probability
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// Only the K likeliest tokens; 0 is all
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Only tokens at least this fraction of the likeliest
    #[arg(long, value_name = "P")]
    pub(crate) min_p: Option<f32>,
    /// Divide the logits of tokens already seen by this; 1 is off
    #[arg(long, value_name = "R")]
    pub(crate) repetition_penalty: Option<f32>,
    /// Seed of every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Ignore the sampling defaults that come with the model
    #[arg(long)]
    pub(crate) no_generation_config: bool,
}

impl SamplingArgs {
    /// The model's defaults, overridden by what was given.
    pub(crate) fn sampling(&self, defaults: &GenerationConfig) -> Sampling {
        let mut s = if self.no_generation_config { Sampling::default() } else { Sampling::from_config(defaults) };
        s.seed = self.seed;
        let set = |to: &mut f32, from: Option<f32>| *to = from.unwrap_or(*to);
        set(&mut s.temperature, self.temperature);
        set(&mut s.top_p, self.top_p);
        set(&mut s.min_p, self.min_p);
        set(&mut s.repetition_penalty, self.repetition_penalty);
        s.top_k = self.top_k.unwrap_or(s.top_k);
        s
    }
}
