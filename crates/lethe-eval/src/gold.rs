//! A right answer as a model would generate it, token for token, and which earlier tokens each of them needs.

use std::ops::Range;

use lethe_model::{ChatPrompt, ChatPromptError, ChatTemplate, Message, TemplateError, Tokenizer, TokenizerError};

use crate::problems::Problem;
use crate::problems::solver::VerifyError;
use crate::reads::{Part, Place, reads};

/// A whole conversation that goes right. Token `i` stands at position `i` of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gold {
    /// Prompts and answers, one after the other. `[positions]`
    pub ids: Vec<u32>,
    /// Which of them is what. `[turns]`
    pub turns: Vec<GoldTurn>,
    /// What the answers look up, in the order in which they do.
    pub reads: Vec<TokenRead>,
}

/// Positions of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldTurn {
    /// What the model is fed: after the first turn, what a template puts after an answer comes first.
    pub prompt: Range<usize>,
    /// What it generates, its end token too.
    pub answer: Range<usize>,
}

/// Tokens that cannot be generated without earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRead {
    /// Their positions.
    pub at: Range<u32>,
    /// The positions that they need: all of one of these runs, oldest first. Never empty.
    pub from: Vec<Range<u32>>,
}

/// Why a problem has no tokens.
#[derive(Debug, thiserror::Error)]
pub enum GoldError {
    /// The problem itself is not right.
    #[error(transparent)]
    Problem(#[from] VerifyError),
    /// The conversation cannot be rendered.
    #[error(transparent)]
    Prompt(#[from] ChatPromptError),
    /// Nor what comes between two turns.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A text cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The template changes what is said.
    #[error("the chat template does not print the {what} of turn {turn} as it is, and once: use another model")]
    NotVerbatim {
        /// What.
        what: &'static str,
        /// Of which turn, from 0.
        turn: usize,
    },
    /// The tokens do not spell the text.
    #[error(
        "token {index} of a text reads {token:?}, which is not what stands at byte {at}: this tokenizer changes texts"
    )]
    NotSpelled {
        /// The token.
        index: usize,
        /// What it reads.
        token: String,
        /// Where it should stand.
        at: usize,
    },
}

/// Stands for a reply whose surroundings are wanted.
const REPLY: &str = "lethe:the-reply-stands-here";

impl Gold {
    /// The tokens of a problem that is answered rightly. `ends` are the tokens with which the model may end an answer; the
    /// one that the template puts there is taken.
    ///
    /// # Errors
    /// [`GoldError`] for a wrong problem, or a template or tokenizer that changes its text.
    pub fn new(
        problem: &Problem,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        ends: &[u32],
    ) -> Result<Gold, GoldError> {
        let end = end(tokenizer, template, ends)?;
        let mut gold = Gold { ids: Vec::new(), turns: Vec::new(), reads: Vec::new() };
        let mut spelled: Vec<[Spelled; 2]> = Vec::new(); // [turns], question and reply
        let mut messages = Vec::new();
        for (t, turn) in problem.turns.iter().enumerate() {
            messages.push(Message::new("user", &turn.question));
            let prompt = match t {
                0 => ChatPrompt::new(template, tokenizer, &messages, true, &serde_json::Map::new())?.text,
                _ => {
                    let tail = after_reply(template, &messages, true, t - 1)?;
                    without_end(&tail, tokenizer, end).to_owned()
                }
            };
            let [before, _] = prompt.split(&turn.question).collect::<Vec<_>>()[..] else {
                return Err(GoldError::NotVerbatim { what: "question", turn: t });
            };
            let question = gold.feed(tokenizer, &prompt, before.len())?;
            let from = gold.ids.len();
            let reply = turn.reply();
            let said = gold.feed(tokenizer, &reply, 0)?;
            gold.ids.extend(end);
            spelled.push([question, said]);
            let begin = gold.turns.last().map_or(0, |turn: &GoldTurn| turn.answer.end);
            gold.turns.push(GoldTurn { prompt: begin..from, answer: from..gold.ids.len() });
            messages.push(Message::new("assistant", reply));
        }
        for (turn, reads) in reads(problem)?.into_iter().enumerate() {
            let [_, reply] = &spelled[turn];
            let place = |p: &Place| match p.part {
                Part::Question => spelled[p.turn][0].tokens(&p.range),
                Part::Reply => spelled[p.turn][1].tokens(&p.range),
            };
            gold.reads.extend(
                reads
                    .iter()
                    .map(|read| TokenRead { at: reply.tokens(&read.at), from: read.from.iter().map(place).collect() }),
            );
        }
        Ok(gold)
    }

    /// The positions that the token at `position` needs, where several runs would do the newest.
    pub fn sources(&self, position: u32) -> impl Iterator<Item = u32> {
        let read = self.reads.iter().filter(move |read| read.at.contains(&position));
        read.filter_map(|read| read.from.last().cloned()).flatten()
    }

