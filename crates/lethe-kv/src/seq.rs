//! One sequence's cache: for every layer its lanes' block tables, and for every slot its position, score and mark.
//!
//! With [`Granularity::Layer`] the lanes of a layer hold the same slots and share one set of books; with
//! [`Granularity::Head`] every lane has its own. A slot index is not a position: after a `retain` slot 40 may hold
//! position 700.

use std::ops::Range;

use crate::shape::SLOT_BYTES;
use crate::track::{self, Layer, Track};
use crate::{Grant, KvError, KvShape, LaneView, PAGE_SLOTS, PageId, SlotAt, Storage};

/// Whether the lanes of a layer are cut together or each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// One keep set per layer.
    Layer,
    /// One keep set per lane.
    Head,
}

/// The cache of one sequence. Dropping it returns every page.
#[derive(Debug)]
pub struct SeqCache {
    pub(crate) shape: KvShape,
    pub(crate) granularity: Granularity,
    pub(crate) grant: Grant,
    pub(crate) layers: Vec<Layer>, // [layers]
}

impl SeqCache {
    /// An empty cache that may hold the pages of `grant`. Books are sized for `slots` slots in each layer, so that
    /// nothing is allocated while it stays within.
    pub fn new(shape: KvShape, granularity: Granularity, grant: Grant, slots: usize) -> SeqCache {
        let tracks = if granularity == Granularity::Layer { 1 } else { shape.kv_heads };
        let layer = || Layer {
            tracks: (0..tracks).map(|_| Track::with_capacity(slots)).collect(),
            tables: (0..shape.kv_heads).map(|_| Vec::with_capacity(slots.div_ceil(PAGE_SLOTS))).collect(),
        };
        let layers = (0..shape.layers).map(|_| layer()).collect();
        SeqCache { shape, granularity, grant, layers }
    }

    /// The shape it was made for.
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    /// The promise it lives under.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Changes the promise and makes room in the books for `slots` slots in each layer (a further turn, or the
    /// smaller bound once a long prompt was cut).
    ///
    /// # Errors
    /// [`KvError::OutOfPages`]; nothing changes.
    pub fn regrant(&mut self, pages: usize, slots: usize) -> Result<(), KvError> {
        self.grant.resize(pages)?;
        for layer in &mut self.layers {
            for t in &mut layer.tracks {
                let more = slots.saturating_sub(t.positions.len());
                t.positions.reserve(more);
                t.pinned.reserve(more);
                t.scores.reserve(more);
            }
            for table in &mut layer.tables {
                table.reserve(slots.div_ceil(PAGE_SLOTS).saturating_sub(table.len()));
            }
        }
        Ok(())
    }

    /// Slots in a lane.
    pub fn len(&self, layer: usize, lane: usize) -> usize {
        self.layers[layer].len(lane)
    }

    /// Pages that `slots` more slots in every lane take: [`SeqCache::append`] of so many finds room in a grant that has them.
    pub fn needed(&self, slots: usize) -> usize {
        self.layers.iter().map(|l| l.needed(slots, |p| self.grant.is_lent(p))).sum()
    }

    /// Pages of the prefix cache among those held. Cutting an unpinned one takes a page of our own for it.
    pub fn borrowed(&self) -> usize {
        self.layers.iter().flat_map(|l| &l.tables).map(Vec::len).sum::<usize>() - self.grant.held()
    }

    /// True while no layer holds a slot.
    pub fn is_empty(&self) -> bool {
        self.layers.iter().all(|l| l.tracks.iter().all(|t| t.positions.is_empty()))
    }

    /// Slots of the longest lane of any layer.
    pub fn max_len(&self) -> usize {
        track::max_len(&self.layers)
    }

