//! An answer told at once.

use serde::Serialize;

use crate::error::ApiError;
use crate::output::choice::Choice;
use crate::output::scored;
use crate::output::splitter::Said;
use crate::output::usage::{self, Ended};
use crate::prepare::job::{Echo, Telling};
use crate::protocol::chat::{AssistantMessage, ChatChoice, ChatCompletion};
use crate::protocol::completion::{Completion, CompletionChoice};
use crate::protocol::logprobs::CompletionLogprobs;
use crate::protocol::usage::Usage;
use crate::run::feed::Feed;
use crate::run::identity::Identity;

/// A choice and its place in the answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) choice: Choice,
    pub(crate) first: bool,
    pub(crate) echo: Option<Echo>,
}

impl From<Telling> for Told {
    fn from(Telling { splitter, first, echo, traced }: Telling) -> Told {
        Told { choice: Choice::new(splitter).traced(traced), first, echo }
    }
}

/// An answer of either endpoint.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Chat(ChatCompletion),
    Completion(Completion),
}

/// Follows all choices to their end.
pub(crate) async fn collect(mut feed: Feed, tellings: Vec<Telling>) -> Result<Vec<Told>, ApiError> {
    let mut told: Vec<Told> = tellings.into_iter().map(Told::from).collect();
    let mut open = told.len();
    while open > 0 {
        let (i, event) = feed.next().await?;
        told[i].choice.take(event)?;
        open -= usize::from(told[i].choice.done().is_some());
    }
    Ok(told)
}

/// What all choices cost together.
pub(crate) fn usage(told: &[Told], identity: &Identity) -> Usage {
    let ended = told.iter().filter_map(|told| {
        let reasoning_tokens = told.choice.reasoning_tokens();
        Some(Ended { done: told.choice.done()?, reasoning_tokens, first: told.first })
    });
    usage::sum(ended, identity.risk_mass)
}

/// The chat that these choices make.
pub(crate) fn chat(mut told: Vec<Told>, identity: &Identity) -> Answer {
    let usage = usage(&told, identity);
    let choices = told.iter_mut().enumerate().map(|(i, told)| chat_choice(i, &mut told.choice, identity)).collect();
    let (id, model) = (identity.id.clone(), identity.model.clone());
    Answer::Chat(ChatCompletion { id, object: "chat.completion", created: identity.created, model, choices, usage })
}

fn chat_choice(index: usize, choice: &mut Choice, identity: &Identity) -> ChatChoice {
    let (mut reasoning, mut content, mut calls) = (String::new(), String::new(), Vec::new());
    for said in choice.said() {
        match said {
            Said::Reasoning(text) => reasoning.push_str(&text),
            Said::Content(text) => content.push_str(&text),
            Said::Call(call) => calls.push(identity.call(call, index, calls.len())),
        }
    }
    let reasoning = (!reasoning.is_empty()).then_some(reasoning);
    ChatChoice {
        index: index as u32,
        logprobs: identity.logprobs.map(|top| scored::chat(&identity.tokenizer, &choice.scored(), top)),
        finish_reason: choice.finish_reason(),
        stop_reason: choice.stop_reason(),
        message: AssistantMessage {
            role: "assistant",
            content: (!content.is_empty() || calls.is_empty()).then_some(content),
            refusal: None,
            reasoning_content: reasoning.clone(),
            reasoning,
            tool_calls: (!calls.is_empty()).then_some(calls),
        },
    }
}

/// The completion that these choices make.
pub(crate) fn completion(mut told: Vec<Told>, identity: &Identity) -> Answer {
    let usage = usage(&told, identity);
    let choices = told.iter_mut().enumerate().map(|(i, told)| completion_choice(i, told, identity)).collect();
    Answer::Completion(identity.completion(choices, Some(Some(usage))))
}

fn completion_choice(index: usize, told: &mut Told, identity: &Identity) -> CompletionChoice {
    let Told { choice, echo, .. } = told;
    let mut text = String::new();
    let mut logprobs = identity.logprobs.map(|_| CompletionLogprobs::default());
    let mut chars = 0;
    if let Some(echo) = echo {
        text.push_str(&echo.text);
        prompt_logprobs(choice, echo, identity, &mut chars, logprobs.as_mut());
    }
    for said in choice.said() {
        if let Said::Content(more) = said {
            text.push_str(&more);
        }
    }
    if let (Some(to), Some(top)) = (&mut logprobs, identity.logprobs) {
        scored::completion(&identity.tokenizer, &choice.scored(), top, &mut chars, to);
    }
    CompletionChoice {
        index: index as u32,
        text,
        logprobs,
        finish_reason: Some(choice.finish_reason()),
        stop_reason: choice.stop_reason(),
    }
}

/// Adds the probabilities of a prompt that is returned.
pub(crate) fn prompt_logprobs(
    choice: &mut Choice,
    echo: &Echo,
    identity: &Identity,
    chars: &mut u64,
    to: Option<&mut CompletionLogprobs>,
) {
    if let (Some(to), Some(top), Some(first)) = (to, identity.logprobs, echo.ids.first()) {
        scored::first(&identity.tokenizer, *first, chars, to);
        let scored = choice.prompt_scored().unwrap_or_default();
        scored::completion(&identity.tokenizer, &scored, top, chars, to);
    }
}
