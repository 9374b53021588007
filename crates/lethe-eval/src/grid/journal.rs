//! Rows as they come, on disk, so that a run that was stopped goes on where it was.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{GridError, Protection, Row, Seconds, Setting};

/// One line: a row, and what only this run needs of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) row: Row,
    pub(super) seconds: Seconds,
    /// Generated tokens of all turns, of `full` only: the others are compared with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<u32>,
}

/// What tells a row from all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    task: String,
    id: String,
    policy: String,
    budget: Option<String>,
    protect: Option<Protection>,
}

impl Key {
    pub(super) fn new(task: &str, id: &str, setting: &Setting) -> Key {
        Key {
            task: task.to_owned(),
            id: id.to_owned(),
            policy: setting.policy.to_string(),
            budget: setting.budget(),
            protect: setting.protection(),
        }
    }

    fn of(row: &Row) -> Key {
        Key {
            task: row.task.clone(),
            id: row.id.clone(),
            policy: row.policy.clone(),
            budget: row.budget.clone(),
            protect: row.protect,
        }
    }
}

/// An open journal with what it holds.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    entries: HashMap<Key, Entry>,
}

impl Journal {
    /// Opens or begins a journal. Half a line at its end, as a process leaves that was killed, is cut off.
    pub(super) fn open(path: PathBuf) -> Result<Journal, GridError> {
        let fault = |source| GridError::Io { path: path.clone(), source };
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(GridError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(fault(source)),
        }
        let text = std::fs::read_to_string(&path).map_err(fault)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(fault)?;
        let mut entries = HashMap::new();
        for entry in parse::<Entry>(&path, &text[..whole])? {
            entries.insert(Key::of(&entry.row), entry);
        }
        Ok(Journal { path, file, entries })
    }

    /// The entry of a key, if it is there.
    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Writes an entry, whole before this returns.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), GridError> {
        let fault = |source| GridError::Io { path: self.path.clone(), source };
        let mut line = serde_json::to_string(&entry).map_err(|e| fault(e.into()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(fault)?;
        self.entries.insert(Key::of(&entry.row), entry);
        Ok(())
    }
}

/// Every line of a text as a value.
pub(super) fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>, GridError> {
    let parse = |(at, line)| {
        serde_json::from_str(line).map_err(|source| GridError::Json { path: path.to_owned(), line: at + 1, source })
    };
    text.lines().enumerate().map(parse).collect()
}
