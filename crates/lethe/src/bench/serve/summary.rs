//! What a run says about the server.

use std::time::Duration;

use serde_json::{Value, json};

use super::chunk::Usage;
use super::load::Run;
use super::outcome::{Counts, Outcome};
use super::quantiles::Quantiles;

/// Throughput and latencies are those of the requests with a complete answer.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) counts: Counts,
    pub(super) duration: Duration,
    /// Most requests under way at once.
    pub(super) peak: usize,
    /// Requests under way, on average over the duration.
    pub(super) mean_concurrency: f64,
    /// Most that the client was behind its own plan.
    pub(super) late: Duration,
    pub(super) tokens: Tokens,
    /// Milliseconds to the first text.
    pub(super) ttft: Quantiles,
    /// Milliseconds between a text and the next.
    pub(super) itl: Quantiles,
    /// Milliseconds for each token after the first, a mean for each request.
    pub(super) tpot: Quantiles,
    /// Milliseconds to the end.
    pub(super) e2el: Quantiles,
    /// What the server says about its cache, if it does.
    pub(super) kv: Option<Kv>,
}

/// Tokens of complete answers, and of the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) prompt: u64,
    pub(super) output: u64,
    /// Of the prompts, taken from a cache.
    pub(super) cached: u64,
    /// Of the output, thinking.
    pub(super) reasoning: u64,
    /// Answers without the server's count of them, counted by chunks.
    pub(super) uncounted: usize,
    /// Received of requests that were cancelled or failed.
    pub(super) lost: u64,
}

/// `usage.kv` of the answers that have it.
#[derive(Debug, PartialEq)]
pub(super) struct Kv {
    pub(super) answers: usize,
    /// Means over answers and layers.
    pub(super) peak_slots: Option<f64>,
    pub(super) mean_slots: Option<f64>,
    /// Sums over answers and layers.
    pub(super) evicted: f64,
    pub(super) rounds: f64,
    pub(super) tightened: f64,
    /// Answers with warnings.
    pub(super) warned: usize,
}

impl Summary {
    pub(super) fn of(run: &Run) -> Summary {
        let done: Vec<&Outcome> = run.outcomes.iter().filter(|outcome| outcome.is_done()).collect();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let busy: f64 =
            run.outcomes.iter().map(|outcome| outcome.total.saturating_sub(outcome.late).as_secs_f64()).sum();
        Summary {
            counts: Counts::of(&run.outcomes),
            duration: run.duration,
            peak: run.peak,
            mean_concurrency: per(busy, run.duration),
            late: run.outcomes.iter().map(|outcome| outcome.late).max().unwrap_or_default(),
            tokens: Tokens::of(&run.outcomes),
            ttft: Quantiles::of(done.iter().filter_map(|outcome| outcome.first.map(ms)).collect()),
            itl: Quantiles::of(done.iter().flat_map(|o| &o.gaps).map(|gap| f64::from(*gap) * 1e3).collect()),
            tpot: Quantiles::of(done.iter().filter_map(|outcome| Some(outcome.per_token()? * 1e3)).collect()),
            e2el: Quantiles::of(done.iter().map(|outcome| ms(outcome.total)).collect()),
            kv: Kv::of(done.iter().filter_map(|outcome| outcome.usage.as_ref()).filter(|usage| usage.kv.is_some())),
        }
    }

    /// Complete answers per second.
    pub(super) fn requests_s(&self) -> f64 {
        per(self.counts.ok as f64, self.duration)
    }

    /// Generated tokens per second.
    pub(super) fn output_s(&self) -> f64 {
        per(self.tokens.output as f64, self.duration)
    }

    /// Tokens of prompts and generated ones per second.
    pub(super) fn total_s(&self) -> f64 {
        per((self.tokens.prompt + self.tokens.output) as f64, self.duration)
    }

    /// The part of the object of `--json` that was measured.
    pub(super) fn json(&self) -> Value {
        let failures: serde_json::Map<String, Value> = self
            .counts
            .kinds
            .iter()
            .map(|(kind, (count, first))| (kind.clone(), json!({ "count": count, "first": first.to_string() })))
            .collect();
        json!({
            "ok": self.counts.ok,
            "cancelled": self.counts.cancelled,
            "failed": self.counts.failed,
            "failures": failures,
            "without_done_mark": self.counts.unmarked,
            "duration_s": self.duration.as_secs_f64(),
            "peak_concurrency": self.peak,
            "mean_concurrency": self.mean_concurrency,
            "client_late_ms": self.late.as_secs_f64() * 1e3,
            "request_throughput": self.requests_s(),
            "output_throughput": self.output_s(),
            "total_token_throughput": self.total_s(),
            "prompt_tokens": self.tokens.prompt,
            "output_tokens": self.tokens.output,
            "cached_tokens": self.tokens.cached,
            "reasoning_tokens": self.tokens.reasoning,
            "answers_counted_by_chunks": self.tokens.uncounted,
            "lost_tokens": self.tokens.lost,
            "ttft_ms": self.ttft.json(),
            "itl_ms": self.itl.json(),
            "tpot_ms": self.tpot.json(),
            "e2el_ms": self.e2el.json(),
            "kv": self.kv.as_ref().map(Kv::json),
        })
    }
}

