//! The scheduler and the step: admit, fill a ragged batch, run the graph, sample, prune.
//!
//! Everything here is single-threaded and deterministic; [`crate::Engine`] runs it on a thread of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use lethe_kv::{KvShape, Ledger, PAGE_SLOTS, check_integrity};
use lethe_model::{Backend, Detokenizer, Model, Workspace};
use lethe_policy::Context;

use crate::batch::{Batch, Plan};
use crate::choice::ChoiceScratch;
use crate::event::{Event, Failure, FinishReason};
use crate::memory::available_memory;
use crate::options::{EngineError, EngineOptions};
use crate::prompt_logprobs::{Reading, SPARE_LOGIT_ROWS};
use crate::request::{Generation, Request, SubmitError};
use crate::rounds::{self, RoundScratch};
use crate::sequence::{Sequence, Shared, Sink, Turn, layer_len};

/// The engine's state between steps.
pub struct Core<B: Backend> {
    pub(crate) model: Arc<Model<B>>,
    pub(crate) options: EngineOptions,
    pub(crate) context: Context,
    pub(crate) kv: B::Kv,
    pub(crate) ledger: Ledger,
    pub(crate) waiting: VecDeque<Sequence>,
    pub(crate) running: Vec<Sequence>,
    pub(crate) parked: Vec<Sequence>, // between turns, cache kept
    pub(crate) workspace: Workspace<B>,
    plan: Plan,
    pub(crate) rounds: RoundScratch,
    pub(crate) choice: ChoiceScratch,
    pub(crate) sum: Vec<f32>, // [slots], mass of a layer
    ended: Vec<Ending>,       // of this step
}

