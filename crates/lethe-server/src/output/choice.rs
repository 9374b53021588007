//! One choice of a response as it grows.

use lethe_engine::{Event, FinishReason, Finished, StoppedBy, TokenLogprobs};
use serde_json::Value;

use crate::error::ApiError;
use crate::output::splitter::{Said, Splitter};
use crate::output::trace::{Trace, Tracer};

/// Follows the events of one choice.
#[derive(Debug)]
pub(crate) struct Choice {
    splitter: Splitter,
    /// Pieces that nobody has taken yet.
    said: Vec<Said>,
    /// Probabilities that nobody has taken yet.
    scored: Vec<TokenLogprobs>,
    /// Probabilities of the prompt, but for its first token.
    prompt_scored: Option<Vec<TokenLogprobs>>,
    reasoning_tokens: usize,
    done: Option<Finished>,
    tracer: Option<Tracer>,
}

impl Choice {
    /// A choice whose text `splitter` takes apart.
    pub(crate) fn new(splitter: Splitter) -> Choice {
        let (said, scored) = (Vec::new(), Vec::new());
        Choice { splitter, said, scored, prompt_scored: None, reasoning_tokens: 0, done: None, tracer: None }
    }

    /// The same, telling what the cache does where somebody follows it.
    pub(crate) fn traced(self, tracer: Option<Tracer>) -> Choice {
        Choice { tracer, ..self }
    }

    /// What the cache did since the last call; nothing unless it is traced.
    pub(crate) fn trace(&mut self) -> Vec<Trace> {
        self.tracer.as_mut().map(Tracer::told).unwrap_or_default()
    }

    /// Takes note of an event.
    ///
    /// # Errors
    /// What ended the choice in place of an answer.
    pub(crate) fn take(&mut self, event: Event) -> Result<(), ApiError> {
        if let Some(tracer) = &mut self.tracer {
            tracer.saw(&event);
        }
        match event {
            Event::Token { text, logprobs, .. } => {
                let inside = self.splitter.inside();
                let said = self.splitter.push(&text);
                self.said.extend(said);
                self.reasoning_tokens += usize::from(inside || self.splitter.inside());
                self.scored.extend(logprobs.map(|scored| *scored));
            }
            Event::Tail(text) => {
                let said = self.splitter.push(&text);
                self.said.extend(said);
            }
            Event::PromptLogprobs(scored) => self.prompt_scored = Some(scored),
            Event::Finished(done) => {
                let said = self.splitter.finish();
                self.said.extend(said);
                self.done = Some(*done);
            }
            Event::Failed(failure) => return Err(ApiError::from(&failure)),
            Event::Prefill { .. } | Event::Round(_) | Event::Forgot { .. } | Event::Levels(_) => {}
        }
        Ok(())
    }

    /// New pieces.
    pub(crate) fn said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// Probabilities of tokens since the last call.
    pub(crate) fn scored(&mut self) -> Vec<TokenLogprobs> {
        std::mem::take(&mut self.scored)
    }

    /// Probabilities of the prompt, once.
    pub(crate) fn prompt_scored(&mut self) -> Option<Vec<TokenLogprobs>> {
        self.prompt_scored.take()
    }

    /// How it ended, once it has.
    pub(crate) fn done(&self) -> Option<&Finished> {
        self.done.as_ref()
    }

    /// Tokens of thinking and its tags.
    pub(crate) fn reasoning_tokens(&self) -> usize {
        self.reasoning_tokens
    }

    /// Why it ended, in the words of the API.
    pub(crate) fn finish_reason(&self) -> &'static str {
        match self.done.as_ref().map(|done| done.reason) {
            Some(FinishReason::Stop) if self.splitter.called() => "tool_calls",
            Some(FinishReason::Stop) => "stop",
            Some(FinishReason::Length) => "length",
            Some(FinishReason::Repetition) => "repetition",
            Some(FinishReason::Cancelled) | None => "abort",
        }
    }

    /// The stop text or id that ended it.
    pub(crate) fn stop_reason(&self) -> Option<Value> {
        match self.done.as_ref()?.stopped_by.as_ref()? {
            StoppedBy::Id(id) => Some((*id).into()),
            StoppedBy::Text(text) => Some(text.as_str().into()),
        }
    }
}
