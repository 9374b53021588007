//! `/tokenize` and `/detokenize`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::error::ApiError;
use crate::http::app::App;
use crate::http::{body, reply};
use crate::prepare::tokens;

/// `POST /tokenize`.
pub(crate) async fn tokenize(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let (served, _ticket) = app.admit()?;
    let bytes = body::read(request, app.options.body_limit).await?;
    Ok(reply::json(&app.blocking(&served, move |context| tokens::tokenize(context, &bytes)).await?))
}

/// `POST /detokenize`.
pub(crate) async fn detokenize(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let (served, _ticket) = app.admit()?;
    let bytes = body::read(request, app.options.body_limit).await?;
    Ok(reply::json(&app.blocking(&served, move |context| tokens::detokenize(context, &bytes)).await?))
}