/// A sequence that leaves the running ones.
struct Ending {
    seq: usize,
    how: Result<FinishReason, Failure>,
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
            max_positions: model.max_positions,
        };
        let (asked, available) = ((pages * shape.page_bytes()) as u64, available_memory());
        if asked > available {
            return Err(EngineError::PoolTooLarge { asked, available });
        }
        let (rows, seqs, vocab) = (options.max_batched_tokens, options.max_num_seqs, model.decoder.dims.vocab);
        Ok(Core {
            kv: model.decoder.backend.kv(pages, shape.head_dim, options.kv_dtype),
            ledger: Ledger::new(pages),
            waiting: VecDeque::new(),
            running: Vec::with_capacity(seqs),
            parked: Vec::new(),
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

    /// True when no request waits or runs.
    pub fn idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Checks every page and every cache.
    ///
    /// # Errors
    /// A sentence that says what is broken.
    pub fn check_integrity(&self) -> Result<(), String> {
        let caches = self.running.iter().chain(&self.waiting).chain(&self.parked).filter_map(|s| s.cache.as_ref());
        check_integrity(&self.ledger, caches)
    }

    pub(crate) fn shape(&self) -> KvShape {
        self.model.decoder.kv_shape(self.options.kv_dtype)
    }

    pub(crate) fn charge(&self, pages: usize) -> u64 {
        pages as u64 * self.shape().page_charge() as u64
    }

    /// Queues a request; its events go to `sink`.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(
        &mut self,
        id: u64,
        request: Request,
        sink: impl FnMut(Event) + Send + Sync + 'static,
    ) -> Result<(), SubmitError> {
        self.enqueue(id, request, Box::new(sink)).map(drop)
    }

    /// What a caller and its sequence share for one turn.
    fn shared(&self) -> Arc<Shared> {
        let slots = (0..self.context.layers).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Shared { cancelled: AtomicBool::new(false), abandoned: AtomicBool::new(false), slots })
    }

    /// [`Core::submit`], for a caller that wants to cancel and watch.
    pub(crate) fn enqueue(&mut self, id: u64, request: Request, sink: Sink) -> Result<Arc<Shared>, SubmitError> {
        let Request { prompt, system_tokens, policy, generation, prompt_logprobs } = request;
        if system_tokens > prompt.len() {
            return Err(SubmitError::SystemTooLong { system: system_tokens, prompt: prompt.len() });
        }
        let policy = policy.build(&self.context)?;
        let mut turn = self.turn(prompt, 0, 0, generation)?;
        turn.reading = Reading::new(prompt_logprobs, turn.feed.len())?;
        let shared = self.shared();
        let seq = Sequence::new(id, sink, Arc::clone(&shared), policy, self.context.layers, system_tokens, turn);
        self.could_fit(&seq)?;
        self.waiting.push_back(seq);
        Ok(shared)
    }

    /// Queues a further turn of a kept session: its cache goes on from where it is.
    ///
    /// # Errors
    /// [`SubmitError`]; the session is as before.
    pub fn append(
        &mut self,
        session: u64,
        prompt: Vec<u32>,
        generation: Generation,
        sink: impl FnMut(Event) + Send + Sync + 'static,
    ) -> Result<(), SubmitError> {
        self.enqueue_turn(session, prompt, generation, Box::new(sink)).map(drop)
    }

    /// [`Core::append`], for a caller that wants to cancel and watch.
    pub(crate) fn enqueue_turn(
        &mut self,
        session: u64,
        prompt: Vec<u32>,
        generation: Generation,
        sink: Sink,
    ) -> Result<Arc<Shared>, SubmitError> {
        let at = self.parked(session)?;
        let old = &self.parked[at];
        // The last token of the answer was sampled and never fed: it comes first now.
        let mut feed = Vec::with_capacity(prompt.len() + 1);
        feed.extend(old.pending);
        let leftover = feed.len();
        feed.extend(prompt);
        let turn = self.turn(feed, leftover, old.position as usize, generation)?;
        self.enqueue_parked(at, turn, sink)
    }

    /// Where among the parked ones a session is.
    pub(crate) fn parked(&self, session: u64) -> Result<usize, SubmitError> {
        self.parked.iter().position(|s| s.id == session).ok_or(SubmitError::UnknownSession(session))
    }

    /// Queues the parked session at `at` for a turn, if that could fit.
    pub(crate) fn enqueue_parked(&mut self, at: usize, turn: Turn, sink: Sink) -> Result<Arc<Shared>, SubmitError> {
        let seq = &mut self.parked[at];
        let turn_before = std::mem::replace(&mut seq.turn, turn);
        if let Err(e) = self.could_fit(&self.parked[at]) {
            self.parked[at].turn = turn_before;
            return Err(e);
        }
        let shared = self.shared();
        let mut seq = self.parked.remove(at);
        seq.sink = sink;
        seq.shared = Arc::clone(&shared);
        self.waiting.push_back(seq);
        Ok(shared)
    }

    /// Forgets a kept session and frees its pages. Returns whether there was one.
    pub fn release(&mut self, session: u64) -> bool {
        let before = self.parked.len();
        self.parked.retain(|s| s.id != session);
        self.parked.len() < before
    }

    /// One step: admits, runs a ragged batch, samples, prunes. Returns whether there was anything to do.
    pub fn step(&mut self) -> bool {
        self.admit();
        self.ended.clear();
        let given_up = (0..self.running.len()).filter(|&i| self.running[i].cancelled());
        self.ended.extend(given_up.map(|seq| Ending { seq, how: Ok(FinishReason::Cancelled) }));
        self.retire();
        if self.running.is_empty() {
            return !self.waiting.is_empty();
        }
        self.plan.fill(&self.running, self.options.max_batched_tokens, self.options.prefill_chunk);
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
        true
    }

    /// Takes the results of one sequence's part of the step.
    fn settle(&mut self, entry: usize) {
        let entry = self.plan.entries[entry];
        let unread = self.read_prompt(entry).err();
        let seq = &mut self.running[entry.seq];
        let rows = entry.span.rows;
        seq.position += rows as u32;
        seq.tokens.extend_from_slice(&self.plan.tokens[entry.span.start..entry.span.start + rows]);
        if seq.turn.prefilling() {
            seq.turn.fed += rows;
            let (done, total) = (seq.turn.fed, seq.turn.feed.len());
            (seq.sink)(Event::Prefill { done, total });
        }
        let cache = seq.cache.as_ref().expect("only admitted sequences run");
        seq.stats.before_rounds(cache);
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
        let how = match how {
            None if entry.logits.is_some() => {
                rounds::run(seq, &mut self.kv, &mut self.rounds).err().map(|e| Err(Failure::Cache(e)))
            }
            how => how,
        };
        let cache = seq.cache.as_ref().expect("only admitted sequences run");
        if entry.logits.is_some() {
            seq.stats.after_rounds(cache); // a prompt counts as one step however it was chunked
        }
        for (l, slots) in seq.shared.slots.iter().enumerate() {
            slots.store(layer_len(cache, l), Ordering::Relaxed);
        }
        if let Some(how) = how {
            self.ended.push(Ending { seq: entry.seq, how });
        }
    }

    /// Takes the ended sequences out, tells their callers, and frees or parks their caches.
    fn retire(&mut self) {
        self.ended.sort_unstable_by_key(|e| std::cmp::Reverse(e.seq));
        for Ending { seq, how } in self.ended.drain(..) {
            let mut seq = self.running.remove(seq); // order of arrival stays
            match how {
                Err(failure) => {
                    drop(seq.cache.take());
                    (seq.sink)(Event::Failed(failure));
                }
                Ok(reason) => {
                    let tail = seq.turn.detokenizer.as_mut().map(Detokenizer::finish).unwrap_or_default();
                    if !tail.is_empty() {
                        (seq.sink)(Event::Tail(tail));
                    }
                    finish(seq, reason, &mut self.parked);
                }
            }
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

/// Tells the caller of the end of a turn, and keeps the cache where that was asked for and makes sense: a prompt that was
/// cut off half read is no past to go on from, unless none of it was read.
pub(crate) fn finish(mut seq: Sequence, reason: FinishReason, parked: &mut Vec<Sequence>) {
    // A restart cuts the cache when it is admitted, any other turn touches it with its first row.
    let untouched = match seq.turn.restart {
        Some(_) => seq.turn.admitted.is_none(),
        None => seq.turn.fed == 0 && seq.position > 0,
    };
    let keep =
        seq.turn.generation.keep && seq.cache.is_some() && !seq.abandoned() && (untouched || !seq.turn.prefilling());
    let done = Box::new(seq.finished(reason, keep, Instant::now()));
    if keep {
        if !untouched {
            seq.pending = seq.turn.output.last().copied();
        }
        let (held, slots) = (seq.cache().grant().held(), seq.cache().max_len());
        // Between turns only what is held stays promised. Shrinking cannot fail.
        let _ = seq.cache_mut().regrant(held, slots);
        let mut sink = std::mem::replace(&mut seq.sink, Box::new(|_| {}));
        parked.push(seq);
        sink(Event::Finished(done));
    } else {
        // Pages are free before the caller hears of the end, so that it can count on them.
        drop(seq.cache.take());
        (seq.sink)(Event::Finished(done));
    }
}
