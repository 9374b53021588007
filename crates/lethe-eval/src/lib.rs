//! Problems nobody memorised, and what each policy makes of them.
//!
//! [`problems`] draws seeded bookkeeping problems with one right chain of thought each, and checks answers to them.
//! [`dataset`] reads questions that others wrote, and [`answers`] marks what is said to them.
//! [`grid`] asks them, or others, under every policy at every budget.
//! [`drift`] and [`perplexity`] say what a policy does to predictions, whatever comes of the answers.
//! [`statistics`] says how far a rate, or a difference of two, can be trusted.
#![forbid(unsafe_code)]

pub mod answers;
pub mod batch;
pub mod dataset;
pub mod drift;
mod forced;
pub mod grid;
pub mod perplexity;
pub mod problems;
pub mod question;
mod rng;
pub mod statistics;
