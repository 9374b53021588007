//! Reasoning budgets: a model that has thought long enough gets its thinking closed for it.

use std::sync::Arc;

use lethe_model::{Detokenizer, ThinkTags, ThinkingParser, Tokenizer, TokenizerError};

use crate::request::SubmitError;

/// How many tokens a model may think, and what is said for it once they are spent, or once it only repeats itself
/// ([`crate::RepetitionDetection`]).
#[derive(Clone, Debug)]
pub struct ThinkingBudget {
    /// Tokens between the tags. 0 closes at once, `None` only what repeats itself.
    pub tokens: Option<usize>,
    /// Ids forced one per step, as if they had been sampled, while thinking is still open: a closing remark, if any, and
    /// the closing tag.
    pub close: Vec<u32>,
    /// The tags to tell thinking by, in the text of the answer.
    pub tags: ThinkTags,
    /// Whether the prompt leaves thinking open ([`ThinkTags::left_open`]).
    pub starts_inside: bool,
}

impl ThinkingBudget {
    /// What the model is made to say before the closing tag, unless something else is wanted or it has thought nothing.
    pub const MESSAGE: &str = "Considering the limited time, I have to give the answer based on the thinking so far.";

    /// A budget whose thinking closes with `message`, which may be empty; `None` is [`ThinkingBudget::MESSAGE`] where
    /// there was anything to think.
    ///
    /// # Errors
    /// [`TokenizerError`] for a message without ids.
    pub fn new(
        tokenizer: &Tokenizer,
        tags: ThinkTags,
        starts_inside: bool,
        tokens: Option<usize>,
        message: Option<&str>,
    ) -> Result<ThinkingBudget, TokenizerError> {
        let thinks = tokens != Some(0);
        let message = message.unwrap_or(if thinks { ThinkingBudget::MESSAGE } else { "" });
        // The newline after the opening tag is there already where the prompt or the model wrote it.
        let lead = if message.is_empty() && (starts_inside || thinks) { "" } else { "\n" };
        let close = tokenizer.encode(&format!("{lead}{message}\n{}\n\n", tags.close), false)?;
        Ok(ThinkingBudget { tokens, close, tags, starts_inside })
    }

    /// Checks it against a model.
    ///
    /// # Errors
    /// [`SubmitError`] where it could not work: no tokenizer, ids out of range, a closing text that closes nothing.
    pub(crate) fn validate(&self, tokenizer: Option<&Tokenizer>, vocab: usize) -> Result<(), SubmitError> {
        let tokenizer = tokenizer.ok_or(SubmitError::BudgetNeedsTokenizer)?;
        if self.tags.open.is_empty() || self.tags.close.is_empty() {
            return Err(SubmitError::EmptyTag);
        }
        if let Some(index) = self.close.iter().position(|&id| id as usize >= vocab) {
            return Err(SubmitError::CloseTokenOutOfRange { index, id: self.close[index], vocab });
        }
        let text = tokenizer.decode(&self.close, false).unwrap_or_default();
        if !text.contains(&*self.tags.close) {
            return Err(SubmitError::CloseWithoutTag { text, tag: self.tags.close.to_string() });
        }
        Ok(())
    }
}

/// Watches the thinking of one turn.
#[derive(Debug)]
pub(crate) struct Watch {
    budget: ThinkingBudget,
    /// Its own: a stop string that may yet come holds text back, and a tag that is special has no text for callers.
    detokenizer: Detokenizer,
    parser: ThinkingParser,
    spent: usize,
    closing: bool,
    forced: usize,
}

impl Watch {
    pub(crate) fn new(budget: ThinkingBudget, tokenizer: Arc<Tokenizer>) -> Watch {
        Watch {
            detokenizer: Detokenizer::new(tokenizer, Vec::<String>::new(), false),
            parser: ThinkingParser::new(Some(budget.tags.clone()), budget.starts_inside),
            spent: 0,
            closing: false,
            forced: 0,
            budget,
        }
    }

    /// The token that must come next; `None` leaves the choice to the sampler. What was begun is said to its end.
    pub(crate) fn next(&self) -> Option<u32> {
        let spent = self.budget.tokens.is_some_and(|tokens| self.spent >= tokens);
        let due = self.closing || self.forced > 0 || (self.parser.inside() && spent);
        self.budget.close.get(self.forced).copied().filter(|_| due)
    }

    /// True while the model thinks, and nothing was said for it yet.
    pub(crate) fn inside(&self) -> bool {
        self.forced == 0 && self.parser.inside()
    }

    /// Closes the thinking that it is inside of.
    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Takes note of the token that came, which is [`Watch::next`] where there was one.
    pub(crate) fn saw(&mut self, id: u32) {
        if self.next().is_some() {
            self.forced += 1;
            return; // nothing is asked of the parser any more
        }
        if self.forced > 0 || self.parser.answering() {
            return;
        }
        self.spent += usize::from(self.parser.inside());
        self.parser.push(&self.detokenizer.push(id));
    }
}