    /// How many tokens of a run, from position 0 on, are those of the right conversation.
    pub fn followed(&self, ids: &[u32]) -> usize {
        self.ids.iter().zip(ids).take_while(|(gold, id)| gold == id).count()
    }

    /// The reads that a run came to while all before was right: of the first wrong token too, which may be wrong for them.
    /// Where an answer goes its own way, nobody knows what it needs.
    pub fn due<'a>(&'a self, ids: &'a [u32]) -> impl Iterator<Item = &'a TokenRead> + Clone {
        let followed = self.followed(ids);
        self.reads.iter().filter(move |read| read.at.start as usize <= followed && (read.at.start as usize) < ids.len())
    }

    /// Appends the tokens of a text. Bytes count from `origin` on.
    fn feed(&mut self, tokenizer: &Tokenizer, text: &str, origin: usize) -> Result<Spelled, GoldError> {
        let ids = tokenizer.encode(text, false)?;
        let first = self.ids.len() as u32;
        let mut starts = Vec::with_capacity(ids.len());
        let mut at = 0;
        for (index, &id) in ids.iter().enumerate() {
            starts.push(at);
            let written = tokenizer.token(id).filter(|_| tokenizer.is_special(id)).map(String::into_bytes);
            let bytes = written.unwrap_or_else(|| tokenizer.bytes(id));
            let rest = &text.as_bytes()[at..];
            // some tokenizers put a space before a text, and take it away again when they decode
            let bytes = match bytes.strip_prefix(b" ") {
                Some(bare) if index == 0 && !rest.starts_with(b" ") => bare,
                _ => &bytes,
            };
            if !rest.starts_with(bytes) {
                let token = String::from_utf8_lossy(bytes).into_owned();
                return Err(GoldError::NotSpelled { index, token, at });
            }
            at += bytes.len();
        }
        starts.push(at);
        self.ids.extend(ids);
        Ok(Spelled { first, starts, origin })
    }
}

/// Where the tokens of a text stand.
struct Spelled {
    first: u32,         // position of its first token
    starts: Vec<usize>, // [tokens + 1], in bytes of the text
    origin: usize,      // what byte 0 of a range means there
}

impl Spelled {
    /// The positions of the tokens that have a part of `range`.
    fn tokens(&self, range: &Range<usize>) -> Range<u32> {
        let (from, to) = (range.start + self.origin, range.end + self.origin);
        let first = self.starts.partition_point(|&start| start <= from).saturating_sub(1);
        let end = self.starts[..self.starts.len() - 1].partition_point(|&start| start < to);
        self.first + first as u32..self.first + end as u32
    }
}

/// What a template puts after the last reply in `messages`, up to where the model goes on if `prompts`.
fn after_reply(template: &ChatTemplate, messages: &[Message], prompts: bool, turn: usize) -> Result<String, GoldError> {
    let mut marked = messages.to_vec();
    if let Some(reply) = marked.iter_mut().rev().find(|message| message.role == "assistant") {
        reply.content = REPLY.to_owned();
    }
    let text = template.render(&marked, prompts, &serde_json::Map::new())?;
    match text.split(REPLY).collect::<Vec<_>>()[..] {
        [_, tail] => Ok(tail.to_owned()),
        _ => Err(GoldError::NotVerbatim { what: "reply", turn }),
    }
}

/// The token with which an answer ends, by the template; else the first of those that may.
fn end(tokenizer: &Tokenizer, template: &ChatTemplate, ends: &[u32]) -> Result<Option<u32>, GoldError> {
    let tail = after_reply(template, &[Message::new("user", "?"), Message::new("assistant", "")], false, 0)?;
    let written = |id: &&u32| without_end(&tail, tokenizer, Some(**id)).len() < tail.len();
    Ok(ends.iter().find(written).or(ends.first()).copied())
}

/// What follows the token that ends a reply: the cache has that already.
fn without_end<'a>(tail: &'a str, tokenizer: &Tokenizer, end: Option<u32>) -> &'a str {
    let end = end.and_then(|id| tokenizer.token(id));
    end.and_then(|end| tail.trim_start().strip_prefix(&*end)).unwrap_or(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_tokens_that_touch_it() {
        let spelled = Spelled { first: 10, starts: vec![0, 3, 5, 9], origin: 0 };
        assert_eq!(spelled.tokens(&(0..3)), 10..11);
        assert_eq!(spelled.tokens(&(3..4)), 11..12);
        assert_eq!(spelled.tokens(&(2..6)), 10..13);
        assert_eq!(spelled.tokens(&(6..9)), 12..13);
        let inside = Spelled { origin: 3, ..spelled };
        assert_eq!(inside.tokens(&(0..2)), 11..12);
    }
}
