//! Answers that follow a grammar: what a grammar must be able to do, and when it binds.
//!
//! The engine knows no grammars. It asks a [`Constraint`] before every choice what may come, and tells it what came. The
//! thinking of a model is nobody's grammar: where a request thinks, the grammar binds once the closing tag is out, and
//! where the model may yet open thinking by itself, its first tokens are either the tag or an answer, never free text.

use std::fmt;
use std::sync::Arc;

use lethe_model::{Detokenizer, Piece, ThinkTags, ThinkingParser, Tokenizer};

use crate::choice::ban;
use crate::request::SubmitError;

/// Tokens of newlines that may come after a closing tag. More would let a model that does not like the grammar put the
/// answer off for ever.
const MOST_NEWLINES: usize = 4;

/// A grammar on its way through one answer.
pub trait Constraint: Send + Sync + fmt::Debug {
    /// Bans (minus infinity) every token that may not come next. `logits [vocab]`. End ids stay only where the answer may
    /// be over.
    ///
    /// # Errors
    /// [`ConstraintError`] when the grammar cannot say; the request ends.
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError>;

    /// Takes the token that came, one that [`Constraint::mask`] left; an end id ends the answer.
    ///
    /// # Errors
    /// [`ConstraintError`] when it may not come here; the request ends.
    fn commit(&mut self, id: u32) -> Result<(), ConstraintError>;

    /// True once the answer is complete and nothing more can follow but its end.
    fn finished(&self) -> bool;

    /// The text of a token as the grammar reads it, in bytes; empty for tokens that are no text.
    fn bytes(&self, id: u32) -> &[u8];

    /// The same grammar at the same place, going on by itself.
    fn boxed(&self) -> Box<dyn Constraint>;
}

/// A grammar that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConstraintError(pub String);

/// A grammar, and from where on it binds.
#[derive(Debug)]
pub struct Constrained {
    /// The grammar, at its beginning.
    pub grammar: Box<dyn Constraint>,
    /// For a model that thinks: how its thinking is told from the answer. `None` binds from the first token.
    pub after_thinking: Option<AfterThinking>,
}

impl Clone for Constrained {
    fn clone(&self) -> Constrained {
        Constrained { grammar: self.grammar.boxed(), after_thinking: self.after_thinking.clone() }
    }
}

/// Thinking that no grammar binds.
#[derive(Clone, Debug)]
pub struct AfterThinking {
    /// The tags around it.
    pub tags: ThinkTags,
    /// Whether the prompt leaves it open ([`ThinkTags::left_open`]). If not, the model may open it with its first tokens.
    pub starts_inside: bool,
}

/// Keeps one turn to its grammar.
#[derive(Debug)]
pub(crate) struct Guard {
    grammar: Box<dyn Constraint>,
    phase: Phase,
    thoughts: Option<Thoughts>,
    /// Of the last mask: tokens that may come beside those of the grammar.
    beside: Vec<Beside>,
}

#[derive(Debug)]
enum Phase {
    /// Nothing but the beginning of an opening tag so far, if anything.
    Opening(Opening),
    /// Between the tags.
    Thinking,
    /// Behind the closing tag, with so many tokens of newlines.
    Gap(usize),
    /// In the answer.
    Answer,
}

/// Two readings of the first tokens, both kept until one is out of the question. There is no third, blanks: a model that
/// does not think may well begin with one, and would have to be made to think after it.
#[derive(Debug, Default)]
struct Opening {
    tag: usize, // tokens of the opening tag so far
    /// They cannot be the beginning of an answer.
    no_answer: bool,
    /// The grammar before it took any of them.
    fresh: Option<Box<dyn Constraint>>,
}

#[derive(Clone, Copy, Debug)]
struct Beside {
    id: u32,
    logit: f32,
    in_grammar: bool,
}

/// What is needed to tell thinking from the answer.
#[derive(Debug)]
struct Thoughts {
    tags: ThinkTags,
    open: Vec<u32>,     // the opening tag
    newlines: Vec<u32>, // tokens of nothing but newlines
    end_ids: Vec<u32>,  // an answer must follow: they may not come before it
    detokenizer: Detokenizer,
    parser: ThinkingParser,
    tail: String, // of the text so far: as much of the closing tag as it ends with
}

