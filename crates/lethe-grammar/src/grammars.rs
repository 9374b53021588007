//! From what a request asks for to a grammar over the model's tokens.

use std::fmt;
use std::sync::Arc;

use lethe_engine::Constraint;
use lethe_model::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Map, Value, json};

use crate::grammar::Grammar;
use crate::limits;

/// White space between the parts of JSON: as much as people write, and not so much that a model could go on with it for
/// ever.
const WHITESPACE: &str = r"[\x20\x0A\x0D\x09]{1,40}";

/// Longest token that the trie takes; the few vocabularies with longer ones have them for rules and blanks.
const LONGEST_TOKEN: usize = 512;

/// A grammar that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// Something it holds is not supported, contradicts itself, or costs too much.
    #[error("the grammar cannot be used: {0}")]
    Unsupported(String),
    /// Too many bytes.
    #[error("the grammar has {bytes} bytes, at most {} are read", limits::MAX_BYTES)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Nested too deeply.
    #[error("the schema is nested more than {} levels deep", limits::MAX_DEPTH)]
    TooDeep,
    /// A schema is an object, or `true`.
    #[error("the schema is {0}, where an object is expected")]
    NoSchema(String),
    /// Nothing to choose from.
    #[error("there is nothing to choose from: give at least one text, and none that is empty")]
    NoChoice,
}

/// Makes grammars for the tokens of one model. Cheap to clone.
#[derive(Clone)]
pub struct Grammars {
    factory: Arc<ParserFactory>,
    end_ids: Arc<[u32]>,
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").field("end_ids", &self.end_ids).finish_non_exhaustive()
    }
}

impl Grammars {
    /// For a model with `vocab` rows of logits, of which the tokenizer may know fewer, and ids that end its answers.
    ///
    /// # Errors
    /// [`GrammarError::Unsupported`] for a vocabulary that no trie can be made of.
    pub fn new(tokenizer: &Tokenizer, vocab: usize, end_ids: &[u32]) -> Result<Grammars, GrammarError> {
        let marker = TokTrie::SPECIAL_TOKEN_MARKER;
        let text = |id: u32| {
            let bytes = tokenizer.bytes(id);
            // An end is no text, and what begins with the marker would not be taken for text.
            let odd = bytes.len() > LONGEST_TOKEN || (bytes.len() > 1 && bytes[0] == marker);
            if odd || end_ids.contains(&id) { Vec::new() } else { bytes }
        };
        let words: Vec<Vec<u8>> = (0..vocab as u32).map(text).collect();
        let end_ids: Arc<[u32]> = end_ids.iter().copied().filter(|&id| (id as usize) < vocab).collect();
        let end = end_ids.first().copied().unwrap_or(INVALID_TOKEN);
        let trie = TokTrie::from(&TokRxInfo::new(vocab as u32, end), &words);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&env).map_err(|e| GrammarError::Unsupported(e.to_string()))?;
        factory.quiet();
        *factory.limits_mut() = limits::parser();
        Ok(Grammars { factory: Arc::new(factory), end_ids })
    }

    /// Any JSON object.
    ///
    /// # Errors
    /// As [`Grammars::json_schema`].
    pub fn json_object(&self) -> Result<Box<dyn Constraint>, GrammarError> {
        self.json_schema(&json!({"type": "object"}))
    }

    /// JSON of a schema (2020-12 as far as it can be said while text grows; properties come in the order of the schema).
    ///
    /// # Errors
    /// [`GrammarError`] that says what in it is not supported; nothing is left out silently.
    pub fn json_schema(&self, schema: &Value) -> Result<Box<dyn Constraint>, GrammarError> {
        limits::check_schema(schema)?;
        let mut schema = match schema {
            Value::Object(map) => map.clone(),
            Value::Bool(true) => Map::new(),
            other => return Err(GrammarError::NoSchema(other.to_string().chars().take(60).collect())),
        };
        // Ours alone: it could switch checks off.
        schema.insert("x-guidance".into(), json!({"whitespace_pattern": WHITESPACE}));
        self.compile(TopLevelGrammar::from_json_schema(Value::Object(schema)))
    }

    /// Text that a regular expression matches as a whole (no look-around, no back-references).
    ///
    /// # Errors
    /// [`GrammarError`].
    pub fn regex(&self, pattern: &str) -> Result<Box<dyn Constraint>, GrammarError> {
        limits::check_text(pattern)?;
        self.compile(TopLevelGrammar::from_regex(pattern))
    }

    /// One of the texts.
    ///
    /// # Errors
    /// [`GrammarError`].
    pub fn choice<S: AsRef<str>>(&self, texts: &[S]) -> Result<Box<dyn Constraint>, GrammarError> {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
            return Err(GrammarError::NoChoice);
        }
        let quoted: Vec<String> = texts.iter().map(|text| Value::from(*text).to_string()).collect();
        self.lark(&format!("start: {}", quoted.join(" | ")))
    }

    /// A context-free grammar in the Lark notation of `llguidance`, whose rule `start` is the whole answer.
    ///
    /// # Errors
    /// [`GrammarError`].
    pub fn lark(&self, grammar: &str) -> Result<Box<dyn Constraint>, GrammarError> {
        limits::check_text(grammar)?;
        self.compile(TopLevelGrammar::from_lark(grammar.to_owned()))
    }

    fn compile(&self, grammar: TopLevelGrammar) -> Result<Box<dyn Constraint>, GrammarError> {
        // The whole chain of causes: the outermost names the place, the innermost the trouble.
        let parser = self.factory.create_parser(grammar).map_err(|e| GrammarError::Unsupported(format!("{e:#}")))?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(error) => Err(GrammarError::Unsupported(error)),
            None => Ok(Box::new(Grammar::new(matcher, Arc::clone(&self.factory), Arc::clone(&self.end_ids)))),
        }
    }
}
