//! The scheduler and the step: admit, fill a ragged batch, run the graph, sample, prune.
//!
//! Everything here is single-threaded and deterministic; [`crate::Engine`] runs it on a thread of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use lethe_kv::{Granularity, KvDtype, KvShape, Ledger, PAGE_SLOTS, SeqCache, check_integrity};
use lethe_model::{Backend, Detokenizer, Model, Workspace};
use lethe_policy::{Ask, Bound, Context, Policy, ProtectPrompt};

use crate::batch::{Batch, Plan};
use crate::event::{Event, Failure, FinishReason, Limit};
use crate::request::{Generation, Request, SubmitError};
use crate::rounds::{self, RoundScratch};
use crate::sampling::{SampleScratch, Sampler};
use crate::sequence::{Sequence, Shared, Sink, Turn};

/// Limits and sizes of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes for the KV pool: pages, scores, positions and policy state.
    pub kv_memory: u64,
    /// Element type of cached keys and values.
    pub kv_dtype: KvDtype,
    /// Most sequences that run at once.
    pub max_num_seqs: usize,
    /// Most rows of a step, prompts and decodes together.
    pub max_batched_tokens: usize,
    /// Most rows of one prompt in a step.
    pub prefill_chunk: usize,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            kv_memory: 1 << 30,
            kv_dtype: KvDtype::F16,
            max_num_seqs: 1,
            max_batched_tokens: 512,
            prefill_chunk: 512,
        }
    }
}

/// An engine that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The pool holds not even one page of every lane.
    #[error(
        "{given} bytes of KV memory hold {pages} pages; this model needs at least {needed} \
         (one page of each of its lanes, {least} bytes): raise --kv-memory"
    )]
    PoolTooSmall {
        /// Bytes given.
        given: u64,
        /// Pages that makes.
        pages: usize,
        /// Pages needed.
        needed: usize,
        /// Bytes needed.
        least: u64,
    },
    /// A limit of zero, or a batch that cannot hold one row of every sequence.
    #[error("{0}")]
    BadLimit(&'static str),
    /// The operating system gave no thread.
    #[error("the engine's thread could not be started: {0}")]
    Thread(String),
}