impl Guard {
    /// For a turn of a model.
    ///
    /// # Errors
    /// [`SubmitError`] where thinking could not be told from the answer.
    pub(crate) fn new(
        Constrained { grammar, after_thinking }: Constrained,
        tokenizer: Option<&Arc<Tokenizer>>,
        end_ids: &[u32],
        vocab: usize,
    ) -> Result<Guard, SubmitError> {
        let Some(AfterThinking { tags, starts_inside }) = after_thinking else {
            return Ok(Guard { grammar, phase: Phase::Answer, thoughts: None, beside: Vec::new() });
        };
        let tokenizer = tokenizer.ok_or(SubmitError::ConstraintNeedsTokenizer)?;
        if tags.open.is_empty() || tags.close.is_empty() {
            return Err(SubmitError::EmptyTag);
        }
        let open = match tokenizer.id(&tags.open) {
            Some(id) => vec![id],
            None => tokenizer.encode(&tags.open, false).unwrap_or_default(),
        };
        let newlines = |&id: &u32| !grammar.bytes(id).is_empty() && grammar.bytes(id).iter().all(|&b| b == b'\n');
        let phase = match starts_inside {
            true => Phase::Thinking,
            false if open.is_empty() => Phase::Answer,
            false => Phase::Opening(Opening::default()),
        };
        let thoughts = Thoughts {
            newlines: (0..vocab as u32).filter(newlines).collect(),
            end_ids: end_ids.to_vec(),
            detokenizer: Detokenizer::new(Arc::clone(tokenizer), Vec::<String>::new(), false),
            parser: ThinkingParser::new(Some(tags.clone()), true),
            tail: String::new(),
            open,
            tags,
        };
        Ok(Guard { grammar, phase, thoughts: Some(thoughts), beside: Vec::new() })
    }

    /// Bans what may not come next.
    pub(crate) fn mask(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        let Some(thoughts) = &self.thoughts else { return self.grammar.mask(logits) };
        self.beside.clear();
        let mut beside = |ids: &[u32]| {
            let with = |&id: &u32| Some(Beside { id, logit: *logits.get(id as usize)?, in_grammar: false });
            self.beside.extend(ids.iter().filter_map(with));
        };
        match &self.phase {
            Phase::Answer => return self.grammar.mask(logits),
            Phase::Thinking => {
                thoughts.mask(&*self.grammar, logits);
                return Ok(());
            }
            Phase::Gap(newlines) if *newlines < MOST_NEWLINES => beside(&thoughts.newlines),
            Phase::Gap(_) => {}
            Phase::Opening(opening) => beside(&thoughts.open[opening.tag..=opening.tag]),
        }
        match &self.phase {
            Phase::Opening(Opening { no_answer: true, .. }) => logits.fill(f32::NEG_INFINITY),
            _ => self.grammar.mask(logits)?,
        }
        for beside in &mut self.beside {
            let logit = &mut logits[beside.id as usize];
            beside.in_grammar = logit.is_finite();
            *logit = beside.logit;
        }
        Ok(())
    }

    /// Takes note of the token that came.
    pub(crate) fn saw(&mut self, id: u32) -> Result<(), ConstraintError> {
        let Some(thoughts) = &mut self.thoughts else { return self.grammar.commit(id) };
        match &mut self.phase {
            Phase::Answer => self.grammar.commit(id)?,
            Phase::Thinking => {
                if thoughts.closed_by(id)? {
                    self.phase = Phase::Gap(0);
                }
            }
            Phase::Gap(newlines) if thoughts.newlines.contains(&id) => *newlines += 1,
            Phase::Gap(_) => {
                self.phase = Phase::Answer;
                self.grammar.commit(id)?;
            }
            Phase::Opening(opening) => {
                let of_tag = thoughts.open[opening.tag] == id;
                if of_tag && opening.tag + 1 == thoughts.open.len() {
                    if let Some(fresh) = opening.fresh.take() {
                        self.grammar = fresh;
                    }
                    self.phase = Phase::Thinking;
                } else if of_tag {
                    opening.tag += 1;
                    opening.no_answer |= !self.beside.iter().any(|b| b.id == id && b.in_grammar);
                    if !opening.no_answer {
                        opening.fresh.get_or_insert_with(|| self.grammar.boxed());
                        self.grammar.commit(id)?;
                    }
                } else {
                    self.phase = Phase::Answer;
                    self.grammar.commit(id)?;
                }
            }
        }
        Ok(())
    }

    /// True once nothing more can follow.
    pub(crate) fn finished(&self) -> bool {
        matches!(self.phase, Phase::Answer) && self.grammar.finished()
    }
}

impl Thoughts {
    /// Bans ends, and tokens that would close thinking and begin an answer at once.
    fn mask(&self, grammar: &dyn Constraint, logits: &mut [f32]) {
        ban(logits, &self.end_ids);
        if self.tail.is_empty() {
            return;
        }
        let rest = &self.tags.close.as_bytes()[self.tail.len()..];
        for (id, logit) in logits.iter_mut().enumerate() {
            let more = grammar.bytes(id as u32).strip_prefix(rest).unwrap_or_default();
            if more.iter().any(|&b| b != b'\n') {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// Takes a token of the thinking. Whether it completes the closing tag.
    fn closed_by(&mut self, id: u32) -> Result<bool, ConstraintError> {
        let text = self.detokenizer.push(id);
        let pieces = self.parser.push(&text);
        if pieces.iter().any(|piece| matches!(piece, Piece::Answer(_))) {
            return Err(ConstraintError("one token closed the thinking and began the answer".into()));
        }
        self.tail.push_str(&text);
        let close = &*self.tags.close;
        let ends = |n: &usize| close.is_char_boundary(*n) && self.tail.ends_with(&close[..*n]);
        let kept = (0..close.len()).rev().find(ends).unwrap_or(0);
        self.tail.drain(..self.tail.len() - kept);
        Ok(self.parser.answering())
    }
}
