//! What the server says of itself.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::response::Response;

use crate::error::ApiError;
use crate::http::app::App;
use crate::http::reply;
use crate::metrics::{CONTENT_TYPE, pool_usage};
use crate::prepare::no_model;
use crate::protocol::loads::{AggregateLoad, CacheLoad, Loads, RankLoad};
use crate::protocol::models::{ModelCard, ModelList, Status, Version};
use crate::served::Served;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /health`: the process lives.
pub(crate) async fn health() -> Response {
    reply::json(&Status { status: "ok" })
}

/// `GET /ready`: requests are answered.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    app.ready()?;
    Ok(reply::json(&Status { status: "ready" }))
}

/// `GET /version`.
pub(crate) async fn version() -> Response {
    reply::json(&Version { version: VERSION })
}

/// `GET /openapi.json`.
pub(crate) async fn openapi(State(app): State<Arc<App>>) -> Response {
    reply::with_type(HeaderValue::from_static("application/json"), app.openapi().into())
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    reply::with_type(HeaderValue::from_static(CONTENT_TYPE), app.metrics.text().into())
}

fn card(app: &App, served: &Served, name: &str) -> ModelCard {
    ModelCard {
        id: name.to_owned(),
        object: "model",
        created: served.loaded,
        owned_by: "lethe",
        root: app.options.names[0].clone(),
        max_model_len: served.max_positions() as u64,
    }
}

/// `GET /v1/models`.
pub(crate) async fn models(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let served = app.served()?;
    let data = app.options.names.iter().map(|name| card(&app, served, name)).collect();
    Ok(reply::json(&ModelList { object: "list", data }))
}

/// `GET /v1/models/{model}`.
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let served = app.served()?;
    // A path that is no text names no model.
    let name = name.map(|Path(name)| name).unwrap_or_default();
    if !app.options.names.contains(&name) {
        return Err(no_model(&name, &app.options.names));
    }
    Ok(reply::json(&card(&app, served, &name)))
}

/// `GET /v1/loads`.
pub(crate) async fn loads(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let served = app.served()?;
    let load = served.engine.load();
    let slots = served.engine.context().slots_per_layer as u64;
    let (running, waiting) = (load.running as u64, (load.waiting + load.parked) as u64);
    let usage = pool_usage(&load);
    let used = (usage * slots as f64).round() as u64;
    let utilization = running as f64 / served.max_num_seqs.max(1) as f64;
    let rank = RankLoad {
        dp_rank: 0,
        num_running_reqs: running,
        num_waiting_reqs: waiting,
        num_total_reqs: running + waiting,
        num_used_tokens: used,
        max_total_num_tokens: slots,
        token_usage: usage,
        cache_hit_rate: load.prefix_hits as f64 / load.prefix_queries.max(1) as f64,
        utilization,
        max_running_requests: served.max_num_seqs as u64,
        lethe: CacheLoad {
            slots: load.slots.iter().map(|slots| *slots as u64).collect(),
            pages_free: load.pages_free as u64,
            pages_total: load.pages_total as u64,
            cached_pages: load.cached_pages as u64,
            preempted: load.parked as u64,
            kept: load.kept as u64,
            prompt_tokens_total: load.prompt_tokens,
            generated_tokens_total: load.generated_tokens,
            prefix_queries_total: load.prefix_queries,
            prefix_hits_total: load.prefix_hits,
            preemptions_total: load.preemptions,
            rounds_total: load.rounds,
            evicted_slots_total: load.evicted_slots,
            steps_total: load.steps,
        },
    };
    Ok(reply::json(&Loads {
        timestamp: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        version: VERSION,
        dp_rank_count: 1,
        loads: vec![rank],
        aggregate: AggregateLoad {
            total_running_reqs: running,
            total_waiting_reqs: waiting,
            total_reqs: running + waiting,
            total_used_tokens: used,
            total_tokens: slots,
            avg_token_usage: usage,
            avg_utilization: utilization,
        },
    }))
}
