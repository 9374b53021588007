//! Parking: a sequence leaves the pool with everything it holds, and comes back as it was.
//!
//! What was forgotten cannot be computed again, so a sequence that must make room is never dropped and read anew: its pages
//! are copied out, slot for slot, and copied in again later, perhaps to other pages. Page ids are all that changes.

use std::io::{self, Read, Write};

use crate::track::{self, Layer};
use crate::{Grant, Granularity, KvShape, SeqCache, Storage};

/// A sequence without pages: positions, scores and marks of its slots, and how many pages each lane had.
#[derive(Debug)]
pub struct ParkedCache {
    shape: KvShape,
    granularity: Granularity,
    layers: Vec<Layer>, // [layers], tables empty
    pages: usize,
}

impl SeqCache {
    /// Writes every page to `to`, lane after lane, flushes it, and frees those that nobody else holds. Pages of the prefix cache are copied
    /// like any other.
    ///
    /// # Errors
    /// What `to` says, with the sequence as it was.
    pub fn park(
        mut self,
        storage: &(impl Storage + ?Sized),
        to: &mut dyn Write,
    ) -> Result<ParkedCache, Box<(SeqCache, io::Error)>> {
        let mut bytes = vec![0; storage.page_bytes()];
        let write = |&page| {
            storage.read_page(page, &mut bytes);
            to.write_all(&bytes)
        };
        let written = self.pages().try_for_each(write).and_then(|()| to.flush());
        if let Err(error) = written {
            return Err(Box::new((self, error)));
        }
        let pages = self.pages().count();
        self.give_back_pages();
        let layers = std::mem::take(&mut self.layers);
        Ok(ParkedCache { shape: self.shape, granularity: self.granularity, layers, pages })
    }
}

impl ParkedCache {
    /// Pages it needs to come back.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Pages beyond [`ParkedCache::pages`] that `slots` more slots in every lane will take.
    pub fn needed(&self, slots: usize) -> usize {
        let whole =
            |l: &Layer| (0..l.tables.len()).map(|h| (l.len(h) + slots).div_ceil(crate::PAGE_SLOTS)).sum::<usize>();
        self.layers.iter().map(whole).sum::<usize>() - self.pages
    }

    /// Slots of the longest lane of a layer.
    pub fn layer_len(&self, layer: usize) -> usize {
        let layer = &self.layers[layer];
        (0..layer.tables.len()).map(|lane| layer.len(lane)).max().unwrap_or(0)
    }

    /// As [`SeqCache::pristine`].
    pub fn pristine(&self) -> usize {
        track::pristine(&self.layers)
    }

    /// Positions of the slots of a lane.
    pub fn positions(&self, layer: usize, lane: usize) -> &[u32] {
        &self.layers[layer].track(lane).positions
    }

    /// How many slots of a lane are pinned.
    pub fn pins(&self, layer: usize, lane: usize) -> usize {
        self.layers[layer].track(lane).pins
    }

    /// The sequence, under a grant of at least [`ParkedCache::pages`], its pages read from what [`SeqCache::park`] wrote.
    ///
    /// # Errors
    /// What `from` says; the sequence is lost, its pages are free.
    ///
    /// # Panics
    /// If the grant is smaller than that.
    pub fn restore(
        self,
        storage: &mut (impl Storage + ?Sized),
        grant: Grant,
        from: &mut dyn Read,
    ) -> io::Result<SeqCache> {
        assert!(grant.room() >= self.pages, "restore: {} pages granted, {} needed", grant.room(), self.pages);
        let mut seq = SeqCache { shape: self.shape, granularity: self.granularity, grant, layers: self.layers };
        let mut bytes = vec![0; storage.page_bytes()];
        for l in 0..seq.layers.len() {
            for h in 0..seq.layers[l].tables.len() {
                for _ in 0..seq.layers[l].len(h).div_ceil(crate::PAGE_SLOTS) {
                    from.read_exact(&mut bytes)?;
                    let page = seq.grant.take().expect("the grant was checked");
                    storage.write_page(page, &bytes);
                    seq.layers[l].tables[h].push(page);
                }
            }
        }
        Ok(seq)
    }
}
