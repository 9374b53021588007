//! What a name turned out to be.

use std::path::PathBuf;

use crate::reference::HubRef;

/// A model on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What to open: a file (of a split GGUF, the first), or a folder.
    pub path: PathBuf,
    /// Which of the two.
    pub kind: FoundKind,
    /// Every file of it, where the hub's names were resolved; empty for a local path, which is not looked into.
    pub files: Vec<PathBuf>,
    /// Where it came from; nothing for a local path.
    pub origin: Option<Origin>,
}

/// What there is to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// One file, a GGUF if it came from the hub.
    File,
    /// A folder as Hugging Face lays it out.
    Folder,
}

/// Where a model came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What was asked for.
    pub at: HubRef,
    /// What its revision named.
    pub commit: String,
}
