//! Why a file is no dataset.

use std::path::PathBuf;

use super::LineError;
use super::fields::Part;

/// A file that could not be read as questions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no question.
    #[error("{}, line {line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// No lines.
    #[error("{}: no question in it; give one JSON object a line, with a question and its answer", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// No text.
    #[error(transparent)]
    Text(#[from] LineError),
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Not an object.
    #[error(
        "not an object: a line is {{\"question\": ..., \"answer\": ...}} or {{\"messages\": [...], \"answers\": [...]}}"
    )]
    NoObject,
    /// A part that every question has is not there.
    #[error("no {part} (looked for {}); the line has {}: say which it is with --field {part}=NAME", names.join(", "), have.join(", "))]
    Missing {
        /// What is missing.
        part: Part,
        /// Where it was looked for.
        names: Vec<String>,
        /// What there is.
        have: Vec<String>,
    },
    /// A part of another kind than expected.
    #[error("`{field}` is not {expected}")]
    Kind {
        /// The field.
        field: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A list without anything in it.
    #[error("`{field}` is empty: a question needs at least one")]
    Nothing {
        /// The field.
        field: String,
    },
    /// Two lines with one name.
    #[error("the id `{id}` is that of line {first} already: results are told apart by it, so give every line its own")]
    SameId {
        /// The id.
        id: String,
        /// The line that had it first.
        first: usize,
    },
}
