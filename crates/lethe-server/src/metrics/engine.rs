//! What the engine counts, read at each scrape.

use std::fmt;
use std::sync::{Arc, OnceLock};

use lethe_engine::Load;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::served::Served;

/// Whose names are used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Naming {
    Lethe,
    Vllm,
}

/// Reads the engine that is in `served`; nothing while the model loads.
pub(super) struct OfEngine {
    pub(super) served: Arc<OnceLock<Arc<Served>>>,
    pub(super) naming: Naming,
}

impl fmt::Debug for OfEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfEngine({:?})", self.naming)
    }
}

/// Share of the pool that is held.
pub(crate) fn pool_usage(load: &Load) -> f64 {
    1.0 - load.pages_free as f64 / load.pages_total.max(1) as f64
}

impl Collector for OfEngine {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(served) = self.served.get() else { return Ok(()) };
        let load = served.engine.load();
        let (gauges, counters) = match self.naming {
            Naming::Lethe => (own_gauges(&load), own_counters(&load)),
            Naming::Vllm => (vllm_gauges(&load), vllm_counters(&load)),
        };
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        if let Naming::Lethe = self.naming {
            let help = "Slots of a layer, summed over the requests that run";
            let kind = ConstGauge::new(0i64).metric_type();
            let mut family = encoder.encode_descriptor("lethe_kv_slots", help, None, kind)?;
            for (layer, slots) in load.slots.iter().enumerate() {
                let labels = [("layer", layer.to_string())];
                ConstGauge::new(*slots as i64).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

type Gauges = Vec<(&'static str, &'static str, f64)>;
type Counters = Vec<(&'static str, &'static str, u64)>;

fn own_gauges(load: &Load) -> Gauges {
    vec![
        ("lethe_requests_running", "Requests that run", load.running as f64),
        ("lethe_requests_waiting", "Requests that wait", load.waiting as f64),
        ("lethe_requests_preempted", "Requests set aside for want of memory", load.parked as f64),
        ("lethe_kv_pages_free", "Pages that nobody holds", load.pages_free as f64),
        ("lethe_kv_pages_total", "Pages of the pool", load.pages_total as f64),
        ("lethe_kv_pages_cached", "Pages of the prefix cache", load.cached_pages as f64),
    ]
}

fn own_counters(load: &Load) -> Counters {
    vec![
        ("lethe_prompt_tokens", "Tokens of prompts", load.prompt_tokens),
        ("lethe_generated_tokens", "Tokens generated", load.generated_tokens),
        ("lethe_prefix_query_tokens", "Tokens of prompts looked up in the prefix cache", load.prefix_queries),
        ("lethe_prefix_hit_tokens", "Tokens of prompts that the prefix cache had", load.prefix_hits),
        ("lethe_preemptions", "Times that a request was set aside", load.preemptions),
        ("lethe_rounds", "Prunings of layers", load.rounds),
        ("lethe_evicted_slots", "Slots forgotten", load.evicted_slots),
        ("lethe_steps", "Steps", load.steps),
        ("lethe_integrity_checks", "Times that all pages were checked, while idle", load.integrity_checks),
        ("lethe_integrity_failures", "How many of these found a defect", load.integrity_failures),
    ]
}

fn vllm_gauges(load: &Load) -> Gauges {
    vec![
        ("vllm:num_requests_running", "Requests that run", load.running as f64),
        ("vllm:num_requests_waiting", "Requests that wait", (load.waiting + load.parked) as f64),
        ("vllm:kv_cache_usage_perc", "Share of the KV cache that is held, from 0 to 1", pool_usage(load)),
    ]
}

fn vllm_counters(load: &Load) -> Counters {
    vec![
        ("vllm:prompt_tokens", "Tokens of prompts", load.prompt_tokens),
        ("vllm:generation_tokens", "Tokens generated", load.generated_tokens),
        ("vllm:prefix_cache_queries", "Tokens of prompts looked up in the prefix cache", load.prefix_queries),
        ("vllm:prefix_cache_hits", "Tokens of prompts that the prefix cache had", load.prefix_hits),
        ("vllm:num_preemptions", "Times that a request was set aside", load.preemptions),
    ]
}
