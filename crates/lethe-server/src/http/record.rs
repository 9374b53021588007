//! The line of the log about one generation.

use std::time::Instant;

use crate::error::ApiError;
use crate::protocol::usage::Usage;

/// Begun with a request; says how it ended, or that nobody waited for the end.
#[derive(Debug)]
pub(crate) struct Record {
    request_id: String,
    begun: Instant,
    told: bool,
}

impl Record {
    /// Begins now.
    pub(crate) fn new(request_id: &str) -> Record {
        Record { request_id: request_id.to_owned(), begun: Instant::now(), told: false }
    }

    fn ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// It was answered.
    pub(crate) fn finished(&mut self, usage: &Usage, finish_reason: &str) {
        self.told = true;
        tracing::info!(
            request_id = self.request_id,
            finish_reason,
            prompt_tokens = usage.prompt_tokens,
            cached_tokens = usage.prompt_tokens_details.cached_tokens,
            completion_tokens = usage.completion_tokens,
            policy = usage.kv.policy,
            rounds = usage.kv.rounds,
            evicted = usage.kv.evicted,
            ms = self.ms(),
            "answered"
        );
    }

    /// It was not.
    pub(crate) fn failed(&mut self, error: &ApiError) {
        self.told = true;
        let (status, code, ms) = (error.status, error.code, self.ms());
        if status >= 500 {
            tracing::error!(request_id = self.request_id, status, code, ms, "failed: {}", error.message);
        } else {
            tracing::info!(request_id = self.request_id, status, code, ms, "refused: {}", error.message);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.told {
            tracing::info!(request_id = self.request_id, ms = self.ms(), "the client went away");
        }
    }
}
