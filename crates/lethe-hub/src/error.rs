//! Why a model cannot be had. Every message says what was wrong, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::reference::{HubRef, RepoId, Revision, Wanted};
use crate::select::SelectError;
use crate::size::Bytes;

/// Why a model cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A local model that is not there.
    #[error("there is no file or folder {}", path.display())]
    NoSuchPath {
        /// What was named.
        path: PathBuf,
    },
    /// No cache folder can be derived from the environment.
    #[error("there is no home directory to keep models in: set HF_HUB_CACHE to a folder for them")]
    NoHome,
    /// A setting that cannot be used. Its value is not printed: it may be secret.
    #[error("{setting} cannot be used: {reason}")]
    BadSetting {
        /// The name of the setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The cache lacks something, and no request may be made.
    #[error("{missing} of {} is not in the cache {}, and offline was asked for: run once online{}", place(at), cache.display(), held(have))]
    Offline {
        /// What was asked for.
        at: Box<HubRef>,
        /// What the cache lacks.
        missing: String,
        /// The cache.
        cache: PathBuf,
        /// The models of that repository that are there.
        have: Vec<String>,
    },
    /// The repository holds no such model.
    #[error("{repo}: {source}")]
    Select {
        /// The repository.
        repo: RepoId,
        /// What it holds instead.
        source: SelectError,
    },
    /// 401 or 403.
    #[error("{endpoint} refuses access to {repo} ({status}): {}", access(*token, endpoint, repo))]
    Denied {
        /// The repository.
        repo: RepoId,
        /// The HTTP status.
        status: u16,
        /// Whether a token was sent.
        token: bool,
        /// The hub.
        endpoint: String,
    },
    /// No such repository, as far as this hub shows.
    #[error(
        "{endpoint} has no repository {repo}: check the spelling{}",
        if *token { "" } else { "; a private one is only seen with HF_TOKEN set" }
    )]
    RepoNotFound {
        /// The repository.
        repo: RepoId,
        /// Whether a token was sent.
        token: bool,
        /// The hub.
        endpoint: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repo} has no revision {revision}: name a branch, a tag or a full commit, or leave @{revision} away")]
    RevisionNotFound {
        /// The repository.
        repo: RepoId,
        /// What was asked for.
        revision: Revision,
    },
    /// The repository has no such file.
    #[error("{repo} has no file {file}{}", nearest(near))]
    FileNotFound {
        /// The repository.
        repo: RepoId,
        /// What was asked for.
        file: String,
        /// At most three names that are there.
        near: Vec<String>,
    },
    /// Any other status, after as many attempts as are worth making.
    #[error("{url} answers {status} ({attempts} attempts): {}", advice(*status))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How often it was asked for.
        attempts: u32,
    },
    /// No answer, or half of one, after as many attempts as are worth making.
    #[error(
        "{url}: {reason} ({attempts} attempts); check the network, or HF_ENDPOINT. What has arrived is kept and continued next time"
    )]
    Network {
        /// What was asked for.
        url: String,
        /// What went wrong.
        reason: String,
        /// How often it was asked for.
        attempts: u32,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects to {target:?}, which is not followed: {reason}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Where it points.
        target: String,
        /// Why not.
        reason: &'static str,
    },
    /// An answer that is not what a hub says.
    #[error("{url} does not answer as a Hugging Face hub does: {reason}; check HF_ENDPOINT")]
    BadAnswer {
        /// What was asked for.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A name out of an answer that must not touch the disk.
    #[error("the hub sent the {what} {name:?}, which could reach outside the cache: nothing was written")]
    UnsafeName {
        /// What it should name.
        what: &'static str,
        /// The name, cut.
        name: String,
    },
    /// An index of shards that cannot be read.
    #[error("{}: {reason}", path.display())]
    BadIndex {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The bytes are not those of the repository.
    #[error("{file} arrived damaged: its SHA-256 should be {expected} and is {found}. It was deleted: try again")]
    Checksum {
        /// The file.
        file: String,
        /// From the hub's list of files.
        expected: String,
        /// Of what arrived.
        found: String,
    },
    /// More bytes than the file has.
    #[error("{file} arrived damaged: it should have {expected} bytes and has more. It was deleted: try again")]
    TooLong {
        /// The file.
        file: String,
        /// From the hub's list of files.
        expected: u64,
    },
    /// The disk, or the quota, is full.
    #[error("no space left for {}: {}free some, or set HF_HUB_CACHE to a folder on another disk ({source})", path.display(), needed(*size))]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// The size it should reach, where that is known.
        size: Option<u64>,
        /// What the system says.
        source: io::Error,
    },
    /// The cache belongs to somebody else.
    #[error("no permission for {}: change its owner, or set HF_HUB_CACHE to a folder of yours ({source})", path.display())]
    Permission {
        /// What was to be read or written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Anything else a disk can say.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was to be read or written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl HubError {
    /// Names the path in an error of the file system.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::DiskFull { path, size: None, source }
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Self::Permission { path, source }
                }
                _ => Self::Io { path, source },
            }
        }
    }

    /// Adds the size a file should have reached where the disk was full.
    pub(crate) fn of_size(mut self, expected: u64) -> Self {
        if let Self::DiskFull { size, .. } = &mut self {
            *size = Some(expected);
        }
        self
    }
}

fn access(token: bool, endpoint: &str, repo: &RepoId) -> String {
    if token {
        format!(
            "accept its licence at {endpoint}/{repo} with the account of your HF_TOKEN, and check that the token may read it"
        )
    } else {
        format!(
            "it does not exist, is private, or is gated. For the latter two, accept its licence at {endpoint}/{repo} and \
             set HF_TOKEN"
        )
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        429 => "too many requests; wait a while, or set HF_TOKEN for a higher limit",
        500.. => "the trouble is the server's; try again later",
        _ => "that is unexpected; check HF_ENDPOINT",
    }
}

fn place(at: &HubRef) -> String {
    HubRef { wanted: Wanted::Default, ..at.clone() }.to_string()
}

fn nearest(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; the nearest names are: {}", near.join(", ")) }
}

fn held(have: &[String]) -> String {
    if have.is_empty() { String::new() } else { format!(". The cache has: {}", have.join(", ")) }
}

fn needed(size: Option<u64>) -> String {
    size.map_or(String::new(), |size| format!("it needs {} in all; ", Bytes(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_disk_name_the_path_and_a_way_out() {
        let path = Path::new("/cache/blobs/x.incomplete");
        let full = HubError::at(path)(io::ErrorKind::StorageFull.into()).of_size(4_700_000_000).to_string();
        assert!(full.contains("x.incomplete") && full.contains("4.7 GB") && full.contains("HF_HUB_CACHE"), "{full}");
        let denied = HubError::at(path)(io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains("x.incomplete") && denied.contains("HF_HUB_CACHE"), "{denied}");
        let other = HubError::at(path)(io::ErrorKind::NotADirectory.into()).of_size(1).to_string();
        assert!(other.contains("x.incomplete"), "{other}");
    }
}