impl Tokens {
    fn of(outcomes: &[Outcome]) -> Tokens {
        let mut tokens = Tokens::default();
        for outcome in outcomes {
            if !outcome.is_done() {
                tokens.lost += outcome.output_tokens();
                continue;
            }
            let usage = outcome.usage.as_ref();
            tokens.prompt += outcome.prompt_tokens().unwrap_or(0);
            tokens.output += outcome.output_tokens();
            tokens.cached += usage.map_or(0, Usage::cached_tokens);
            tokens.reasoning += usage.map_or(0, Usage::reasoning_tokens);
            tokens.uncounted += usize::from(usage.is_none_or(|usage| usage.completion_tokens.is_none()));
        }
        tokens
    }
}

impl Kv {
    fn of<'a>(all: impl Iterator<Item = &'a Usage>) -> Option<Kv> {
        let all: Vec<&Usage> = all.collect();
        let mean = |key: &str| {
            let numbers: Vec<f64> = all.iter().filter_map(|usage| usage.kv_mean(key)).collect();
            Quantiles::of(numbers).mean()
        };
        let sum = |key: &str| all.iter().filter_map(|usage| usage.kv_sum(key)).sum();
        (!all.is_empty()).then(|| Kv {
            answers: all.len(),
            peak_slots: mean("peak_slots"),
            mean_slots: mean("mean_slots"),
            evicted: sum("evicted"),
            rounds: sum("rounds"),
            tightened: sum("tightened"),
            warned: all.iter().filter(|usage| usage.warnings() > 0).count(),
        })
    }

    fn json(&self) -> Value {
        json!({
            "answers": self.answers,
            "peak_slots_mean": self.peak_slots,
            "mean_slots_mean": self.mean_slots,
            "evicted": self.evicted,
            "rounds": self.rounds,
            "tightened": self.tightened,
            "answers_with_warnings": self.warned,
        })
    }
}

/// So much per second; nothing in no time.
fn per(amount: f64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { amount / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{End, Failure};
    use super::*;

    fn outcome(index: usize, texts: &[u64], total: u64, usage: Option<&str>, end: End) -> Outcome {
        let mut outcome = Outcome::new(index, Duration::from_millis(100 * index as u64));
        for at in texts {
            outcome.text(Duration::from_millis(*at));
        }
        outcome.total = Duration::from_millis(total);
        outcome.usage = usage.map(|text| serde_json::from_str(text).expect("usage"));
        outcome.end = end;
        outcome
    }

    fn close(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-3), "{a:?} is not {b}");
    }

    #[test]
    fn a_run_is_summed_up_over_complete_answers() {
        let done = || End::Done { reason: Some("stop".into()), marked: true };
        let usage = |peak: u32, warnings: &str| {
            format!(
                r#"{{"prompt_tokens": 10, "completion_tokens": 6, "prompt_tokens_details": {{"cached_tokens": 4}},
                     "kv": {{"peak_slots": [{peak}, {peak}], "evicted": 7, "rounds": [1, 2], "warnings": {warnings}}}}}"#
            )
        };
        let run = Run {
            outcomes: vec![
                outcome(0, &[100, 110, 140], 150, Some(&usage(20, "[]")), done()),
                outcome(1, &[300, 350], 400, None, done()),
                outcome(2, &[50], 60, None, End::Cancelled),
                outcome(3, &[], 5, None, End::Failed(Failure::Status(500, "no".into()))),
                outcome(4, &[200], 400, Some(&usage(40, r#"["loop"]"#)), done()),
            ],
            duration: Duration::from_secs(2),
            peak: 3,
        };
        let s = Summary::of(&run);
        assert_eq!((s.counts.ok, s.counts.cancelled, s.counts.failed, s.peak), (3, 1, 1, 3));
        assert_eq!(s.tokens, Tokens { prompt: 20, output: 14, cached: 8, reasoning: 0, uncounted: 1, lost: 1 });
        assert_eq!((s.requests_s(), s.output_s(), s.total_s()), (1.5, 7.0, 17.0));
        close(Some(s.mean_concurrency), (0.15 + 0.4 + 0.06 + 0.005 + 0.4) / 2.0);
        assert_eq!((s.ttft.len(), s.itl.len(), s.tpot.len(), s.e2el.len()), (3, 3, 3, 3));
        close(s.ttft.at(0.5), 200.0);
        close(s.itl.at(1.0), 50.0);
        close(s.itl.mean(), 30.0);
        close(s.tpot.at(1.0), 50.0); // by chunks; 40 ms over five tokens, and none over five where one chunk has all
        close(s.tpot.at(0.5), 8.0);
        close(s.e2el.at(0.5), 400.0);
        let kv = s.kv.as_ref().expect("the server says it");
        assert_eq!((kv.answers, kv.peak_slots, kv.mean_slots), (2, Some(30.0), None));
        assert_eq!((kv.evicted, kv.rounds, kv.warned), (14.0, 6.0, 1));
        let json = s.json();
        assert_eq!((&json["ok"], &json["failures"]["HTTP 500"]["count"]), (&3.into(), &1.into()));
        assert_eq!((&json["itl_ms"]["samples"], &json["kv"]["evicted"]), (&3.into(), &14.0.into()));
    }

    #[test]
    fn a_run_without_answers_has_no_latencies() {
        let failed = End::Failed(Failure::Timeout(Duration::from_secs(1)));
        let run = Run { outcomes: vec![outcome(0, &[], 0, None, failed)], duration: Duration::ZERO, peak: 1 };
        let s = Summary::of(&run);
        assert_eq!((s.requests_s(), s.ttft.row(), s.kv.is_none()), (0.0, [None; 5], true));
        assert_eq!(s.json()["ttft_ms"]["p99"], Value::Null);
    }
}
