//! Which path is answered by whom.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use crate::error::ApiError;
use crate::http::app::App;
use crate::http::{auth, dashboard, generate, info, request_id, text};

/// All routes of a server.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let locked = Router::new()
        .route("/v1/chat/completions", post(generate::chat))
        .route("/v1/completions", post(generate::completion))
        .route("/v1/models", get(info::models))
        .route("/v1/models/{*model}", get(info::model))
        .route("/v1/loads", get(info::loads))
        .route("/tokenize", post(text::tokenize))
        .route("/detokenize", post(text::detokenize))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(Arc::clone(app), auth::guard));
    Router::new()
        .route("/", get(dashboard::page))
        .route("/health", get(info::health))
        .route("/ready", get(info::ready))
        .route("/version", get(info::version))
        .route("/metrics", get(info::metrics))
        .route("/openapi.json", get(info::openapi))
        .method_not_allowed_fallback(wrong_method)
        .merge(locked)
        .fallback(nothing_here)
        .layer(from_fn(request_id::name))
        .with_state(Arc::clone(app))
}

async fn nothing_here(uri: Uri) -> ApiError {
    let message = format!("there is nothing at {}; /openapi.json lists what there is", uri.path());
    ApiError::new(404, "invalid_request_error", message).coded("not_found")
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("{} cannot be asked with {method}; the header `Allow` lists how", uri.path());
    ApiError::new(405, "invalid_request_error", message).coded("method_not_allowed")
}
