//! What the engine tells while it works: tokens, rounds, and how it ended.

use std::time::Duration;

use serde::Serialize;

use crate::constraint::ConstraintError;
use crate::logprobs::TokenLogprobs;

/// One thing that happened to a request.
#[derive(Clone, Debug)]
pub enum Event {
    /// Part of the prompt was read.
    Prefill {
        /// Tokens of the prompt read so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// How likely the model held each token of the prompt but the first, when the request asked; once, before the first
    /// token.
    PromptLogprobs(Vec<TokenLogprobs>),
    /// A new token.
    Token {
        /// Its id.
        id: u32,
        /// Text that is now certain; may be empty while a character or a stop string is incomplete.
        text: String,
        /// How likely the model held it, when the request asked.
        logprobs: Option<Box<TokenLogprobs>>,
    },
    /// Text that was held back and turned out to be part of the answer.
    Tail(String),
    /// A layer was cut.
    Round(Round),
    /// What a round left out, right after it, for requests that are traced.
    Forgot {
        /// The layer.
        layer: usize,
        /// The lane, where lanes are cut each on its own.
        lane: Option<usize>,
        /// Positions whose slots are gone, ascending.
        positions: Vec<u32>,
    },
    /// How full the layers are, before their rounds, for requests that asked for it: after the prompt and after steps of the answer
    /// but the last, where the position is divisible by eight.
    Levels(Box<Levels>),
    /// The turn ended as it should.
    Finished(Box<Finished>),
    /// The turn ended by a fault. Its cache is gone.
    Failed(Failure),
}

/// One pruning of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// The layer.
    pub layer: usize,
    /// Positions fed when it happened.
    pub position: u32,
    /// Slots before.
    pub before: usize,
    /// Slots after.
    pub after: usize,
    /// Score dropped over score before; 0 for policies without scores.
    pub dropped_mass: f64,
    /// What led to it, for requests that are traced.
    pub detail: Option<RoundDetail>,
}

/// What a round saw and left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundDetail {
    /// Slots at which the policy wants the layer's next round, as it noted; 0 for policies that note none.
    pub trigger: usize,
    /// Bytes that the whole sequence holds after it, as [`KvReport::peak_bytes`] counts.
    pub bytes: u64,
    /// The scores before the cut; `None` for policies without scores.
    pub scores: Option<ScoreSummary>,
}

/// Scores of a layer in a few numbers, over all its lanes where lanes have scores of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreSummary {
    /// Sparsity, as in [`KvReport::hoyer`].
    pub hoyer: f64,
    /// Sum.
    pub sum: f64,
    /// The largest.
    pub top: f32,
    /// The middle one.
    pub median: f32,
    /// The largest that was dropped; 0 when nothing was.
    pub dropped_top: f32,
}

/// All layers of a sequence at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// Positions fed so far.
    pub position: u32,
    /// Slots each layer holds. `[layers]`
    pub slots: Vec<usize>,
    /// As [`KvReport::hoyer`], for requests that are traced. `[layers]`, or empty
    pub hoyer: Vec<f64>,
    /// Bytes held, as [`KvReport::peak_bytes`] counts.
    pub bytes: u64,
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// An end id, a stop string ([`Finished::stopped_by`]), or a grammar that allows nothing more.
    Stop,
    /// A limit; [`Finished::limit`] names it.
    Length,
    /// The caller gave up.
    Cancelled,
    /// The answer only repeated itself ([`crate::RepetitionDetection`]).
    Repetition,
}

/// What stopped a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoppedBy {
    /// An end id, the model's or the request's.
    Id(u32),
    /// A stop string.
    Text(String),
}

/// The limit that ended a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `max_tokens` of the request.
    MaxTokens(usize),
    /// Positions of the model, counting every token ever fed.
    Positions(usize),
    /// New tokens that the whole pool has room for; the request left the number open.
    Memory(usize),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::MaxTokens(n) => write!(f, "max_tokens {n}"),
            Limit::Positions(n) => write!(f, "the model's {n} positions"),
            Limit::Memory(n) => write!(f, "the {n} new tokens that the KV memory has room for (--kv-memory)"),
        }
    }
}

