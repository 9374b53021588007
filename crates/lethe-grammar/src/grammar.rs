//! One grammar on its way through one answer.

use std::fmt;
use std::sync::Arc;

use lethe_engine::{Constraint, ConstraintError};
use llguidance::{Matcher, ParserFactory};

/// A compiled grammar and where it stands.
pub(crate) struct Grammar {
    matcher: Matcher,
    factory: Arc<ParserFactory>, // has the trie
    end_ids: Arc<[u32]>,
    ended: bool, // by an end id
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").field("state", &self.matcher.stop_reason()).finish_non_exhaustive()
    }
}

impl Grammar {
    pub(crate) fn new(matcher: Matcher, factory: Arc<ParserFactory>, end_ids: Arc<[u32]>) -> Grammar {
        Grammar { matcher, factory, end_ids, ended: false }
    }

    /// Whether the answer may end here.
    fn complete(&mut self) -> Result<bool, ConstraintError> {
        Ok(self.finished() || self.matcher.is_accepting().map_err(failed)?)
    }
}

/// The first line: what follows is for the authors of the parser.
fn failed(error: impl fmt::Display) -> ConstraintError {
    ConstraintError(error.to_string().lines().next().unwrap_or_default().to_owned())
}

impl Constraint for Grammar {
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        let vocab = self.factory.tok_env().tok_trie().vocab_size();
        if logits.len() != vocab {
            return Err(ConstraintError(format!("it is for {vocab} tokens, the model has {}", logits.len())));
        }
        let complete = self.complete()?;
        let allowed = if self.finished() { None } else { Some(self.matcher.compute_mask().map_err(failed)?) };
        for (id, logit) in logits.iter_mut().enumerate() {
            let id = id as u32;
            let fits = match self.end_ids.contains(&id) {
                true => complete,
                false => allowed.as_ref().is_some_and(|allowed| allowed.is_allowed(id)),
            };
            if !fits {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn commit(&mut self, id: u32) -> Result<(), ConstraintError> {
        if self.finished() || self.end_ids.contains(&id) {
            self.ended = self.end_ids.contains(&id) && self.complete()?;
            return if self.ended { Ok(()) } else { Err(ConstraintError(format!("token {id} may not come here"))) };
        }
        self.matcher.consume_token(id).map_err(failed)
    }

    fn finished(&self) -> bool {
        self.ended || (self.matcher.is_stopped() && self.matcher.stop_reason().is_ok())
    }

    fn bytes(&self, id: u32) -> &[u8] {
        self.factory.tok_env().tok_trie().token(id)
    }

    fn boxed(&self) -> Box<dyn Constraint> {
        let (factory, end_ids) = (Arc::clone(&self.factory), Arc::clone(&self.end_ids));
        Box::new(Grammar { matcher: self.matcher.deep_clone(), factory, end_ids, ended: self.ended })
    }
}
