//! The OpenAI API over HTTP.
//!
//! ```text
//! connection -> router (keys, request ids) -> prepare (a worker: template, ids, grammar) -> Engine::post
//!   engine's thread -> events, counted, never waited for -> run: thinking, calls, probabilities -> JSON or a stream of it
//! ```
//!
//! HTTP runs on one thread beside the engine's. Neither waits for the other: whoever reads too slowly loses the request.
#![forbid(unsafe_code)]

mod error;
mod http;
mod metrics;
mod options;
mod output;
mod prepare;
mod protocol;
mod run;
mod served;

pub use http::server::{ServeError, Server, Stopper};
pub use options::{Options, Reasoning};
pub use served::{CannotServe, Served};
