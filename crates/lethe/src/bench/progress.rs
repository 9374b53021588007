//! What is being done, on stderr.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// One line that is written over, where somebody watches.
pub(super) struct Progress {
    live: bool,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { live: std::io::stderr().is_terminal(), drawn: None }
    }

    /// Shows the text, unless one was shown a moment ago. Never called where time is taken.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        let soon = self.drawn.is_some_and(|at| at.elapsed() < Duration::from_millis(200));
        if !soon {
            self.say(text);
        }
    }

    /// Shows the text.
    pub(super) fn say(&mut self, text: impl FnOnce() -> String) {
        if self.live {
            self.drawn = Some(Instant::now());
            let _ = write!(anstream::stderr(), "\r{}\x1b[K", text());
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}
