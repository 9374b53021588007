//! Where things lie in the cache, as `huggingface_hub` lays them out.
//!
//! ```text
//! .locks/models--org--name/<blob>.lock
//! models--org--name/refs/<revision>             the commit it named when last asked
//! models--org--name/blobs/<blob>                bytes, named by their id; <blob>.incomplete while they arrive
//! models--org--name/snapshots/<commit>/<file>   -> ../../blobs/<blob>
//! models--org--name/trees/<commit>.json         what the commit holds, in the cache or not
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::HubError;
use crate::listing::Listing;
use crate::names;
use crate::reference::{RepoId, Revision};
use crate::size::FileSize;

/// The part of the cache that belongs to one repository.
#[derive(Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
    locks: PathBuf,
    symlinks: bool,
}

impl Layout {
    pub(crate) fn new(cache: &Path, repo: &RepoId, symlinks: bool) -> Self {
        let folder = repo.folder();
        Self { dir: cache.join(&folder), locks: cache.join(".locks").join(folder), symlinks }
    }

    /// The folder of a commit.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.dir.join("snapshots").join(commit)
    }

    /// A file of a commit.
    pub(crate) fn pointer(&self, commit: &str, name: &str) -> PathBuf {
        self.snapshot(commit).join(name)
    }

    /// The bytes of a blob.
    pub(crate) fn blob(&self, id: &str) -> PathBuf {
        self.dir.join("blobs").join(id)
    }

    /// The bytes of a blob that have arrived so far.
    pub(crate) fn partial(&self, id: &str) -> PathBuf {
        self.dir.join("blobs").join(format!("{id}.incomplete"))
    }

    /// Held by whoever writes a blob.
    pub(crate) fn lock(&self, id: &str) -> PathBuf {
        self.locks.join(format!("{id}.lock"))
    }

    /// The commit a revision named when last asked.
    pub(crate) fn commit(&self, revision: &Revision) -> Option<String> {
        if revision.is_commit() {
            return Some(revision.to_string());
        }
        let text = fs::read_to_string(self.dir.join("refs").join(revision.as_str())).ok()?;
        names::commit(text.trim()).ok()
    }

    /// Notes which commit a revision names. A commit names itself.
    pub(crate) fn set_commit(&self, revision: &Revision, commit: &str) -> Result<(), HubError> {
        if revision.is_commit() {
            return Ok(());
        }
        write(&self.dir.join("refs").join(revision.as_str()), commit.as_bytes())
    }

    /// What a commit holds, if that is known.
    pub(crate) fn listing(&self, commit: &str) -> Option<Listing> {
        Listing::from_tree(commit, &fs::read(self.tree(commit)).ok()?)
    }

    /// Keeps what a commit holds.
    pub(crate) fn set_listing(&self, listing: &Listing) -> Result<(), HubError> {
        write(&self.tree(&listing.commit), &listing.to_tree())
    }

    fn tree(&self, commit: &str) -> PathBuf {
        self.dir.join("trees").join(format!("{commit}.json"))
    }

    /// Whether a file of a commit is there with all its bytes.
    pub(crate) fn holds(&self, commit: &str, name: &str, size: u64) -> bool {
        has(&self.pointer(commit, name), size)
    }

    /// The files of a commit that are there; links that lead nowhere are not.
    pub(crate) fn files(&self, commit: &str) -> Vec<FileSize> {
        let mut files = Vec::new();
        walk(&self.snapshot(commit), "", &mut files);
        files.sort();
        files
    }

    /// The commits of which something may be there, sorted.
    pub(crate) fn commits(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("snapshots")).into_iter().flatten().flatten();
        let mut commits: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| names::is_hash(name))
            .collect();
        commits.sort();
        commits
    }

    /// Which commits revisions named when last asked, sorted.
    pub(crate) fn refs(&self) -> Vec<(Revision, String)> {
        let mut files = Vec::new();
        walk(&self.dir.join("refs"), "", &mut files);
        let named = |file: FileSize| {
            let revision: Revision = file.name.parse().ok()?;
            let commit = self.commit(&revision)?;
            Some((revision, commit))
        };
        let mut refs: Vec<_> = files.into_iter().filter_map(named).collect();
        refs.sort();
        refs
    }

    /// What unfinished downloads take.
    pub(crate) fn partial_bytes(&self) -> u64 {
        let entries = fs::read_dir(self.dir.join("blobs")).into_iter().flatten().flatten();
        let partial = |entry: &fs::DirEntry| entry.path().extension().is_some_and(|end| end == "incomplete");
        entries.filter(partial).filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// Makes a blob a file of a commit.
    pub(crate) fn link(&self, commit: &str, name: &str, id: &str) -> Result<(), HubError> {
        let pointer = self.pointer(commit, name);
        let target = Path::new(&"../".repeat(2 + name.matches('/').count())).join("blobs").join(id);
        if fs::read_link(&pointer).is_ok_and(|found| found == target) {
            return Ok(());
        }
        if let Some(dir) = pointer.parent() {
            fs::create_dir_all(dir).map_err(HubError::at(dir))?;
        }
        // Made beside and moved into place: another process never finds it missing. Names that begin with a dot are
        // in no repository twice.
        let beside = scratch(&pointer);
        let made = if self.symlinks { symlink(&target, &beside) } else { Err(io::ErrorKind::Unsupported.into()) };
        let moved = made
            .or_else(|_| fs::hard_link(self.blob(id), &beside))
            .or_else(|_| fs::copy(self.blob(id), &beside).map(drop))
            .and_then(|()| fs::rename(&beside, &pointer));
        // Also after success: a rename between two hard links of one file does nothing.
        fs::remove_file(&beside).ok();
        moved.map_err(HubError::at(&pointer))
    }
}

