//! An answer that a grammar makes one call.

use crate::output::tool_calls::{Call, Part};

/// Holds the answer to its end. One that was cut off stays text.
#[derive(Debug, Default)]
pub(crate) struct ForcedCall {
    held: String,
}

impl ForcedCall {
    pub(crate) fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        Vec::new()
    }

    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        let value = serde_json::from_str(held.trim()).ok();
        match value.as_ref().and_then(Call::from_json) {
            Some(call) => vec![Part::Call(call)],
            None if held.is_empty() => Vec::new(),
            None => vec![Part::Text(held)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tool_calls::{ToolParser, parts_however_cut};

    #[test]
    fn whole_or_text() {
        let parts = |text: &str| parts_however_cut(ToolParser::forced, text);
        let call = Call { name: "f".into(), arguments: "{\"a\":1}".into() };
        assert_eq!(parts("{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n"), [Part::Call(call)]);
        assert_eq!(parts("{\"name\": \"f\", \"arg"), [Part::Text("{\"name\": \"f\", \"arg".into())]);
        assert_eq!(parts(""), []);
    }
}
