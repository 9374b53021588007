//! Which tools to show, and whether one must be called.

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::output::tool_calls::{ToolFormat, ToolParser};
use crate::protocol::tool::{Tool, ToolChoice, ToolMode};

/// What becomes of the tools of a request.
#[derive(Debug)]
pub(crate) enum Calling {
    /// None are shown.
    Nothing,
    /// The model decides.
    Free {
        /// Their names.
        names: Vec<String>,
    },
    /// The answer is a call, of this JSON schema.
    Forced {
        /// A name and arguments.
        schema: Value,
    },
}

impl Calling {
    /// What `tool_choice` makes of `tools`.
    pub(crate) fn new(tools: &[Tool], choice: Option<&ToolChoice>) -> Result<Calling, ApiError> {
        let needs_tools =
            |what: &str| ApiError::invalid("tool_choice", format!("`tool_choice` is {what}, and there are no `tools`"));
        let names = || tools.iter().map(|tool| tool.function.name.clone()).collect();
        Ok(match choice {
            Some(ToolChoice::Mode(ToolMode::None)) => Calling::Nothing,
            None | Some(ToolChoice::Mode(ToolMode::Auto)) if tools.is_empty() => Calling::Nothing,
            None | Some(ToolChoice::Mode(ToolMode::Auto)) => Calling::Free { names: names() },
            Some(ToolChoice::Mode(ToolMode::Required)) if tools.is_empty() => return Err(needs_tools("`required`")),
            Some(ToolChoice::Mode(ToolMode::Required)) => {
                Calling::Forced { schema: json!({ "anyOf": tools.iter().map(call_schema).collect::<Vec<_>>() }) }
            }
            Some(ToolChoice::Named(named)) => {
                let name = &named.function.name;
                let tool = tools.iter().find(|tool| tool.function.name == *name);
                let unknown = || match tools {
                    [] => needs_tools(&format!("`{name}`")),
                    _ => ApiError::invalid(
                        "tool_choice.function.name",
                        format!("`tool_choice` names `{name}`, which is not among `tools`"),
                    ),
                };
                Calling::Forced { schema: call_schema(tool.ok_or_else(unknown)?) }
            }
        })
    }

    /// Finds the calls, for a model that writes them so.
    pub(crate) fn parser(&self, format: Option<ToolFormat>) -> Option<ToolParser> {
        match self {
            Calling::Nothing => None,
            Calling::Free { names } => format.map(|format| ToolParser::new(format, names.clone())),
            Calling::Forced { .. } => Some(ToolParser::forced()),
        }
    }

    /// Whether tools are shown to the model.
    pub(crate) fn shown(&self) -> bool {
        !matches!(self, Calling::Nothing)
    }
}

/// What a call of a tool looks like.
fn call_schema(tool: &Tool) -> Value {
    let arguments = tool.function.parameters.clone().unwrap_or_else(|| json!({ "type": "object" }));
    json!({
        "type": "object",
        "properties": { "name": { "const": tool.function.name }, "arguments": arguments },
        "required": ["name", "arguments"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calling(tools: Value, choice: Value) -> Result<Calling, ApiError> {
        let tools: Vec<Tool> = serde_json::from_value(tools).unwrap();
        let choice: Option<ToolChoice> = serde_json::from_value(choice).unwrap();
        Calling::new(&tools, choice.as_ref())
    }

    #[test]
    fn choices() {
        let f = json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object", "required": ["x"] } } }]);
        let named = |name: &str| json!({ "type": "function", "function": { "name": name } });
        assert!(matches!(calling(json!([]), json!(null)), Ok(Calling::Nothing)));
        assert!(matches!(calling(json!([]), json!("auto")), Ok(Calling::Nothing)));
        assert!(matches!(calling(f.clone(), json!("none")), Ok(Calling::Nothing)));
        assert!(matches!(calling(f.clone(), json!(null)), Ok(Calling::Free { names }) if names == ["f"]));
        let Ok(Calling::Forced { schema }) = calling(f.clone(), named("f")) else { panic!() };
        assert_eq!(schema["properties"]["arguments"]["required"][0], "x");
        let Ok(Calling::Forced { schema }) = calling(f.clone(), json!("required")) else { panic!() };
        assert_eq!(schema["anyOf"][0]["properties"]["name"]["const"], "f");
        assert_eq!(calling(json!([]), json!("required")).unwrap_err().param.as_deref(), Some("tool_choice"));
        assert_eq!(calling(json!([]), named("f")).unwrap_err().param.as_deref(), Some("tool_choice"));
        assert_eq!(calling(f, named("g")).unwrap_err().param.as_deref(), Some("tool_choice.function.name"));
    }
}
