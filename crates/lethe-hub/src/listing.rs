//! What a repository holds at a commit: the hub's answer, and the copy of it in the cache.
//!
//! A commit never changes, so its list is kept beside the snapshots, as `trees/<commit>.json` in the form
//! `huggingface_hub` gives it. With it, the cache alone can tell which files a name stands for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::HubError;
use crate::names;
use crate::reference::is_gguf;
use crate::size::FileSize;

/// The files of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    pub(crate) files: Vec<RepoFile>,
    /// Whether no file was left out.
    pub(crate) whole: bool,
}

/// One file of a commit. Its name and ids are safe to make paths of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RepoFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// The id git has for it.
    pub(crate) git: String,
    /// Of its bytes, for files in large file storage.
    pub(crate) sha256: Option<String>,
}

impl RepoFile {
    /// What its blob is called: the entity tag under which the hub serves it.
    pub(crate) fn blob(&self) -> &str {
        self.sha256.as_deref().unwrap_or(&self.git)
    }
}

impl Listing {
    /// Names and sizes.
    pub(crate) fn sizes(&self) -> Vec<FileSize> {
        self.files.iter().map(|file| FileSize { name: file.name.clone(), size: file.size }).collect()
    }

    /// The file of this name.
    pub(crate) fn file(&self, name: &str) -> Option<&RepoFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// Reads the hub's answer.
    pub(crate) fn from_answer(url: &str, json: &[u8]) -> Result<Self, HubError> {
        let bad = |reason: String| HubError::BadAnswer { url: url.to_owned(), reason };
        let answer: Answer = serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
        let commit = names::commit(&answer.sha)?;
        let mut listing = Self { commit, files: Vec::new(), whole: true };
        for file in answer.siblings {
            // What is never taken need not be safe: such files exist, uploaded from other systems.
            if let Err(error) = names::file(&file.rfilename) {
                if may_be_taken(&file.rfilename) {
                    return Err(error);
                }
                listing.whole = false;
                continue;
            }
            let (Some(git), Some(size)) = (file.blob_id, file.lfs.as_ref().map(|lfs| lfs.size).or(file.size)) else {
                if may_be_taken(&file.rfilename) {
                    return Err(bad(format!("it gives {} no blobId or size", file.rfilename)));
                }
                listing.whole = false;
                continue;
            };
            let sha256 = file.lfs.map(|lfs| names::blob(&lfs.sha256)).transpose()?;
            listing.files.push(RepoFile { name: file.rfilename, size, git: names::blob(&git)?, sha256 });
        }
        Ok(listing)
    }

    /// Reads the copy in the cache; nothing if it is of another form or was tampered with.
    pub(crate) fn from_tree(commit: &str, json: &[u8]) -> Option<Self> {
        let tree: Tree = serde_json::from_slice(json).ok()?;
        let file = |(name, file): (String, TreeFile)| {
            let safe = names::is_file_name(&name)
                && names::is_hash(&file.blob_id)
                && file.lfs_sha256.as_deref().is_none_or(names::is_hash);
            let size = file.lfs_size.unwrap_or(file.size);
            safe.then_some(RepoFile { name, size, git: file.blob_id, sha256: file.lfs_sha256 })
        };
        let files = tree.files.into_iter().map(file).collect::<Option<_>>()?;
        (tree.format_version == TREE_FORMAT).then(|| Self { commit: commit.to_owned(), files, whole: true })
    }

    /// Writes the copy for the cache.
    pub(crate) fn to_tree(&self) -> Vec<u8> {
        let file = |file: &RepoFile| {
            let lfs_size = file.sha256.as_ref().map(|_| file.size);
            let entry =
                TreeFile { size: file.size, blob_id: file.git.clone(), lfs_sha256: file.sha256.clone(), lfs_size };
            (file.name.clone(), entry)
        };
        let tree = Tree { format_version: TREE_FORMAT, files: self.files.iter().map(file).collect() };
        serde_json::to_vec_pretty(&tree).unwrap_or_default()
    }
}

