//! Messages of a conversation.

use lethe_model::Message as TemplateMessage;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::protocol::tool::ToolCall;

/// One message.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    /// Whose it is.
    pub(crate) role: Role,
    /// Its text; may be absent where an assistant only calls tools.
    pub(crate) content: Option<Content>,
    /// Name of the speaker, or of the tool.
    pub(crate) name: Option<String>,
    /// An assistant's thinking.
    pub(crate) reasoning: Option<String>,
    /// The same, under its other name.
    pub(crate) reasoning_content: Option<String>,
    /// An assistant's calls.
    pub(crate) tool_calls: Option<Vec<ToolCall>>,
    /// The call that a tool's message answers.
    pub(crate) tool_call_id: Option<String>,
    /// As answers bring it; without meaning.
    #[allow(dead_code)]
    pub(crate) refusal: Option<String>,
    /// As answers bring it; without meaning.
    #[allow(dead_code)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) annotations: Option<Vec<Value>>,
    /// Must be null.
    #[schema(value_type = Option<Object>)]
    pub(crate) audio: Option<Value>,
    /// Must be null.
    #[schema(value_type = Option<Object>)]
    pub(crate) function_call: Option<Value>,
}

/// Whose message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Instructions.
    System,
    /// Instructions, by the newer name.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// What a tool gave.
    Tool,
}

/// Text, whole or in parts.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a string or a list of {\"type\": \"text\", \"text\": ...}; images and audio are not supported"
)]
pub(crate) enum Content {
    /// Whole.
    Text(String),
    /// In parts.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
}

impl Content {
    fn into_text(self) -> String {
        match self {
            Content::Text(text) => text,
            Content::Parts(parts) => {
                let texts: Vec<String> = parts.into_iter().map(|Part::Text { text }| text).collect();
                texts.join("\n")
            }
        }
    }
}

impl Message {
    /// The message as templates read it. `index` is its place, for errors.
    pub(crate) fn into_template(self, index: usize) -> Result<TemplateMessage, ApiError> {
        let at = |field: &str| format!("messages[{index}].{field}");
        for (field, value) in [("audio", &self.audio), ("function_call", &self.function_call)] {
            if value.is_some() {
                return Err(ApiError::invalid(at(field), format!("`{}` is not supported", at(field))));
            }
        }
        let calls = self.tool_calls.filter(|calls| !calls.is_empty());
        if self.role != Role::Assistant {
            let only = [
                ("tool_calls", calls.is_some()),
                ("reasoning", self.reasoning.is_some()),
                ("reasoning_content", self.reasoning_content.is_some()),
            ];
            if let Some((field, _)) = only.into_iter().find(|(_, given)| *given) {
                let message = format!("`{}` belongs to messages of the assistant", at(field));
                return Err(ApiError::invalid(at(field), message));
            }
        }
        let role = match self.role {
            Role::System | Role::Developer => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        if self.content.is_none() && self.role != Role::Assistant {
            let message = format!("`{}` is missing: give the text of this {role} message", at("content"));
            return Err(ApiError::invalid(at("content"), message));
        }
        let mut message = TemplateMessage::new(role, self.content.map(Content::into_text).unwrap_or_default());
        if let Some(thinking) = self.reasoning_content.or(self.reasoning) {
            message = message.with("reasoning", thinking.as_str()).with("reasoning_content", thinking);
        }
        if let Some(calls) = calls {
            message = message.with("tool_calls", calls.iter().map(call).collect::<Vec<_>>());
        }
        for (key, value) in [("tool_call_id", self.tool_call_id), ("name", self.name)] {
            if let Some(value) = value {
                message = message.with(key, value);
            }
        }
        Ok(message)
    }
}

/// A call as templates read it: arguments as an object. What is no JSON stays text, as the model wrote it.
fn call(call: &ToolCall) -> Value {
    let text = call.function.arguments.trim();
    let arguments =
        if text.is_empty() { json!({}) } else { serde_json::from_str(text).unwrap_or_else(|_| text.into()) };
    json!({ "id": call.id, "type": "function", "function": { "name": call.function.name, "arguments": arguments } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Result<TemplateMessage, ApiError> {
        serde_json::from_value::<Message>(json).unwrap().into_template(2)
    }

    #[test]
    fn parts_are_lines_and_developers_are_the_system() {
        let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
        let message = read(json!({ "role": "developer", "content": parts })).unwrap();
        assert_eq!((&*message.role, &*message.content), ("system", "a\nb"));
    }

    #[test]
    fn either_name_of_thinking_is_both() {
        for name in ["reasoning", "reasoning_content"] {
            let message = read(json!({ "role": "assistant", "content": null, name: "hm" })).unwrap();
            assert_eq!(message.content, "");
            assert_eq!(
                (&message.extra["reasoning"], &message.extra["reasoning_content"]),
                (&json!("hm"), &json!("hm"))
            );
        }
    }

    #[test]
    fn arguments_are_objects_where_they_are_json() {
        let with = |arguments: &str| {
            let calls = json!([{ "id": "1", "type": "function", "function": { "name": "f", "arguments": arguments } }]);
            let message = read(json!({ "role": "assistant", "tool_calls": calls })).unwrap();
            message.extra["tool_calls"][0]["function"]["arguments"].clone()
        };
        assert_eq!(with("{\"a\": [1]}"), json!({ "a": [1] }));
        assert_eq!(with(""), json!({}));
        assert_eq!(with("{oops"), json!("{oops"));
    }

    #[test]
    fn what_is_out_of_place_is_named() {
        for (json, param) in [
            (json!({ "role": "user" }), "messages[2].content"),
            (json!({ "role": "user", "content": "", "reasoning": "hm" }), "messages[2].reasoning"),
            (json!({ "role": "assistant", "audio": {} }), "messages[2].audio"),
        ] {
            assert_eq!(read(json).unwrap_err().param.as_deref(), Some(param));
        }
    }
}
