//! `/v1/chat/completions`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::output::trace::Trace;
use crate::protocol::body::{self, Fields, fields};
use crate::protocol::generation::GenerationFields;
use crate::protocol::logprobs::ChatLogprobs;
use crate::protocol::message::Message;
use crate::protocol::tool::{Tool, ToolCall, ToolChoice};
use crate::protocol::usage::Usage;

/// A request for an answer.
#[derive(Clone, Debug)]
pub(crate) struct ChatRequest {
    pub(crate) chat: ChatFields,
    pub(crate) generation: GenerationFields,
}

/// What only chats have.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ChatFields {
    /// The conversation.
    #[schema(min_items = 1)]
    pub(crate) messages: Vec<Message>,
    /// Most new tokens, thinking included; wins over `max_tokens`.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(crate) max_completion_tokens: Option<u32>,
    /// Return the probabilities of the tokens.
    pub(crate) logprobs: Option<bool>,
    /// How many likeliest tokens to return with each; needs `logprobs`.
    #[schema(minimum = 0, maximum = 20)]
    pub(crate) top_logprobs: Option<u32>,
    /// Functions that the model may call.
    #[schema(max_items = 128)]
    pub(crate) tools: Option<Vec<Tool>>,
    /// Whether, and what, to call.
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Whether an answer may hold several calls.
    pub(crate) parallel_tool_calls: Option<bool>,
    /// Variables of the chat template, such as `enable_thinking`.
    #[schema(value_type = Option<Object>)]
    pub(crate) chat_template_kwargs: Option<Map<String, Value>>,
    /// Most tokens of thinking; then it is closed.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(crate) thinking_token_budget: Option<u32>,
    /// Given to the template as `reasoning_effort`; `none` also as `enable_thinking: false`.
    pub(crate) reasoning_effort: Option<ReasoningEffort>,
}

fields!(ChatFields);

/// How hard to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReasoningEffort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// A lot.
    High,
    /// As much as there is.
    Xhigh,
}

impl ChatRequest {
    /// Reads a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<ChatRequest, ApiError> {
        let mut map = body::object(bytes)?;
        let request = ChatRequest { generation: body::take(&mut map)?, chat: body::take(&mut map)? };
        body::finish(map, &[GenerationFields::keys(), ChatFields::keys()])?;
        Ok(request)
    }
}

/// An answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    /// Names the answer.
    pub(crate) id: String,
    /// `chat.completion`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: String,
    /// One for each of `n`.
    pub(crate) choices: Vec<ChatChoice>,
    /// What it cost.
    pub(crate) usage: Usage,
}

/// One of the answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatChoice {
    /// Which of them.
    pub(crate) index: u32,
    /// What was said.
    pub(crate) message: AssistantMessage,
    /// Probabilities, when asked for.
    pub(crate) logprobs: Option<ChatLogprobs>,
    /// `stop`, `length`, `tool_calls` or `repetition`.
    pub(crate) finish_reason: &'static str,
    /// The stop text or id that ended it.
    #[schema(value_type = Option<StopReason>)]
    pub(crate) stop_reason: Option<Value>,
}

/// The text or id that ended an answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code)] // only its schema is used
pub(crate) enum StopReason {
    /// An id.
    Id(u32),
    /// A text.
    Text(String),
}

/// What the model said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AssistantMessage {
    /// `assistant`.
    pub(crate) role: &'static str,
    /// The answer; null where it only calls tools.
    pub(crate) content: Option<String>,
    /// Always null: this server refuses nothing in the model's place.
    pub(crate) refusal: Option<String>,
    /// The thinking, if there was any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning: Option<String>,
    /// The same, under its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<String>,
    /// Calls, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<Vec<ToolCall>>,
}

/// A part of an answer that streams.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunk {
    /// Names the answer.
    pub(crate) id: String,
    /// `chat.completion.chunk`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: String,
    /// One, or none in the chunk with the usage.
    pub(crate) choices: Vec<ChunkChoice>,
    /// In the last chunk, where it was asked for; null in the others then.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub(crate) usage: Option<Option<Usage>>,
    /// What the cache did, where `kv_policy.trace` asks for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) lethe: Vec<Trace>,
}

/// What is new of one choice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ChunkChoice {
    /// Which.
    pub(crate) index: u32,
    /// What is new.
    pub(crate) delta: Delta,
    /// Probabilities of the tokens since the last chunk, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logprobs: Option<ChatLogprobs>,
    /// Why it ended; null before.
    pub(crate) finish_reason: Option<&'static str>,
    /// The stop text or id that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<StopReason>)]
    pub(crate) stop_reason: Option<Value>,
}

/// New text.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Delta {
    /// `assistant`, in the first chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    /// Of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    /// Of the thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning: Option<String>,
    /// The same, under its other name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<String>,
    /// A call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<Vec<ToolCall>>,
}
