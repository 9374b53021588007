//! `response_format`: what the answer must look like.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Form of the answer. It binds after the thinking.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ResponseFormat {
    /// Any text.
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// The schema.
        json_schema: JsonSchema,
    },
}

/// A JSON schema with its name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonSchema {
    /// For people.
    #[allow(dead_code)]
    pub(crate) name: Option<String>,
    /// For people.
    #[allow(dead_code)]
    pub(crate) description: Option<String>,
    /// The schema itself; any JSON when absent.
    #[schema(value_type = Option<Object>)]
    pub(crate) schema: Option<Value>,
    /// Without meaning here: a schema is always followed.
    #[allow(dead_code)]
    pub(crate) strict: Option<bool>,
}
