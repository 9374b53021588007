//! Which requests may run: checks at submit, the worst case of a turn, admission in order of arrival.
//!
//! Admission does not wait until a request's worst case is free. It wants room for the prompt and some head-room; a sequence
//! under a cap then frees in its rounds what it takes between them, and one that grows for ever takes from who came later.

use std::sync::Arc;
use std::time::Instant;

use lethe_kv::{Granularity, PAGE_SLOTS, SeqCache};
use lethe_model::{Backend, Detokenizer};
use lethe_policy::{Ask, Bound, LayerState, ProtectPrompt};

use crate::constraint::Guard;
use crate::core::Core;
use crate::event::{Event, Failure, FinishReason, Limit};
use crate::load::Meter;
use crate::logprobs;
use crate::repetition::Repetition;
use crate::request::{Generation, SubmitError};
use crate::sampling::Sampler;
use crate::sequence::{Sequence, Turn};
use crate::thinking::Watch;

impl<B: Backend> Core<B> {
    /// A turn that is in order.
    pub(crate) fn turn(
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
        let limit = self.context.max_positions;
        let left = limit.saturating_sub(position + feed.len());
        let needed = position + feed.len() + usize::from(generation.max_tokens != Some(0));
        if needed > limit {
            return Err(SubmitError::PromptTooLong { needed, limit });
        }
        generation.sampling.validate(vocab)?;
        logprobs::validate(generation.logprobs)?;
        if let Some(rules) = &generation.repetition {
            rules.validate()?;
        }
        if let Some(max) = generation.max_tokens.filter(|&max| max < generation.min_tokens) {
            return Err(SubmitError::MinOverMax { min: generation.min_tokens, max });
        }
        if let Some(budget) = &generation.thinking {
            budget.validate(self.model.tokenizer.as_deref(), vocab)?;
        }
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
        let tokenizer = self.model.tokenizer.as_ref();
        let constraint = generation.constraint.take();
        let guard = constraint.map(|c| Guard::new(c, tokenizer, &self.model.end_ids, vocab)).transpose()?;
        let mut sampler = Sampler::new(generation.sampling.clone(), vocab);
        sampler.saw_prompt(&feed);
        Ok(Turn {
            leftover,
            restart: None,
            cached: 0,
            fed: 0,
            carry: Vec::new(),
            reading: None,
            output: Vec::new(),
            max_tokens: asked.min(left),
            limit: if asked <= left { Limit::MaxTokens(asked) } else { Limit::Positions(limit) },
            sampler,
            detokenizer: tokenizer.map(|t| {
                Detokenizer::new(Arc::clone(t), generation.stop.clone(), true).at_least(generation.min_tokens)
            }),
            watch: generation.thinking.clone().zip(tokenizer).map(|(b, t)| Watch::new(b, Arc::clone(t))),
            guard,
            repetition: generation.repetition.map(|rules| Repetition::new(rules, asked.min(left))),
            stopped_by: None,
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
        // A turn that begins anew asks for what a new request would.
        let past = turn.restart.is_none() && (seq.cache.is_some() || seq.stored.is_some());
        let left = |l: &LayerState| if past { l.left } else { 0 };
        // What stays pinned when the turn begins: with `newest`, earlier prompts lose their marks.
        let system = |positions: &[u32]| positions.iter().filter(|&&p| p < seq.system).count();
        let pins = |l| match (&seq.cache, &seq.stored, protect) {
            (Some(c), _, ProtectPrompt::Newest) => system(c.positions(l, 0)),
            (Some(c), _, _) => c.pins(l, 0),
            (None, Some(s), ProtectPrompt::Newest) => system(s.cache.positions(l, 0)),
            (None, Some(s), _) => s.cache.pins(l, 0),
            (None, None, _) => 0,
        };
        let layers = 0..if past { self.context.layers } else { 0 }; // of which anything counts
        let slots = |l| seq.slots(l);
        let pins = layers.clone().map(pins).max().unwrap_or(0);
        let new_pins = if protect == ProtectPrompt::None { 0 } else { turn.prompt_tokens() };
        let ask = Ask {
            layers: self.context.layers,
            present: layers.clone().map(slots).max().unwrap_or(0),
            present_total: layers.map(slots).sum(),
            prompt: turn.feed.len(),
            pinned: pins + new_pins,
            // A first prompt that is pinned covers the sinks, or the policy counts what it lacks. In later turns the first
            // slots may be anything: all the sinks count.
            unpinned_sinks: if !past && protect != ProtectPrompt::None { 0 } else { usize::MAX },
            max_tokens: turn.max_tokens,
            left: seq.states.iter().map(left).max().unwrap_or(0),
            left_total: seq.states.iter().map(left).sum(),
        };
        let Bound { per_layer, total } = seq.policy.bound(&ask)?;
        let shape = self.shape();
        // a total spread over the layers wastes at most one part-filled page in each
        let lane_pages = (shape.layers * per_layer.div_ceil(PAGE_SLOTS)).min(total / PAGE_SLOTS + shape.layers);
        Ok((lane_pages * shape.kv_heads + self.pages_of(seq), per_layer))
    }

    /// Pages that stand for the queries that a sequence remembers.
    fn pages_of(&self, seq: &Sequence) -> usize {
        seq.queries.bytes().div_ceil(self.charge(1)) as usize
    }

    /// Refuses a turn that would not fit even alone.
    pub(crate) fn could_fit(&self, seq: &Sequence) -> Result<(), SubmitError> {
        let needed = self.charge(self.worst_case(seq)?.0);
        let limit = self.pool_bytes();
        if needed > limit { Err(SubmitError::RequestTooLarge { needed, limit }) } else { Ok(()) }
    }

    /// Admits waiting sequences in order of arrival while the pool has room for what they hold, their prompts and
    /// the head-room of [`crate::EngineOptions`]. The rest of what they may need is taken as they grow ([`Core::secure`]).
    pub(crate) fn admit(&mut self) {
        self.sweep();
        while self.running.len() < self.options.max_num_seqs {
            let Some(mut seq) = self.waiting.pop_front() else { return };
            let alone = self.running.is_empty();
            let placed = match self.place(&mut seq, self.options.head_room) {
                Ok(false) if alone => self.place(&mut seq, 1), // it takes the rest as it grows: nobody else does
                placed => placed,
            };
            match placed {
                Ok(true) => self.start(seq),
                Ok(false) if alone => {
                    // Nobody will end, so only kept sessions hold what is missing: waiting would be for ever.
                    let needed = self.charge(self.shape().pages_for(seq.turn.feed.len()) + self.pages_of(&seq));
                    self.refuse(seq, Failure::SessionsHoldMemory { needed, sessions: self.kept.len() });
                }
                Ok(false) => {
                    self.waiting.push_front(seq);
                    return;
                }
                Err(why) => self.refuse(seq, why),
            }
        }
    }

    /// Gives a waiting sequence its cache, in the pool, with room for what it has to read and `head` tokens more. False, with the
    /// sequence as it was, where there is no room.
    fn place(&mut self, seq: &mut Sequence, head: usize) -> Result<bool, Failure> {
        if seq.turn.admitted.is_none() {
            // Checked at submit already; a policy is a pure function, so it answers the same.
            seq.bound = self.worst_case(seq).map_err(|e| Failure::Cache(e.to_string()))?.1;
        }
        // A session between turns is charged for its queries already.
        let charge = seq.queries.charged.is_none();
        if charge {
            let Some(grant) = self.reserve(self.pages_of(seq)) else { return Ok(false) };
            seq.queries.charged = Some(grant);
        }
        let placed = self.place_cache(seq, head);
        if charge && !matches!(placed, Ok(true)) {
            seq.queries.charged = None;
        }
        placed
    }

    /// [`Core::place`], for the cache alone.
    fn place_cache(&mut self, seq: &mut Sequence, head: usize) -> Result<bool, Failure> {
        let ahead = seq.turn.feed.len() - seq.turn.fed + head.min(seq.turn.max_tokens - seq.turn.output.len());
        if let Some(stored) = seq.stored.take() {
            let pages = stored.cache.pages() + stored.cache.needed(ahead);
            let Some(grant) = self.reserve(pages) else {
                seq.stored = Some(stored);
                return Ok(false);
            };
            seq.cache = Some(self.lot.restore(stored, &mut self.kv, grant).map_err(Failure::Parking)?);
            return Ok(true);
        }
        if let Some(mut cache) = seq.cache.take() {
            let room = match seq.turn.restart {
                None => cache.needed(ahead),
                // what is cut off comes back; a last page that is lent may have to be copied
                Some(_) => (self.shape().pages_for(ahead) + self.shape().lanes()).saturating_sub(cache.grant().held()),
            };
            let placed = self.grow(&mut cache, room);
            seq.cache = Some(cache);
            return Ok(placed);
        }
        let granularity = match seq.policy.granularity() {
            lethe_policy::Granularity::Layer => Granularity::Layer,
            lethe_policy::Granularity::Head => Granularity::Head,
        };
        let grant = self.ledger.reserve(0).expect("nothing can always be promised");
        // Its books are sized once it runs: whoever waits for room comes by here at every step.
        let mut cache = SeqCache::new(self.shape(), granularity, grant, 0);
        let found = self.lend(seq, &mut cache);
        let room = cache.needed(ahead - found);
        if !self.grow(&mut cache, room) {
            return Ok(false); // what was lent goes back
        }
        seq.cache = Some(cache);
        seq.found(found);
        if self.prefixes.is_some() {
            Meter::add(&self.meter.prefix_queries, seq.turn.feed.len());
            Meter::add(&self.meter.prefix_hits, found);
        }
        Ok(true)
    }

    /// Puts what the prefix cache knows of a new prompt into its cache. Returns how many tokens that are.
    fn lend(&mut self, seq: &Sequence, cache: &mut SeqCache) -> usize {
        let Some(prefixes) = self.prefixes.as_mut().filter(|_| seq.lends() && seq.turn.reading.is_none()) else {
            return 0;
        };
        let feed = &seq.turn.feed;
        let blocks = prefixes.find(&feed[..seq.reusable(feed.len())]);
        prefixes.lend(&blocks, cache, true);
        blocks.tokens()
    }

    /// Makes a sequence that has its place run, among the others in order of arrival.
    fn start(&mut self, mut seq: Sequence) {
        if seq.turn.admitted.is_none() {
            seq.begin_turn();
            seq.turn.output.reserve_exact(seq.turn.max_tokens);
            seq.turn.admitted = Some(Instant::now());
        }
        let (promised, slots) = (seq.cache().grant().pages(), seq.bound);
        // Only room in the books: the promise stays, so this cannot fail.
        let _ = seq.cache_mut().regrant(promised, slots);
        let at = self.running.partition_point(|s| s.arrival < seq.arrival);
        self.running.insert(at, seq);
        let all = self.running.iter().map(|s| s.bound).sum();
        let longest = self.running.iter().map(|s| s.bound).max().unwrap_or(0);
        self.model.decoder.reserve(&mut self.workspace, self.running.len(), all, longest);
        self.rounds.reserve(longest, self.context.layers);
        self.sum.reserve(longest.saturating_sub(self.sum.len()));
    }

    /// Ends those who gave up while they waited, wherever they stand.
    fn sweep(&mut self) {
        while let Some(at) = self.waiting.iter().position(Sequence::cancelled) {
            if let Some(seq) = self.waiting.remove(at) {
                self.finish(seq, FinishReason::Cancelled);
            }
        }
    }

    /// Ends a waiting request with a failure. A kept session stays as it was before the request.
    fn refuse(&mut self, mut seq: Sequence, why: Failure) {
        (seq.sink)(Event::Failed(why));
        if seq.turn.admitted.is_none() && (seq.cache.is_some() || seq.stored.is_some()) {
            seq.sink = Box::new(|_| {});
            seq.turn.generation.keep = true;
            self.finish(seq, FinishReason::Cancelled);
        }
    }
}
