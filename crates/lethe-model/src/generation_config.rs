//! `generation_config.json`: how the makers of a model want it sampled, and what ends a sequence.

use std::path::Path;

use crate::config::{Config, ConfigError, out_of_range};
use crate::json::{Object, parse_object};

/// Sampling defaults of a model. Absent keys mean what they mean to transformers, `top_k` apart.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// Whether tokens are drawn; if not, the default is greedy and the fields below count only for a request that
    /// asks for a temperature.
    pub do_sample: bool,
    /// Divisor of the logits, 1 when absent.
    pub temperature: f32,
    /// Nucleus mass in (0, 1], 1 (off) when absent.
    pub top_p: f32,
    /// How many tokens may be drawn, 0 (all) when absent: transformers' silent 50 is a filter that nobody asked for.
    pub top_k: usize,
    /// Least probability relative to the best token, in `[0, 1]`, 0 (off) when absent.
    pub min_p: f32,
    /// Divides positive logits of tokens already seen (CTRL, arXiv 1909.05858, section 4.1), 1 (off) when absent.
    pub repetition_penalty: f32,
    /// Ids that end a sequence, as this file gives them (see [`end_ids`]).
    pub eos: Vec<u32>,
    /// The id that begins a sequence, where the file gives one.
    pub bos: Option<u32>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            do_sample: false,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            eos: Vec::new(),
            bos: None,
        }
    }
}

impl GenerationConfig {
    /// Reads `generation_config.json` in a model directory; the defaults if there is none.
    ///
    /// # Errors
    /// Any [`ConfigError`], wrapped with the path of the file.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = dir.as_ref().join("generation_config.json");
        let read = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(ConfigError::Read),
        };
        read.and_then(|bytes| Self::from_json(&bytes))
            .map_err(|source| ConfigError::InFile { path: path.display().to_string(), source: Box::new(source) })
    }

    /// Reads the text of a `generation_config.json`.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key at fault.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let map = parse_object(json.as_ref())?;
        let top = Object::new(&map);
        let number = |key, default: f32, allowed: &str, valid: fn(f64) -> bool| match top.number(key)? {
            None => Ok(default),
            Some(value) if valid(value) => Ok(value as f32),
            Some(value) => Err(out_of_range(key, value, allowed)),
        };
        let default = Self::default();
        Ok(Self {
            do_sample: top.flag("do_sample")?.unwrap_or(default.do_sample),
            temperature: number("temperature", default.temperature, "at least 0", |t| t >= 0.0 && t.is_finite())?,
            top_p: number("top_p", default.top_p, "above 0 and at most 1", |p| p > 0.0 && p <= 1.0)?,
            top_k: top.size("top_k")?.unwrap_or(default.top_k),
            min_p: number("min_p", default.min_p, "from 0 to 1", |p| (0.0..=1.0).contains(&p))?,
            repetition_penalty: number("repetition_penalty", default.repetition_penalty, "above 0", |p| {
                p > 0.0 && p.is_finite()
            })?,
            eos: top.token_ids("eos_token_id")?,
            bos: top.token_id("bos_token_id")?,
        })
    }

    /// The temperature of a request that names none: 0 (greedy) unless the model wants to be sampled.
    pub fn default_temperature(&self) -> f32 {
        if self.do_sample { self.temperature } else { 0.0 }
    }
}

/// Every id that ends a sequence: those of `config.json`, of `generation_config.json`, and the tokenizer's own end tokens.
/// The three disagree in many released models; a model stops at any of them. Ascending, unique.
pub fn end_ids(config: &Config, generation: &GenerationConfig, end_tokens: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut ids: Vec<u32> = config.eos.iter().chain(&generation.eos).copied().chain(end_tokens).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> GenerationConfig {
        GenerationConfig::from_json(json).unwrap()
    }

    #[test]
    fn absent_keys_mean_greedy_and_no_filter() {
        let generation = read("{}");
        assert_eq!(generation, GenerationConfig::default());
        assert_eq!(generation.default_temperature(), 0.0);
        assert_eq!((generation.top_k, generation.top_p, generation.temperature), (0, 1.0, 1.0));
        assert_eq!(read(r#"{"do_sample": true, "temperature": null, "top_k": null}"#).default_temperature(), 1.0);
    }

    #[test]
    fn a_temperature_without_do_sample_stays_greedy() {
        let generation = read(r#"{"temperature": 0.6, "top_p": 0.95}"#);
        assert_eq!(generation.default_temperature(), 0.0);
        assert_eq!(generation.temperature, 0.6);
        assert_eq!(generation.top_p, 0.95);
    }

    #[test]
    fn reads_what_a_reasoning_model_ships() {
        let generation = read(
            r#"{"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643], "temperature": 0.6,
                "top_k": 20, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.05, "transformers_version": "4"}"#,
        );
        assert_eq!(generation.default_temperature(), 0.6);
        assert_eq!((generation.top_k, generation.top_p, generation.min_p), (20, 0.95, 0.05));
        assert_eq!(generation.repetition_penalty, 1.05);
        assert_eq!(generation.eos, [151645, 151643]);
        assert_eq!(generation.bos, Some(151643));
        assert_eq!(read(r#"{"eos_token_id": 2}"#).eos, [2]);
    }

    #[test]
    fn values_out_of_range_are_named() {
        for (json, key) in [
            (r#"{"temperature": -0.1}"#, "temperature"),
            (r#"{"top_p": 0}"#, "top_p"),
            (r#"{"top_p": 1.5}"#, "top_p"),
            (r#"{"min_p": 2}"#, "min_p"),
            (r#"{"repetition_penalty": 0}"#, "repetition_penalty"),
            (r#"{"top_k": -1}"#, "top_k"),
            (r#"{"top_k": "many"}"#, "top_k"),
            (r#"{"do_sample": 1}"#, "do_sample"),
            (r#"{"eos_token_id": [1, "x"]}"#, "eos_token_id"),
        ] {
            let error = GenerationConfig::from_json(json).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{json}: {error}");
        }
        assert!(GenerationConfig::from_json("[]").is_err());
    }

    #[test]
    fn a_missing_file_is_the_default_and_a_bad_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(GenerationConfig::from_dir(dir.path()).unwrap(), GenerationConfig::default());
        std::fs::write(dir.path().join("generation_config.json"), "{").unwrap();
        assert!(GenerationConfig::from_dir(dir.path()).unwrap_err().to_string().contains("generation_config.json"));
    }

    #[test]
    fn end_ids_are_the_union() {
        let config = Config::from_json(
            r#"{"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
                "num_attention_heads": 2, "vocab_size": 16, "eos_token_id": 5}"#,
        )
        .unwrap();
        let generation = read(r#"{"eos_token_id": [7, 5]}"#);
        assert_eq!(end_ids(&config, &generation, Some(3)), [3, 5, 7]);
        assert_eq!(end_ids(&config, &GenerationConfig::default(), None), [5]);
    }
}
