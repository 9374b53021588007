//! The scheduler and the step: admit, fill a ragged batch, run the graph, sample, prune.
//!
//! Everything here is single-threaded and deterministic; [`crate::Engine`] runs it on a thread of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use lethe_kv::{KvShape, Ledger, PAGE_SLOTS, PrefixCache, check_integrity};
use lethe_model::{Backend, Detokenizer, Model, Workspace};
use lethe_policy::Context;

use crate::batch::{Batch, Plan};
use crate::choice::ChoiceScratch;
use crate::event::{Event, Failure, FinishReason};
use crate::load::{Load, Meter};
use crate::memory::available_memory;
use crate::options::{EngineError, EngineOptions};
use crate::parking::ParkingLot;
use crate::prompt_logprobs::SPARE_LOGIT_ROWS;
use crate::rounds::{self, RoundScratch};
use crate::sequence::{Sequence, layer_len};

/// The engine's state between steps.
pub struct Core<B: Backend> {
    pub(crate) model: Arc<Model<B>>,
    pub(crate) options: EngineOptions,
    pub(crate) context: Context,
    pub(crate) kv: B::Kv,
    pub(crate) ledger: Ledger,
    pub(crate) waiting: VecDeque<Sequence>, // by arrival; those that were parked too
    pub(crate) running: Vec<Sequence>,      // by arrival
    pub(crate) kept: Vec<Sequence>,         // between turns, the longest so first
    pub(crate) prefixes: Option<PrefixCache>, // after those who borrow from it: fields are dropped in order
    pub(crate) lot: ParkingLot,
    pub(crate) meter: Arc<Meter>,
    pub(crate) arrivals: u64,
    pub(crate) short: bool, // the pool is, see `relieve`
    pub(crate) workspace: Workspace<B>,
    pub(crate) plan: Plan,
    pub(crate) rounds: RoundScratch,
    pub(crate) choice: ChoiceScratch,
    pub(crate) sum: Vec<f32>,      // [slots], mass of a layer
    pub(crate) ended: Vec<Ending>, // of this step
}

/// A sequence that leaves the running ones.
pub(crate) struct Ending {
    pub(crate) seq: usize,
    pub(crate) how: Result<FinishReason, Failure>,
}

