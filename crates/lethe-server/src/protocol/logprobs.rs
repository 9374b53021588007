//! Probabilities of tokens, in the shapes of both endpoints.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Of a chat's answer.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    /// A token each, those of thinking and tags too.
    pub(crate) content: Vec<ChatLogprob>,
}

/// Of one token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatLogprob {
    /// Its text.
    pub(crate) token: String,
    /// Logarithm of its probability.
    pub(crate) logprob: f64,
    /// Its bytes, which may be a part of a character.
    pub(crate) bytes: Vec<u8>,
    /// The likeliest tokens in its place.
    pub(crate) top_logprobs: Vec<TopLogprob>,
}

/// A token that could have been.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TopLogprob {
    /// Its text.
    pub(crate) token: String,
    /// Logarithm of its probability.
    pub(crate) logprob: f64,
    /// Its bytes, which may be a part of a character.
    pub(crate) bytes: Vec<u8>,
}

/// Of a completion. All lists have an entry a token.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct CompletionLogprobs {
    /// Texts.
    pub(crate) tokens: Vec<String>,
    /// Logarithms of probabilities; null for the first token of a prompt.
    pub(crate) token_logprobs: Vec<Option<f64>>,
    /// The likeliest tokens by text, and the token itself; null for the first token of a prompt.
    #[schema(value_type = Vec<Option<Object>>)]
    pub(crate) top_logprobs: Vec<Option<Map<String, Value>>>,
    /// Characters before each token.
    pub(crate) text_offset: Vec<u64>,
}
