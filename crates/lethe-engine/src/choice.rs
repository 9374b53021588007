//! The next token of a turn: what may come, which it is, and whether it was the last.

use std::time::Instant;

use lethe_model::Detokenizer;

use crate::constraint::Guard;
use crate::event::{Event, Failure, FinishReason, StoppedBy};
use crate::logprobs::{LogprobScratch, TokenLogprobs};
use crate::sampling::SampleScratch;
use crate::sequence::{Sequence, Turn};
use crate::thinking::Watch;

/// Working memory of a choice, shared by all sequences.
#[derive(Debug)]
pub(crate) struct ChoiceScratch {
    sampling: SampleScratch,
    pub(crate) logprobs: LogprobScratch,
}

impl ChoiceScratch {
    /// Room for a vocabulary.
    pub(crate) fn new(vocab: usize) -> ChoiceScratch {
        ChoiceScratch { sampling: SampleScratch::new(vocab), logprobs: LogprobScratch::default() }
    }
}

impl Turn {
    /// The next token, and its log probabilities where they are wanted: the one that a reasoning budget demands, or the
    /// sampler's among those that may come. `logits [vocab]`, finite, are changed.
    fn choose(
        &mut self,
        logits: &mut [f32],
        position: u64,
        scratch: &mut ChoiceScratch,
    ) -> Result<(u32, Option<Box<TokenLogprobs>>), Failure> {
        let told = self.generation.logprobs;
        if told.is_some() {
            scratch.logprobs.keep(logits);
        }
        let id = match self.watch.as_ref().and_then(Watch::next) {
            Some(id) => {
                self.sampler.chose(id);
                id
            }
            None => {
                if let Some(guard) = &mut self.guard {
                    guard.mask(logits)?;
                }
                if self.output.len() < self.generation.min_tokens {
                    ban(logits, &self.generation.stop_ids);
                }
                self.sampler.sample(logits, position, &mut scratch.sampling).ok_or(Failure::NothingToSample)?
            }
        };
        if let Some(guard) = &mut self.guard {
            guard.saw(id)?;
        }
        if let Some(watch) = &mut self.watch {
            watch.saw(id);
        }
        Ok((id, told.map(|top| Box::new(scratch.logprobs.chosen(id, top)))))
    }

    /// Whether the token just added, the last of the output, ends the turn.
    fn ended(&mut self, id: u32) -> Option<FinishReason> {
        let early = self.output.len() <= self.generation.min_tokens;
        let text = self.detokenizer.as_ref().and_then(Detokenizer::stopped);
        self.stopped_by = match text {
            _ if !early && self.generation.stop_ids.contains(&id) => Some(StoppedBy::Id(id)),
            Some(index) => Some(StoppedBy::Text(self.generation.stop[index].clone())),
            None => None,
        };
        let repeats = self.repeats();
        if self.stopped_by.is_some() || self.guard.as_ref().is_some_and(Guard::finished) {
            Some(FinishReason::Stop)
        } else if self.output.len() >= self.max_tokens {
            Some(FinishReason::Length)
        } else if repeats && !early {
            Some(FinishReason::Repetition)
        } else {
            None
        }
    }

    /// Whether the output ends in a repetition that nothing can be done about: one inside thinking is answered by closing
    /// it, where that can be done.
    fn repeats(&mut self) -> bool {
        let Some(repetition) = &mut self.repetition else { return false };
        // What is said for the model is no fault of its own.
        if self.watch.as_ref().is_some_and(|watch| watch.next().is_some()) {
            repetition.restart(self.output.len());
            return false;
        }
        if !repetition.push(&self.output) {
            return false;
        }
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.inside()) else { return true };
        watch.close();
        repetition.restart(self.output.len());
        false
    }
}

/// Makes sure that none of `ids` comes next.
pub(crate) fn ban(logits: &mut [f32], ids: &[u32]) {
    for &id in ids {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

impl Sequence {
    /// Goes on by one token, chosen by `logits [vocab]`, finite, which are changed, unless only the prompt was to be read.
    /// Returns how the turn ends, if it does.
    pub(crate) fn answer(
        &mut self,
        logits: &mut [f32],
        scratch: &mut ChoiceScratch,
    ) -> Option<Result<FinishReason, Failure>> {
        let turn = &mut self.turn;
        if turn.max_tokens == 0 {
            return Some(Ok(FinishReason::Length));
        }
        let (id, logprobs) = match turn.choose(logits, u64::from(self.position), scratch) {
            Ok(chosen) => chosen,
            Err(failure) => return Some(Err(failure)),
        };
        turn.first_token.get_or_insert_with(Instant::now);
        turn.output.push(id);
        let text = turn.detokenizer.as_mut().map(|d| d.push(id)).unwrap_or_default();
        let ended = turn.ended(id);
        (self.sink)(Event::Token { id, text, logprobs });
        ended.map(Ok)
    }
}
