//! Tools: what is offered, which one to call, and calls.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A function that the model may call.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    /// `function`.
    #[serde(rename = "type")]
    pub(crate) kind: FunctionKind,
    /// The function.
    pub(crate) function: Function,
}

/// The only kind of tool.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FunctionKind {
    /// A function.
    #[default]
    Function,
}

/// What a function is called and what it takes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Function {
    /// Its name.
    #[schema(min_length = 1, max_length = 128)]
    pub(crate) name: String,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// JSON schema of its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) parameters: Option<Value>,
    /// Whether the schema must be followed; it is when the call is forced.
    #[serde(skip_serializing)]
    #[allow(dead_code)]
    pub(crate) strict: Option<bool>,
}

/// Whether, and what, to call.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected none, auto, required, or {\"type\": \"function\", \"function\": {\"name\": ...}}"
)]
pub(crate) enum ToolChoice {
    /// As a word.
    Mode(ToolMode),
    /// This one.
    Named(NamedTool),
}

/// Whether to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToolMode {
    /// No call; tools are not shown to the model.
    None,
    /// The model decides.
    Auto,
    /// One of the tools.
    Required,
}

/// A tool by its name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedTool {
    /// `function`.
    #[serde(rename = "type", default)]
    #[allow(dead_code)]
    pub(crate) kind: FunctionKind,
    /// Which.
    pub(crate) function: FunctionName,
}

/// The name of a function.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionName {
    /// The name.
    pub(crate) name: String,
}

/// A call, in an answer or in the history.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolCall {
    /// Its place among the calls of an answer that streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(crate) index: Option<u32>,
    /// Names the call in the message with its result.
    #[serde(default)]
    pub(crate) id: String,
    /// `function`.
    #[serde(rename = "type", default = "function")]
    pub(crate) kind: String,
    /// What is called.
    pub(crate) function: FunctionCall,
}

fn function() -> String {
    "function".to_owned()
}

/// A function with arguments.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionCall {
    /// Its name.
    pub(crate) name: String,
    /// The arguments, as the text of a JSON object.
    #[serde(default)]
    pub(crate) arguments: String,
}
