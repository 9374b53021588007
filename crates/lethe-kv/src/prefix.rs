//! The prefix cache: complete pages of earlier prompts, found by what they hold, lent to sequences that begin alike.
//!
//! The unit is a *block*: [`PAGE_SLOTS`] tokens, and of every lane the page with their keys and values. What a page holds
//! depends on all tokens before it, so blocks form a tree; a block is found by its parent and its tokens. Only pages that
//! nothing was ever forgotten from may be lent, and lent pages are never written ([`SeqCache`] copies first).

use std::collections::{BTreeMap, HashMap};

use crate::{Grant, Ledger, PAGE_SLOTS, PageId, SeqCache};

/// Where a block hangs: at another, or at the beginning of everything.
type Parent = Option<u32>;

/// A block's name: content, not a hash of it, so that no two prompts are ever taken for each other.
type Key = (Parent, [u32; PAGE_SLOTS]);

#[derive(Debug)]
struct Block {
    key: Key,
    pages: Box<[PageId]>, // [layers][kv_heads]
    children: usize,
    used: u64, // when it was looked up or made last; no two blocks say the same
}

/// Blocks that a prompt begins with, in order, as [`PrefixCache::find`] found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks(Vec<u32>);

impl Blocks {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tokens in them.
    pub fn tokens(&self) -> usize {
        self.0.len() * PAGE_SLOTS
    }
}

/// Lends pages. It must outlive the sequences that borrow them.
#[derive(Debug)]
pub struct PrefixCache {
    grant: Grant, // as large as what it holds
    blocks: HashMap<u32, Block>,
    names: HashMap<Key, u32>,
    leaves: BTreeMap<u64, u32>, // by `used`: blocks without children, the only ones that may go
    next: u32,
    clock: u64,
}

impl PrefixCache {
    /// An empty cache.
    pub fn new(ledger: &Ledger) -> PrefixCache {
        let grant = ledger.reserve(0).expect("nothing can always be promised");
        let (blocks, names) = (HashMap::new(), HashMap::new());
        PrefixCache { grant, blocks, names, leaves: BTreeMap::new(), next: 0, clock: 0 }
    }

