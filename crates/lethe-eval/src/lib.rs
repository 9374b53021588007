//! Problems nobody memorised, and what each policy makes of them.
//!
//! [`problems`] draws seeded bookkeeping problems with one right chain of thought each, and checks answers to them.
//! [`reads`] and [`gold`] know what a right answer must look up, and where; [`misses`] counts what was gone by then
//! ([`recite`] for the whole of it), and [`oracle`] is the policy that knows it beforehand. [`trace`] is one run with all that was forgotten in it.
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
pub mod gold;
pub mod grid;
pub mod misses;
pub mod oracle;
pub mod perplexity;
pub mod problems;
pub mod question;
pub mod reads;
pub mod recite;
mod rng;
pub mod statistics;
pub mod trace;