/// Whether a file is there with all its bytes.
pub(crate) fn has(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// Writes a small file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(HubError::at(dir))?;
    }
    let beside = scratch(path);
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).map_err(|error| {
        fs::remove_file(&beside).ok();
        HubError::at(path)(error)
    })
}

/// A name beside a path that no other thread or process uses.
fn scratch(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".lethe-{}-{unique}.tmp", std::process::id()))
}

/// Depth-first, without following links to folders.
fn walk(dir: &Path, prefix: &str, files: &mut Vec<FileSize>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        match (entry.file_type(), fs::metadata(entry.path())) {
            (Ok(kind), _) if kind.is_dir() => walk(&entry.path(), &format!("{name}/"), files),
            (_, Ok(metadata)) if metadata.is_file() && names::is_file_name(&name) => {
                files.push(FileSize { name, size: metadata.len() });
            }
            _ => {}
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn with_blob(symlinks: bool) -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), &"org/name".parse().unwrap(), symlinks);
        write(&layout.blob("b1"), b"one").unwrap();
        write(&layout.blob("b2"), b"two").unwrap();
        (dir, layout)
    }

    #[test]
    fn files_of_a_commit_lead_to_blobs() {
        for symlinks in [true, false] {
            let (_dir, layout) = with_blob(symlinks);
            for (name, id, text) in [("a", "b1", "one"), ("a", "b1", "one"), ("a", "b2", "two"), ("s/u/b", "b1", "one")]
            {
                layout.link(COMMIT, name, id).unwrap();
                assert_eq!(fs::read_to_string(layout.pointer(COMMIT, name)).unwrap(), text);
                assert_eq!(fs::read_link(layout.pointer(COMMIT, name)).is_ok(), symlinks && cfg!(unix));
            }
            let names: Vec<String> = layout.files(COMMIT).into_iter().map(|file| file.name).collect();
            assert_eq!(names, ["a", "s/u/b"], "nothing else is left behind");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_relative() {
        let (_dir, layout) = with_blob(true);
        layout.link(COMMIT, "a", "b1").unwrap();
        layout.link(COMMIT, "sub/b", "b1").unwrap();
        let target = |name| fs::read_link(layout.pointer(COMMIT, name)).unwrap();
        assert_eq!(target("a"), Path::new("../../blobs/b1"));
        assert_eq!(target("sub/b"), Path::new("../../../blobs/b1"));
    }

    #[test]
    fn refs_hold_commits() {
        let (_dir, layout) = with_blob(true);
        let pull: Revision = "refs/pr/1".parse().unwrap();
        assert_eq!(layout.commit(&pull), None);
        layout.set_commit(&pull, COMMIT).unwrap();
        assert_eq!(fs::read_to_string(layout.dir.join("refs/refs/pr/1")).unwrap(), COMMIT);
        assert_eq!(layout.commit(&pull).as_deref(), Some(COMMIT));
        write(&layout.dir.join("refs/main"), b"../../../evil").unwrap();
        assert_eq!(layout.commit(&Revision::default()), None);
        assert_eq!(layout.commit(&COMMIT.parse().unwrap()).as_deref(), Some(COMMIT));
    }
}
