//! What `/v1/loads` says.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::remote::{Remote, RemoteError};

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLoads {
    /// The server does not answer, or refuses.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The server is another.
    #[error("{url} has no /v1/loads that Lethe would give ({reason}): is it a server of Lethe?")]
    Other {
        /// The server.
        url: String,
        /// What is missing.
        reason: String,
    },
}

/// How busy a server is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Loads {
    /// Of the server.
    pub(super) version: String,
    pub(super) engine: Engine,
}

/// As it is written: a list of engines, of which a server of Lethe has one.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    version: String,
    loads: Vec<Engine>,
}

/// How busy an engine is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Engine {
    pub(super) num_running_reqs: u64,
    /// Those that were preempted among them.
    pub(super) num_waiting_reqs: u64,
    #[serde(default)]
    pub(super) max_running_requests: u64,
    pub(super) lethe: Cache,
}

/// The cache. Counters grow from the server's start.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Cache {
    /// Slots of each layer, summed over the requests that run. `[layers]`
    pub(super) slots: Vec<u64>,
    pub(super) pages_free: u64,
    pub(super) pages_total: u64,
    /// Pages of the prefix cache.
    #[serde(default)]
    pub(super) cached_pages: u64,
    /// Requests set aside for want of pages.
    #[serde(default, alias = "parked")]
    pub(super) preempted: u64,
    /// Sessions between turns.
    #[serde(default)]
    pub(super) kept: u64,
    #[serde(flatten)]
    pub(super) counters: Counters,
}

/// What grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Counters {
    #[serde(default)]
    pub(super) prompt_tokens_total: u64,
    #[serde(default)]
    pub(super) generated_tokens_total: u64,
    /// Tokens of prompts that were looked up.
    #[serde(default)]
    pub(super) prefix_queries_total: u64,
    /// Those that were found.
    #[serde(default)]
    pub(super) prefix_hits_total: u64,
    #[serde(default)]
    pub(super) preemptions_total: u64,
    #[serde(default)]
    pub(super) rounds_total: u64,
    #[serde(default)]
    pub(super) evicted_slots_total: u64,
    #[serde(default)]
    pub(super) steps_total: u64,
}

impl Loads {
    /// Asks the server.
    pub(super) fn read(remote: &Remote, patience: Duration) -> Result<Loads, NoLoads> {
        let other = |reason: String| NoLoads::Other { url: remote.root().to_owned(), reason };
        match remote.get("/v1/loads", patience) {
            Ok(answer) => Loads::of(answer).map_err(other),
            Err(RemoteError::Status { status: status @ (404 | 405), .. }) => Err(other(format!("HTTP {status}"))),
            Err(error) => Err(error.into()),
        }
    }

    /// What an answer says, or what it lacks.
    fn of(answer: Value) -> Result<Loads, String> {
        let answer: Answer = serde_json::from_value(answer).map_err(|error| error.to_string())?;
        let engine = answer.loads.into_iter().next().ok_or("it names no engine")?;
        Ok(Loads { version: answer.version, engine })
    }
}

impl Cache {
    /// Pages that somebody holds.
    pub(super) fn pages_held(&self) -> u64 {
        self.pages_total.saturating_sub(self.pages_free)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read_and_what_they_lack_is_named() {
        let engine = json!({
            "dp_rank": 0, "num_running_reqs": 3, "num_waiting_reqs": 2, "max_running_requests": 16,
            "lethe": {"slots": [7, 9], "pages_free": 4, "pages_total": 10, "evicted_slots_total": 5, "unknown": null},
        });
        let loads = Loads::of(json!({"timestamp": 1.5, "version": "0.1.0", "loads": [engine]})).unwrap();
        let cache = &loads.engine.lethe;
        assert_eq!((loads.version.as_str(), loads.engine.num_running_reqs, cache.pages_held()), ("0.1.0", 3, 6));
        assert_eq!((cache.slots.as_slice(), cache.counters.evicted_slots_total), ([7, 9].as_slice(), 5));
        for (answer, word) in [
            (json!({"loads": []}), "no engine"),
            (json!({"data": []}), "loads"),
            (json!({"loads": [{"num_running_reqs": 1, "num_waiting_reqs": 0}]}), "lethe"),
        ] {
            let said = Loads::of(answer).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
