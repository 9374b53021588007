//! Log probabilities of a prompt: how likely the model held each of its tokens, given those before.
//!
//! The logits of one row say how likely the token of the next row was. Rows without logits are cheap and rows with them
//! are not (a vocabulary may have 152,000 entries), so a step has room for few: such a prompt is read in smaller chunks.
//! Chunks change no bits, so neither does this.

use lethe_model::Backend;

use crate::batch::Entry;
use crate::core::Core;
use crate::event::Failure;
use crate::logprobs::{self, TokenLogprobs};
use crate::request::SubmitError;

/// Rows of logits that a step has room for beyond one per sequence. 32 rows are enough to read the head's weights for
/// many tokens at once, and take 19 MB with the largest vocabularies, touched only by those who ask.
pub(crate) const SPARE_LOGIT_ROWS: usize = 32;

/// A prompt that is being read, and what has been learned of it.
#[derive(Debug)]
pub(crate) struct Reading {
    top: usize,
    entries: Vec<TokenLogprobs>, // of the tokens after the first
}

impl Reading {
    /// For a prompt of `tokens` tokens, if log probabilities were asked for.
    pub(crate) fn new(top: Option<usize>, tokens: usize) -> Result<Option<Reading>, SubmitError> {
        logprobs::validate(top)?;
        Ok(top.map(|top| Reading { top, entries: Vec::with_capacity(tokens.saturating_sub(1)) }))
    }

    /// What there is to tell.
    pub(crate) fn told(self) -> Vec<TokenLogprobs> {
        self.entries
    }
}

impl<B: Backend> Core<B> {
    /// Takes the logits of one sequence's prompt rows, before they count as fed.
    pub(crate) fn read_prompt(&mut self, Entry { seq, span, read, .. }: Entry) -> Result<(), Failure> {
        let seq = &mut self.running[seq];
        let (Some(first), Some(reading)) = (read, &mut seq.turn.reading) else { return Ok(()) };
        let next = seq.turn.feed.iter().skip(seq.turn.fed + 1).take(span.rows);
        for (row, &id) in next.enumerate() {
            let logits = self.workspace.logits(&self.model.decoder, first + row);
            if !logits.iter().all(|x| x.is_finite()) {
                let layer = self.workspace.broken(span.start + row).unwrap_or(self.context.layers);
                return Err(Failure::NonFinite { position: seq.position + row as u32, layer });
            }
            reading.entries.push(self.choice.logprobs.read(logits, id, reading.top));
        }
        Ok(())
    }
}
