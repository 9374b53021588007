//! Lines typed at a terminal: edited, completed, and remembered.

use std::cell::Cell;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::{ReadlineError, Signal};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::complete::candidates;
use super::history;
use super::lines::{self, Typed};
use super::reader::PROMPT;
use crate::{Fault, terminal};

/// Lines that are remembered.
const REMEMBERED: usize = 1000;

/// A terminal's line editor.
pub(crate) struct LineEditor {
    editor: Editor<Assistant, DefaultHistory>,
    /// Where lines are kept for later runs.
    history: Option<PathBuf>,
}

impl LineEditor {
    /// With the lines of earlier runs and a file for new ones, if `history`; trouble with the file is said, and no more.
    ///
    /// # Errors
    /// The terminal's.
    pub(crate) fn new(history: bool) -> Result<LineEditor, Fault> {
        let config = Config::builder().completion_type(CompletionType::List).max_history_size(REMEMBERED)?.build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant::default()));
        let file = if history { history::file() } else { Ok(None) };
        let mut made = LineEditor { editor, history: None };
        match file {
            Ok(Some(file)) => {
                let read = if file.exists() { made.editor.load_history(&file) } else { Ok(()) };
                match read {
                    Ok(()) => made.history = Some(file),
                    Err(e) => forgetful(&e),
                }
            }
            Ok(None) => {}
            Err(e) => forgetful(&e),
        }
        Ok(made)
    }

    /// The next turn. `None` where the user leaves: by Ctrl-D, or by Ctrl-C with nothing typed.
    ///
    /// # Errors
    /// The terminal's.
    pub(crate) fn next(&mut self) -> Result<Option<Typed>, Fault> {
        loop {
            if let Some(assistant) = self.editor.helper() {
                assistant.blank.set(true);
            }
            match self.editor.readline(PROMPT) {
                Ok(typed) => {
                    self.remember(&typed);
                    return Ok(Some(lines::typed(&typed)));
                }
                Err(ReadlineError::Interrupted) if self.editor.helper().is_some_and(|a| !a.blank.get()) => {}
                Err(ReadlineError::Signal(Signal::Resize)) => {}
                Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(None),
                #[cfg(unix)]
                Err(ReadlineError::Signal(Signal::Interrupt)) => return Ok(None),
                Err(e) => return Err(format!("the terminal: {e}").into()),
            }
        }
    }

    /// At once, so that nothing is lost where the program is ended by force.
    fn remember(&mut self, typed: &str) {
        if typed.trim().is_empty() {
            return;
        }
        let added = self.editor.add_history_entry(typed);
        if let (Ok(true), Some(file)) = (added, &self.history)
            && let Err(e) = self.editor.append_history(file)
        {
            forgetful(&e);
            self.history = None;
        }
    }
}

fn forgetful(e: &dyn std::error::Error) {
    terminal::notice(format!("no history of lines beyond this run: {e}"));
}

/// What the editor asks while a line is typed.
#[derive(Default)]
struct Assistant {
    /// Whether nothing is typed.
    blank: Cell<bool>,
}

impl Helper for Assistant {}

impl Highlighter for Assistant {}

/// There are no hints; but this is where every change of the line comes by.
impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, _pos: usize, _ctx: &Context<'_>) -> Option<String> {
        self.blank.set(line.is_empty());
        None
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _ctx: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(&line[..pos]))
    }
}

/// Enter ends a turn only where it is complete.
impl Validator for Assistant {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if lines::complete(ctx.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}
