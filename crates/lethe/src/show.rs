//! An answer on its way to the reader: thinking apart, progress beside it.

use std::io::Write;

use lethe_engine::{Event, Finished, Stream};
use lethe_model::{Piece, ThinkingParser};

use crate::Fault;
use crate::terminal::{self, FAINT};

/// What is printed of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Nothing; it is collected.
    Nothing,
    /// The text as generated, tags included: what a program or a file gets.
    Verbatim,
    /// Thinking in the background colour and without its tags.
    Faint,
    /// No thinking.
    Answer,
}

impl View {
    /// For an answer that streams to stdout.
    pub(crate) fn streaming(hide_thinking: bool) -> View {
        match hide_thinking {
            true => View::Answer,
            false if terminal::can_redraw() => View::Faint,
            false => View::Verbatim,
        }
    }
}

/// An answer that is complete.
pub(crate) struct Said {
    /// As generated.
    pub(crate) text: String,
    /// Without tags.
    pub(crate) thinking: String,
    /// Without thinking.
    pub(crate) answer: String,
    /// Tokens of the thinking and its tags.
    pub(crate) reasoning_tokens: usize,
    pub(crate) done: Finished,
}

/// Follows a turn to its end.
pub(crate) struct Show<'a, W> {
    out: &'a mut W,
    parser: ThinkingParser,
    view: View,
    progress: bool,
    text: String,
    thinking: String,
    answer: String,
    reasoning_tokens: usize,
    begun: bool, // some of the answer was printed
    noted: bool, // a progress line stands on stderr
}

impl<'a, W: Write> Show<'a, W> {
    /// `progress` lines go to stderr while there is nothing else to see.
    pub(crate) fn new(out: &'a mut W, parser: ThinkingParser, view: View, progress: bool) -> Show<'a, W> {
        Show {
            out,
            parser,
            view,
            progress,
            text: String::new(),
            thinking: String::new(),
            answer: String::new(),
            reasoning_tokens: 0,
            begun: false,
            noted: false,
        }
    }

    /// Prints a stream of events to its end, which is cancelled when `stop` says so.
    pub(crate) fn all(mut self, mut stream: Stream, stop: impl Fn() -> bool) -> Result<Said, Fault> {
        while let Some(event) = stream.next() {
            if stop() {
                stream.cancel();
            }
            match event {
                // A short prompt is read before anyone could see the line.
                Event::Prefill { done, total } if total > 512 && done < total => {
                    self.note(&format!("reading the prompt: {done} of {total} tokens"));
                }
                Event::Prefill { .. } => self.note(""),
                Event::Token { text, .. } => {
                    let inside = self.parser.inside();
                    self.take(&text)?;
                    self.reasoning_tokens += usize::from(inside || self.parser.inside());
                    if self.view == View::Answer && self.parser.inside() {
                        self.note(&format!("thinking: {} tokens", self.reasoning_tokens));
                    }
                }
                Event::Tail(text) => self.take(&text)?,
                Event::PromptLogprobs(_) | Event::Forgot { .. } | Event::Round(_) | Event::Levels(_) => {}
                Event::Finished(done) => {
                    if let Some(piece) = self.parser.finish() {
                        self.piece(piece)?;
                    }
                    self.end()?;
                    let Show { text, thinking, answer, reasoning_tokens, .. } = self;
                    return Ok(Said { text, thinking, answer, reasoning_tokens, done: *done });
                }
                Event::Failed(why) => {
                    self.end()?;
                    return Err(why.into());
                }
            }
        }
        Err("the engine stopped without an answer".into())
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.note("");
        if self.view != View::Nothing {
            writeln!(self.out)?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Text that was generated.
    fn take(&mut self, text: &str) -> Result<(), Fault> {
        self.text.push_str(text);
        if self.view == View::Verbatim && !text.is_empty() {
            self.note("");
            self.out.write_all(text.as_bytes())?;
            self.out.flush()?;
        }
        self.parser.push(text).into_iter().try_for_each(|piece| self.piece(piece))
    }

    fn piece(&mut self, piece: Piece) -> Result<(), Fault> {
        match piece {
            Piece::Thinking(text) => {
                if self.view == View::Faint {
                    self.note("");
                    // Every piece closes its colour: whoever interrupts gets the terminal back as it was.
                    write!(self.out, "{FAINT}{text}{FAINT:#}")?;
                    self.out.flush()?;
                }
                self.thinking.push_str(&text);
            }
            Piece::Answer(text) => {
                let apart = matches!(self.view, View::Faint | View::Answer);
                let shown = if self.begun { &*text } else { text.trim_start() };
                if apart && !shown.is_empty() {
                    self.note("");
                    let gap =
                        if self.view == View::Faint && !self.begun && !self.thinking.is_empty() { "\n\n" } else { "" };
                    write!(self.out, "{gap}{shown}")?;
                    self.out.flush()?;
                    self.begun = true;
                }
                self.answer.push_str(&text);
            }
        }
        Ok(())
    }

    /// Puts a line in the place of the last one on stderr; an empty one removes it.
    fn note(&mut self, line: &str) {
        if self.progress && (self.noted || !line.is_empty()) {
            let _ = write!(anstream::stderr(), "\r\x1b[K{line}");
            self.noted = !line.is_empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lethe_model::ThinkTags;

    fn shown(view: View, pieces: &[&str]) -> (String, String, String) {
        let mut out = Vec::new();
        let parser = ThinkingParser::new(Some(ThinkTags::THINK), false);
        let mut show = Show::new(&mut out, parser, view, false);
        for piece in pieces {
            show.take(piece).unwrap();
        }
        if let Some(piece) = show.parser.finish() {
            show.piece(piece).unwrap();
        }
        let (thinking, answer) = (show.thinking, show.answer);
        (String::from_utf8(out).unwrap(), thinking, answer)
    }

    #[test]
    fn thinking_is_verbatim_faint_or_gone() {
        let pieces = ["<thi", "nk>\nSo", ".\n</think>", "\n\n", " 5", ".\n"];
        let (out, thinking, answer) = shown(View::Verbatim, &pieces);
        assert_eq!(out, "<think>\nSo.\n</think>\n\n 5.\n");
        assert_eq!((&*thinking, &*answer), ("So.", " 5.\n"));
        assert_eq!(shown(View::Answer, &pieces).0, "5.\n");
        assert_eq!(shown(View::Nothing, &pieces).0, "");
        let faint = shown(View::Faint, &pieces).0;
        assert_eq!(faint, format!("{FAINT}So{FAINT:#}{FAINT}.{FAINT:#}\n\n5.\n"));
        for view in [View::Faint, View::Answer] {
            assert_eq!(shown(view, &["\n 5", " <think>"]).0, "5 <think>", "no thinking, nothing apart");
        }
    }
}
