//! The page at `/`: a chat, and a window into the cache. One file, nothing from elsewhere.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, X_FRAME_OPTIONS};
use axum::response::Response;
use lethe_policy::{PolicyInfo, registry};

use crate::http::reply;

const PAGE: &str = include_str!("dashboard.html");

/// What the page may do: run its own script, talk to this server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /`.
pub(crate) async fn page() -> Response {
    let options: String = registry().into_iter().map(option).collect();
    let page = PAGE.replacen("{{policies}}", &options, 1);
    let mut response = reply::with_type(HeaderValue::from_static("text/html; charset=utf-8"), page.into());
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// A policy to choose; marked where a budget in slots can be given.
fn option(policy: &PolicyInfo) -> String {
    let budget = if policy.options.iter().any(|option| option.key == "budget") { " data-budget" } else { "" };
    format!("<option{budget}>{}</option>", policy.name.replace('&', "&amp;").replace('<', "&lt;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_policy_can_be_chosen() {
        let body = axum::body::to_bytes(page().await.into_body(), usize::MAX).await.expect("a body");
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(!text.contains("{{"), "a place that was not filled");
        for policy in registry() {
            let with = format!("<option data-budget>{}</option>", policy.name);
            let without = format!("<option>{}</option>", policy.name);
            let free = ["auto", "full"].contains(&policy.name);
            assert!(text.contains(if free { &without } else { &with }), "{}", policy.name);
        }
    }
}