    /// A lane as attention sees it.
    pub fn lane(&self, layer: usize, lane: usize) -> LaneView<'_> {
        LaneView { pages: &self.layers[layer].tables[lane], len: self.len(layer, lane) }
    }

    /// Original positions of the slots.
    pub fn positions(&self, layer: usize, lane: usize) -> &[u32] {
        &self.layers[layer].track(lane).positions
    }

    /// Pinned marks of the slots.
    pub fn pinned(&self, layer: usize, lane: usize) -> &[bool] {
        &self.layers[layer].track(lane).pinned
    }

    /// How many slots are pinned.
    pub fn pins(&self, layer: usize, lane: usize) -> usize {
        self.layers[layer].track(lane).pins
    }

    /// Scores of the slots.
    pub fn scores(&self, layer: usize, lane: usize) -> &[f32] {
        &self.layers[layer].track(lane).scores
    }

    /// Scores of the slots, to be updated after a step. With layer granularity every lane names the same scores.
    pub fn scores_mut(&mut self, layer: usize, lane: usize) -> &mut [f32] {
        let layer = &mut self.layers[layer];
        let i = lane % layer.tracks.len();
        &mut layer.tracks[i].scores
    }

    /// Pins the slots whose position `wanted` accepts, and only those, in every layer.
    pub fn pin(&mut self, wanted: impl Fn(u32) -> bool) {
        for track in self.layers.iter_mut().flat_map(|l| &mut l.tracks) {
            for (mark, &p) in track.pinned.iter_mut().zip(&track.positions) {
                *mark = wanted(p);
            }
            track.pins = track.pinned.iter().filter(|&&p| p).count();
        }
    }

    /// Adds a slot for each position to every lane of a layer, with score 0. The new slots' K and V are whatever
    /// their pages held: the caller writes them before anyone reads. A last page that is shared and not full is
    /// copied first.
    ///
    /// # Errors
    /// [`KvError::PositionsNotIncreasing`] or [`KvError::GrantSpent`]; the layer is as before.
    pub fn append(
        &mut self,
        storage: &mut (impl Storage + ?Sized),
        layer: usize,
        positions: Range<u32>,
        pinned: bool,
    ) -> Result<(), KvError> {
        if positions.is_empty() {
            return Ok(());
        }
        let whole = &self.layers[layer];
        let last = whole.tracks.iter().filter_map(|t| t.positions.last()).max();
        if let Some(&last) = last.filter(|&&last| last >= positions.start) {
            return Err(KvError::PositionsNotIncreasing { last, next: positions.start });
        }
        if whole.needed(positions.len(), |p| self.grant.is_lent(p)) > self.grant.room() {
            return Err(KvError::GrantSpent { pages: self.grant.pages() });
        }
        let Layer { tracks, tables } = &mut self.layers[layer];
        for (lane, table) in tables.iter_mut().enumerate() {
            let len = tracks[lane % tracks.len()].positions.len();
            if len % PAGE_SLOTS != 0 {
                own(&mut self.grant, storage, &mut table[len / PAGE_SLOTS])?;
            }
            while table.len() * PAGE_SLOTS < len + positions.len() {
                table.push(self.grant.take()?);
            }
        }
        for track in tracks {
            track.positions.extend(positions.clone());
            track.pinned.resize(track.positions.len(), pinned);
            track.scores.resize(track.positions.len(), 0.0);
            track.pins += if pinned { positions.len() } else { 0 };
        }
        Ok(())
    }

    /// Keeps the slots `keep` of every lane of a layer and forgets the others. Survivors keep order, position, score
    /// and mark; freed pages are back in the pool on return; O(slots moved). Shared pages are copied, never written.
    ///
    /// # Errors
    /// [`KvError::KeepNotAscending`], [`KvError::KeepOutOfRange`], [`KvError::WrongGranularity`], and
    /// [`KvError::GrantSpent`] where pages of the prefix cache would be written ([`SeqCache::borrowed`]) and the grant has
    /// no room for ours in their place; nothing changes.
    pub fn retain(
        &mut self,
        storage: &mut (impl Storage + ?Sized),
        layer: usize,
        keep: &[usize],
    ) -> Result<(), KvError> {
        if self.granularity != Granularity::Layer {
            return Err(KvError::WrongGranularity);
        }
        check_keep(keep, self.len(layer, 0))?;
        check_room(&self.grant, &self.layers[layer].tables, keep)?;
        let Layer { tracks, tables } = &mut self.layers[layer];
        for table in tables {
            compact(&mut self.grant, storage, table, keep)?;
        }
        tracks[0].retain(keep);
        Ok(())
    }

    /// [`SeqCache::retain`] for one lane, with head granularity.
    ///
    /// # Errors
    /// As [`SeqCache::retain`].
    pub fn retain_lane(
        &mut self,
        storage: &mut (impl Storage + ?Sized),
        layer: usize,
        lane: usize,
        keep: &[usize],
    ) -> Result<(), KvError> {
        if self.granularity != Granularity::Head {
            return Err(KvError::WrongGranularity);
        }
        check_keep(keep, self.len(layer, lane))?;
        check_room(&self.grant, &self.layers[layer].tables[lane..=lane], keep)?;
        let Layer { tracks, tables } = &mut self.layers[layer];
        compact(&mut self.grant, storage, &mut tables[lane], keep)?;
        tracks[lane].retain(keep);
        Ok(())
    }

    /// Slots at the front of every lane, the same number in each, that hold positions 0, 1, 2 and so on: what a further
    /// prompt may share, since nothing was ever forgotten there.
    pub fn pristine(&self) -> usize {
        track::pristine(&self.layers)
    }

    /// Keeps the first `slots` slots of every lane of every layer, or all of a lane that has no more, as
    /// [`SeqCache::retain`] of those would: they keep position, score and mark, and freed pages are back in the pool on
    /// return. No slot moves and no page is written, so that nothing can fail; a last page that is shared is copied by the
    /// next append.
    pub fn truncate(&mut self, slots: usize) {
        for Layer { tracks, tables } in &mut self.layers {
            for table in tables {
                for page in table.drain(slots.div_ceil(PAGE_SLOTS).min(table.len())..) {
                    self.grant.give_back(page);
                }
            }
            tracks.iter_mut().for_each(|t| t.truncate(slots));
        }
    }

    /// A second sequence with the same past, living under its own grant. Pages are shared until one side writes.
    ///
    /// # Errors
    /// [`KvError::GrantSpent`] when the grant is smaller than what is held; both sides are as before.
    pub fn fork(&self, mut grant: Grant) -> Result<SeqCache, KvError> {
        if grant.pages() < self.grant.held() {
            return Err(KvError::GrantSpent { pages: grant.pages() });
        }
        for &page in self.pages() {
            grant.share(page)?;
        }
        Ok(SeqCache { shape: self.shape, granularity: self.granularity, grant, layers: self.layers.clone() })
    }

    /// Every page held, a shared one too; a page appears once per lane that holds it.
    pub fn pages(&self) -> impl Iterator<Item = &PageId> {
        self.layers.iter().flat_map(|l| &l.tables).flatten()
    }

    /// Bytes held: pages whole, those that several sequences hold by fair share, and the books of the slots.
    pub fn bytes(&self) -> u64 {
        let page = self.shape.page_bytes() as u64;
        let held = self.layers.iter().flat_map(|l| &l.tables).map(Vec::len).sum::<usize>() as u64;
        let pages = if self.grant.ledger().shared() == 0 {
            held * page
        } else {
            let books = self.grant.ledger().books();
            self.pages().map(|&p| page / u64::from(books.holders(p))).sum()
        };
        let slots: usize = self.layers.iter().flat_map(|l| &l.tracks).map(|t| t.positions.len()).sum();
        pages + (slots * SLOT_BYTES) as u64 + held * size_of::<PageId>() as u64
    }

    /// Gives every page back and keeps the books.
    pub(crate) fn give_back_pages(&mut self) {
        for table in self.layers.iter_mut().flat_map(|l| &mut l.tables) {
            for page in table.drain(..) {
                self.grant.give_back(page);
            }
        }
    }

    /// Lane lengths match page counts, positions strictly increase, marks are counted right, pages match the grant.
    ///
    /// # Errors
    /// A sentence that says what is broken and where.
    pub fn check(&self) -> Result<(), String> {
        for (l, layer) in self.layers.iter().enumerate() {
            for (h, table) in layer.tables.iter().enumerate() {
                let t = layer.track(h);
                let n = t.positions.len();
                if table.len() != n.div_ceil(PAGE_SLOTS) {
                    return Err(format!("layer {l} lane {h}: {n} slots in {} pages", table.len()));
                }
                if t.pinned.len() != n || t.scores.len() != n {
                    return Err(format!("layer {l} lane {h}: books of different lengths"));
                }
                if t.pins != t.pinned.iter().filter(|&&p| p).count() {
                    return Err(format!("layer {l} lane {h}: {} pins counted wrong", t.pins));
                }
                if let Some(w) = t.positions.windows(2).find(|w| w[0] >= w[1]) {
                    return Err(format!("layer {l} lane {h}: position {} before {}", w[0], w[1]));
                }
            }
        }
        let books = self.grant.ledger().books();
        let own = self.pages().filter(|&&p| !books.lent[p as usize]).count();
        if own != self.grant.held() {
            return Err(format!("{own} pages of its own in the tables, {} under the grant", self.grant.held()));
        }
        Ok(())
    }
}

