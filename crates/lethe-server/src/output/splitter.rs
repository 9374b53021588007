//! Generated text to pieces of a response: thinking, answer, calls.

use lethe_model::{Piece, ThinkTags, ThinkingParser};

use crate::output::tool_calls::{Call, Part, ToolParser};

/// A piece of a response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// Thinking.
    Reasoning(String),
    /// Answer.
    Content(String),
    /// A call of a tool.
    Call(Call),
}

/// Splits the text of one choice.
#[derive(Debug)]
pub(crate) struct Splitter {
    thinking: ThinkingParser,
    /// Thinking is told apart only to count it: its text stays where it is, tags included.
    verbatim: bool,
    tools: Option<ToolParser>,
    /// Most calls that are returned.
    most_calls: usize,
    calls: usize,
}

impl Splitter {
    /// For text that goes on `inside` thinking or not. With `verbatim` thinking stays in the answer.
    pub(crate) fn new(tags: Option<ThinkTags>, inside: bool, verbatim: bool) -> Splitter {
        let thinking = ThinkingParser::new(tags, inside);
        Splitter { thinking, verbatim, tools: None, most_calls: usize::MAX, calls: 0 }
    }

    /// Looks for calls too, at most so many.
    #[must_use]
    pub(crate) fn with_tools(mut self, tools: ToolParser, most_calls: usize) -> Splitter {
        (self.tools, self.most_calls) = (Some(tools), most_calls);
        self
    }

    /// Whether thinking is open.
    pub(crate) fn inside(&self) -> bool {
        self.thinking.inside()
    }

    /// Whether a call was found.
    pub(crate) fn called(&self) -> bool {
        self.calls > 0
    }

    /// Takes more text; returns what is decided.
    pub(crate) fn push(&mut self, text: &str) -> Vec<Said> {
        let pieces = self.thinking.push(text);
        let mut said = Vec::new();
        if self.verbatim {
            self.answer(text, &mut said);
            return said;
        }
        self.pieces(pieces, &mut said);
        said
    }

    /// Ends the text; returns the rest.
    pub(crate) fn finish(&mut self) -> Vec<Said> {
        let mut said = Vec::new();
        let rest = self.thinking.finish();
        if !self.verbatim {
            self.pieces(rest.into_iter().collect(), &mut said);
        }
        let parts = self.tools.as_mut().map(ToolParser::finish).unwrap_or_default();
        self.parts(parts, &mut said);
        said
    }

    fn pieces(&mut self, pieces: Vec<Piece>, said: &mut Vec<Said>) {
        for piece in pieces {
            match piece {
                Piece::Thinking(text) => said.push(Said::Reasoning(text)),
                Piece::Answer(text) => self.answer(&text, said),
            }
        }
    }

    fn answer(&mut self, text: &str, said: &mut Vec<Said>) {
        match &mut self.tools {
            Some(tools) => {
                let parts = tools.push(text);
                self.parts(parts, said);
            }
            None if text.is_empty() => {}
            None => said.push(Said::Content(text.to_owned())),
        }
    }

    fn parts(&mut self, parts: Vec<Part>, said: &mut Vec<Said>) {
        for part in parts {
            match part {
                Part::Text(text) => said.push(Said::Content(text)),
                Part::Call(call) if self.calls < self.most_calls => {
                    self.calls += 1;
                    said.push(Said::Call(call));
                }
                Part::Call(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tool_calls::ToolFormat;

    const TEXT: &str = "<think>\nhm <tool_call>\n</think>\n\nWell.<tool_call>{\"name\": \"f\"}</tool_call><tool_call>{\"name\": \"g\"}</tool_call>";

    fn all(mut splitter: Splitter) -> Vec<Said> {
        let mut said = splitter.push(TEXT);
        said.extend(splitter.finish());
        said
    }

    #[test]
    fn thinking_answer_and_calls_come_apart() {
        let tools = || ToolParser::new(ToolFormat::Tagged, vec!["f".into(), "g".into()]);
        let splitter = || Splitter::new(Some(ThinkTags::THINK), false, false);
        let call = |name: &str| Said::Call(Call { name: name.into(), arguments: "{}".into() });
        let (thought, well) = (Said::Reasoning("hm <tool_call>".into()), Said::Content("Well.".into()));
        let said = all(splitter().with_tools(tools(), usize::MAX));
        assert_eq!(said, [thought.clone(), well.clone(), call("f"), call("g")]);
        assert_eq!(all(splitter().with_tools(tools(), 1)), [thought.clone(), well, call("f")]);
        let without = all(splitter());
        assert_eq!(without[0], thought);
        assert_eq!(without.len(), 2, "no tools, no calls");
    }

    #[test]
    fn verbatim_text_is_left_alone_and_still_counted() {
        let mut splitter = Splitter::new(Some(ThinkTags::THINK), false, true);
        assert_eq!(splitter.push("<think>\nso"), [Said::Content("<think>\nso".into())]);
        assert!(splitter.inside());
        assert_eq!(splitter.push("</think>"), [Said::Content("</think>".into())]);
        assert!(!splitter.inside());
        assert_eq!(splitter.finish(), []);
    }
}
