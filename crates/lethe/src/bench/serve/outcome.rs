//! What became of one request.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::chunk::Usage;

/// Why a request brought no complete answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// There was no connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// Another status than 200, and what the server says.
    #[error("HTTP {0}: {1}")]
    Status(u16, String),
    /// A whole answer where events were asked for.
    #[error("the answer is {0}, not a stream of events (text/event-stream)")]
    NoStream(String),
    /// The connection ended before the answer did.
    #[error("the connection ended {0}")]
    Disconnect(String),
    /// It took longer than it may.
    #[error("no end within the {0:?} of --timeout")]
    Timeout(Duration),
    /// What came is not what the API says.
    #[error("malformed stream: {0}")]
    Malformed(String),
    /// The server reported an error in the stream.
    #[error("the server reports: {0}")]
    Reported(String),
    /// The client itself could not go on.
    #[error("the client cannot go on: {0}")]
    Client(String),
}

impl Failure {
    /// The kind it is counted under.
    pub(super) fn kind(&self) -> String {
        match self {
            Failure::Connect(_) => "connect".to_owned(),
            Failure::Status(status, _) => format!("HTTP {status}"),
            Failure::NoStream(_) => "no stream".to_owned(),
            Failure::Disconnect(_) => "disconnect".to_owned(),
            Failure::Timeout(_) => "timeout".to_owned(),
            Failure::Malformed(_) => "malformed stream".to_owned(),
            Failure::Reported(_) => "error event".to_owned(),
            Failure::Client(_) => "client".to_owned(),
        }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a complete answer; `marked` when `[DONE]` followed it.
    Done {
        /// `finish_reason` of the answer.
        reason: Option<String>,
        /// The stream had its end mark.
        marked: bool,
    },
    /// Dropped by us, as planned.
    Cancelled,
    /// Otherwise.
    Failed(Failure),
}

/// A request that is over. Times are since it was due.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Its place in the plan.
    pub(super) index: usize,
    /// When it was due, since the run began.
    pub(super) due: Duration,
    /// How much later it was sent: the client's own delay.
    pub(super) late: Duration,
    /// When the first text came.
    pub(super) first: Option<Duration>,
    /// Seconds between each text and the next.
    pub(super) gaps: Vec<f32>,
    /// When the last text came.
    pub(super) last: Duration,
    /// When it was over.
    pub(super) total: Duration,
    /// Chunks with text.
    pub(super) chunks: u64,
    /// The server's counts, where it gives them.
    pub(super) usage: Option<Usage>,
    pub(super) end: End,
}

impl Outcome {
    /// One that nothing was received of.
    pub(super) fn new(index: usize, due: Duration) -> Outcome {
        Outcome {
            index,
            due,
            late: Duration::ZERO,
            first: None,
            gaps: Vec::new(),
            last: Duration::ZERO,
            total: Duration::ZERO,
            chunks: 0,
            usage: None,
            end: End::Cancelled,
        }
    }

