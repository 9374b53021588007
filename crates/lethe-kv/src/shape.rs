//! The numbers that size a cache.

use crate::{KvDtype, PAGE_SLOTS};

/// Shape of the cache of one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Decoder layers.
    pub layers: usize,
    /// KV heads, lanes of a layer.
    pub kv_heads: usize,
    /// Coordinates of one K or V row.
    pub head_dim: usize,
    /// Element type.
    pub dtype: KvDtype,
}

/// Bytes of position, score and pinned mark of one slot.
pub const SLOT_BYTES: usize = 4 + 4 + 1;

impl KvShape {
    /// Lanes of the model.
    pub fn lanes(&self) -> usize {
        self.layers * self.kv_heads
    }

    /// Bytes of one page of K and V.
    pub fn page_bytes(&self) -> usize {
        self.dtype.page_bytes(self.head_dim)
    }

    /// Bytes that a page costs against a memory limit: K and V, its block table entry, and for each slot its books at
    /// the finest granularity (one set per lane) and one f32 of mass carried between the chunks of a prompt.
    pub fn page_charge(&self) -> usize {
        self.page_bytes() + 4 + PAGE_SLOTS * (SLOT_BYTES + 4)
    }

    /// Pages that fit in `bytes`, everything counted.
    pub fn pages_in(&self, bytes: u64) -> usize {
        usize::try_from(bytes / self.page_charge() as u64).unwrap_or(usize::MAX).min(u32::MAX as usize)
    }

    /// Pages of every lane for `slots` slots in each layer.
    pub fn pages_for(&self, slots: usize) -> usize {
        self.lanes() * slots.div_ceil(PAGE_SLOTS)
    }

    /// Bytes of K and V of one token over all layers.
    pub fn token_bytes(&self) -> usize {
        self.lanes() * self.page_bytes() / PAGE_SLOTS
    }
}