impl Drop for SeqCache {
    fn drop(&mut self) {
        self.give_back_pages();
    }
}

fn check_keep(keep: &[usize], len: usize) -> Result<(), KvError> {
    if let Some(at) = keep.windows(2).position(|w| w[0] >= w[1]) {
        return Err(KvError::KeepNotAscending { at: at + 1 });
    }
    match keep.last() {
        Some(&slot) if slot >= len => Err(KvError::KeepOutOfRange { slot, len }),
        _ => Ok(()),
    }
}

/// Makes a page ours alone, so that it may be written.
fn own(grant: &mut Grant, storage: &mut (impl Storage + ?Sized), page: &mut PageId) -> Result<(), KvError> {
    if grant.is_shared(*page) {
        let fresh = grant.exchange(*page)?;
        storage.copy_page(*page, fresh);
        *page = fresh;
    }
    Ok(())
}

/// The first slot that a keep set moves, or the number of those it keeps.
fn first_moved(keep: &[usize]) -> usize {
    keep.iter().enumerate().position(|(to, &from)| to != from).unwrap_or(keep.len())
}

/// Fails where [`compact`] of these lanes would find no page to write in place of one that is lent.
fn check_room(grant: &Grant, tables: &[Vec<PageId>], keep: &[usize]) -> Result<(), KvError> {
    let written = first_moved(keep) / PAGE_SLOTS..keep.len().div_ceil(PAGE_SLOTS);
    if first_moved(keep) == keep.len() || tables.iter().map(Vec::len).sum::<usize>() <= grant.room() {
        return Ok(());
    }
    let lent = tables.iter().flat_map(|t| &t[written.clone()]).filter(|&&p| grant.is_lent(p)).count();
    if lent > grant.room() { Err(KvError::GrantSpent { pages: grant.pages() }) } else { Ok(()) }
}

/// Moves the kept slots of one lane to the front and returns the pages left over. `keep[i] >= i`, so a slot is read
/// before anything lands on it.
fn compact(
    grant: &mut Grant,
    storage: &mut (impl Storage + ?Sized),
    table: &mut Vec<PageId>,
    keep: &[usize],
) -> Result<(), KvError> {
    let first = first_moved(keep);
    let mut owned = usize::MAX; // the page that was made ours last
    for (to, &from) in keep.iter().enumerate().skip(first) {
        if owned != to / PAGE_SLOTS {
            owned = to / PAGE_SLOTS;
            own(grant, storage, &mut table[owned])?;
        }
        storage.copy_slot(
            SlotAt { page: table[from / PAGE_SLOTS], slot: from % PAGE_SLOTS },
            SlotAt { page: table[owned], slot: to % PAGE_SLOTS },
        );
    }
    for page in table.drain(keep.len().div_ceil(PAGE_SLOTS)..) {
        grant.give_back(page);
    }
    Ok(())
}
