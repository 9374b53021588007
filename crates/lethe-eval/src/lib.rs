//! Problems nobody memorised, and what each policy makes of them.
//!
//! [`problems`] draws seeded bookkeeping problems with one right chain of thought each, and checks answers to them.
//! [`statistics`] says how far a rate, or a difference of two, can be trusted.
#![forbid(unsafe_code)]

pub mod answers;
pub mod batch;
pub mod dataset;
pub mod drift;
mod forced;
pub mod perplexity;
pub mod problems;
pub mod question;
mod rng;
pub mod statistics;