fn may_be_taken(name: &str) -> bool {
    is_gguf(name) || [".safetensors", ".json", ".jinja"].iter().any(|end| name.ends_with(end))
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

const TREE_FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Tree {
    format_version: u32,
    files: BTreeMap<String, TreeFile>,
}

#[derive(Serialize, Deserialize)]
struct TreeFile {
    size: u64,
    blob_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn read(siblings: &str) -> Result<Listing, HubError> {
        Listing::from_answer("http://hub/api", format!(r#"{{"sha": "{SHA}", "siblings": {siblings}}}"#).as_bytes())
    }

    #[test]
    fn the_answer_and_its_copy_say_the_same() {
        let big = "ab".repeat(32);
        let listing = read(&format!(
            r#"[{{"rfilename": "config.json", "size": 7, "blobId": "{SHA}"}},
                {{"rfilename": "x.gguf", "size": 9, "blobId": "{SHA}", "lfs": {{"sha256": "{big}", "size": 9, "pointerSize": 1}}}}]"#
        ))
        .unwrap();
        assert_eq!(listing.file("config.json").unwrap().blob(), SHA);
        assert_eq!(listing.file("x.gguf").unwrap().blob(), big);
        assert!(listing.whole);
        assert_eq!(Listing::from_tree(SHA, &listing.to_tree()), Some(listing));
    }

    #[test]
    fn copies_of_other_forms_are_ignored() {
        for json in [
            "",
            "{}",
            r#"{"format_version": 2, "files": {}}"#,
            r#"{"format_version": 1, "files": {"../x": {"size": 1, "blob_id": "0123456789abcdef0123456789abcdef01234567"}}}"#,
            r#"{"format_version": 1, "files": {"x": {"size": 1, "blob_id": "../../x"}}}"#,
        ] {
            assert_eq!(Listing::from_tree(SHA, json.as_bytes()), None, "{json}");
        }
        assert!(Listing::from_tree(SHA, br#"{"format_version": 1, "more": 1, "files": {}}"#).is_some());
    }

    #[test]
    fn hostile_names_are_refused_where_they_could_be_taken() {
        for name in ["../x.gguf", "/etc/x.gguf", "a\\\\..\\\\x.safetensors", "a/../config.json", "x\\u0000.gguf"] {
            let error = read(&format!(r#"[{{"rfilename": "{name}", "size": 1, "blobId": "{SHA}"}}]"#)).unwrap_err();
            assert!(matches!(error, HubError::UnsafeName { .. }), "{name}: {error}");
        }
        let odd = read(r#"[{"rfilename": "images\\a.png", "size": 1}]"#).unwrap();
        assert!(odd.files.is_empty() && !odd.whole);
        for ids in [
            r#""blobId": "../x""#,
            r#""blobId": "0123456789abcdef0123456789abcdef01234567", "lfs": {"sha256": "/x", "size": 1}"#,
        ] {
            let error = read(&format!(r#"[{{"rfilename": "x.gguf", "size": 1, {ids}}}]"#)).unwrap_err();
            assert!(matches!(error, HubError::UnsafeName { .. }), "{ids}: {error}");
        }
    }

    #[test]
    fn other_answers_are_named() {
        for json in ["", "<html>", "{}", r#"{"sha": 1, "siblings": []}"#] {
            let error = Listing::from_answer("http://hub/api", json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("http://hub/api") && error.contains("HF_ENDPOINT"), "{json}: {error}");
        }
        let error = read(r#"[{"rfilename": "x.gguf", "size": 1}]"#).unwrap_err().to_string();
        assert!(error.contains("x.gguf no blobId"), "{error}");
        let hostile = Listing::from_answer("u", br#"{"sha": "../../x", "siblings": []}"#).unwrap_err();
        assert!(matches!(hostile, HubError::UnsafeName { what: "commit", .. }));
    }
}
