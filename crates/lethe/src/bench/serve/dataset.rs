//! Prompts from a file: a JSON value a line.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// Why a file of prompts is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadPrompts {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// It has no line with anything in it.
    #[error("{}: no prompts", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line is not what it should be.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The requests of a file, at least one.
#[derive(Debug)]
pub(super) struct Dataset {
    pub(super) lines: Vec<Line>,
    path: PathBuf,
}

/// A request of a file.
#[derive(Debug)]
pub(super) struct Line {
    /// Counted from 1.
    number: usize,
    /// Fields of its body.
    pub(super) fields: Map<String, Value>,
}

impl Dataset {
    /// Reads a file. A line is a text, or an object with `prompt` or `messages` and any other fields of a request.
    pub(super) fn read(path: &Path) -> Result<Dataset, BadPrompts> {
        let text = std::fs::read_to_string(path).map_err(|source| BadPrompts::Io { path: path.to_owned(), source })?;
        Dataset::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Dataset, BadPrompts> {
        let mut lines = Vec::new();
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = |reason: String| BadPrompts::Line { path: path.to_owned(), line: i + 1, reason };
            let fields = match serde_json::from_str(line).map_err(|error| bad(error.to_string()))? {
                Value::String(prompt) => Map::from_iter([("prompt".to_owned(), prompt.into())]),
                Value::Object(fields) if fields.contains_key("prompt") != fields.contains_key("messages") => fields,
                _ => return Err(bad("expected a text, or an object with either `prompt` or `messages`".to_owned())),
            };
            lines.push(Line { number: i + 1, fields });
        }
        if lines.is_empty() {
            return Err(BadPrompts::Empty { path: path.to_owned() });
        }
        Ok(Dataset { lines, path: path.to_owned() })
    }

    /// Whether any line is a conversation.
    pub(super) fn has_messages(&self) -> bool {
        self.lines.iter().any(|line| line.fields.contains_key("messages"))
    }

    /// Makes every line fit the endpoint: a text becomes the message of a user; a conversation cannot become a text.
    pub(super) fn fit(&mut self, chat: bool) -> Result<(), BadPrompts> {
        for Line { number, fields } in &mut self.lines {
            let bad =
                |reason: &str| BadPrompts::Line { path: self.path.clone(), line: *number, reason: reason.to_owned() };
            if !chat && fields.contains_key("messages") {
                return Err(bad("`messages` need --endpoint chat"));
            }
            if chat && let Some(prompt) = fields.remove("prompt") {
                if !prompt.is_string() {
                    return Err(bad("only a text can be put as a message: --endpoint completions takes token ids"));
                }
                fields.insert("messages".to_owned(), json!([{ "role": "user", "content": prompt }]));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Dataset, BadPrompts> {
        Dataset::parse(Path::new("p.jsonl"), text)
    }

    #[test]
    fn lines_are_texts_or_fields() {
        let text = "\"one\"\n\n{\"prompt\": [1, 2], \"max_tokens\": 5}\n";
        let mut set = parse(text).unwrap();
        assert!(!set.has_messages() && set.fit(false).is_ok());
        assert_eq!((&set.lines[0].fields["prompt"], &set.lines[1].fields["max_tokens"]), (&"one".into(), &5.into()));
        assert!(set.fit(true).unwrap_err().to_string().contains("line 3: only a text"));
        let mut set = parse("{\"messages\": []}\n\"two\"").unwrap();
        assert!(set.has_messages());
        assert!(set.fit(false).unwrap_err().to_string().contains("line 1: `messages` need --endpoint chat"));
        set.fit(true).unwrap();
        assert_eq!(set.lines[1].fields["messages"], json!([{"role": "user", "content": "two"}]));
        assert!(!set.lines[1].fields.contains_key("prompt"));
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, words) in [
            ("", "no prompts"),
            ("\n \n", "no prompts"),
            ("\"a\"\n{", "p.jsonl, line 2: EOF"),
            ("3", "line 1: expected a text"),
            ("{}", "line 1: expected a text"),
            ("{\"prompt\": \"a\", \"messages\": []}", "line 1: expected a text, or an object with either"),
        ] {
            let said = parse(text).unwrap_err().to_string();
            assert!(said.contains(words), "{text}: {said}");
        }
        assert!(Dataset::read(Path::new("/no/such/file")).unwrap_err().to_string().starts_with("/no/such/file: "));
    }
}
