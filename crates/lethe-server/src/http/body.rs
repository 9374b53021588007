//! Bodies of requests, within limits.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use futures_util::StreamExt;

use crate::error::ApiError;

/// Longest time in which a body must have come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bytes of a JSON body of at most `limit`.
///
/// # Errors
/// 415 for another type, 413 for more bytes, 408 where they do not come, 400 where they break off.
pub(crate) async fn read(request: Request, limit: usize) -> Result<Vec<u8>, ApiError> {
    check_type(request.headers())?;
    let too_large = || {
        let message = format!("the body has more than the {limit} bytes that this server takes (--body-limit)");
        ApiError::new(413, "invalid_request_error", message).coded("body_too_large")
    };
    let announced = text(request.headers(), CONTENT_LENGTH).parse::<usize>().unwrap_or(0);
    if announced > limit {
        return Err(too_large());
    }
    let mut chunks = request.into_body().into_data_stream();
    let read = async {
        let mut bytes = Vec::with_capacity(announced);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| ApiError::bad_body(format!("the body broke off: {e}")))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    let late = |_| {
        let message = format!("the body did not come within {} s", PATIENCE.as_secs());
        ApiError::new(408, "invalid_request_error", message).coded("body_timeout")
    };
    tokio::time::timeout(PATIENCE, read).await.map_err(late)?
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let mime = text(headers, CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if mime.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let found = if mime.is_empty() { "none".to_owned() } else { format!("`{mime}`") };
    let message = format!("the body must be JSON, with the header `Content-Type: application/json`; found {found}");
    Err(ApiError::new(415, "invalid_request_error", message).coded("unsupported_media_type"))
}
