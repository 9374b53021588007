//! `/v1/completions`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::protocol::body::{self, Fields, fields};
use crate::protocol::generation::GenerationFields;
use crate::protocol::logprobs::CompletionLogprobs;
use crate::protocol::usage::Usage;

/// A request for the continuation of a text.
#[derive(Clone, Debug)]
pub(crate) struct CompletionRequest {
    pub(crate) completion: CompletionFields,
    pub(crate) generation: GenerationFields,
}

/// What only completions have.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct CompletionFields {
    /// What to go on from.
    pub(crate) prompt: Prompt,
    /// Return the prompt before its continuation.
    pub(crate) echo: Option<bool>,
    /// Return the probabilities of the tokens, and of so many likeliest ones in their place.
    #[schema(minimum = 0, maximum = 20)]
    pub(crate) logprobs: Option<u32>,
}

fields!(CompletionFields);

/// One prompt or several, as text or as token ids.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a string, a list of strings, a list of token ids, or a list of such lists")]
pub(crate) enum Prompt {
    /// A text.
    Text(String),
    /// Token ids.
    Ids(Vec<u32>),
    /// Texts.
    Texts(Vec<String>),
    /// Lists of token ids.
    Lists(Vec<Vec<u32>>),
}

impl CompletionRequest {
    /// Reads a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<CompletionRequest, ApiError> {
        let mut map = body::object(bytes)?;
        let request = CompletionRequest { generation: body::take(&mut map)?, completion: body::take(&mut map)? };
        body::finish(map, &[GenerationFields::keys(), CompletionFields::keys()])?;
        Ok(request)
    }
}

/// A continuation, or a part of one that streams.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Completion {
    /// Names the answer.
    pub(crate) id: String,
    /// `text_completion`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: String,
    /// `n` for each prompt, in order; one in a chunk.
    pub(crate) choices: Vec<CompletionChoice>,
    /// What it cost. In a stream: in the last chunk, where it was asked for; null in the others then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub(crate) usage: Option<Option<Usage>>,
}

/// One of the continuations.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CompletionChoice {
    /// Which: prompts in order, `n` for each.
    pub(crate) index: u32,
    /// The text.
    pub(crate) text: String,
    /// Probabilities, when asked for.
    pub(crate) logprobs: Option<CompletionLogprobs>,
    /// `stop`, `length` or `repetition`; null before the end.
    pub(crate) finish_reason: Option<&'static str>,
    /// The stop text or id that ended it.
    #[schema(value_type = Option<super::chat::StopReason>)]
    pub(crate) stop_reason: Option<Value>,
}
