//! What can go wrong with KV memory.

use std::fmt;

/// Errors of the ledger and of sequences. Every operation that returns one has changed nothing, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvError {
    /// The pool cannot promise or hand out that many pages.
    OutOfPages {
        /// Pages asked for.
        needed: usize,
        /// Pages that could be had.
        available: usize,
        /// Pages of the pool.
        total: usize,
    },
    /// A sequence wanted more pages than it had reserved.
    GrantSpent {
        /// Pages reserved.
        pages: usize,
    },
    /// A keep set names a slot that is not there.
    KeepOutOfRange {
        /// The slot.
        slot: usize,
        /// Slots in the layer or lane.
        len: usize,
    },
    /// A keep set is not strictly ascending.
    KeepNotAscending {
        /// Index into the keep set of the entry that is not above the one before it.
        at: usize,
    },
    /// New slots must lie after the old ones.
    PositionsNotIncreasing {
        /// Last position held.
        last: u32,
        /// First position to append.
        next: u32,
    },
    /// An operation for whole layers on a sequence that keeps lanes apart, or the other way round.
    WrongGranularity,
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KvError::OutOfPages { needed, available, total } => {
                write!(f, "{needed} KV pages needed, {available} of {total} available")
            }
            KvError::GrantSpent { pages } => write!(f, "the sequence has used all {pages} KV pages reserved for it"),
            KvError::KeepOutOfRange { slot, len } => write!(f, "keep set names slot {slot}, the layer has {len}"),
            KvError::KeepNotAscending { at } => write!(f, "keep set is not strictly ascending at entry {at}"),
            KvError::PositionsNotIncreasing { last, next } => {
                write!(f, "position {next} appended after position {last}")
            }
            KvError::WrongGranularity => {
                write!(f, "retain of a layer needs layer granularity, retain of a lane needs head granularity")
            }
        }
    }
}

impl std::error::Error for KvError {}
