//! One line of results.

use lethe_engine::{FinishReason, Finished};
use serde::{Deserialize, Serialize};

use super::Protection;

/// Generated tokens from one reading of the memory to the next.
pub const EVERY: usize = 32;

/// What came of one question under one setting. No times: the same run gives the same row.
///
/// Numbers with a fraction are rounded to six places, so that they read back as they were written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The task.
    pub task: String,
    /// The question.
    pub id: String,
    /// Which of several answers that were drawn; `None` for a greedy one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// How hard it is, where it was generated.
    pub level: Option<f64>,
    /// The policy as asked for.
    pub policy: String,
    /// The budget as asked for: slots, or a share with `%`; `None` for `full`.
    pub budget: Option<String>,
    /// Whether the prompts were protected; `None` for `full`.
    pub protect: Option<Protection>,
    /// The policy with the budget that it was given.
    pub spec: String,
    /// Whether its smallest budget holds more than asked.
    pub raised: bool,
    /// Whether each thing that was asked for is right. Cut off, looping and failed answers have nothing right.
    pub right: Vec<bool>,
    /// Whether all are.
    pub all_right: bool,
    /// What was taken for the answers.
    pub found: Vec<String>,
    /// How the last turn ended: `stop`, `length` (cut off), or `failed`.
    pub finish: String,
    /// Whether an answer says the same again and again: 20 tokens that come 5 times within 200, or longer text back to back.
    #[serde(rename = "loop")]
    pub looped: bool,
    /// Tokens of the prompt of each turn that was asked. `[turns]`
    pub prompt_tokens: Vec<usize>,
    /// Tokens generated in each turn. `[turns]`
    pub tokens: Vec<usize>,
    /// The first generated token, counted over all turns, that differs from that of `full`; `None` where none does.
    pub differs_at: Option<usize>,
    /// Most slots each layer held. `[layers]`
    pub peak_slots: Vec<usize>,
    /// Most slots that all layers held at one time, in sum; `None` in rows of older versions, which the sum of
    /// [`Row::peak_slots`] then stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_total_slots: Option<usize>,
    /// Slots of a layer, mean over steps and layers.
    pub mean_slots: f64,
    /// Slots each layer held at the end. `[layers]`
    pub final_slots: Vec<usize>,
    /// Most bytes held.
    pub peak_bytes: u64,
    /// Mean over steps of the bytes held.
    pub mean_bytes: u64,
    /// Bytes held when the first token came and after every [`EVERY`]th, or up to seven later, counted over all turns. Empty for
    /// answers of a few tokens, and in rows of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_bytes: Vec<u64>,
    /// Rounds of each layer. `[layers]`
    pub rounds: Vec<usize>,
    /// Slots forgotten, summed over layers.
    pub evicted: usize,
    /// Score dropped over score before, mean over rounds.
    pub dropped_mass_mean: f64,
    /// The largest of them.
    pub dropped_mass_max: f64,
    /// Sparsity of each layer's scores at the end, empty for policies without scores. `[layers]`
    pub hoyer: Vec<f64>,
}

impl Row {
    /// Whether an answer hit its limit.
    pub fn cut_off(&self) -> bool {
        self.finish == finish(FinishReason::Length)
    }

    /// Whether any layer had a round that dropped something.
    pub fn exercised(&self) -> bool {
        self.evicted > 0
    }

    /// Tokens generated in all turns.
    pub fn answer_tokens(&self) -> usize {
        self.tokens.iter().sum()
    }

    /// Slots held at the end, mean over layers.
    pub fn slots(&self) -> f64 {
        mean(&self.final_slots)
    }

    /// Slots held at the end beyond the prompts of all turns, mean over layers.
    pub fn beyond_prompt(&self) -> f64 {
        (self.slots() - self.prompts() as f64).max(0.0)
    }

    /// Most slots held at one time beyond the prompts of all turns, mean over layers.
    pub fn peak_beyond_prompt(&self) -> f64 {
        let total = self.peak_total_slots.unwrap_or_else(|| self.peak_slots.iter().sum());
        (total as f64 / self.peak_slots.len().max(1) as f64 - self.prompts() as f64).max(0.0)
    }

    /// Mean slots beyond the prompts that were there, each turn's weighted by its steps.
    pub fn mean_beyond_prompt(&self) -> f64 {
        let (mut there, mut weighted) = (0, 0);
        for (prompt, tokens) in self.prompt_tokens.iter().zip(&self.tokens) {
            there += prompt;
            weighted += there * tokens;
        }
        (self.mean_slots - weighted as f64 / self.answer_tokens().max(1) as f64).max(0.0)
    }

    fn prompts(&self) -> usize {
        self.prompt_tokens.iter().sum()
    }

    /// Fills in what the cache did, from the report of the last turn that ended by itself.
    pub(super) fn set_cache(&mut self, done: &Finished) {
        let kv = &done.kv;
        self.peak_slots = kv.peak_slots.clone();
        self.peak_total_slots = Some(kv.peak_total_slots);
        self.mean_slots = rounded(kv.mean_slots);
        self.final_slots = kv.final_slots.clone();
        (self.peak_bytes, self.mean_bytes) = (kv.peak_bytes, kv.mean_bytes);
        self.rounds = kv.rounds.clone();
        self.evicted = kv.evicted;
        self.dropped_mass_mean = rounded(kv.dropped_mass.mean);
        self.dropped_mass_max = rounded(kv.dropped_mass.max);
        self.hoyer = kv.hoyer.iter().copied().map(rounded).collect();
    }
}

/// Where the time of a row went, in seconds, all turns. They differ from run to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Waiting for a place.
    pub queued: f64,
    /// Reading prompts.
    pub prefill: f64,
    /// Generating.
    pub decode: f64,
}

impl Seconds {
    /// Adds a turn.
    pub(super) fn add(&mut self, done: &Finished) {
        let add = |to: &mut f64, time: std::time::Duration| *to = rounded(*to + time.as_secs_f64());
        add(&mut self.queued, done.timing.queued);
        add(&mut self.prefill, done.timing.prefill);
        add(&mut self.decode, done.timing.decode);
    }
}

/// The word for the end of a turn.
pub(super) fn finish(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "cancelled",
        FinishReason::Repetition => "repetition",
    }
}

/// The word for a turn that failed.
pub(super) const FAILED: &str = "failed";

fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

fn mean(slots: &[usize]) -> f64 {
    slots.iter().sum::<usize>() as f64 / slots.len().max(1) as f64
}