    /// Text came, so long after the request was due.
    pub(super) fn text(&mut self, at: Duration) {
        match self.first {
            None => self.first = Some(at),
            Some(_) => self.gaps.push(at.saturating_sub(self.last).as_secs_f32()),
        }
        self.last = at;
        self.chunks += 1;
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.end, End::Done { .. })
    }

    /// Tokens generated, as the server counts them, else chunks with text.
    pub(super) fn output_tokens(&self) -> u64 {
        self.usage.as_ref().and_then(|usage| usage.completion_tokens).unwrap_or(self.chunks)
    }

    /// Tokens of the prompt as the server counts them.
    pub(super) fn prompt_tokens(&self) -> Option<u64> {
        self.usage.as_ref().and_then(|usage| usage.prompt_tokens)
    }

    /// Seconds for each token after the first.
    pub(super) fn per_token(&self) -> Option<f64> {
        let (first, tokens) = (self.first?, self.output_tokens());
        (tokens > 1).then(|| self.last.saturating_sub(first).as_secs_f64() / (tokens - 1) as f64)
    }

    /// The object of `--rows`. Times in milliseconds, but `due_s`.
    pub(super) fn json(&self) -> Value {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (status, reason) = match &self.end {
            End::Done { reason, .. } => ("ok", reason.clone()),
            End::Cancelled => ("cancelled", None),
            End::Failed(failure) => ("failed", Some(failure.to_string())),
        };
        let kind = if let End::Failed(failure) = &self.end { Some(failure.kind()) } else { None };
        let most =
            self.gaps.iter().copied().fold(None, |most: Option<f32>, gap| Some(most.map_or(gap, |m| m.max(gap))));
        json!({
            "index": self.index,
            "due_s": self.due.as_secs_f64(),
            "late_ms": ms(self.late),
            "status": status,
            "reason": reason,
            "kind": kind,
            "prompt_tokens": self.prompt_tokens(),
            "output_tokens": self.output_tokens(),
            "chunks": self.chunks,
            "ttft_ms": self.first.map(ms),
            "tpot_ms": self.per_token().map(|seconds| seconds * 1e3),
            "itl_max_ms": most.map(|seconds| f64::from(seconds) * 1e3),
            "e2el_ms": ms(self.total),
            "cached_tokens": self.usage.as_ref().map(Usage::cached_tokens),
            "reasoning_tokens": self.usage.as_ref().map(Usage::reasoning_tokens),
            "kv": self.usage.as_ref().and_then(|usage| usage.kv.as_ref()),
        })
    }
}

/// How many requests ended how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ok: usize,
    pub(super) cancelled: usize,
    pub(super) failed: usize,
    /// Complete answers whose stream did not end in `[DONE]`.
    pub(super) unmarked: usize,
    /// Failures by kind, with one that shows it.
    pub(super) kinds: BTreeMap<String, (usize, Failure)>,
}

impl Counts {
    pub(super) fn of(outcomes: &[Outcome]) -> Counts {
        let mut counts = Counts::default();
        for outcome in outcomes {
            match &outcome.end {
                End::Done { marked, .. } => {
                    counts.ok += 1;
                    counts.unmarked += usize::from(!marked);
                }
                End::Cancelled => counts.cancelled += 1,
                End::Failed(failure) => {
                    counts.failed += 1;
                    counts.kinds.entry(failure.kind()).or_insert_with(|| (0, failure.clone())).0 += 1;
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_servers_where_it_counts_them() {
        let mut outcome = Outcome::new(3, Duration::from_secs(1));
        for ms in [100, 120, 180] {
            outcome.text(Duration::from_millis(ms));
        }
        assert_eq!((outcome.first, outcome.last), (Some(Duration::from_millis(100)), Duration::from_millis(180)));
        assert_eq!(outcome.output_tokens(), 3);
        assert!((outcome.per_token().unwrap() - 0.04).abs() < 1e-9);
        assert!((outcome.gaps[0] - 0.02).abs() < 1e-6 && (outcome.gaps[1] - 0.06).abs() < 1e-6);
        outcome.usage = serde_json::from_str(r#"{"prompt_tokens": 8, "completion_tokens": 5}"#).ok();
        assert_eq!((outcome.output_tokens(), outcome.prompt_tokens()), (5, Some(8)));
        assert!((outcome.per_token().unwrap() - 0.02).abs() < 1e-9);
        let one = Outcome { chunks: 1, usage: None, gaps: Vec::new(), ..outcome };
        assert_eq!(one.per_token(), None);
    }

    #[test]
    fn ends_are_counted_by_kind() {
        let with = |end| Outcome { end, ..Outcome::new(0, Duration::ZERO) };
        let done = |marked| End::Done { reason: Some("stop".into()), marked };
        let status = |code: u16, text: &str| End::Failed(Failure::Status(code, text.into()));
        let all = [done(true), done(false), End::Cancelled, status(429, "full"), status(429, "still"), status(500, "")];
        let counts = Counts::of(&all.map(with));
        assert_eq!((counts.ok, counts.unmarked, counts.cancelled, counts.failed), (2, 1, 1, 3));
        let kinds: Vec<_> =
            counts.kinds.iter().map(|(kind, (n, first))| (kind.as_str(), *n, first.to_string())).collect();
        assert_eq!(kinds, [("HTTP 429", 2, "HTTP 429: full".into()), ("HTTP 500", 1, "HTTP 500: ".into())]);
    }
}
