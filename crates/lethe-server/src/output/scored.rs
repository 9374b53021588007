//! Probabilities of tokens with their texts.

use lethe_engine::TokenLogprobs;
use lethe_model::Tokenizer;
use serde_json::{Map, Value};

use crate::protocol::logprobs::{ChatLogprob, ChatLogprobs, CompletionLogprobs, TopLogprob};

/// Stands for a probability of zero, whose logarithm JSON cannot write.
const LEAST: f64 = -9999.0;

/// What a token adds to a text; a special one, which adds nothing, as the vocabulary writes it.
pub(crate) fn token_text(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.bytes(id);
    if bytes.is_empty() {
        return tokenizer.decode(&[id], false).unwrap_or_default();
    }
    String::from_utf8(bytes).unwrap_or_else(|parts| String::from_utf8_lossy(parts.as_bytes()).into_owned())
}

/// As every response writes it: clients compare these numbers, so they must come from one conversion.
fn finite(logprob: f32) -> f64 {
    if logprob.is_finite() { f64::from(logprob) } else { LEAST }
}

/// In the shape of a chat.
pub(crate) fn chat(tokenizer: &Tokenizer, tokens: &[TokenLogprobs], top: usize) -> ChatLogprobs {
    let one = |token: &TokenLogprobs| {
        let text = token_text(tokenizer, token.id);
        let likeliest = |&(id, logprob): &(u32, f32)| {
            let token = token_text(tokenizer, id);
            TopLogprob { bytes: tokenizer.bytes(id), token, logprob: finite(logprob) }
        };
        ChatLogprob {
            bytes: tokenizer.bytes(token.id),
            token: text,
            logprob: finite(token.logprob),
            top_logprobs: token.top.iter().take(top).map(likeliest).collect(),
        }
    };
    ChatLogprobs { content: tokens.iter().map(one).collect() }
}

/// Adds tokens in the shape of a completion. `chars` counts the characters before the next token.
pub(crate) fn completion(
    tokenizer: &Tokenizer,
    tokens: &[TokenLogprobs],
    top: usize,
    chars: &mut u64,
    to: &mut CompletionLogprobs,
) {
    for token in tokens {
        let text = token_text(tokenizer, token.id);
        let mut likeliest = Map::new();
        for &(id, logprob) in token.top.iter().take(top) {
            // Of tokens with the same text the likeliest counts.
            likeliest.entry(token_text(tokenizer, id)).or_insert_with(|| Value::from(finite(logprob)));
        }
        likeliest.entry(text.clone()).or_insert_with(|| Value::from(finite(token.logprob)));
        push(text, Some(finite(token.logprob)), Some(likeliest), chars, to);
    }
}

/// Adds the first token of a prompt, which nothing predicts.
pub(crate) fn first(tokenizer: &Tokenizer, id: u32, chars: &mut u64, to: &mut CompletionLogprobs) {
    push(token_text(tokenizer, id), None, None, chars, to);
}

fn push(
    text: String,
    logprob: Option<f64>,
    top: Option<Map<String, Value>>,
    chars: &mut u64,
    to: &mut CompletionLogprobs,
) {
    to.text_offset.push(*chars);
    *chars += text.chars().count() as u64;
    to.tokens.push(text);
    to.token_logprobs.push(logprob);
    to.top_logprobs.push(top);
}
