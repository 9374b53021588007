//! What the cache holds, for whoever lists models. Broken links, other programs' files and half of a download are passed by.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::HubError;
use crate::index;
use crate::layout::Layout;
use crate::reference::{HubRef, RepoId, Revision, Wanted};
use crate::select::{CONFIG, INDEX, SINGLE, models};
use crate::size::FileSize;

/// A repository in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedModel {
    /// The repository.
    pub repo: RepoId,
    /// Its commits of which something is there.
    pub revisions: Vec<CachedRevision>,
    /// What it takes on disk: each blob once, however many commits share it.
    pub bytes: u64,
    /// What unfinished downloads take beside that.
    pub partial_bytes: u64,
}

/// A commit in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRevision {
    /// The commit.
    pub commit: String,
    /// The branches and tags that named it when last asked.
    pub refs: Vec<Revision>,
    /// Its files that are there.
    pub files: Vec<CachedFile>,
    /// The models among them, ready to run.
    pub runnable: Vec<Runnable>,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedFile {
    /// Its name in the repository.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// A model that is there as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runnable {
    /// What names it, from anywhere.
    pub reference: HubRef,
    /// What to open.
    pub path: PathBuf,
    /// Its weights' bytes.
    pub bytes: u64,
}

/// Every repository of which a file is there, by name.
pub(crate) fn list(cache: &Path) -> Result<Vec<CachedModel>, HubError> {
    let entries = match fs::read_dir(cache) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(HubError::at(cache))?,
    };
    let mut repos: Vec<RepoId> = entries
        .flatten()
        .filter_map(|entry| RepoId::from_folder(entry.file_name().to_str()?))
        .filter(|repo| cache.join(repo.folder()).is_dir())
        .collect();
    repos.sort();
    Ok(repos.into_iter().map(|repo| of_repo(cache, repo)).filter(|model| !model.is_empty()).collect())
}

/// What is there of one repository.
pub(crate) fn of_repo(cache: &Path, repo: RepoId) -> CachedModel {
    let layout = Layout::new(cache, &repo, true);
    let refs = layout.refs();
    let revisions: Vec<CachedRevision> = layout
        .commits()
        .into_iter()
        .map(|commit| of_commit(&layout, &repo, &refs, commit))
        .filter(|revision| !revision.files.is_empty())
        .collect();
    // Where links do not work, or for hard links, the same bytes may have several paths; the blob's is one of them.
    let mut blobs: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for file in revisions.iter().flat_map(|revision| &revision.files) {
        let path = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
        blobs.insert(path, file.size);
    }
    CachedModel { repo, revisions, bytes: blobs.values().sum(), partial_bytes: layout.partial_bytes() }
}

impl CachedModel {
    fn is_empty(&self) -> bool {
        self.revisions.is_empty() && self.partial_bytes == 0
    }
}

fn of_commit(layout: &Layout, repo: &RepoId, refs: &[(Revision, String)], commit: String) -> CachedRevision {
    let sizes = layout.files(&commit);
    let refs: Vec<Revision> =
        refs.iter().filter(|(_, named)| *named == commit).map(|(revision, _)| revision.clone()).collect();
    let main = Revision::default();
    let revision = match refs.iter().find(|revision| **revision == main).or(refs.first()) {
        Some(revision) => revision.clone(),
        // Only commits are listed, and a commit is a revision.
        None => commit.parse().unwrap_or(main),
    };
    let at = |wanted| HubRef { repo: repo.clone(), revision: revision.clone(), wanted };
    let mut runnable: Vec<Runnable> = models(&sizes)
        .into_iter()
        .filter(|model| crate::select::select(&sizes, &Wanted::File(model.name.clone())).is_ok())
        .map(|model| {
            let path = layout.pointer(&commit, &model.name);
            Runnable { reference: at(Wanted::File(model.name)), path, bytes: model.size }
        })
        .collect();
    // Beside GGUF files, the bare name of the repository would not mean its folder.
    if let (true, Some(bytes)) = (runnable.is_empty(), folder_bytes(layout, &commit, &sizes)) {
        runnable.push(Runnable { reference: at(Wanted::Default), path: layout.snapshot(&commit), bytes });
    }
    let files = sizes.into_iter().map(|FileSize { name, size }| {
        let path = layout.pointer(&commit, &name);
        CachedFile { name, size, path }
    });
    CachedRevision { files: files.collect(), commit, refs, runnable }
}

/// The weights of a folder that has a config and all of them.
fn folder_bytes(layout: &Layout, commit: &str, sizes: &[FileSize]) -> Option<u64> {
    let size = |name: &str| sizes.iter().find(|file| file.name == name).map(|file| file.size);
    size(CONFIG)?;
    if let Some(single) = size(SINGLE) {
        return Some(single);
    }
    size(INDEX)?;
    let shards = index::shards(&layout.pointer(commit, INDEX)).ok()?;
    shards.iter().map(|shard| size(shard)).sum()
}
