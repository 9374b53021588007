//! Where turns come from: a terminal with a line editor, or any other input, line by line.

use std::io::{self, BufRead, IsTerminal, StdinLock, Write};

use super::editor::LineEditor;
use super::interrupt::Interrupt;
use super::lines::{self, Typed};
use crate::Fault;

/// What stands before the cursor.
pub(crate) const PROMPT: &str = "> ";

/// A source of turns.
pub(crate) enum Reader {
    /// Someone types, and can correct it.
    Editor(Box<LineEditor>),
    /// A pipe, a file, or a terminal that cannot be drawn on.
    Lines {
        input: StdinLock<'static>,
        /// Empty where nobody would see it.
        prompt: &'static str,
        /// Where someone types: what Ctrl-C does to a program that waits for it.
        interrupt: Option<Interrupt>,
    },
}

impl Reader {
    /// The one that stdin and stdout allow; `interrupt` where someone types. With `history`, lines typed in earlier runs
    /// are there again; a history that cannot be had is said and done without.
    ///
    /// # Errors
    /// The terminal's.
    pub(crate) fn open(interrupt: Option<Interrupt>, history: bool) -> Result<Reader, Fault> {
        let seen = interrupt.is_some() && io::stdout().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if seen && !dumb {
            return Ok(Reader::Editor(Box::new(LineEditor::new(history)?)));
        }
        Ok(Reader::Lines { input: io::stdin().lock(), prompt: if seen { PROMPT } else { "" }, interrupt })
    }

    /// The next turn; `None` at the end of input. `out` is where a prompt is shown.
    ///
    /// # Errors
    /// Input that cannot be read or is no text; output that cannot be written.
    pub(crate) fn next(&mut self, out: &mut impl Write) -> Result<Option<Typed>, Fault> {
        match self {
            Reader::Editor(editor) => editor.next(),
            Reader::Lines { input, prompt, interrupt } => {
                if let Some(interrupt) = interrupt {
                    interrupt.waiting();
                }
                read_turn(input, out, prompt)
            }
        }
    }
}

/// The lines of the next turn.
fn read_turn(input: &mut impl BufRead, out: &mut impl Write, prompt: &str) -> Result<Option<Typed>, Fault> {
    let mut turn = String::new();
    loop {
        if !prompt.is_empty() {
            write!(out, "{prompt}")?;
            out.flush()?;
        }
        let mut line = String::new();
        if input.read_line(&mut line).map_err(|e| format!("stdin: {e}"))? == 0 {
            if !prompt.is_empty() {
                writeln!(out)?; // the end of input typed no newline
            }
            return Ok((!turn.is_empty()).then(|| lines::typed(&turn)));
        }
        turn.push_str(line.trim_end_matches(['\n', '\r']));
        if lines::complete(&turn) {
            return Ok(Some(lines::typed(&turn)));
        }
        turn.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_read_line_by_line() {
        let mut input = "one\ntwo \\\nthree\r\n\n\"\"\"\n/a\\\nb\n\"\"\"\nfour\\\n".as_bytes();
        let mut out = Vec::new();
        let mut next = || read_turn(&mut input, &mut out, PROMPT).unwrap().map(|typed| typed.text);
        assert_eq!(next().as_deref(), Some("one"));
        assert_eq!(next().as_deref(), Some("two \nthree"));
        assert_eq!(next().as_deref(), Some(""));
        assert_eq!(next().as_deref(), Some("/a\\\nb"));
        assert_eq!(next().as_deref(), Some("four\n"), "the end of input ends a turn");
        assert_eq!(next(), None);
        assert_eq!(String::from_utf8(out).unwrap().matches(PROMPT).count(), 11);
        assert!(read_turn(&mut &b"\xff\n"[..], &mut Vec::new(), "").is_err(), "bytes that are no text");
    }
}
