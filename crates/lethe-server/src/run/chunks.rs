//! An answer told in chunks of server-sent events.

use serde::Serialize;

use crate::error::ApiError;
use crate::output::scored;
use crate::output::splitter::Said;
use crate::prepare::job::Endpoint;
use crate::protocol::chat::{ChatChunk, ChunkChoice, Delta};
use crate::protocol::completion::CompletionChoice;
use crate::protocol::logprobs::{ChatLogprobs, CompletionLogprobs};
use crate::run::answer::{self, Told};
use crate::run::identity::Identity;

/// Writes the chunks of one answer.
pub(crate) struct Chunks {
    identity: Identity,
    include_usage: bool,
    choices: Vec<Progress>,
}

/// How far a choice is told.
#[derive(Clone, Default)]
struct Progress {
    begun: bool,
    calls: usize,
    /// Characters before the next token of a completion.
    chars: u64,
}

/// Adds a value as one event.
fn event(out: &mut String, value: &impl Serialize) {
    out.push_str("data: ");
    // Plain data always serialises.
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
    out.push_str("\n\n");
}

impl Chunks {
    /// For so many choices.
    pub(crate) fn new(identity: Identity, include_usage: bool, choices: usize) -> Chunks {
        Chunks { identity, include_usage, choices: vec![Progress::default(); choices] }
    }

    /// Adds what is new of choice `i`.
    pub(crate) fn tell(&mut self, i: usize, told: &mut Told, out: &mut String) {
        match self.identity.endpoint {
            Endpoint::Chat => self.tell_chat(i, told, out),
            Endpoint::Completion => self.tell_completion(i, told, out),
        }
    }

    fn tell_chat(&mut self, i: usize, told: &mut Told, out: &mut String) {
        let said = told.choice.said();
        let done = told.choice.done().is_some();
        let usage = self.include_usage.then_some(None);
        let trace = told.choice.trace();
        if !trace.is_empty() {
            let chunk = self.identity.chat_chunk(Vec::new(), usage.clone());
            event(out, &ChatChunk { lethe: trace, ..chunk });
        }
        if said.is_empty() && !done {
            return;
        }
        let (identity, progress) = (&self.identity, &mut self.choices[i]);
        let mut scored = identity.logprobs.map(|top| scored::chat(&identity.tokenizer, &told.choice.scored(), top));
        let mut chunk = |delta: Delta, logprobs: Option<ChatLogprobs>, ended: Option<&Told>| {
            let choice = ChunkChoice {
                index: i as u32,
                logprobs: logprobs.filter(|scored| !scored.content.is_empty()),
                finish_reason: ended.map(|told| told.choice.finish_reason()),
                stop_reason: ended.and_then(|told| told.choice.stop_reason()),
                delta,
            };
            event(out, &identity.chat_chunk(vec![choice], usage.clone()));
        };
        if !progress.begun {
            progress.begun = true;
            chunk(Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() }, None, None);
        }
        for said in said {
            let delta = match said {
                Said::Content(text) => Delta { content: Some(text), ..Delta::default() },
                Said::Reasoning(text) => {
                    Delta { reasoning: Some(text.clone()), reasoning_content: Some(text), ..Delta::default() }
                }
                Said::Call(call) => {
                    let mut call = identity.call(call, i, progress.calls);
                    call.index = Some(progress.calls as u32);
                    progress.calls += 1;
                    Delta { tool_calls: Some(vec![call]), ..Delta::default() }
                }
            };
            chunk(delta, scored.take(), None);
        }
        if done {
            chunk(Delta::default(), scored.take(), Some(told));
        }
    }

    fn tell_completion(&mut self, i: usize, told: &mut Told, out: &mut String) {
        let said = told.choice.said();
        let done = told.choice.done().is_some();
        if said.is_empty() && !done {
            return;
        }
        let (identity, progress) = (&self.identity, &mut self.choices[i]);
        let mut text = String::new();
        let mut logprobs = identity.logprobs.map(|_| CompletionLogprobs::default());
        if !std::mem::replace(&mut progress.begun, true)
            && let Some(echo) = &told.echo
        {
            text.push_str(&echo.text);
            answer::prompt_logprobs(&mut told.choice, echo, identity, &mut progress.chars, logprobs.as_mut());
        }
        for said in said {
            if let Said::Content(more) = said {
                text.push_str(&more);
            }
        }
        if let (Some(to), Some(top)) = (&mut logprobs, identity.logprobs) {
            scored::completion(&identity.tokenizer, &told.choice.scored(), top, &mut progress.chars, to);
        }
        let choice = CompletionChoice {
            index: i as u32,
            text,
            logprobs,
            finish_reason: done.then(|| told.choice.finish_reason()),
            stop_reason: told.choice.stop_reason(),
        };
        event(out, &identity.completion(vec![choice], self.include_usage.then_some(None)));
    }

    /// Adds the end: the usage, where it was asked for, and the mark.
    pub(crate) fn end(&self, told: &[Told], out: &mut String) {
        if self.include_usage {
            let usage = Some(Some(answer::usage(told, &self.identity)));
            match self.identity.endpoint {
                Endpoint::Chat => event(out, &self.identity.chat_chunk(Vec::new(), usage)),
                Endpoint::Completion => event(out, &self.identity.completion(Vec::new(), usage)),
            }
        }
        out.push_str("data: [DONE]\n\n");
    }

    /// Adds an error in place of the end.
    pub(crate) fn fail(error: &ApiError, out: &mut String) {
        event(out, &error.body());
        out.push_str("data: [DONE]\n\n");
    }
}
