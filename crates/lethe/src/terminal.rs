//! The terminal: what it can show, and how to leave it when it goes away.

use std::error::Error;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

/// Thinking, notices: there, but in the background.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// Headings and names.
pub(crate) const STRONG: Style = Style::new().bold();
/// A right answer.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// A wrong answer, an error.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// True when stdout can redraw lines and show colours (`NO_COLOR`, `CLICOLOR` and `TERM=dumb` are respected).
pub(crate) fn can_redraw() -> bool {
    let out = io::stdout();
    out.is_terminal() && anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never
}

/// A line to the user beside the output.
pub(crate) fn notice(text: impl AsRef<str>) {
    // stderr may be closed; the answer still matters
    let _ = writeln!(anstream::stderr(), "{FAINT}{}{FAINT:#}", harmless(text.as_ref()));
}

/// Shows why the program ends.
pub(crate) fn error(e: &(dyn Error + 'static)) {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(c) = cause {
        let more = c.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = c.source();
    }
    let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {}", harmless(&text));
}

/// A text in which names from files and servers cannot command the terminal.
pub(crate) fn harmless(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { c.escape_debug().collect() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// True when whoever reads our output has closed it.
pub(crate) fn is_broken_pipe(e: &(dyn Error + 'static)) -> bool {
    let mut next = Some(e);
    while let Some(e) = next {
        if e.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe) {
            return true;
        }
        next = e.source();
    }
    false
}
