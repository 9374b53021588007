//! The engine: requests in, tokens out, caches that forget in between.
//!
//! ```text
//! Engine::submit -> Core: queue -> admit (room for the prompt) -> Plan (ragged batch: decodes, then prompt chunks)
//!   -> Decoder::forward over the caches -> mass into scores -> sample -> Event::Token
//!   -> rounds: policy -> keep set -> pages freed
//! pool dry -> prefix cache evicted -> idle sessions parked -> youngest sequence parked, and back when there is room
//! ```
//!
//! Greedy output of a request does not depend on what else is in the batch, on chunk sizes or on threads: same bits.
#![forbid(unsafe_code)]

mod admission;
mod batch;
mod choice;
mod constraint;
mod core;
mod engine;
mod event;
mod evidence;
mod load;
mod logprobs;
mod looped;
mod making_room;
mod memory;
mod options;
mod parking;
mod prompt_logprobs;
mod queries;
mod repetition;
mod request;
mod resume;
mod rounds;
mod sampling;
mod sequence;
mod submit;
mod thinking;

pub use crate::core::Core;
pub use constraint::{AfterThinking, Constrained, Constraint, ConstraintError};
pub use engine::{Engine, Handle, Stream};
pub use event::{
    DroppedMass, Event, Failure, FinishReason, Finished, KvReport, Levels, Limit, Round, RoundDetail, ScoreSummary,
    StoppedBy, Timing, Usage,
};
pub use load::Load;
pub use logprobs::{MAX_LOGPROBS, TokenLogprobs};
pub use memory::{BadMemoryAmount, MemoryAmount, available_memory, human_bytes};
pub use options::{EngineError, EngineOptions};
pub use repetition::RepetitionDetection;
pub use request::{Generation, Request, SubmitError};
pub use sampling::{BadSampling, SampleScratch, Sampler, Sampling, argmax, uniform};
pub use thinking::ThinkingBudget;
