//! `/tokenize` and `/detokenize`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::protocol::body::{self, Fields, fields};
use crate::protocol::message::Message;
use crate::protocol::tool::Tool;

/// Text, or a conversation, to be made token ids.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct TokenizeRequest {
    /// Name of the model; the one served when absent.
    pub(crate) model: Option<String>,
    /// A text. Give this or `messages`.
    pub(crate) prompt: Option<String>,
    /// A conversation, rendered by the chat template.
    pub(crate) messages: Option<Vec<Message>>,
    /// Add the tokens that begin a sequence; default true for a text. Templates write their own.
    pub(crate) add_special_tokens: Option<bool>,
    /// Begin the answer; default true.
    pub(crate) add_generation_prompt: Option<bool>,
    /// Functions, as in a chat.
    pub(crate) tools: Option<Vec<Tool>>,
    /// Variables of the chat template.
    #[schema(value_type = Option<Object>)]
    pub(crate) chat_template_kwargs: Option<Map<String, Value>>,
    /// Return the text of each token too.
    pub(crate) return_token_strs: Option<bool>,
}

fields!(TokenizeRequest);

/// Token ids.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Tokenized {
    /// How many.
    pub(crate) count: u64,
    /// Positions of a sequence.
    pub(crate) max_model_len: u64,
    /// The ids.
    pub(crate) tokens: Vec<u32>,
    /// Their texts, where asked for.
    pub(crate) token_strs: Option<Vec<String>>,
}

/// Token ids to be made text.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct DetokenizeRequest {
    /// Name of the model; the one served when absent.
    pub(crate) model: Option<String>,
    /// The ids.
    pub(crate) tokens: Vec<u32>,
}

fields!(DetokenizeRequest);

/// Their text.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Detokenized {
    /// The text, special tokens included.
    pub(crate) prompt: String,
}

impl TokenizeRequest {
    /// Reads a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<TokenizeRequest, ApiError> {
        whole(bytes)
    }
}

impl DetokenizeRequest {
    /// Reads a body.
    pub(crate) fn parse(bytes: &[u8]) -> Result<DetokenizeRequest, ApiError> {
        whole(bytes)
    }
}

fn whole<T: Fields>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut map = body::object(bytes)?;
    let request = body::take(&mut map)?;
    body::finish(map, &[T::keys()])?;
    Ok(request)
}
