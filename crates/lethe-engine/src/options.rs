//! How large an engine is, and why one cannot be made.

use std::path::PathBuf;

use lethe_kv::KvDtype;

/// Limits and sizes of an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes for the KV pool: pages, scores, positions and policy state.
    pub kv_memory: u64,
    /// Element type of cached keys and values.
    pub kv_dtype: KvDtype,
    /// Most sequences that run at once.
    pub max_num_seqs: usize,
    /// Most rows of a step, prompts and decodes together.
    pub max_batched_tokens: usize,
    /// Most rows of one prompt in a step.
    pub prefill_chunk: usize,
    /// Most positions of a sequence; `None` is what the model has.
    pub max_model_len: Option<usize>,
    /// Most requests that wait for their turn; more are refused.
    pub max_queue: usize,
    /// Slots in every lane that a sequence is promised beyond what it holds, at admission and after a round: about as many as come
    /// between two rounds. More make others wait for room that may never be used, fewer park sequences more often.
    pub head_room: usize,
    /// Keep complete pages of earlier prompts while nobody needs their room, and lend them to prompts that begin alike.
    pub prefix_cache: bool,
    /// Bytes outside the pool for sequences that had to make room; more go to files.
    pub park_memory: u64,
    /// Where these files are made, without a name; `None` is the system's place for temporary files.
    pub park_dir: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            kv_memory: 1 << 30,
            kv_dtype: KvDtype::F16,
            max_num_seqs: 1,
            max_batched_tokens: 512,
            prefill_chunk: 512,
            max_model_len: None,
            max_queue: 1024,
            head_room: 128,
            prefix_cache: false,
            park_memory: 1 << 30,
            park_dir: None,
        }
    }
}

/// An engine that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The pool holds not even one page of every lane.
    #[error(
        "{given} bytes of KV memory hold {pages} pages; this model needs at least {needed} \
         (one page of each of its lanes, {least} bytes): raise --kv-memory"
    )]
    PoolTooSmall {
        /// Bytes given.
        given: u64,
        /// Pages that makes.
        pages: usize,
        /// Pages needed.
        needed: usize,
        /// Bytes needed.
        least: u64,
    },
    /// More memory than there is.
    #[error("a KV pool of {asked} bytes was asked for, {available} are available: lower --kv-memory")]
    PoolTooLarge {
        /// Bytes asked for.
        asked: u64,
        /// Bytes available.
        available: u64,
    },
    /// More positions than the model was made for.
    #[error("max_model_len is {asked}, the model has {limit} positions")]
    TooLong {
        /// Positions asked for.
        asked: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// A limit of zero, or a batch that cannot hold one row of every sequence.
    #[error("{0}")]
    BadLimit(&'static str),
    /// The operating system gave no thread.
    #[error("the engine's thread could not be started: {0}")]
    Thread(String),
}
