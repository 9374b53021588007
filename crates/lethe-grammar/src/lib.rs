//! Grammars that answers follow: any JSON object, JSON of a schema, a regular expression, one of several texts, Lark.
//!
//! The engine asks a [`Constraint`](lethe_engine::Constraint) which tokens may come; here one is made of `llguidance`, which
//! walks a trie of the vocabulary in bytes. [`Grammars`] holds that trie, one for a model, and compiles: do so away from the
//! engine's thread, when a request comes in.
//!
//! ```no_run
//! # fn model() -> lethe_model::Model<lethe_model::CpuBackend> { unimplemented!() }
//! use lethe_engine::{AfterThinking, Constrained, Generation};
//! use lethe_grammar::Grammars;
//! use lethe_model::ThinkTags;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = model();
//! let tokenizer = model.tokenizer.as_ref().ok_or("no tokenizer")?;
//! let grammars = Grammars::new(tokenizer, model.decoder.dims.vocab, &model.end_ids)?;
//! let schema = serde_json::json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
//! let constraint = Some(Constrained {
//!     grammar: grammars.json_schema(&schema)?,
//!     after_thinking: Some(AfterThinking { tags: ThinkTags::THINK, starts_inside: false }),
//! });
//! let generation = Generation { constraint, ..Generation::default() };
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod grammar;
mod grammars;
mod limits;

pub use grammars::{GrammarError, Grammars};
pub use limits::{MAX_BYTES, MAX_DEPTH};
