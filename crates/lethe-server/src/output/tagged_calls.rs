//! Calls between `<tool_call>` and `</tool_call>`, as Qwen and Hermes write them.

use crate::output::tool_calls::{Call, Part};

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// Splits an answer into text and calls. Blanks around calls are dropped; what stands between the tags and is no call stays
/// text, tags included.
#[derive(Debug, Default)]
pub(crate) struct TaggedCalls {
    held: String,
    inside: bool,
    called: bool,
}

impl TaggedCalls {
    pub(crate) fn push(&mut self, text: &str) -> Vec<Part> {
        self.held.push_str(text);
        let mut parts = Vec::new();
        loop {
            let at = self.held.find(if self.inside { CLOSE } else { OPEN });
            match (self.inside, at) {
                (true, None) => return parts,
                (true, Some(at)) => {
                    let rest = self.held.split_off(at + CLOSE.len());
                    let body = std::mem::replace(&mut self.held, rest);
                    self.inside = false;
                    self.called = true;
                    parts.push(self.call(&body[..at], &body));
                }
                (false, Some(at)) => {
                    let rest = self.held.split_off(at + OPEN.len());
                    let before = std::mem::replace(&mut self.held, rest);
                    self.inside = true;
                    self.text(before[..at].trim_end(), &mut parts);
                }
                (false, None) => {
                    // Blanks wait for what follows them, and so does what may be the beginning of a tag.
                    let kept = self.held.len() - claimed(&self.held);
                    let certain = self.held[..kept].trim_end().len();
                    let rest = self.held.split_off(certain);
                    let text = std::mem::replace(&mut self.held, rest);
                    self.text(&text, &mut parts);
                    return parts;
                }
            }
        }
    }

    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let held = std::mem::take(&mut self.held);
        let mut parts = Vec::new();
        if std::mem::take(&mut self.inside) {
            parts.push(self.call(&held, &held));
        } else if !(self.called && held.trim().is_empty()) {
            self.text(&held, &mut parts);
        }
        parts
    }

    /// The call in `body`, or `whole` as it was written.
    fn call(&self, body: &str, whole: &str) -> Part {
        let value = serde_json::from_str(body.trim()).ok();
        match value.as_ref().and_then(Call::from_json) {
            Some(call) => Part::Call(call),
            None => Part::Text(format!("{OPEN}{whole}")),
        }
    }

    fn text(&self, text: &str, parts: &mut Vec<Part>) {
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
    }
}

/// Length of the longest beginning of [`OPEN`] that `text` ends with.
fn claimed(text: &str) -> usize {
    (1..OPEN.len()).rev().find(|&n| text.ends_with(&OPEN[..n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tool_calls::{ToolParser, parts_however_cut};

    fn parts(text: &str) -> Vec<Part> {
        parts_however_cut(|| ToolParser::Tagged(TaggedCalls::default()), text)
    }

    fn call(name: &str, arguments: &str) -> Part {
        Part::Call(Call { name: name.into(), arguments: arguments.into() })
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn text_without_calls_is_as_it_was() {
        for plain in ["", "Hello.", " a < b \n", "<tool", "<tool_calls>", "\n\n"] {
            let expected = if plain.is_empty() { vec![] } else { vec![text(plain)] };
            assert_eq!(parts(plain), expected);
        }
    }

    #[test]
    fn calls_follow_text_and_each_other() {
        let said = "I look.\n\n<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n</tool_call>\n<tool_call>\
                    {\"name\": \"b\"}</tool_call>\n";
        assert_eq!(parts(said), [text("I look."), call("a", "{\"x\":1}"), call("b", "{}")]);
        assert_eq!(parts("<tool_call>{\"name\": \"b\"}</tool_call> done"), [call("b", "{}"), text(" done")]);
    }

    #[test]
    fn a_call_that_is_cut_off_counts_if_it_is_whole() {
        assert_eq!(parts("<tool_call>{\"name\": \"b\"}\n"), [call("b", "{}")]);
        assert_eq!(parts("<tool_call>{\"name\": \"b"), [text("<tool_call>{\"name\": \"b")]);
    }

    #[test]
    fn what_is_no_call_stays_text() {
        let said = "<tool_call>oops</tool_call>";
        assert_eq!(parts(said), [text(said)]);
    }
}
