//! Answers that are drawn instead of chosen greedily.

use lethe_engine::Sampling;
use serde::{Deserialize, Serialize};

use crate::dataset::samples;
use crate::question::Question;

/// How many answers to a question are drawn under each setting, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draws {
    /// Answers to each question.
    pub samples: usize,
    /// See [`Sampling::temperature`]; positive.
    pub temperature: f32,
    /// See [`Sampling::top_p`].
    pub top_p: f32,
}

impl Draws {
    /// Each question answered so many times as thinking models are made for.
    pub fn new(samples: usize) -> Draws {
        Draws { samples, temperature: samples::TEMPERATURE, top_p: samples::TOP_P }
    }

    /// How sample `sample` of a question is drawn. No setting has a part in it: all of them draw with the same random
    /// numbers.
    pub(super) fn sampling(&self, question: &Question, sample: usize, seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            seed: samples::seed(&question.task, &question.id, sample, seed),
            ..Sampling::default()
        }
    }
}

/// For people: `4 samples of each question, temperature 0.6, top-p 0.95`.
impl std::fmt::Display for Draws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Draws { samples, temperature, top_p } = self;
        let samples = if *samples == 1 { "1 sample".to_owned() } else { format!("{samples} samples") };
        write!(f, "{samples} of each question, temperature {temperature}, top-p {top_p}")
    }
}