/// The engine's state between steps.
pub struct Core<B: Backend> {
    model: Arc<Model<B>>,
    options: EngineOptions,
    context: Context,
    kv: B::Kv,
    ledger: Ledger,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    parked: Vec<Sequence>, // between turns, cache kept
    workspace: Workspace<B>,
    plan: Plan,
    rounds: RoundScratch,
    sampling: SampleScratch,
    sum: Vec<f32>,      // [slots], mass of a layer
    ended: Vec<Ending>, // of this step
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
        // No more than every sequence could ever use: a small model on a large machine takes little.
        let useful = shape.pages_for(model.max_positions).saturating_mul(options.max_num_seqs);
        let pages = pages.min(useful);
        let context = Context {
            layers: shape.layers,
            slots_per_layer: pages / shape.lanes() * PAGE_SLOTS,
            max_num_seqs: options.max_num_seqs,
            max_positions: model.max_positions,
        };
        let (rows, seqs, vocab) = (options.max_batched_tokens, options.max_num_seqs, model.decoder.dims.vocab);
        Ok(Core {
            kv: model.decoder.backend.kv(pages, shape.head_dim, options.kv_dtype),
            ledger: Ledger::new(pages),
            waiting: VecDeque::new(),
            running: Vec::with_capacity(seqs),
            parked: Vec::new(),
            workspace: model.decoder.workspace(rows, seqs),
            plan: Plan::with_capacity(rows, seqs),
            rounds: RoundScratch::default(),
            sampling: SampleScratch::new(vocab),
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

    fn shape(&self) -> KvShape {
        self.model.decoder.kv_shape(self.options.kv_dtype)
    }

    fn charge(&self, pages: usize) -> u64 {
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
        self.submit_shared(id, request, Box::new(sink), self.shared())
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        let slots = (0..self.context.layers).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Shared { cancelled: AtomicBool::new(false), slots })
    }

    pub(crate) fn submit_shared(
        &mut self,
        id: u64,
        request: Request,
        sink: Sink,
        shared: Arc<Shared>,
    ) -> Result<(), SubmitError> {
        let Request { prompt, system_tokens, policy, generation } = request;
        if system_tokens > prompt.len() {
            return Err(SubmitError::SystemTooLong { system: system_tokens, prompt: prompt.len() });
        }
        let policy = policy.build(&self.context)?;
        let turn = self.turn(prompt, 0, 0, generation)?;
        let seq = Sequence::new(id, sink, shared, policy, self.context.layers, system_tokens, turn);
        let pages = self.worst_case(&seq)?.0;
        if pages > self.ledger.total() {
            return Err(self.too_large(pages));
        }
        self.waiting.push_back(seq);
        Ok(())
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
        self.append_shared(session, prompt, generation, Box::new(sink), self.shared())
    }

    pub(crate) fn append_shared(
        &mut self,
        session: u64,
        prompt: Vec<u32>,
        generation: Generation,
        sink: Sink,
        shared: Arc<Shared>,
    ) -> Result<(), SubmitError> {
        let at = self.parked.iter().position(|s| s.id == session).ok_or(SubmitError::UnknownSession(session))?;
        let old = &self.parked[at];
        // The last token of the answer was sampled and never fed: it comes first now.
        let mut feed = Vec::with_capacity(prompt.len() + 1);
        feed.extend(old.turn.output.last());
        let leftover = feed.len();
        if prompt.is_empty() {
            return Err(SubmitError::EmptyPrompt);
        }
        feed.extend(prompt);
        let turn = self.turn(feed, leftover, old.position as usize, generation)?;
        let seq = &mut self.parked[at];
        let turn_before = std::mem::replace(&mut seq.turn, turn);
        let worst = self.worst_case(&self.parked[at]);
        let fits =
            worst.and_then(|(pages, _)| if pages > self.ledger.total() { Err(self.too_large(pages)) } else { Ok(()) });
        if let Err(e) = fits {
            self.parked[at].turn = turn_before;
            return Err(e);
        }
        let mut seq = self.parked.remove(at);
        seq.sink = sink;
        seq.shared = shared;
        self.waiting.push_back(seq);
        Ok(())
    }

    /// Forgets a kept session and frees its pages. Returns whether there was one.
    pub fn release(&mut self, session: u64) -> bool {
        let before = self.parked.len();
        self.parked.retain(|s| s.id != session);
        self.parked.len() < before
    }

    fn turn(
        &self,
        feed: Vec<u32>,
        leftover: usize,
        position: usize,
        mut generation: Generation,
    ) -> Result<Turn, SubmitError> {
        let vocab = self.model.decoder.dims.vocab;
        if feed.len() == leftover {
            return Err(SubmitError::EmptyPrompt);
        }
        if let Some(index) = feed.iter().position(|&id| id as usize >= vocab) {
            return Err(SubmitError::TokenOutOfRange { index: index - leftover, id: feed[index], vocab });
        }
        let limit = self.model.max_positions;
        let left = limit.saturating_sub(position + feed.len());
        if left == 0 {
            return Err(SubmitError::PromptTooLong { needed: position + feed.len() + 1, limit });
        }
        if generation.max_tokens == Some(0) {
            return Err(SubmitError::ZeroTokens);
        }
        generation.sampling.validate(vocab)?;
        if generation.stop.iter().any(String::is_empty) {
            return Err(SubmitError::EmptyStop);
        }
        if !generation.stop.is_empty() && self.model.tokenizer.is_none() {
            return Err(SubmitError::StopNeedsTokenizer);
        }
        if !generation.ignore_eos {
            generation.stop_ids.extend(&self.model.end_ids);
        }
        let asked = generation.max_tokens.unwrap_or(usize::MAX);
        let mut sampler = Sampler::new(generation.sampling.clone(), vocab);
        sampler.saw_prompt(&feed);
        Ok(Turn {
            leftover,
            fed: 0,
            carry: Vec::new(),
            output: Vec::with_capacity(asked.min(left)),
            max_tokens: asked.min(left),
            limit: if asked <= left { Limit::MaxTokens(asked) } else { Limit::Positions(limit) },
            sampler,
            detokenizer: self
                .model
                .tokenizer
                .as_ref()
                .map(|t| Detokenizer::new(Arc::clone(t), generation.stop.clone(), true)),
            generation,
            feed,
            submitted: Instant::now(),
            admitted: None,
            first_token: None,
        })
    }

    /// Pages of the most that a sequence may hold in its coming turn, and slots of its longest layer.
    fn worst_case(&self, seq: &Sequence) -> Result<(usize, usize), SubmitError> {
        let turn = &seq.turn;
        let protect = seq.policy.protect_prompt();
        // What stays pinned when the turn begins, and whether that covers the sinks (the first slots).
        let (present, pins, sinks_pinned) = match (&seq.cache, protect) {
            (None, _) => (0, 0, protect != ProtectPrompt::None),
            (Some(c), ProtectPrompt::Newest) => {
                let pinned = |l| c.positions(l, 0).iter().filter(|&&p| p < seq.system).count();
                (c.max_len(), (0..self.context.layers).map(pinned).max().unwrap_or(0), false)
            }
            (Some(c), _) => {
                let pins = (0..self.context.layers).map(|l| c.pins(l, 0)).max().unwrap_or(0);
                (c.max_len(), pins, protect == ProtectPrompt::All)
            }
        };
        let new_pins = if protect == ProtectPrompt::None { 0 } else { turn.prompt_tokens() };
        let ask = Ask {
            layers: self.context.layers,
            present,
            prompt: turn.feed.len(),
            pinned: pins + new_pins,
            unpinned_sinks: if sinks_pinned { 0 } else { usize::MAX }, // the policy knows how many it has
            max_tokens: turn.max_tokens,
            left: seq.states.iter().map(|s| s.left).max().unwrap_or(0),
            left_total: seq.states.iter().map(|s| s.left).sum(),
        };
        let Bound { per_layer, total } = seq.policy.bound(&ask)?;
        let shape = self.shape();
        // a total spread over the layers wastes at most one part-filled page in each
        let lane_pages = (shape.layers * per_layer.div_ceil(PAGE_SLOTS)).min(total / PAGE_SLOTS + shape.layers);
        Ok((lane_pages * shape.kv_heads, per_layer))
    }

    fn too_large(&self, pages: usize) -> SubmitError {
        SubmitError::RequestTooLarge { needed: self.charge(pages), limit: self.pool_bytes() }
    }

    /// Admits waiting sequences in order of arrival while their worst case is free.
    fn admit(&mut self) {
        while self.running.len() < self.options.max_num_seqs {
            let Some(seq) = self.waiting.front() else { break };
            if seq.cancelled() {
                let mut seq = self.waiting.pop_front().expect("just seen");
                let done = seq.finished(FinishReason::Cancelled, Instant::now());
                (seq.sink)(Event::Finished(Box::new(done)));
                continue;
            }
            // Checked at submit; a policy is a pure function, so it answers the same.
            let Ok((pages, slots)) = self.worst_case(seq) else { break };
            let granularity = match seq.policy.granularity() {
                lethe_policy::Granularity::Layer => Granularity::Layer,
                lethe_policy::Granularity::Head => Granularity::Head,
            };
            let shape = self.shape();
            let seq = self.waiting.front_mut().expect("just seen");
            let granted = match &mut seq.cache {
                Some(cache) => cache.regrant(pages, slots).is_ok(),
                None => self
                    .ledger
                    .reserve(pages)
                    .map(|grant| seq.cache = Some(SeqCache::new(shape, granularity, grant, slots)))
                    .is_ok(),
            };
            if !granted {
                break;
            }
            let mut seq = self.waiting.pop_front().expect("just seen");
            seq.begin_turn();
            seq.turn.admitted = Some(Instant::now());
            self.running.push(seq);
            let slots_of = |s: &Sequence| s.cache().grant().pages().div_ceil(shape.kv_heads) * PAGE_SLOTS;
            let all: usize = self.running.iter().map(|s| slots_of(s).min(self.context.max_positions)).sum();
            let longest = self.running.iter().map(|s| slots_of(s).min(self.context.max_positions)).max().unwrap_or(0);
            self.model.decoder.reserve(&mut self.workspace, self.running.len(), all, longest);
            self.rounds.reserve(longest, shape.layers);
            self.sum.reserve(longest.saturating_sub(self.sum.len()));
        }
    }

    /// One step: admits, runs a ragged batch, samples, prunes. Returns whether there was anything to do.
    pub fn step(&mut self) -> bool {
        self.admit();
        self.ended.clear();
        for (i, seq) in self.running.iter().enumerate().filter(|(_, s)| s.cancelled()) {
            let _ = seq;
            self.ended.push(Ending { seq: i, how: Ok(FinishReason::Cancelled) });
        }
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
        let seq = &mut self.running[entry.seq];
        let rows = entry.span.rows;
        seq.position += rows as u32;
        if seq.turn.prefilling() {
            seq.turn.fed += rows;
            let (done, total) = (seq.turn.fed, seq.turn.feed.len());
            (seq.sink)(Event::Prefill { done, total });
        }
        let cache = seq.cache.as_ref().expect("only admitted sequences run");
        seq.stats.before_rounds(cache);
        let how = match entry.logits {
            None => None,
            Some(i) => {
                seq.turn.carry = Vec::new();
                let last_row = entry.span.start + rows - 1;
                let logits = self.workspace.logits(&self.model.decoder, i);
                if logits.iter().all(|x| x.is_finite()) {
                    let id = seq.turn.sampler.sample(logits, u64::from(seq.position), &mut self.sampling);
                    take_token(seq, id)
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
        seq.stats.after_rounds(cache);
        for (l, slots) in seq.shared.slots.iter().enumerate() {
            slots.store(cache.len(l, 0), Ordering::Relaxed);
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
                    if let Some(tail) = seq.turn.detokenizer.as_mut().map(Detokenizer::finish).filter(|t| !t.is_empty())
                    {
                        (seq.sink)(Event::Tail(tail));
                    }
                    let done = seq.finished(reason, Instant::now());
                    if seq.turn.generation.keep {
                        let held = seq.cache().grant().held();
                        let slots = seq.cache().max_len();
                        // Between turns only what is held stays promised. Shrinking cannot fail.
                        let _ = seq.cache_mut().regrant(held, slots);
                        let mut sink = std::mem::replace(&mut seq.sink, Box::new(|_| {}));
                        self.parked.push(seq);
                        sink(Event::Finished(Box::new(done)));
                    } else {
                        // Pages are free before the caller hears of the end, so that it can count on them.
                        drop(seq.cache.take());
                        (seq.sink)(Event::Finished(Box::new(done)));
                    }
                }
            }
        }
    }

    /// Ends every request with a failure and frees its pages, after a panic in a step.
    pub(crate) fn abandon(&mut self, why: &str) {
        self.ended.clear();
        for mut seq in self.running.drain(..) {
            drop(seq.cache.take());
            (seq.sink)(Event::Failed(Failure::Panicked(why.to_owned())));
        }
    }
}

/// Adds a token to the answer. Returns how the turn ends, if it does.
fn take_token(seq: &mut Sequence, id: u32) -> Option<Result<FinishReason, Failure>> {
    let turn = &mut seq.turn;
    turn.first_token.get_or_insert_with(Instant::now);
    turn.output.push(id);
    let text = turn.detokenizer.as_mut().map(|d| d.push(id)).unwrap_or_default();
    let stopped =
        turn.generation.stop_ids.contains(&id) || turn.detokenizer.as_ref().is_some_and(|d| d.stopped().is_some());
    (seq.sink)(Event::Token { id, text });
    if stopped {
        Some(Ok(FinishReason::Stop))
    } else if turn.output.len() >= turn.max_tokens {
        Some(Ok(FinishReason::Length))
    } else {
        None
    }
}

/// The policy of a spec as this engine would run it, for a caller that wants to show it.
impl<B: Backend> Core<B> {
    /// Builds a policy against this engine's memory.
    ///
    /// # Errors
    /// [`SubmitError::Policy`].
    pub fn policy(&self, spec: &lethe_policy::PolicySpec) -> Result<Box<dyn Policy>, SubmitError> {
        Ok(spec.build(&self.context)?)
    }
}
