//! Room in the pool: what is promised to whom, and who leaves when it runs dry.
//!
//! In this order: pages of the prefix cache that nobody holds, sessions between turns, running sequences from the youngest.
//! Sequences that leave are parked, never dropped: they come back in order of arrival and go on with the same bits. The oldest
//! can always go on: at submit it was seen to fit alone.

use lethe_kv::{Grant, SeqCache};
use lethe_model::Backend;
use lethe_policy::ProtectPrompt;

use crate::core::{Core, Ending};
use crate::event::Failure;
use crate::load::Meter;
use crate::rounds;
use crate::sequence::Sequence;

/// The pool is short from less than one part in this of it promised to nobody,
const SHORT: usize = 8;
/// until there is one part in this.
const RELIEVED: usize = 4;

/// Steps of a short pool after which elastic sequences are cut again.
const PATIENCE: usize = 128;

impl<B: Backend> Core<B> {
    /// Promises so many pages, making room if it must.
    pub(crate) fn reserve(&mut self, pages: usize) -> Option<Grant> {
        self.vacate(pages).then(|| self.ledger.reserve(pages).ok()).flatten()
    }

    /// Promises a cache `room` pages beyond what it holds, making room if it must.
    pub(crate) fn grow(&mut self, cache: &mut SeqCache, room: usize) -> bool {
        let more = room.saturating_sub(cache.grant().room());
        if more == 0 {
            return true;
        }
        let pages = cache.grant().pages() + more;
        self.vacate(more) && cache.regrant(pages, 0).is_ok()
    }

    /// Makes so many pages available, if those that nobody runs on suffice. Touches nothing if they do not.
    fn vacate(&mut self, pages: usize) -> bool {
        let available = self.ledger.available();
        if available >= pages {
            return true;
        }
        let cached = self.prefixes.as_ref().map_or(0, |p| p.reclaimable());
        // What a session borrows can be evicted once it has left.
        let pages_of = |seq: &Sequence| {
            let cache = seq.cache.as_ref()?;
            let queries = seq.queries.charged.as_ref().map_or(0, Grant::pages);
            Some(cache.grant().pages() + cache.borrowed() + queries)
        };
        let kept: usize = self.kept.iter().filter_map(pages_of).sum();
        if available + cached + kept < pages {
            return false;
        }
        loop {
            let short = pages.saturating_sub(self.ledger.available());
            if short == 0 {
                return true;
            }
            let evicted = self.prefixes.as_mut().map_or(0, |p| p.evict(short));
            if evicted == 0 && !self.park_kept() {
                return false;
            }
        }
    }

    /// Moves the session that has been between turns for longest out of the pool. One that cannot be moved stays.
    fn park_kept(&mut self) -> bool {
        for seq in &mut self.kept {
            let Some(cache) = seq.cache.take() else { continue };
            match self.lot.park(cache, seq.queries.bytes(), &self.kv) {
                Ok(stored) => {
                    seq.stored = Some(stored);
                    seq.queries.charged = None;
                    return true;
                }
                Err(failed) => seq.cache = Some(failed.0),
            }
        }
        false
    }

    /// Makes sure that every sequence of the planned step has pages for its rows. False where somebody had to leave: the
    /// step must be planned anew.
    pub(crate) fn secure(&mut self) -> bool {
        for entry in 0..self.plan.entries.len() {
            let entry = self.plan.entries[entry];
            let seq = &mut self.running[entry.seq];
            let room = seq.cache().needed(entry.span.rows);
            if room <= seq.cache().grant().room() {
                continue;
            }
            let Some(mut cache) = seq.cache.take() else { continue };
            let grown = self.grow(&mut cache, room);
            self.running[entry.seq].cache = Some(cache);
            if !grown {
                self.preempt();
                return false;
            }
        }
        true
    }

    /// Parks the youngest running sequence. Alone it was seen to fit, so that it only fails where kept sessions hold the pool
    /// and cannot be parked.
    fn preempt(&mut self) {
        let Some(mut seq) = self.running.pop() else { return };
        let Some(cache) = seq.cache.take() else { return };
        let parked = if self.running.is_empty() {
            let needed = self.charge(cache.grant().pages() + 1);
            drop(cache);
            Err(Failure::SessionsHoldMemory { needed, sessions: self.kept.len() })
        } else {
            let failed = |failed: Box<(SeqCache, String)>| Failure::Parking(failed.1); // and the cache is gone
            self.lot.park(cache, seq.queries.bytes(), &self.kv).map_err(failed)
        };
        match parked {
            Ok(stored) => {
                seq.stored = Some(stored);
                seq.queries.charged = None;
                seq.stats.parked += 1;
                Meter::add(&self.meter.preemptions, 1);
                let at = self.waiting.partition_point(|s| s.arrival < seq.arrival);
                self.waiting.insert(at, seq);
            }
            Err(why) => (seq.sink)(crate::event::Event::Failed(why)),
        }
    }

    /// While the pool is short, cuts the layers of elastic sequences to three quarters of what they held beyond their pinned
    /// slots when that began, and again with every [`PATIENCE`] steps of it.
    pub(crate) fn relieve(&mut self) {
        if !self.running.iter().any(|s| s.elastic) {
            return;
        }
        let total = self.ledger.total();
        let available = self.ledger.available() + self.prefixes.as_ref().map_or(0, |p| p.reclaimable());
        let mark = if self.short { RELIEVED } else { SHORT };
        self.short = available < total / mark;
        for i in 0..self.running.len() {
            let seq = &mut self.running[i];
            if !self.short {
                seq.tight = None;
            } else if seq.elastic && !seq.turn.prefilling() {
                match &mut seq.tight {
                    Some(tight) if tight.steps < PATIENCE => tight.steps += 1,
                    tight => {
                        let before = tight.take().map(|tight| tight.caps);
                        seq.tighten(before);
                    }
                }
                match rounds::tighten(seq, &self.model.decoder, &mut self.kv, &mut self.rounds) {
                    Ok(rounds) if rounds > 0 => seq.trim(self.options.head_room),
                    Ok(_) => {}
                    Err(why) => self.ended.push(Ending { seq: i, how: Err(Failure::Cache(why)) }),
                }
            }
        }
    }
}

impl Sequence {
    /// Whether its prompt is never cut, so that its pages may be those of the prefix cache: cutting a lent page would take another
    /// in its place just when there is none.
    pub(crate) fn lends(&self) -> bool {
        match self.policy.protect_prompt() {
            ProtectPrompt::All => true,
            ProtectPrompt::Newest => !self.turn.generation.keep, // a later turn would unpin it
            ProtectPrompt::None => false,
        }
    }

    /// Gives back what was promised beyond `head_room` slots, once a round has freed pages.
    pub(crate) fn trim(&mut self, head_room: usize) {
        let left = self.turn.max_tokens - self.turn.output.len();
        let room = self.cache().needed(head_room.min(left));
        let held = self.cache().grant().held();
        if self.cache().grant().room() > room {
            // Shrinking cannot fail.
            let _ = self.cache_mut().regrant(held + room, 0);
        }
    }
}