impl<B: Backend> Core<B> {
    /// An engine for a model.
    ///
    /// # Errors
    /// [`EngineError`] when the pool is too small for the model or a limit is zero.
    pub fn new(model: Arc<Model<B>>, options: EngineOptions) -> Result<Core<B>, EngineError> {
        if options.max_num_seqs == 0 || options.prefill_chunk == 0 {
            return Err(EngineError::BadLimit("max_num_seqs and prefill_chunk must be at least 1"));
        }
        if options.max_batched_tokens < options.max_num_seqs {
            return Err(EngineError::BadLimit("max_batched_tokens must be at least max_num_seqs"));
        }
        if options.max_queue == 0 || options.max_model_len == Some(0) {
            return Err(EngineError::BadLimit("max_queue and max_model_len must be at least 1"));
        }
        let positions = options.max_model_len.unwrap_or(model.max_positions);
        if positions > model.max_positions {
            return Err(EngineError::TooLong { asked: positions, limit: model.max_positions });
        }
        let shape = model.decoder.kv_shape(options.kv_dtype);
        let pages = shape.pages_in(options.kv_memory);
        if pages < shape.lanes() {
            return Err(EngineError::PoolTooSmall {
                given: options.kv_memory,
                pages,
                needed: shape.lanes(),
                least: (shape.lanes() * shape.page_charge()) as u64,
            });
        }
        let context = Context {
            layers: shape.layers,
            slots_per_layer: pages / shape.lanes() * PAGE_SLOTS,
            max_num_seqs: options.max_num_seqs,
            max_positions: positions,
        };
        let (asked, available) = ((pages * shape.page_bytes()) as u64, available_memory());
        if asked > available {
            return Err(EngineError::PoolTooLarge { asked, available });
        }
        let (rows, seqs, vocab) = (options.max_batched_tokens, options.max_num_seqs, model.decoder.dims.vocab);
        let ledger = Ledger::new(pages);
        Ok(Core {
            kv: model.decoder.backend.kv(pages, shape.head_dim, options.kv_dtype),
            waiting: VecDeque::new(),
            running: Vec::with_capacity(seqs),
            kept: Vec::new(),
            prefixes: options.prefix_cache.then(|| PrefixCache::new(&ledger)),
            ledger,
            lot: ParkingLot::new(options.park_memory, options.park_dir.clone()),
            meter: Arc::new(Meter::new(shape.layers)),
            arrivals: 0,
            short: false,
            workspace: model.decoder.workspace(rows, seqs + SPARE_LOGIT_ROWS),
            plan: Plan::with_capacity(rows, seqs),
            rounds: RoundScratch::default(),
            choice: ChoiceScratch::new(vocab),
            sum: Vec::new(),
            ended: Vec::with_capacity(seqs),
            context,
            model,
            options,
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model<B>> {
        &self.model
    }

    /// What policies are told of memory and model.
    pub fn context(&self) -> Context {
        self.context
    }

    /// Bytes of the pool that a request may be promised.
    pub fn pool_bytes(&self) -> u64 {
        self.charge(self.ledger.total())
    }

    /// Pages of the pool that nobody holds, and all there are.
    pub fn pages(&self) -> (usize, usize) {
        (self.ledger.free(), self.ledger.total())
    }

    /// How things stand now.
    pub fn load(&self) -> Load {
        self.publish();
        self.meter.load()
    }

    /// True when no request waits or runs.
    pub fn idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Checks every page and every cache.
    ///
    /// # Errors
    /// A sentence that says what is broken.
    pub fn check_integrity(&self) -> Result<(), String> {
        let caches = self.running.iter().chain(&self.waiting).chain(&self.kept).filter_map(|s| s.cache.as_ref());
        check_integrity(&self.ledger, caches, self.prefixes.as_ref())
    }

    /// Forgets every prompt that no sequence is using. Returns the pages that are free now and were not.
    pub fn clear_prefix_cache(&mut self) -> usize {
        self.prefixes.as_mut().map_or(0, |p| p.evict(usize::MAX))
    }

    pub(crate) fn shape(&self) -> KvShape {
        self.model.decoder.kv_shape(self.options.kv_dtype)
    }

    pub(crate) fn charge(&self, pages: usize) -> u64 {
        pages as u64 * self.shape().page_charge() as u64
    }

    /// One step: admits, runs a ragged batch, samples, prunes. Returns whether there was anything to do.
    pub fn step(&mut self) -> bool {
        let did = self.work();
        self.publish();
        did
    }

    fn work(&mut self) -> bool {
        self.ended.clear();
        let given_up = (0..self.running.len()).filter(|&i| self.running[i].cancelled());
        self.ended.extend(given_up.map(|seq| Ending { seq, how: Ok(FinishReason::Cancelled) }));
        self.retire();
        self.admit();
        loop {
            if self.running.is_empty() {
                return !self.waiting.is_empty();
            }
            self.plan.fill(&self.running, self.options.max_batched_tokens, self.options.prefill_chunk);
            if self.secure() {
                break;
            }
        }
        let mut batch = Batch { running: &mut self.running, entries: &self.plan.entries, sum: &mut self.sum };
        let ran = self.model.decoder.forward(
            &mut self.workspace,
            &mut self.kv,
            &mut batch,
            &self.plan.tokens,
            &self.plan.positions,
            &self.plan.logit_rows,
        );
        if let Err(e) = ran {
            // Promised pages were missing: the books are broken for this batch, not for those who wait.
            for i in 0..self.running.len() {
                self.ended.push(Ending { seq: i, how: Err(Failure::Cache(e.to_string())) });
            }
            self.retire();
            return true;
        }
        for i in 0..self.plan.entries.len() {
            self.settle(i);
        }
        self.retire();
        self.relieve();
        self.retire();
        Meter::add(&self.meter.steps, 1);
        true
    }

    /// Tells how things stand to who asks without waiting.
    pub(crate) fn publish(&self) {
        let m = &self.meter;
        let parked = self.waiting.iter().filter(|s| s.turn.admitted.is_some()).count();
        Meter::set(&m.running, self.running.len());
        Meter::set(&m.waiting, self.waiting.len() - parked);
        Meter::set(&m.parked, parked);
        Meter::set(&m.kept, self.kept.len());
        Meter::set(&m.pages_free, self.ledger.free());
        Meter::set(&m.pages_total, self.ledger.total());
        Meter::set(&m.cached_pages, self.prefixes.as_ref().map_or(0, PrefixCache::len));
        for (l, gauge) in m.slots.iter().enumerate() {
            Meter::set(gauge, self.running.iter().map(|s| layer_len(s.cache(), l)).sum());
        }
    }

    /// Takes the results of one sequence's part of the step.
    fn settle(&mut self, entry: usize) {
        let entry = self.plan.entries[entry];
        let unread = self.read_prompt(entry).err();
        let seq = &mut self.running[entry.seq];
        let rows = entry.span.rows;
        seq.position += rows as u32;
        seq.tokens.extend_from_slice(&self.plan.tokens[entry.span.start..entry.span.start + rows]);
        let (reading, said) = (seq.turn.prefilling(), seq.turn.output.len());
        if reading {
            seq.turn.fed += rows;
            let (done, total) = (seq.turn.fed, seq.turn.feed.len());
            Meter::add(&self.meter.prompt_tokens, rows);
            (seq.sink)(Event::Prefill { done, total });
        }
        let cache = seq.cache.as_ref().expect("only admitted sequences run");
        seq.stats.before_rounds(cache, seq.queries.bytes());
        let how = match entry.logits {
            _ if unread.is_some() => unread.map(Err),
            None => None,
            Some(i) => {
                seq.turn.carry = Vec::new();
                if let Some(reading) = seq.turn.reading.take() {
                    (seq.sink)(Event::PromptLogprobs(reading.told()));
                }
                let last_row = entry.span.start + rows - 1;
                let logits = self.workspace.logits(&self.model.decoder, i);
                if logits.iter().all(|x| x.is_finite()) {
                    seq.answer(logits, &mut self.choice)
                } else {
                    let layer = self.workspace.broken(last_row).unwrap_or(self.context.layers);
                    Some(Err(Failure::NonFinite { position: seq.position - 1, layer }))
                }
            }
        };
        if entry.logits.is_some() && !matches!(how, Some(Err(_))) {
            Meter::add(&self.meter.generated_tokens, seq.turn.output.len() - said);
            // A prompt that is the whole past: complete pages of it are there for others, before a round cuts them.
            let whole = reading && seq.position as usize == seq.turn.feed.len();
            if let Some(prefixes) = self.prefixes.as_mut().filter(|_| whole && seq.lends()) {
                let cache = seq.cache.as_mut().expect("only admitted sequences run");
                prefixes.keep(&seq.turn.feed, cache);
            }
        }
        let how = match how {
            None if entry.logits.is_some() => {
                let evicted = seq.stats.evicted;
                let rounds = rounds::run(seq, &self.model.decoder, &mut self.kv, &mut self.rounds);
                let evicted = seq.stats.evicted - evicted;
                Meter::add(&self.meter.rounds, *rounds.as_ref().unwrap_or(&0));
                Meter::add(&self.meter.evicted_slots, evicted);
                if evicted > 0 {
                    seq.trim(self.options.head_room);
                }
                rounds.err().map(|e| Err(Failure::Cache(e)))
            }
            how => how,
        };
        let cache = seq.cache.as_ref().expect("only admitted sequences run");
        if entry.logits.is_some() {
            seq.stats.after_rounds(cache, seq.queries.bytes()); // a prompt counts as one step however it was chunked
        }
        for (l, slots) in seq.shared.slots.iter().enumerate() {
            slots.store(layer_len(cache, l), Ordering::Relaxed);
        }
        if let Some(how) = how {
            self.ended.push(Ending { seq: entry.seq, how });
        }
    }

    /// Takes the ended sequences out, tells their callers, and frees or keeps their caches.
    pub(crate) fn retire(&mut self) {
        self.ended.sort_unstable_by_key(|e| e.seq);
        while let Some(Ending { seq, how }) = self.ended.pop() {
            let mut seq = self.running.remove(seq); // order of arrival stays
            match how {
                Err(failure) => {
                    drop((seq.cache.take(), seq.queries.charged.take()));
                    (seq.sink)(Event::Failed(failure));
                }
                Ok(reason) => self.finish(seq, reason),
            }
        }
    }

    /// Tells the caller of the end of a turn, and keeps the cache where that was asked for and makes sense: a prompt that was
    /// cut off half read is no past to go on from, unless none of it was read.
    pub(crate) fn finish(&mut self, mut seq: Sequence, reason: FinishReason) {
        let tail = seq.turn.detokenizer.as_mut().map(Detokenizer::finish).unwrap_or_default();
        if !tail.is_empty() {
            (seq.sink)(Event::Tail(tail));
        }
        // A restart cuts the cache when it is admitted, any other turn touches it with its first row.
        let untouched = match seq.turn.restart {
            Some(_) => seq.turn.admitted.is_none(),
            None => seq.turn.fed == 0 && seq.position > 0,
        };
        let held = seq.cache.is_some() || seq.stored.is_some();
        let keep = seq.turn.generation.keep && held && !seq.abandoned() && (untouched || !seq.turn.prefilling());
        let done = Box::new(seq.finished(reason, keep, Instant::now()));
        if keep {
            if !untouched {
                seq.pending = seq.turn.output.last().copied();
            }
            if let Some(cache) = &mut seq.cache {
                // Between turns only what is held stays promised. Shrinking cannot fail.
                let _ = cache.regrant(cache.grant().held(), 0);
            }
            let mut sink = std::mem::replace(&mut seq.sink, Box::new(|_| {}));
            self.kept.push(seq);
            sink(Event::Finished(done));
        } else {
            if let (Some(prefixes), Some(cache)) = (&mut self.prefixes, &mut seq.cache) {
                let whole = cache.pristine().min(seq.tokens.len());
                prefixes.keep(&seq.tokens[..whole], cache);
            }
            // Pages are free before the caller hears of the end, so that it can count on them.
            drop((seq.cache.take(), seq.queries.charged.take()));
            drop(seq.stored.take());
            (seq.sink)(Event::Finished(done));
        }
    }

    /// Ends requests with a failure and frees their pages: those that run, after a panic in a step, or the one that was
    /// to be admitted when nothing ran; all of them, those that wait too, when the engine stops.
    pub(crate) fn abandon(&mut self, failure: &Failure, everything: bool) {
        self.ended.clear();
        let waiting = match (everything, self.running.is_empty()) {
            (true, _) => self.waiting.len(),
            (false, true) => self.waiting.len().min(1),
            (false, false) => 0,
        };
        for mut seq in self.running.drain(..).chain(self.waiting.drain(..waiting)) {
            drop(seq.cache.take());
            (seq.sink)(Event::Failed(failure.clone()));
        }
    }
}
