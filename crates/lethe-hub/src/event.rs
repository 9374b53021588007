//! What happens while a model is found, for whoever shows it.

use std::time::Duration;

use crate::reference::HubRef;

/// One thing that happened. Sizes are in bytes; names are those of the repository.
///
/// For each file that is not in the cache, in this order: at most one `Waiting`; then, unless the other process has
/// fetched the file meanwhile, `Started`, any number of `Bytes`, `Retrying` and `Restarted`; then `Done`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The hub is asked what the repository holds.
    Listing {
        /// What was asked for.
        at: &'a HubRef,
    },
    /// The files are chosen. Not sent when all of them are in the cache; sent twice where an index of shards had to be
    /// fetched first, for the index and for the rest.
    Selected {
        /// How many are not in the cache.
        files: usize,
        /// Their sizes together, what is left of earlier attempts included.
        bytes: u64,
    },
    /// Another process or thread is fetching this file; it is waited for.
    Waiting {
        /// The file.
        name: &'a str,
    },
    /// A download begins.
    Started {
        /// The file.
        name: &'a str,
        /// Its size.
        size: u64,
        /// What an earlier attempt had left behind.
        resumed_from: u64,
    },
    /// Bytes have arrived and are on disk.
    Bytes {
        /// The file.
        name: &'a str,
        /// All that is there of it.
        done: u64,
        /// Its size.
        size: u64,
    },
    /// The server does not continue where the download was: it starts again at zero.
    Restarted {
        /// The file.
        name: &'a str,
    },
    /// A request failed in a way that may pass; it is made again after a pause.
    Retrying {
        /// The file, or the repository.
        name: &'a str,
        /// What failed.
        reason: &'a str,
        /// How long the pause is.
        pause: Duration,
    },
    /// The file is whole, checked, and in the cache.
    Done {
        /// The file.
        name: &'a str,
        /// Its size.
        size: u64,
    },
}

/// Takes events. A closure does; `&mut |_| {}` ignores them.
pub type Progress<'p> = dyn FnMut(Event<'_>) + 'p;
