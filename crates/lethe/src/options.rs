//! Options that several commands share.

use clap::{Args, ValueEnum};
use lethe_engine::{MemoryAmount, Sampling};
use lethe_kv::KvDtype;
use lethe_model::GenerationConfig;
use lethe_policy::PolicySpec;
use serde::Deserialize;
use serde_json::Value;

use crate::Fault;

/// Which model, on how much of the machine.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// GGUF file, Hugging Face folder (config.json, *.safetensors, tokenizer.json), or a name on the hub: org/name,
    /// org/name:Q4_K_M, org/name:FILE.gguf [default: the embedded reasoner-s]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Make no request to the hub: the model must be in the cache
    #[arg(long)]
    pub(crate) offline: bool,
    /// Compute threads [default: physical cores this process may use]
    #[arg(short, long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Multiply quantised weights as they are stored with activations in f32: the reference, several times slower
    #[arg(long)]
    pub(crate) exact: bool,
    /// Memory for the KV cache: 512MiB, 4GiB, or a share of what is available after the weights
    #[arg(long, value_name = "SIZE", default_value = "50%")]
    pub(crate) kv_memory: MemoryAmount,
    /// Element type of cached keys and values; int8 takes 54 % of the memory of f16
    #[arg(long, value_enum, default_value = "f16", value_name = "TYPE")]
    pub(crate) kv_dtype: Dtype,
}

#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dtype {
    /// Half precision
    F16,
    /// Single precision
    F32,
    /// Eight bits, with a scale for every slot's V and for 16 coordinates of its K
    Int8,
}

impl From<Dtype> for KvDtype {
    fn from(d: Dtype) -> KvDtype {
        match d {
            Dtype::F16 => KvDtype::F16,
            Dtype::F32 => KvDtype::F32,
            Dtype::Int8 => KvDtype::I8,
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

/// How a turn is put to the model, how long it may be, and what is shown of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct TurnArgs {
    /// Most new tokens of a turn, thinking included [default: what the model's positions leave]
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// System message
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// End the answer at this text, which is not shown (may be given several times)
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Go on past the model's end token
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// Feed the text as it is, without the model's chat template
    #[arg(long, alias = "raw")]
    pub(crate) no_template: bool,
    /// A variable of the chat template, its value in JSON, such as enable_thinking=false (may be given several times)
    #[arg(long, value_name = "KEY=VALUE", value_parser = template_arg, conflicts_with = "no_template")]
    pub(crate) template_arg: Vec<(String, Value)>,
    /// Show only the answer. Without this, thinking is faint on a terminal with colours; elsewhere the text is printed as
    /// generated, think tags included
    #[arg(long)]
    pub(crate) hide_thinking: bool,
    /// Close the thinking after N tokens, if it is still open; 0 closes it at once
    #[arg(long, value_name = "N")]
    pub(crate) reasoning_budget: Option<usize>,
    /// What the model is made to say before its thinking is closed
    /// [default: a sentence that asks for the answer; none with a budget of 0]
    #[arg(long, value_name = "TEXT", requires = "reasoning_budget")]
    pub(crate) reasoning_budget_message: Option<String>,
    /// No statistics, no notices
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Reads `key=value` with a value in JSON.
pub(crate) fn template_arg(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as enable_thinking=false")?;
    if key.is_empty() {
        return Err("the key is empty: expected KEY=VALUE, such as enable_thinking=false".into());
    }
    let value = serde_json::from_str(value).map_err(|_| {
        format!("`{value}` is no JSON value: give true, 3, null, or text in quotes: {key}='\"{value}\"'")
    })?;
    Ok((key.to_owned(), value))
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

    /// What to tell someone who asked for greedy tokens from a model that is not made for them.
    pub(crate) fn warning(&self, defaults: &GenerationConfig) -> Option<String> {
        (self.temperature == Some(0.0) && defaults.do_sample).then(|| {
            format!(
                "warning: this model's generation_config.json asks for sampling (temperature {}); greedy thinking may repeat \
                 itself without end",
                defaults.temperature
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_variables_are_json() {
        let ok = |text: &str| template_arg(text).unwrap();
        assert_eq!(ok("enable_thinking=false"), ("enable_thinking".to_owned(), Value::Bool(false)));
        assert_eq!(ok("a=\"b=c\""), ("a".to_owned(), Value::from("b=c")));
        assert_eq!(ok("list=[1, 2]").1, serde_json::json!([1, 2]));
        for (bad, word) in [("enable_thinking", "KEY=VALUE"), ("=1", "key"), ("effort=high", "'\"high\"'")] {
            let said = template_arg(bad).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
