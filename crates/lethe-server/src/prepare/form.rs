//! `response_format` and forced calls to the grammar that an answer follows.

use lethe_engine::{AfterThinking, Constrained};
use serde_json::json;

use crate::error::ApiError;
use crate::prepare::Context;
use crate::prepare::tools::Calling;
use crate::protocol::format::ResponseFormat;

/// The grammar, if there is one. It binds after the thinking, which the prompt leaves open if `inside`.
pub(crate) fn constraint(
    format: Option<&ResponseFormat>,
    calling: &Calling,
    inside: bool,
    context: Context<'_>,
) -> Result<Option<Constrained>, ApiError> {
    let grammars = &context.served.grammars;
    let (grammar, param) = match (calling, format) {
        (Calling::Forced { schema }, _) => (grammars.json_schema(schema), "tools"),
        (_, None | Some(ResponseFormat::Text)) => return Ok(None),
        (_, Some(ResponseFormat::JsonObject)) => (grammars.json_object(), "response_format"),
        (_, Some(ResponseFormat::JsonSchema { json_schema })) => {
            let schema = json_schema.schema.clone().unwrap_or_else(|| json!({}));
            (grammars.json_schema(&schema), "response_format.json_schema.schema")
        }
    };
    let grammar = grammar.map_err(|e| ApiError::invalid(param, format!("`{param}`: {e}")))?;
    let after_thinking = context.served.tags.clone().map(|tags| AfterThinking { tags, starts_inside: inside });
    Ok(Some(Constrained { grammar, after_thinking }))
}
