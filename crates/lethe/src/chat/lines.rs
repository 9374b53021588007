//! How lines make a turn: one is enough, unless it ends in `\` or opens a text between `"""`.

const QUOTE: &str = "\"\"\"";

/// A turn as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// Its lines, joined.
    pub(crate) text: String,
    /// It stood between `"""`: no command, whatever it begins with.
    pub(crate) quoted: bool,
}

/// Whether these lines are a turn; otherwise it goes on in the next one.
pub(crate) fn complete(lines: &str) -> bool {
    match lines.trim_start().strip_prefix(QUOTE) {
        Some(body) => body.trim_end().ends_with(QUOTE),
        None => !lines.ends_with('\\'),
    }
}

/// The turn that these lines are, complete or cut off by the end of input. A text between `"""` begins and ends without
/// the newlines beside its quotes.
pub(crate) fn typed(lines: &str) -> Typed {
    let Some(body) = lines.trim_start().strip_prefix(QUOTE) else {
        let text: Vec<&str> = lines.split('\n').map(|line| line.strip_suffix('\\').unwrap_or(line)).collect();
        return Typed { text: text.join("\n"), quoted: false };
    };
    let body = body.trim_end().strip_suffix(QUOTE).unwrap_or(body);
    let body = body.strip_prefix('\n').unwrap_or(body);
    Typed { text: body.strip_suffix('\n').unwrap_or(body).to_owned(), quoted: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &str) -> String {
        assert!(complete(lines), "{lines}");
        typed(lines).text
    }

    #[test]
    fn a_backslash_joins_lines() {
        assert_eq!(text("one"), "one");
        assert_eq!(text("one \\\ntwo\\\n\\\nthree"), "one \ntwo\n\nthree");
        assert_eq!(text(""), "");
        assert!(!complete("one\\") && !complete("one\\\ntwo\\"));
        assert_eq!(typed("four\\\n").text, "four\n", "the end of input came");
        assert_eq!(text("pasted\nwithout any"), "pasted\nwithout any");
        assert!(!typed("\\\"\"\"").quoted);
    }

    #[test]
    fn quotes_hold_lines_together_as_they_are() {
        let block = "\"\"\"\n/help\n  a \\\n\n \"\" b\n\"\"\"";
        assert_eq!(text(block), "/help\n  a \\\n\n \"\" b");
        assert!(typed(block).quoted);
        for (at, _) in block.match_indices('\n') {
            assert!(!complete(&block[..at]), "{at}");
        }
        assert_eq!(text(" \"\"\"one\ntwo\"\"\" "), "one\ntwo");
        assert_eq!(text("\"\"\"one\"\"\""), "one");
        assert_eq!(text("\"\"\"\n\none\n\n\"\"\""), "\none\n", "only the newlines beside the quotes go");
        assert_eq!(text("\"\"\"\"\"\""), "");
        assert!(!complete("\"\"\"") && !complete("\"\"\"\"\""));
        let cut = Typed { text: "cut\noff".to_owned(), quoted: true };
        assert_eq!(typed("\"\"\"\ncut\noff\n"), cut);
    }
}