    /// Pages it holds.
    pub fn len(&self) -> usize {
        self.grant.held()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The longest row of blocks that `tokens` begin with.
    pub fn find(&mut self, tokens: &[u32]) -> Blocks {
        let mut found = Blocks::default();
        for block in tokens.as_chunks().0 {
            let Some(&id) = self.names.get(&(found.0.last().copied(), *block)) else { break };
            found.0.push(id);
        }
        for &id in &found.0 {
            self.touch(id);
        }
        found
    }

    /// Puts blocks at the front of an empty sequence, every slot marked as `pinned` says. They cost its grant nothing.
    ///
    /// # Panics
    /// If the sequence holds slots, or its shape is not that of those the blocks came from.
    pub fn lend(&self, blocks: &Blocks, seq: &mut SeqCache, pinned: bool) {
        assert!(seq.is_empty(), "lend: the sequence holds slots already");
        let kv_heads = seq.shape.kv_heads;
        for id in &blocks.0 {
            let pages = &self.blocks[id].pages;
            assert_eq!(pages.len(), seq.shape.lanes(), "lend: a sequence of another shape");
            for (lane, &page) in pages.iter().enumerate() {
                seq.grant.share(page).expect("a lent page costs nothing");
                seq.layers[lane / kv_heads].tables[lane % kv_heads].push(page);
            }
        }
        let slots = blocks.tokens();
        for track in seq.layers.iter_mut().flat_map(|l| &mut l.tracks) {
            track.positions.extend(0..slots as u32);
            track.pinned.resize(slots, pinned);
            track.scores.resize(slots, 0.0);
            track.pins = if pinned { slots } else { 0 };
        }
    }

    /// Takes over the complete pages at the front of `seq`, which hold `tokens` (those of the first slots of every lane, at
    /// positions 0, 1, 2 and so on: at most [`SeqCache::pristine`] of them). The sequence goes on holding them. Where a block is
    /// known already, the sequence holds the known pages from now on and its own ones are free.
    pub fn keep(&mut self, tokens: &[u32], seq: &mut SeqCache) {
        debug_assert!(tokens.len() <= seq.pristine(), "only pristine pages may be lent");
        let kv_heads = seq.shape.kv_heads;
        let mut parent = None;
        for (at, block) in tokens.as_chunks().0.iter().enumerate() {
            let key = (parent, *block);
            let SeqCache { grant, layers, .. } = seq;
            if let Some(&id) = self.names.get(&key) {
                for (lane, &known) in self.blocks[&id].pages.iter().enumerate() {
                    let own = &mut layers[lane / kv_heads].tables[lane % kv_heads][at];
                    if *own != known && !grant.is_shared(*own) {
                        grant.share(known).expect("a lent page costs nothing");
                        grant.give_back(std::mem::replace(own, known));
                    }
                }
                self.touch(id);
                parent = Some(id);
                continue;
            }
            let pages: Box<[PageId]> = layers.iter().flat_map(|l| &l.tables).map(|table| table[at]).collect();
            if !self.grant.adopt(grant, &pages) {
                return; // held by a fork of the sequence too
            }
            let id = self.next;
            self.next += 1;
            if let Some(block) = parent.and_then(|id| self.blocks.get_mut(&id)) {
                block.children += 1;
                self.leaves.remove(&block.used);
            }
            self.blocks.insert(id, Block { key, pages, children: 0, used: 0 });
            self.names.insert(key, id);
            self.touch(id);
            parent = Some(id);
        }
    }

    /// Frees blocks that no sequence holds, the longest unused first, until at least `pages` pages are free that were not. Returns
    /// how many are.
    pub fn evict(&mut self, pages: usize) -> usize {
        let mut freed = 0;
        let mut after = 0; // blocks used before were found to be held
        while freed < pages {
            let Some((&used, &id)) = self.leaves.range(after..).next() else { break };
            let Block { key, pages, .. } = &self.blocks[&id];
            if !self.grant.drop_lent(pages) {
                after = used + 1;
                continue;
            }
            freed += pages.len();
            let parent = key.0;
            self.names.remove(key);
            self.leaves.remove(&used);
            self.blocks.remove(&id);
            if let Some((id, block)) = parent.and_then(|id| Some((id, self.blocks.get_mut(&id)?))) {
                block.children -= 1;
                if block.children == 0 {
                    self.leaves.insert(block.used, id);
                    after = after.min(block.used);
                }
            }
        }
        freed
    }

    /// Pages that [`PrefixCache::evict`] could free now, by the first page of each block: lanes that a sequence has given back
    /// alone are not seen.
    pub fn reclaimable(&self) -> usize {
        let books = self.grant.ledger().books();
        let unheld = |b: &&Block| b.pages.first().is_some_and(|&p| books.holders(p) == 0);
        self.blocks.values().filter(unheld).map(|b| b.pages.len()).sum()
    }

    /// Every page it holds.
    pub fn pages(&self) -> impl Iterator<Item = PageId> {
        self.blocks.values().flat_map(|b| b.pages.iter().copied())
    }

    /// Its books agree with each other.
    ///
    /// # Errors
    /// A sentence that says what is broken.
    pub fn check(&self) -> Result<(), String> {
        let held = self.pages().count();
        if held != self.grant.held() || held != self.grant.pages() {
            return Err(format!("prefix cache: {held} pages in blocks, {} under its grant", self.grant.held()));
        }
        if self.names.len() != self.blocks.len() {
            return Err(format!("prefix cache: {} names for {} blocks", self.names.len(), self.blocks.len()));
        }
        let mut children: HashMap<u32, usize> = HashMap::new();
        for parent in self.blocks.values().filter_map(|b| b.key.0) {
            *children.entry(parent).or_default() += 1;
        }
        for (id, block) in &self.blocks {
            let children = children.get(id).copied().unwrap_or(0);
            let leaf = self.leaves.get(&block.used) == Some(id);
            if children != block.children || leaf != (children == 0) || self.names.get(&block.key) != Some(id) {
                return Err(format!("prefix cache: block {id} has {children} children, its books are of others"));
            }
        }
        Ok(())
    }

    /// Notes that a block was of use.
    fn touch(&mut self, id: u32) {
        self.clock += 1;
        let Some(block) = self.blocks.get_mut(&id) else { return };
        if block.children == 0 {
            self.leaves.remove(&block.used);
            self.leaves.insert(self.clock, id);
        }
        block.used = self.clock;
    }
}

impl Drop for PrefixCache {
    fn drop(&mut self) {
        self.evict(usize::MAX);
    }
}
