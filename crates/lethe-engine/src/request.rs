//! What a caller asks for, and why it may be refused.

use std::sync::Arc;

use lethe_policy::{Policy, PolicyError, PolicySpec};

use crate::Sampling;
use crate::constraint::Constrained;
use crate::logprobs::MAX_LOGPROBS;
use crate::repetition::RepetitionDetection;
use crate::sampling::BadSampling;
use crate::thinking::ThinkingBudget;

/// A new sequence: a prompt, a policy for its cache, and how to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids; at least one.
    pub prompt: Vec<u32>,
    /// How many of them are the system message, which `protect_prompt=newest` keeps pinned in later turns.
    pub system_tokens: usize,
    /// The policy that cuts the cache.
    pub policy: PolicySpec,
    /// A policy that no text can name, in place of that one.
    pub custom: Option<Arc<dyn Policy>>,
    /// Whether it may cut deeper than it would while the pool is nearly full, so that nobody has to leave it. The output then
    /// depends on what else runs.
    pub elastic: bool,
    /// Whether to tell which positions each round forgets ([`crate::Event::Forgot`]).
    pub trace: bool,
    /// Whether to tell now and then how full the layers are ([`crate::Event::Levels`]). One that is traced tells in any case.
    pub levels: bool,
    /// How to generate.
    pub generation: Generation,
    /// Tell the log probability of every token of the prompt but the first, and of so many likeliest in its place (at most
    /// [`MAX_LOGPROBS`](crate::MAX_LOGPROBS)). The whole prompt is computed, in smaller chunks.
    pub prompt_logprobs: Option<usize>,
}

impl Request {
    /// A greedy request with the default policy.
    pub fn new(prompt: Vec<u32>) -> Request {
        let (policy, generation) = (PolicySpec::default(), Generation::default());
        Request {
            prompt,
            system_tokens: 0,
            policy,
            custom: None,
            elastic: false,
            trace: false,
            levels: false,
            generation,
            prompt_logprobs: None,
        }
    }
}

/// How one turn is generated and when it ends.
#[derive(Clone, Debug, Default)]
pub struct Generation {
    /// Choice of tokens.
    pub sampling: Sampling,
    /// Most new tokens; `None` is what the model's positions leave. With 0 the prompt is read and nothing generated.
    pub max_tokens: Option<usize>,
    /// Strings that end the turn; they are not part of the text.
    pub stop: Vec<String>,
    /// Ids that end the turn, beside the model's own.
    pub stop_ids: Vec<u32>,
    /// Go on past the model's end ids.
    pub ignore_eos: bool,
    /// Fewest new tokens: until they are out nothing stops the turn but a limit. Ids that would end it are banned, stop
    /// strings are text.
    pub min_tokens: usize,
    /// Keep the cache when the turn ends, for [`crate::Engine::append`] and [`crate::Engine::resume`].
    pub keep: bool,
    /// How long the model may think before thinking is closed for it; `None` is as long as it wants.
    pub thinking: Option<ThinkingBudget>,
    /// Tell the log probability of every token, and of so many likeliest in its place (at most
    /// [`MAX_LOGPROBS`](crate::MAX_LOGPROBS)).
    pub logprobs: Option<usize>,
    /// A grammar that the answer must follow.
    pub constraint: Option<Constrained>,
    /// Do not go on with an answer that only repeats itself; `None` lets it.
    pub repetition: Option<RepetitionDetection>,
}

/// A request that was refused. Nothing was queued.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// No tokens.
    #[error("the prompt is empty: give at least one token")]
    EmptyPrompt,
    /// An id outside the vocabulary.
    #[error("prompt token {index} is {id}, the vocabulary ends at {}", vocab - 1)]
    TokenOutOfRange {
        /// Where in the prompt.
        index: usize,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// The prompt leaves no position for an answer.
    #[error("the prompt needs positions up to {needed}, the model has {limit}: shorten the prompt")]
    PromptTooLong {
        /// Positions used so far, the prompt and one new token, if one is wanted.
        needed: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// The request can never fit, even alone.
    #[error(
        "the request may need {needed} bytes of KV memory, the pool has {limit}: \
         ask for fewer tokens, choose a smaller cap, or give the pool more memory (--kv-memory)"
    )]
    RequestTooLarge {
        /// Worst case of the request, bytes.
        needed: u64,
        /// The pool, bytes.
        limit: u64,
    },
    /// As many requests wait as may.
    #[error("{waiting} requests wait already, and no more than {limit} may: try again later")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
        /// Most that may.
        limit: usize,
    },
    /// Elastic, with a policy that forgets nothing.
    #[error("`full` forgets nothing, so it cannot be elastic: choose another policy, such as lethe or auto")]
    ElasticFull,
    /// The system message is longer than the prompt.
    #[error("system_tokens is {system}, the prompt has {prompt} tokens")]
    SystemTooLong {
        /// What was said.
        system: usize,
        /// Tokens of the prompt.
        prompt: usize,
    },
    /// More log probabilities a token than are told.
    #[error("{asked} likeliest tokens were asked for beside each token, at most {MAX_LOGPROBS} are told")]
    TooManyLogprobs {
        /// What was asked for.
        asked: usize,
    },
    /// Fewest and most tokens contradict each other.
    #[error("min_tokens is {min}, max_tokens {max}: ask for at least as many tokens as must come")]
    MinOverMax {
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
    },
    /// Repetition detection with numbers that make no sense.
    #[error("repetition detection: {key} = {value}, expected {expected}")]
    BadRepetition {
        /// The number.
        key: &'static str,
        /// What was given.
        value: usize,
        /// What would do.
        expected: &'static str,
    },
    /// Thinking is told from the answer by its text.
    #[error("a grammar after thinking needs a tokenizer, and this model has none")]
    ConstraintNeedsTokenizer,
    /// A sampling parameter is out of range.
    #[error(transparent)]
    Sampling(#[from] BadSampling),
    /// The policy, one of its keys or its budget is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An empty stop string would stop everything.
    #[error("a stop string is empty")]
    EmptyStop,
    /// Stop strings are text.
    #[error("stop strings need a tokenizer, and this model has none: use stop ids")]
    StopNeedsTokenizer,
    /// Thinking is told from the answer by its text.
    #[error("a reasoning budget needs a tokenizer, and this model has none: leave the budget out")]
    BudgetNeedsTokenizer,
    /// A tag to tell thinking by is empty.
    #[error("thinking is told by an opening and a closing tag, and one of them is empty")]
    EmptyTag,
    /// An id to be forced is outside the vocabulary.
    #[error("token {index} of those that close thinking is {id}, the vocabulary ends at {}", vocab - 1)]
    CloseTokenOutOfRange {
        /// Where among them.
        index: usize,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// What is forced would leave thinking open.
    #[error("the tokens that close thinking read `{text}`, without the closing tag {tag}: add it")]
    CloseWithoutTag {
        /// Their text.
        text: String,
        /// The tag.
        tag: String,
    },
    /// The session is unknown, still busy, or was not kept.
    #[error("session {0} is not waiting for a turn: keep a session to append to it")]
    UnknownSession(u64),
    /// The engine is gone.
    #[error("the engine has stopped")]
    Stopped,
}
