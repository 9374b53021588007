//! Keys of clients.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::http::app::App;

/// Keys, as digests: a comparison takes the same time whatever is wrong with a key.
pub(crate) struct Keys(Vec<[u8; 32]>);

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

impl Keys {
    pub(crate) fn new(keys: &[String]) -> Keys {
        Keys(keys.iter().map(|key| digest(key)).collect())
    }

    /// Whether these headers open the server.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token =
            value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let denied = |message: &str| Err(ApiError::new(401, "authentication_error", message).coded("invalid_api_key"));
        let Some((_, token)) = token else {
            return denied("this server needs an API key: send the header `Authorization: Bearer KEY`");
        };
        let given = digest(token.trim());
        // All of them are compared, so that the time does not tell which.
        let known = self.0.iter().fold(subtle::Choice::from(0), |known, key| known | key.ct_eq(&given));
        if bool::from(known) { Ok(()) } else { denied("the API key is not one of this server's") }
    }
}

/// Lets only those in who have a key.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, ApiError> {
    app.keys.admit(request.headers())?;
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_keys_opens() {
        let headers = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        let keys = Keys::new(&["one".into(), "two".into()]);
        for good in ["Bearer one", "bearer two", "Bearer  two "] {
            assert!(keys.admit(&headers(good)).is_ok(), "{good}");
        }
        for bad in ["Bearer on", "Bearer onetwo", "one", "Basic one", "Bearer "] {
            assert_eq!(keys.admit(&headers(bad)).unwrap_err().status, 401, "{bad}");
        }
        assert!(keys.admit(&HeaderMap::new()).is_err());
        assert!(Keys::new(&[]).admit(&HeaderMap::new()).is_ok(), "no keys, no lock");
    }
}
