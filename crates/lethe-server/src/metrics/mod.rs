//! What Prometheus may know: under our own names, and under those of vLLM that routers and dashboards read.

mod clock;
mod engine;

use std::sync::{Arc, OnceLock};

use lethe_engine::FinishReason;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

pub(crate) use clock::Clock;

use crate::metrics::engine::{Naming, OfEngine};
use crate::served::Served;
pub(crate) use engine::pool_usage;

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type ByReason = Family<[(&'static str, &'static str); 1], Counter>;

/// Everything that is measured here; what the engine counts is asked at each scrape.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    measured: Measured,
    refused: Counter,
}

/// What is measured of each choice.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    first_token: Histogram,
    between_tokens: Histogram,
    whole: Histogram,
    queued: Histogram,
    dropped_mass: Histogram,
    ended: ByReason,
}

/// Seconds from a millisecond to ten minutes.
const LATENCY: [f64; 18] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0, 600.0];
const SHARES: [f64; 10] = [0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];

impl Metrics {
    /// For the model of this name, whose engine will be in `served`.
    pub(crate) fn new(model: &str, served: &Arc<OnceLock<Arc<Served>>>) -> Metrics {
        let latency = || Histogram::new(LATENCY);
        let measured = Measured {
            first_token: latency(),
            between_tokens: latency(),
            whole: latency(),
            queued: latency(),
            dropped_mass: Histogram::new(SHARES),
            ended: ByReason::default(),
        };
        let refused = Counter::default();
        let mut registry = Registry::default();
        let m = &measured;
        let first = ("time_to_first_token_seconds", "From the request to its first token", &m.first_token);
        let between = ("inter_token_latency_seconds", "From one token to the next", &m.between_tokens);
        for (name, help, histogram) in [
            first,
            between,
            ("request_seconds", "From the request to its last token", &m.whole),
            ("queue_seconds", "From the request to its admission", &m.queued),
            ("dropped_mass", "Score dropped by a round, as a share of the score before", &m.dropped_mass),
        ] {
            registry.register(format!("lethe_{name}"), help, histogram.clone());
        }
        registry.register("lethe_requests", "Requests that ended, by reason", m.ended.clone());
        registry.register("lethe_requests_refused", "Requests that the engine did not take", refused.clone());
        registry.register_collector(Box::new(OfEngine { served: Arc::clone(served), naming: Naming::Lethe }));

        let vllm = registry.sub_registry_with_label(("model_name".into(), model.to_owned().into()));
        for (name, help, histogram) in [
            first,
            between,
            ("e2e_request_latency_seconds", "From the request to its last token", &m.whole),
            ("request_queue_time_seconds", "From the request to its admission", &m.queued),
        ] {
            vllm.register(format!("vllm:{name}"), help, histogram.clone());
        }
        vllm.register("vllm:request_success", "Requests that ended, by reason", m.ended.clone());
        vllm.register_collector(Box::new(OfEngine { served: Arc::clone(served), naming: Naming::Vllm }));
        Metrics { registry, measured, refused }
    }

    /// Measures one choice, from now.
    pub(crate) fn clock(&self) -> Clock {
        Clock::new(self.measured.clone())
    }

    /// A request was refused.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// All of it, in the text format of OpenMetrics.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Cancelled => "abort",
        FinishReason::Repetition => "repetition",
    }
}