/// The end of a turn.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Why.
    pub reason: FinishReason,
    /// The limit, when the reason is [`FinishReason::Length`].
    pub limit: Option<Limit>,
    /// Every generated id, the end id and those of a stop string too.
    pub token_ids: Vec<u32>,
    /// Tokens.
    pub usage: Usage,
    /// The cache.
    pub kv: KvReport,
    /// Times.
    pub timing: Timing,
    /// The session to append to, when the request asked to keep it.
    pub session: Option<u64>,
    /// What stopped it, when the reason is [`FinishReason::Stop`]; `None` for the end of a grammar.
    pub stopped_by: Option<StoppedBy>,
    /// The answer says the same again and again: 20 tokens that come 5 times within 200, or anything of at least 100
    /// tokens in all that is repeated 5 times back to back.
    pub looped: bool,
}

/// Tokens of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of this turn's prompt.
    pub prompt_tokens: usize,
    /// Tokens generated, forced ones too.
    pub completion_tokens: usize,
    /// Tokens of the prompt that were in the cache already and not computed again ([`crate::Engine::resume`]).
    pub cached_tokens: usize,
}

/// What the cache did during a sequence's life (all turns so far).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KvReport {
    /// Name of the policy.
    pub policy: String,
    /// Its options, resolved.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// Most slots each layer held, before the cut. `[layers]`
    pub peak_slots: Vec<usize>,
    /// Most slots that all layers held at one time, in sum: layers need not peak together.
    pub peak_total_slots: usize,
    /// Slots each layer holds now. `[layers]`
    pub final_slots: Vec<usize>,
    /// Mean over steps of the slots a layer held after the step, mean over layers.
    pub mean_slots: f64,
    /// Rounds of each layer. `[layers]`
    pub rounds: Vec<usize>,
    /// Slots forgotten, summed over layers.
    pub evicted: usize,
    /// Rounds that cut deeper than the policy would have, because the pool was nearly full (elastic requests only).
    pub tightened: usize,
    /// Times that the cache left the pool for a while to make room for older requests.
    pub parked: usize,
    /// Score dropped over score before, per round.
    pub dropped_mass: DroppedMass,
    /// Sparsity of each layer's scores now, from 0 (flat) to 1 (one slot has all): `hoyer` of policies.md, the mean over
    /// lanes where lanes have scores of their own. Empty for policies without scores. `[layers]`
    pub hoyer: Vec<f64>,
    /// Most bytes held at the end of a step, before the cut.
    pub peak_bytes: u64,
    /// Mean over steps of the bytes held.
    pub mean_bytes: u64,
    /// K and V values too large for the cache's element type.
    pub saturated: usize,
}

/// Statistics of dropped mass over rounds; zero without rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct DroppedMass {
    /// Mean.
    pub mean: f64,
    /// Maximum.
    pub max: f64,
}

/// Where the time of a turn went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// Waiting for memory or a place.
    pub queued: Duration,
    /// From admission to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

/// A fault that ended one request. Others go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Logits were not finite.
    #[error("logits are not finite at position {position}: layer {layer} is the first with such values")]
    NonFinite {
        /// Position of the token whose logits broke.
        position: u32,
        /// First layer whose output was not finite; the number of layers when only the head's was not.
        layer: usize,
    },
    /// Every token is banned.
    #[error("no token can be sampled: what logit_bias, min_tokens and the grammar ban is the whole vocabulary")]
    NothingToSample,
    /// The grammar of the answer failed.
    #[error("the grammar of the answer cannot go on: {0}")]
    Constraint(#[from] ConstraintError),
    /// Kept sessions hold the memory that the request needs, nothing runs that could free any, and they cannot be parked.
    #[error(
        "{needed} bytes of KV memory are needed, and {sessions} kept sessions hold too much of it and cannot be moved out: \
         release some, or give the engine a folder with room for them (--park-dir)"
    )]
    SessionsHoldMemory {
        /// Worst case of the request, bytes.
        needed: u64,
        /// Sessions that hold pages or wait for some.
        sessions: usize,
    },
    /// The cache had to make room and could not be moved out of the pool, or not back.
    #[error(
        "the KV cache could not be parked outside the pool: {0}; give the engine a folder with room (--park-dir) or more memory"
    )]
    Parking(String),
    /// The engine was stopped.
    #[error("the engine was stopped")]
    Stopped,
    /// The policy refused, or memory that was promised was not there.
    #[error("{0}")]
    Cache(String),
    /// The step panicked; a defect of the engine.
    #[error("a step panicked: {0}")]
    Panicked(String),
}
