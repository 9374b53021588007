//! Sampling defaults that a GGUF file recommends (`general.sampling.*`).

use super::Gguf;
use crate::GenerationConfig;
use crate::config::{ConfigError, out_of_range};

impl GenerationConfig {
    /// What the makers of the model recommend; greedy when they say nothing.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the key at fault.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, ConfigError> {
        let default = Self::default();
        let number = |key: &str, default: f32, allowed: &str, valid: fn(f64) -> bool| {
            let key = format!("general.sampling.{key}");
            match gguf.number(&key)? {
                None => Ok(default),
                Some(value) if valid(value) => Ok(value as f32),
                Some(value) => Err(out_of_range(key, value, allowed)),
            }
        };
        let temperature = number("temp", default.temperature, "at least 0", |t| t >= 0.0 && t.is_finite())?;
        let recommended = ["temp", "top_p", "top_k", "min_p"].iter();
        let sampled = recommended.filter(|key| gguf.has(&format!("general.sampling.{key}"))).count() > 0;
        Ok(Self {
            do_sample: sampled && temperature > 0.0,
            temperature,
            top_p: number("top_p", default.top_p, "above 0 and at most 1", |p| p > 0.0 && p <= 1.0)?,
            // llama.cpp writes 0 and below for all tokens
            top_k: number("top_k", 0.0, "a whole number", |k| k.fract() == 0.0 && k.abs() < 1e9)?.max(0.0) as usize,
            min_p: number("min_p", default.min_p, "from 0 to 1", |p| (0.0..=1.0).contains(&p))?,
            repetition_penalty: number("penalty_repeat", default.repetition_penalty, "above 0", |p| {
                p > 0.0 && p.is_finite()
            })?,
            ..default
        })
    }
}
