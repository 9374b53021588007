//! What the engine is doing, to be read at any time without waiting for a step.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A moment of an engine, and what it has done since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Load {
    /// Sequences that run.
    pub running: usize,
    /// Requests that have not begun.
    pub waiting: usize,
    /// Sequences that made room for older ones and wait to go on.
    pub parked: usize,
    /// Sessions kept between turns.
    pub kept: usize,
    /// Pages that nobody holds.
    pub pages_free: usize,
    /// Pages of the pool.
    pub pages_total: usize,
    /// Pages that the prefix cache holds, lent or not.
    pub cached_pages: usize,
    /// Slots of each layer, summed over the running sequences. `[layers]`
    pub slots: Vec<usize>,
    /// Prompt tokens computed.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Prompt tokens looked up in the prefix cache.
    pub prefix_queries: u64,
    /// Prompt tokens found there.
    pub prefix_hits: u64,
    /// Times that a running sequence was parked.
    pub preemptions: u64,
    /// Rounds: prunings of a layer.
    pub rounds: u64,
    /// Slots forgotten, summed over layers.
    pub evicted_slots: u64,
    /// Steps.
    pub steps: u64,
    /// Times that every page and cache was checked, which happens when nothing has for a while.
    pub integrity_checks: u64,
    /// How many of them found something wrong: a defect, and one to report.
    pub integrity_failures: u64,
}

/// The engine's side of [`Load`].
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) running: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) parked: AtomicU64,
    pub(crate) kept: AtomicU64,
    pub(crate) pages_free: AtomicU64,
    pub(crate) pages_total: AtomicU64,
    pub(crate) cached_pages: AtomicU64,
    pub(crate) slots: Box<[AtomicU64]>, // [layers]
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) prefix_queries: AtomicU64,
    pub(crate) prefix_hits: AtomicU64,
    pub(crate) preemptions: AtomicU64,
    pub(crate) rounds: AtomicU64,
    pub(crate) evicted_slots: AtomicU64,
    pub(crate) steps: AtomicU64,
    pub(crate) integrity_checks: AtomicU64,
    pub(crate) integrity_failures: AtomicU64,
}

impl Meter {
    pub(crate) fn new(layers: usize) -> Meter {
        Meter { slots: (0..layers).map(|_| AtomicU64::new(0)).collect(), ..Meter::default() }
    }

    /// Counts `n` more. Only the engine's thread writes.
    pub(crate) fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Relaxed);
    }

    /// Says how many there are now.
    pub(crate) fn set(gauge: &AtomicU64, n: usize) {
        gauge.store(n as u64, Relaxed);
    }

    pub(crate) fn load(&self) -> Load {
        let n = |gauge: &AtomicU64| gauge.load(Relaxed) as usize;
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        Load {
            running: n(&self.running),
            waiting: n(&self.waiting),
            parked: n(&self.parked),
            kept: n(&self.kept),
            pages_free: n(&self.pages_free),
            pages_total: n(&self.pages_total),
            cached_pages: n(&self.cached_pages),
            slots: self.slots.iter().map(n).collect(),
            prompt_tokens: count(&self.prompt_tokens),
            generated_tokens: count(&self.generated_tokens),
            prefix_queries: count(&self.prefix_queries),
            prefix_hits: count(&self.prefix_hits),
            preemptions: count(&self.preemptions),
            rounds: count(&self.rounds),
            evicted_slots: count(&self.evicted_slots),
            steps: count(&self.steps),
            integrity_checks: count(&self.integrity_checks),
            integrity_failures: count(&self.integrity_failures),
        }
    }
}
