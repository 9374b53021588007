//! Problems nobody memorised, and what each policy makes of them.
//!
//! [`problems`] draws seeded bookkeeping problems with one right chain of thought each, and checks answers to them.
//! [`reads`] and [`gold`] know what a right answer must look up, and where; [`misses`] counts what was gone by then, and
//! [`oracle`] is the policy that knows it beforehand. [`trace`] is one run with all that was forgotten in it.
//! [`statistics`] says how far a rate, or a difference of two, can be trusted.
#![forbid(unsafe_code)]

pub mod batch;
pub mod gold;
pub mod misses;
pub mod oracle;
pub mod problems;
pub mod question;
pub mod reads;
mod rng;
pub mod statistics;
pub mod trace;
