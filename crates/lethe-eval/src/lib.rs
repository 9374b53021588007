//! Problems nobody memorised, and what each policy makes of them.
//!
//! [`problems`] draws seeded bookkeeping problems with one right chain of thought each, and checks answers to them.
//! [`statistics`] says how far a rate, or a difference of two, can be trusted.
#![forbid(unsafe_code)]

pub mod batch;
pub mod gold;
pub mod problems;
pub mod question;
pub mod reads;
mod rng;
pub mod statistics;
