//! Which requests may run: checks at submit, the worst case of a turn, admission in order of arrival.

use std::sync::Arc;
use std::time::Instant;

use lethe_kv::{Granularity, PAGE_SLOTS, SeqCache};
use lethe_model::{Backend, Detokenizer};
use lethe_policy::{Ask, Bound, LayerState, ProtectPrompt};

use crate::constraint::Guard;
use crate::core::{Core, finish};
use crate::event::{Event, Failure, FinishReason, Limit};
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
        let limit = self.model.max_positions;
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
        let cache = seq.cache.as_ref().filter(|_| turn.restart.is_none());
        let left = |l: &LayerState| if cache.is_some() { l.left } else { 0 };
        // What stays pinned when the turn begins: with `newest`, earlier prompts lose their marks.
        let (present, pins) = match cache {
            None => (0, 0),
            Some(c) => {
                let pins = |l| match protect {
                    ProtectPrompt::Newest => c.positions(l, 0).iter().filter(|&&p| p < seq.system).count(),
                    _ => c.pins(l, 0),
                };
                (c.max_len(), (0..self.context.layers).map(pins).max().unwrap_or(0))
            }
        };
        let new_pins = if protect == ProtectPrompt::None { 0 } else { turn.prompt_tokens() };
        let ask = Ask {
            layers: self.context.layers,
            present,
            prompt: turn.feed.len(),
            pinned: pins + new_pins,
            // A first prompt that is pinned covers the sinks, or the policy counts what it lacks. In later turns the first
            // slots may be anything: all the sinks count.
            unpinned_sinks: if cache.is_none() && protect != ProtectPrompt::None { 0 } else { usize::MAX },
            max_tokens: turn.max_tokens,
            left: seq.states.iter().map(left).max().unwrap_or(0),
            left_total: seq.states.iter().map(left).sum(),
        };
        let Bound { per_layer, total } = seq.policy.bound(&ask)?;
        let shape = self.shape();
        // a total spread over the layers wastes at most one part-filled page in each
        let lane_pages = (shape.layers * per_layer.div_ceil(PAGE_SLOTS)).min(total / PAGE_SLOTS + shape.layers);
        Ok((lane_pages * shape.kv_heads, per_layer))
    }

    /// Refuses a turn that would not fit even alone.
    pub(crate) fn could_fit(&self, seq: &Sequence) -> Result<(), SubmitError> {
        let needed = self.charge(self.worst_case(seq)?.0);
        let limit = self.pool_bytes();
        if needed > limit { Err(SubmitError::RequestTooLarge { needed, limit }) } else { Ok(()) }
    }

    /// Admits waiting sequences in order of arrival while their worst case is free.
    pub(crate) fn admit(&mut self) {
        self.sweep();
        while self.running.len() < self.options.max_num_seqs {
            let Some(seq) = self.waiting.front() else { return };
            // Checked at submit already; a policy is a pure function, so it answers the same.
            let (pages, slots) = match self.worst_case(seq) {
                Ok(worst) => worst,
                Err(e) => {
                    self.refuse(Failure::Cache(e.to_string()));
                    continue;
                }
            };
            if !self.grant(pages, slots) {
                if !self.running.is_empty() {
                    return; // somebody will end
                }
                // Nobody runs, so only kept sessions hold what is missing: waiting would be for ever.
                let needed = self.charge(pages);
                self.refuse(Failure::SessionsHoldMemory {
                    needed,
                    sessions: self.parked.len() + self.waiting.len() - 1,
                });
                continue;
            }
            let Some(mut seq) = self.waiting.pop_front() else { return };
            seq.bound = slots;
            seq.begin_turn();
            // A restart may have held more than it will ever need. Shrinking cannot fail.
            let _ = seq.cache_mut().regrant(pages, slots);
            seq.turn.output.reserve_exact(seq.turn.max_tokens);
            seq.turn.admitted = Some(Instant::now());
            self.running.push(seq);
            let all = self.running.iter().map(|s| s.bound).sum();
            let longest = self.running.iter().map(|s| s.bound).max().unwrap_or(0);
            self.model.decoder.reserve(&mut self.workspace, self.running.len(), all, longest);
            self.rounds.reserve(longest, self.context.layers);
            self.sum.reserve(longest.saturating_sub(self.sum.len()));
        }
    }

    /// Gives the first waiting sequence its worst case, if it is free.
    fn grant(&mut self, pages: usize, slots: usize) -> bool {
        let (shape, ledger) = (self.shape(), &self.ledger);
        let Some(seq) = self.waiting.front_mut() else { return false };
        if let Some(cache) = &mut seq.cache {
            return cache.regrant(pages, slots).is_ok();
        }
        let granularity = match seq.policy.granularity() {
            lethe_policy::Granularity::Layer => Granularity::Layer,
            lethe_policy::Granularity::Head => Granularity::Head,
        };
        let grant = ledger.reserve(pages);
        seq.cache = grant.ok().map(|grant| SeqCache::new(shape, granularity, grant, slots));
        seq.cache.is_some()
    }

    /// Ends those who gave up while they waited, wherever they stand.
    fn sweep(&mut self) {
        while let Some(at) = self.waiting.iter().position(Sequence::cancelled) {
            if let Some(seq) = self.waiting.remove(at) {
                finish(seq, FinishReason::Cancelled, &mut self.parked);
            }
        }
    }

    /// Ends the first waiting request with a failure. A kept session stays as it was before the request.
    fn refuse(&mut self, why: Failure) {
        let Some(mut seq) = self.waiting.pop_front() else { return };
        (seq.sink)(Event::Failed(why));
        if seq.cache.is_some() {
            seq.sink = Box::new(|_| {});
            seq.turn.generation.keep = true;
            finish(seq, FinishReason::Cancelled, &mut self.parked);
        }
    }
}
