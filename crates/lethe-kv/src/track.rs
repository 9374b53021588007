//! The books of a layer's slots, and the pages of its lanes.

use crate::{PAGE_SLOTS, PageId};

/// Books of the slots of a layer (or lane), all of one length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    pub(crate) positions: Vec<u32>, // [slots], strictly increasing
    pub(crate) pinned: Vec<bool>,   // [slots]
    pub(crate) scores: Vec<f32>,    // [slots]
    pub(crate) pins: usize,         // how many are pinned
}

impl Track {
    pub(crate) fn with_capacity(slots: usize) -> Track {
        Track {
            positions: Vec::with_capacity(slots),
            pinned: Vec::with_capacity(slots),
            scores: Vec::with_capacity(slots),
            pins: 0,
        }
    }

    pub(crate) fn retain(&mut self, keep: &[usize]) {
        for (to, &from) in keep.iter().enumerate() {
            self.positions[to] = self.positions[from];
            self.pinned[to] = self.pinned[from];
            self.scores[to] = self.scores[from];
        }
        self.positions.truncate(keep.len());
        self.pinned.truncate(keep.len());
        self.scores.truncate(keep.len());
        self.pins = self.pinned.iter().filter(|&&p| p).count();
    }

    pub(crate) fn truncate(&mut self, slots: usize) {
        self.positions.truncate(slots);
        self.pinned.truncate(slots);
        self.scores.truncate(slots);
        self.pins = self.pinned.iter().filter(|&&p| p).count();
    }
}

/// One layer of a sequence.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) tracks: Vec<Track>,       // [1] or [kv_heads]
    pub(crate) tables: Vec<Vec<PageId>>, // [kv_heads][ceil(slots / PAGE_SLOTS)]
}

impl Layer {
    pub(crate) fn track(&self, lane: usize) -> &Track {
        &self.tracks[lane % self.tracks.len()]
    }

    /// Slots of a lane.
    pub(crate) fn len(&self, lane: usize) -> usize {
        self.track(lane).positions.len()
    }

    /// Pages that `slots` more slots in every lane take. A last page that is the prefix cache's and not full counts too: it is
    /// copied before it is written.
    pub(crate) fn needed(&self, slots: usize, lent: impl Fn(PageId) -> bool) -> usize {
        let lane = |(lane, table): (usize, &Vec<PageId>)| {
            let len = self.len(lane);
            let copied = slots > 0 && !len.is_multiple_of(PAGE_SLOTS) && lent(table[len / PAGE_SLOTS]);
            (len + slots).div_ceil(PAGE_SLOTS) - table.len() + usize::from(copied)
        };
        self.tables.iter().enumerate().map(lane).sum()
    }
}

/// Slots of the longest lane of any layer.
pub(crate) fn max_len(layers: &[Layer]) -> usize {
    layers.iter().flat_map(|l| &l.tracks).map(|t| t.positions.len()).max().unwrap_or(0)
}

/// Slots at the front of every lane that hold positions 0, 1, 2 and so on, the same number in each.
pub(crate) fn pristine(layers: &[Layer]) -> usize {
    let front = |t: &Track| t.positions.iter().zip(0..).take_while(|&(&p, slot): &(&u32, u32)| p == slot).count();
    layers.iter().flat_map(|l| &l.tracks).map(front).min().unwrap_or(0)
}
