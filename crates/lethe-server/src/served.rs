//! The model that is served, and what was found out about it once.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lethe_engine::Engine;
use lethe_grammar::Grammars;
use lethe_model::{CpuBackend, Model, ThinkTags, Tokenizer};

use crate::output::tool_calls::ToolFormat;

/// A model and an engine that runs it.
pub struct Served {
    pub(crate) engine: Engine,
    pub(crate) model: Arc<Model<CpuBackend>>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) grammars: Arc<Grammars>,
    pub(crate) tags: Option<ThinkTags>,
    /// How the model writes calls, if it was made for any that can be read.
    pub(crate) tools: Option<ToolFormat>,
    /// Most sequences that run at once.
    pub(crate) max_num_seqs: usize,
    /// Seconds since 1970.
    pub(crate) loaded: u64,
}

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CannotServe {
    /// There is no text without one.
    #[error("this model has no tokenizer (no tokenizer.json, no vocabulary in the GGUF file): the server needs one")]
    NoTokenizer,
    /// Its vocabulary is of no use to grammars.
    #[error("{0}")]
    Grammar(#[from] lethe_grammar::GrammarError),
}

impl Served {
    /// Looks at a model whose engine runs.
    ///
    /// # Errors
    /// [`CannotServe`] for a model without a tokenizer.
    pub fn new(model: Arc<Model<CpuBackend>>, engine: Engine) -> Result<Served, CannotServe> {
        let tokenizer = Arc::clone(model.tokenizer.as_ref().ok_or(CannotServe::NoTokenizer)?);
        let grammars = Arc::new(Grammars::new(&tokenizer, model.decoder.dims.vocab, &model.end_ids)?);
        Ok(Served {
            tags: ThinkTags::of(model.chat_template.as_ref(), Some(&tokenizer)),
            tools: model.chat_template.as_ref().and_then(|template| ToolFormat::of(template.source())),
            max_num_seqs: engine.context().max_num_seqs,
            loaded: now(),
            tokenizer,
            grammars,
            engine,
            model,
        })
    }

    /// Positions of a sequence.
    pub(crate) fn max_positions(&self) -> usize {
        self.engine.context().max_positions
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or(0)
}
