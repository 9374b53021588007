//! Answers that are calls from the first character on, as Llama 3 writes them.

use crate::output::tool_calls::{Call, Part};

const TAG: &str = "<|python_tag|>";

/// An answer that begins like a call is held back to its end, and is calls if every object in it names a tool that was
/// offered. Any other answer is text at once.
#[derive(Debug)]
pub(crate) struct JsonCalls {
    names: Vec<String>,
    held: String,
    text: bool,
}

impl JsonCalls {
    /// For these tools.
    pub(crate) fn new(names: Vec<String>) -> JsonCalls {
        JsonCalls { names, held: String::new(), text: false }
    }

    pub(crate) fn push(&mut self, text: &str) -> Vec<Part> {
        if text.is_empty() {
            return Vec::new();
        }
        self.held.push_str(text);
        let begun = self.held.trim_start();
        let perhaps = begun.is_empty() || begun.starts_with('{') || begun.starts_with(TAG) || TAG.starts_with(begun);
        if perhaps && !self.text {
            return Vec::new();
        }
        self.text = true;
        vec![Part::Text(std::mem::take(&mut self.held))]
    }

    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return Vec::new();
        }
        match self.calls(&held) {
            Some(calls) => calls.into_iter().map(Part::Call).collect(),
            None => vec![Part::Text(held)],
        }
    }

    fn calls(&self, text: &str) -> Option<Vec<Call>> {
        let text = text.trim();
        let mut rest = text.strip_prefix(TAG).unwrap_or(text);
        let mut calls = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
            if rest.is_empty() {
                return (!calls.is_empty()).then_some(calls);
            }
            let mut values = serde_json::Deserializer::from_str(rest).into_iter();
            let call = Call::from_json(&values.next()?.ok()?)?;
            rest = &rest[values.byte_offset()..];
            if !self.names.contains(&call.name) {
                return None;
            }
            calls.push(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tool_calls::{ToolParser, parts_however_cut};

    fn parts(text: &str) -> Vec<Part> {
        let names = vec!["f".to_owned(), "g".to_owned()];
        parts_however_cut(|| ToolParser::Json(JsonCalls::new(names.clone())), text)
    }

    fn call(name: &str, arguments: &str) -> Part {
        Part::Call(Call { name: name.into(), arguments: arguments.into() })
    }

    #[test]
    fn an_answer_that_is_calls() {
        assert_eq!(parts(r#"{"name": "f", "parameters": {"x": 1}}"#), [call("f", r#"{"x":1}"#)]);
        let two = r#"<|python_tag|>{"name": "f", "parameters": {}}; {"name": "g", "arguments": {}}"#;
        assert_eq!(parts(two), [call("f", "{}"), call("g", "{}")]);
    }

    #[test]
    fn an_answer_that_is_not() {
        for text in
            ["Hello.", "{", r#"{"name": "unknown", "parameters": {}}"#, r#"{"a": 1}"#, r#"{"name": "f"} and more"#]
        {
            assert_eq!(parts(text), [Part::Text(text.into())], "{text}");
        }
        assert_eq!(parts(""), []);
    }

    #[test]
    fn text_streams_from_its_first_character() {
        let mut parser = JsonCalls::new(vec!["f".into()]);
        assert_eq!(parser.push(" "), []);
        assert_eq!(parser.push("H"), [Part::Text(" H".into())]);
        assert_eq!(parser.push("{"), [Part::Text("{".into())]);
    }
}
