//! Models on disk, made usable.
//!
//! A model directory as Hugging Face lays it out holds a shape ([`Config`]), weights ([`Checkpoint`]), a vocabulary
//! ([`Tokenizer`]), a way to write chats ([`ChatTemplate`]) and sampling defaults ([`GenerationConfig`]). Each file has one
//! reader here, which either yields something the decoder graph computes correctly or says which key, tensor or line is
//! at fault. Text going back to the user passes the [`Detokenizer`], and the [`ThinkingParser`] tells its thinking from its
//! answer.
//!
//! ```no_run
//! use std::sync::Arc;
//! use lethe_model::{ChatTemplate, Checkpoint, Config, Detokenizer, Message, Tokenizer, TokenizerConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::from_dir("model")?;
//! let weights = Checkpoint::open("model")?;
//! let embedding = weights.tensor_of_shape("model.embed_tokens.weight", &[config.vocab_size, config.hidden_size])?;
//!
//! let tokenizer = Arc::new(Tokenizer::from_file("model/tokenizer.json")?);
//! let named = TokenizerConfig::from_dir("model")?;
//! let template = ChatTemplate::new(named.chat_template.as_deref().unwrap_or_default(), &named.special_tokens)?;
//! let prompt = template.render(&[Message::new("user", "Hello")], true, &Default::default())?;
//! let ids = tokenizer.encode(&prompt, false)?; // the template has written the special tokens
//!
//! let mut text = Detokenizer::new(tokenizer, ["\n\n"], true);
//! for id in ids {
//!     print!("{}", text.push(id));
//! }
//! println!("{}", text.finish());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod backend;
pub mod chat_prompt;
pub mod chat_template;
pub mod checkpoint;
pub mod config;
pub mod cpu;
mod decoder;
pub mod detokenizer;
pub mod generation_config;
pub mod ggml;
pub mod gguf;
pub mod graph;
pub mod json;
pub mod model;
mod python;
pub mod rope;
mod strftime;
pub mod thinking;
pub mod tokenizer;
pub mod tokenizer_config;
mod weights;

pub use backend::{Backend, Heads, Projection, Span};
pub use chat_prompt::{ChatPrompt, ChatPromptError};
pub use chat_template::{ChatTemplate, Message, TemplateError};
pub use checkpoint::{Checkpoint, CheckpointError, Dtype, TensorView};
pub use config::{Architecture, Config, ConfigError};
pub use cpu::CpuBackend;
pub use decoder::UnsupportedDecoder;
pub use detokenizer::Detokenizer;
pub use generation_config::{GenerationConfig, end_ids};
pub use ggml::GgmlType;
pub use gguf::{Gguf, GgufError, GgufWriter};
pub use graph::{Decoder, Dims, Sequences, Workspace};
pub use json::JsonError;
pub use lethe_kernels::{Pairing, RopeScaling};
pub use model::{LoadError, Model, ModelBytes};
pub use rope::Rope;
pub use thinking::{Piece, ThinkTags, ThinkingParser};
pub use tokenizer::{Tokenizer, TokenizerError};
pub use tokenizer_config::{TokenizerConfig, TokenizerConfigError};
