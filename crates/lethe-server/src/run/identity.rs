//! What an answer says of itself.

use lethe_model::Tokenizer;
use std::sync::Arc;

use crate::output::tool_calls::Call;
use crate::prepare::job::Endpoint;
use crate::protocol::chat::{ChatChunk, ChunkChoice};
use crate::protocol::completion::{Completion, CompletionChoice};
use crate::protocol::tool::{FunctionCall, ToolCall};
use crate::protocol::usage::Usage;

/// Name, model and time of an answer, and what all its parts have in common.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) model: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) endpoint: Endpoint,
    /// How many likeliest tokens to return with each; `None` returns no probabilities.
    pub(crate) logprobs: Option<usize>,
    /// Dropped mass past which there is a warning.
    pub(crate) risk_mass: f64,
    pub(crate) tokenizer: Arc<Tokenizer>,
}

impl Identity {
    /// A call as responses tell it; `choice` and `index` make its name.
    pub(crate) fn call(&self, call: Call, choice: usize, index: usize) -> ToolCall {
        let Call { name, arguments } = call;
        let own = self.id.rsplit('-').next().unwrap_or_default();
        ToolCall {
            index: None,
            id: format!("call_{own}_{choice}_{index}"),
            kind: "function".to_owned(),
            function: FunctionCall { name, arguments },
        }
    }

    /// A chunk of a chat.
    pub(crate) fn chat_chunk(&self, choices: Vec<ChunkChoice>, usage: Option<Option<Usage>>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }

    /// A completion, or a chunk of one.
    pub(crate) fn completion(&self, choices: Vec<CompletionChoice>, usage: Option<Option<Usage>>) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }
}
