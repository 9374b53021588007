//! Generated text to thinking and answer, as it grows.
//!
//! Reasoning models think aloud between two tags before they answer. The tags and the newlines around them are part of
//! neither text.

use std::borrow::Cow;

use crate::chat_template::{ChatTemplate, Message};
use crate::tokenizer::Tokenizer;

/// The tags around a model's thinking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinkTags {
    /// Opens it; never empty.
    pub open: Cow<'static, str>,
    /// Closes it; never empty.
    pub close: Cow<'static, str>,
}

impl ThinkTags {
    /// The tags of Qwen3, QwQ, DeepSeek-R1 and their descendants.
    pub const THINK: ThinkTags = ThinkTags { open: Cow::Borrowed("<think>"), close: Cow::Borrowed("</think>") };

    /// The tags a model was made for; `None` if neither its vocabulary nor its template knows any.
    ///
    /// A template knows them if it opens the answer with one, or if it prints a marked reply without its thinking,
    /// as many do with those of earlier turns.
    pub fn of(template: Option<&ChatTemplate>, tokenizer: Option<&Tokenizer>) -> Option<ThinkTags> {
        let tags = ThinkTags::THINK;
        let in_vocabulary = tokenizer.is_some_and(|t| t.id(&tags.close).is_some());
        (in_vocabulary || template.is_some_and(|t| tags.known_to(t))).then_some(tags)
    }

    fn known_to(&self, template: &ChatTemplate) -> bool {
        let none = serde_json::Map::new();
        let user = || Message::new("user", "Q");
        let opened = template.render(&[user()], true, &none).is_ok_and(|prompt| prompt.contains(&*self.open));
        let answer = "the-answer"; // a template that prints no replies tells nothing
        let marked = format!("{}\nT\n{}\n\n{answer}", self.open, self.close);
        let reply = Message::new("assistant", &marked);
        let treated = template.render(&[user(), reply, user()], true, &none);
        opened || treated.is_ok_and(|prompt| prompt.contains(answer) && !prompt.contains(&marked))
    }

    /// Whether a rendered prompt leaves thinking open, so that the model goes on inside it.
    pub fn left_open(&self, prompt: &str) -> bool {
        prompt.trim_end().ends_with(&*self.open)
    }
}

/// A piece of generated text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Said to itself.
    Thinking(String),
    /// Said to the user.
    Answer(String),
}

/// Splits one generated text into thinking and answer.
///
/// What [`push`](Self::push) and [`finish`](Self::finish) return does not depend on how the text was cut: joined by kind,
/// the pieces are those of the whole text. Text that may be the beginning of a tag is held back until that is decided.
/// An opening tag counts only as the first text that is not blank: one that is quoted later is prose. Thinking that is
/// never closed stays thinking.
#[derive(Debug)]
pub struct ThinkingParser {
    tags: ThinkTags,
    state: State,
    held: String,    // shorter than a tag between pushes
    blank: String,   // in `State::Start`: whitespace before whatever comes
    newlines: usize, // in `State::Thinking`: at the end so far, part of it only if more thinking follows
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but blanks so far: an opening tag may follow.
    Start,
    /// Inside. `begun` once there was text; newlines before that are not part of it.
    Thinking { begun: bool },
    /// After the closing tag; newlines are skipped.
    Closed,
    /// Everything else is the answer.
    Answer,
}

impl ThinkingParser {
    /// Begins a text, `inside` if the prompt left thinking open ([`ThinkTags::left_open`]). Without tags everything is
    /// the answer, as it comes.
    pub fn new(tags: Option<ThinkTags>, inside: bool) -> ThinkingParser {
        let state = match (&tags, inside) {
            (None, _) => State::Answer,
            (Some(_), true) => State::Thinking { begun: false },
            (Some(_), false) => State::Start,
        };
        let tags = tags.unwrap_or(ThinkTags::THINK);
        ThinkingParser { tags, state, held: String::new(), blank: String::new(), newlines: 0 }
    }

    /// True between the tags.
    pub fn inside(&self) -> bool {
        matches!(self.state, State::Thinking { .. })
    }

    /// True once whatever follows is the answer.
    pub fn answering(&self) -> bool {
        matches!(self.state, State::Closed | State::Answer)
    }

    /// Takes more text; returns what is decided, often nothing.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        let mut out = Vec::new();
        if text.is_empty() {
            return out;
        }
        self.held.push_str(text);
        loop {
            let buffer = std::mem::take(&mut self.held);
            match self.state {
                State::Start => {
                    let rest = buffer.trim_start();
                    self.blank.push_str(&buffer[..buffer.len() - rest.len()]);
                    if let Some(inside) = rest.strip_prefix(&*self.tags.open) {
                        self.state = State::Thinking { begun: false };
                        self.blank.clear();
                        self.held.push_str(inside);
                    } else if self.tags.open.starts_with(rest) {
                        self.held.push_str(rest); // undecided, or nothing
                        return out;
                    } else {
                        self.state = State::Answer;
                        self.held = std::mem::take(&mut self.blank) + rest;
                    }
                }
                State::Thinking { .. } => {
                    let Some(at) = buffer.find(&*self.tags.close) else {
                        let claimed = claimed(&buffer, &self.tags.close);
                        let (text, rest) = buffer.split_at(buffer.len() - claimed);
                        self.think(text, &mut out);
                        self.held.push_str(rest);
                        return out;
                    };
                    self.think(&buffer[..at], &mut out);
                    self.newlines = 0;
                    self.state = State::Closed;
                    self.held.push_str(&buffer[at + self.tags.close.len()..]);
                }
                State::Closed => {
                    let rest = buffer.trim_start_matches('\n');
                    if rest.is_empty() {
                        return out;
                    }
                    self.state = State::Answer;
                    self.held.push_str(rest);
                }
                State::Answer => {
                    if !buffer.is_empty() {
                        out.push(Piece::Answer(buffer));
                    }
                    return out;
                }
            }
        }
    }

    /// Ends the text; returns what was held back.
    pub fn finish(&mut self) -> Option<Piece> {
        let held = std::mem::take(&mut self.held);
        let (rest, kind): (String, fn(String) -> Piece) = match self.state {
            State::Thinking { .. } => ("\n".repeat(std::mem::take(&mut self.newlines)) + &held, Piece::Thinking),
            _ => (std::mem::take(&mut self.blank) + &held, Piece::Answer),
        };
        (!rest.is_empty()).then(|| kind(rest))
    }

    /// Thinking without its first newlines, and with its last ones counted instead of said.
    fn think(&mut self, text: &str, out: &mut Vec<Piece>) {
        let begun = self.state == State::Thinking { begun: true };
        let text = if begun { text } else { text.trim_start_matches('\n') };
        let body = text.trim_end_matches('\n');
        if !body.is_empty() {
            self.state = State::Thinking { begun: true };
            out.push(Piece::Thinking("\n".repeat(std::mem::take(&mut self.newlines)) + body));
        }
        self.newlines += text.len() - body.len();
    }
}

/// Length of the longest beginning of `tag` that `text` ends with.
fn claimed(text: &str, tag: &str) -> usize {
    let longest = tag.len().saturating_sub(1).min(text.len());
    (1..=longest).rev().find(|&n| tag.is_char_boundary(n) && text.ends_with(&tag[..n])).unwrap_or(0)
}
