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
    sample: Option<usize>,
    policy: String,
    budget: Option<String>,
    protect: Option<Protection>,
}

impl Key {
    pub(super) fn new(task: &str, id: &str, sample: Option<usize>, setting: &Setting) -> Key {
        Key {
            task: task.to_owned(),
            id: id.to_owned(),
            sample,
            policy: setting.policy.to_string(),
            budget: setting.budget(),
            protect: setting.protection(),
        }
    }

    fn of(row: &Row) -> Key {
        Key {
            task: row.task.clone(),
            id: row.id.clone(),
            sample: row.sample,
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
        // a line may be cut within a character, so bytes are cut before they are read as text
        let mut bytes = std::fs::read(&path).map_err(fault)?;
        let torn = bytes.len();
        bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
        let text = String::from_utf8(bytes).map_err(|e| {
            let line = 1 + e.as_bytes()[..e.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            GridError::NotUtf8 { path: path.clone(), line }
        })?;
        if text.len() < torn {
            file.set_len(text.len() as u64).map_err(fault)?;
        }
        let mut entries = HashMap::new();
        for entry in parse::<Entry>(&path, &text)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        let row = serde_json::json!({
            "task": "sort", "id": id, "level": 0.5, "policy": "full", "budget": null, "protect": null, "spec": "full",
            "raised": false, "right": [true], "all_right": true, "found": [], "finish": "stop", "loop": false,
            "prompt_tokens": [10], "tokens": [40], "differs_at": null, "peak_slots": [50], "mean_slots": 30.0,
            "final_slots": [50], "peak_bytes": 100, "mean_bytes": 50, "rounds": [0], "evicted": 0,
            "dropped_mass_mean": 0.0, "dropped_mass_max": 0.0, "hoyer": []
        });
        Entry { row: serde_json::from_value(row).unwrap(), seconds: Seconds::default(), ids: vec![1, 2] }
    }

    #[test]
    fn half_a_character_at_the_end_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut journal = Journal::open(path.clone()).unwrap();
        journal.add(entry("a")).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"row\": \"\xe2\x82"].concat()).unwrap();
        let mut journal = Journal::open(path.clone()).unwrap();
        assert_eq!(journal.get(&Key::of(&entry("a").row)), Some(&entry("a")));
        journal.add(entry("b")).unwrap();
        drop(journal);
        assert_eq!(Journal::open(path.clone()).unwrap().entries.len(), 2);

        std::fs::write(&path, [&whole[..], b"\xff\n"].concat()).unwrap();
        let error = Journal::open(path).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("UTF-8"), "{error}");
    }
}
