//! Paged KV memory that can forget.
//!
//! - a *page* holds [`PAGE_SLOTS`] slots of one lane, K and V together ([`Arena`] is the memory, [`Storage`] its seam);
//! - the [`Ledger`] knows which pages are free, owned and promised; a [`Grant`] is one sequence's promise;
//! - a [`SeqCache`] is one sequence: per lane a block table, per slot a position, a score and a pinned mark;
//! - [`PrefixCache`] lends pages of earlier prompts to sequences that begin alike;
//! - [`SeqCache::park`] moves a sequence out of the pool, [`ParkedCache::restore`] brings it back as it was;
//! - [`SeqCache::retain`] forgets slots and frees pages; [`check_integrity`] proves that nothing leaks.
//!
//! No model words, no arithmetic, no unsafe, standard library only.
#![forbid(unsafe_code)]

mod error;
pub mod int8;
mod integrity;
mod ledger;
mod page;
mod park;
mod prefix;
mod seq;
mod shape;
mod track;

pub use error::KvError;
pub use integrity::check_integrity;
pub use ledger::{Grant, Ledger};
pub use page::{
    Arena, KvDtype, LaneView, PAGE_SLOTS, PageId, Pages, PagesMut, SlotAt, Storage, k_at, page_elems, v_at,
};
pub use park::ParkedCache;
pub use prefix::{Blocks, PrefixCache};
pub use seq::{Granularity, SeqCache};
pub use shape::{KvShape, SLOT_BYTES};
