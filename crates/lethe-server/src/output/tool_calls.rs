//! Calls of tools in generated text.

use serde_json::Value;

use crate::output::forced_call::ForcedCall;
use crate::output::json_calls::JsonCalls;
use crate::output::tagged_calls::TaggedCalls;

/// How a model writes its calls, which its chat template tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolFormat {
    /// `<tool_call>{"name": ..., "arguments": ...}</tool_call>`: Qwen, Hermes.
    Tagged,
    /// The whole answer is `{"name": ..., "parameters": ...}`, perhaps several with `;` between: Llama 3.
    Json,
}

impl ToolFormat {
    /// The format that a template asks for. `None` where it shows no tools to the model, or in a format that is not read.
    pub(crate) fn of(template: &str) -> Option<ToolFormat> {
        if !template.contains("tools") {
            None
        } else if template.contains("<tool_call>") {
            Some(ToolFormat::Tagged)
        } else if template.contains("<|python_tag|>")
            || (template.contains("<|start_header_id|>") && template.contains("\"parameters\""))
        {
            Some(ToolFormat::Json)
        } else {
            None
        }
    }
}

/// A call as the model wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Text of a JSON object.
    pub(crate) arguments: String,
}

impl Call {
    /// A call from its JSON: a name, and `arguments` or `parameters` as an object or as text.
    pub(crate) fn from_json(value: &Value) -> Option<Call> {
        let name = value.get("name")?.as_str()?.to_owned();
        let arguments = match value.get("arguments").or_else(|| value.get("parameters")) {
            None | Some(Value::Null) => "{}".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(object @ Value::Object(_)) => object.to_string(),
            Some(_) => return None,
        };
        Some(Call { name, arguments })
    }
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// For the user.
    Text(String),
    /// For a tool.
    Call(Call),
}

/// Finds calls in a growing answer. What comes out does not depend on how the text was cut, texts joined.
#[derive(Debug)]
pub(crate) enum ToolParser {
    Tagged(TaggedCalls),
    Json(JsonCalls),
    Forced(ForcedCall),
}

impl ToolParser {
    /// For a format; `names` are the tools offered.
    pub(crate) fn new(format: ToolFormat, names: Vec<String>) -> ToolParser {
        match format {
            ToolFormat::Tagged => ToolParser::Tagged(TaggedCalls::default()),
            ToolFormat::Json => ToolParser::Json(JsonCalls::new(names)),
        }
    }

    /// For an answer that a grammar makes one call.
    pub(crate) fn forced() -> ToolParser {
        ToolParser::Forced(ForcedCall::default())
    }

    /// Takes more text; returns what is decided.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Part> {
        match self {
            ToolParser::Tagged(parser) => parser.push(text),
            ToolParser::Json(parser) => parser.push(text),
            ToolParser::Forced(parser) => parser.push(text),
        }
    }

    /// Ends the text; returns the rest.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        match self {
            ToolParser::Tagged(parser) => parser.finish(),
            ToolParser::Json(parser) => parser.finish(),
            ToolParser::Forced(parser) => parser.finish(),
        }
    }
}

/// Parts of a text under every cut into two and into single characters, texts joined: all must be equal.
#[cfg(test)]
pub(crate) fn parts_however_cut(parser: impl Fn() -> ToolParser, text: &str) -> Vec<Part> {
    let run = |pieces: &[&str]| {
        let mut parser = parser();
        let mut parts: Vec<Part> = Vec::new();
        let all = pieces.iter().flat_map(|piece| parser.push(piece)).collect::<Vec<_>>();
        for part in all.into_iter().chain(parser.finish()) {
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(more)) => before.push_str(&more),
                (_, part) => parts.push(part),
            }
        }
        parts
    };
    let whole = run(&[text]);
    let chars: Vec<&str> = text.char_indices().map(|(i, c)| &text[i..i + c.len_utf8()]).collect();
    assert_eq!(run(&chars), whole, "{text:?} by character");
    for (at, _) in text.char_indices() {
        assert_eq!(run(&[&text[..at], &text[at..]]), whole, "{text:?} cut at {at}");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_tell_their_format() {
        let of = |text: &str| ToolFormat::of(text);
        assert_eq!(of("{% if tools %}<tool_call>{% endif %}"), Some(ToolFormat::Tagged));
        assert_eq!(of("{% if tools %}<|python_tag|>"), Some(ToolFormat::Json));
        assert_eq!(of("<|start_header_id|> tools {\"name\": ..., \"parameters\": ...}"), Some(ToolFormat::Json));
        assert_eq!(of("{{ messages }} <tool_call>"), None, "no tools are shown");
        assert_eq!(of("[AVAILABLE_TOOLS]{{ tools }}[TOOL_CALLS]"), None, "not read");
    }

    #[test]
    fn a_call_is_a_name_with_arguments() {
        let read = |json: &str| Call::from_json(&serde_json::from_str(json).unwrap());
        let call = |arguments: &str| Some(Call { name: "f".into(), arguments: arguments.into() });
        assert_eq!(read(r#"{"name": "f", "arguments": {"b": 1, "a": "ü"}}"#), call(r#"{"b":1,"a":"ü"}"#));
        assert_eq!(read(r#"{"name": "f", "parameters": {}}"#), call("{}"));
        assert_eq!(read(r#"{"name": "f", "arguments": "{\"x\": 1}"}"#), call(r#"{"x": 1}"#));
        assert_eq!(read(r#"{"name": "f"}"#), call("{}"));
        for none in [r#"{"name": 3}"#, r#"{"arguments": {}}"#, r#"{"name": "f", "arguments": [1]}"#, "[]", "5"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
