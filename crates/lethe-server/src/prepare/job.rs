//! What the engine is asked for, and how its output is told.

use lethe_engine::Request;

use crate::output::splitter::Splitter;
use crate::output::trace::Tracer;

/// A request that is in order.
pub(crate) struct Job {
    pub(crate) endpoint: Endpoint,
    /// The name to answer under.
    pub(crate) model: String,
    /// One a choice.
    pub(crate) requests: Vec<Request>,
    /// How to tell each of them. `[requests]`
    pub(crate) tellings: Vec<Telling>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    /// How many likeliest tokens to return with each; `None` returns no probabilities.
    pub(crate) logprobs: Option<usize>,
}

/// Whose shape the answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completion,
}

impl Endpoint {
    /// The field that prompts come from.
    pub(crate) fn prompt_field(self) -> &'static str {
        match self {
            Endpoint::Chat => "messages",
            Endpoint::Completion => "prompt",
        }
    }
}

/// How one choice is told.
pub(crate) struct Telling {
    /// Takes its text apart.
    pub(crate) splitter: Splitter,
    /// The first of its prompt.
    pub(crate) first: bool,
    /// The prompt, to be returned before its continuation.
    pub(crate) echo: Option<Echo>,
    /// Follows the cache, where the client hears what it does.
    pub(crate) traced: Option<Tracer>,
}

/// A prompt to be returned.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    pub(crate) text: String,
    pub(crate) ids: Vec<u32>,
}
