//! A server that speaks the OpenAI API: where it is, the key it wants, and what is wrong when it does not answer.

use std::io::{self, Read};
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, Uri, header};
use ureq::{Agent, Body};

/// Most bytes of an answer that is not a stream.
const MAX_ANSWER: u64 = 16 << 20;
/// Most bytes of a refusal that are looked at.
const MAX_REFUSAL: u64 = 64 << 10;

/// Which server.
#[derive(clap::Args, Clone)]
pub(crate) struct RemoteArgs {
    /// Where the server is, with or without /v1
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Sent as bearer token [default: what LETHE_API_KEY says]
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
}

impl RemoteArgs {
    /// The server, of which up to `connections` are kept open between requests.
    pub(crate) fn remote(&self, connections: usize) -> Result<Remote, RemoteError> {
        let key = self.api_key.clone().or_else(|| std::env::var("LETHE_API_KEY").ok().filter(|key| !key.is_empty()));
        Remote::new(&self.url, key.as_deref(), connections)
    }
}

/// Why a server gives no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// The address is none.
    #[error("`{url}` is no address of a server: give one like http://127.0.0.1:8080")]
    BadUrl {
        /// As given.
        url: String,
    },
    /// The key cannot be sent.
    #[error("the API key has characters that no header may have")]
    BadKey,
    /// Nobody answers.
    #[error("no server answers at {url}: {reason}; does it run, and is --url right?")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The key is missing or wrong.
    #[error("{url} answers {status}{}; its key is given with --api-key or LETHE_API_KEY", said(.message))]
    Denied {
        /// What was asked for.
        url: String,
        /// 401 or 403.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// Any other refusal.
    #[error("{url} answers {status}{}", said(.message))]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// An answer in another language.
    #[error("{url} does not answer in JSON ({reason}): is it a server of the OpenAI API?")]
    NotJson {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What the server says, where it says something.
fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

/// A server.
pub(crate) struct Remote {
    agent: Agent,
    root: String,
    authorization: Option<String>,
}

impl Remote {
    pub(crate) fn new(url: &str, key: Option<&str>, connections: usize) -> Result<Remote, RemoteError> {
        let root = root(url).ok_or_else(|| RemoteError::BadUrl { url: url.to_owned() })?;
        let authorization = key.map(|key| format!("Bearer {key}"));
        if authorization.as_ref().is_some_and(|value| !value.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
            return Err(RemoteError::BadKey);
        }
        let config = Agent::config_builder()
            .user_agent(concat!("lethe/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // a key goes where it was meant to go, and a request that was sent on would be measured twice
            .max_redirects(0)
            .max_redirects_will_error(false)
            // what is measured is this server, not what lies before it
            .proxy(None)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            // servers close what idles for 5 s and more
            .max_idle_age(Duration::from_secs(4))
            .build();
        Ok(Remote { agent: Agent::new_with_config(config), root, authorization })
    }

    /// The address without a path.
    pub(crate) fn root(&self) -> &str {
        &self.root
    }

    /// The answer to a GET.
    pub(crate) fn get(&self, path: &str, timeout: Duration) -> Result<Value, RemoteError> {
        let url = format!("{}{path}", self.root);
        let mut request = self.agent.get(&url).config().timeout_global(Some(timeout)).build();
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let answer = request.call().map_err(|error| unreachable(&url, error))?;
        json(&url, answer)
    }

    /// The answer to a POST.
    pub(crate) fn post(&self, path: &str, body: &Value, timeout: Duration) -> Result<Value, RemoteError> {
        let url = format!("{}{path}", self.root);
        json(&url, self.send(path, body.to_string(), timeout).map_err(|error| unreachable(&url, error))?)
    }

    /// Begins a POST of JSON; `timeout` holds until the answer's end is read.
    pub(crate) fn send(&self, path: &str, body: String, timeout: Duration) -> Result<Response<Body>, ureq::Error> {
        let mut request = self
            .agent
            .post(format!("{}{path}", self.root))
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.send(body)
    }
}

/// The address up to `/v1`, if it is one.
fn root(url: &str) -> Option<String> {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix("/v1").unwrap_or(url).trim_end_matches('/');
    let uri: Uri = url.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let named =
        uri.authority().is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    (known && named && uri.query().is_none() && !url.contains('#')).then(|| url.to_owned())
}

fn unreachable(url: &str, error: ureq::Error) -> RemoteError {
    RemoteError::Unreachable { url: url.to_owned(), reason: reason(&error) }
}

/// What went wrong with a connection, without the layer that says so.
pub(crate) fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::Timeout(_) => "it takes too long".to_owned(),
        error => error.to_string(),
    }
}

fn json(url: &str, mut answer: Response<Body>) -> Result<Value, RemoteError> {
    let status = answer.status().as_u16();
    if !answer.status().is_success() {
        let (url, message) = (url.to_owned(), refusal(&mut answer));
        return Err(match status {
            401 | 403 => RemoteError::Denied { url, status, message },
            _ => RemoteError::Status { url, status, message },
        });
    }
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
    let text = text.map_err(|error| unreachable(url, error))?;
    serde_json::from_str(&text).map_err(|error| RemoteError::NotJson { url: url.to_owned(), reason: error.to_string() })
}

/// What a refusal says, in one line: the message of the API's error object, or the text as it is.
pub(crate) fn refusal(answer: &mut Response<Body>) -> String {
    let mut bytes = Vec::new();
    // what arrives of it will do
    let _: io::Result<usize> = answer.body_mut().as_reader().take(MAX_REFUSAL).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    match serde_json::from_str::<Value>(&text) {
        Ok(object) => message(&object),
        Err(_) => line(&text),
    }
}

/// The message in an error object, of which servers have several shapes.
pub(crate) fn message(object: &Value) -> String {
    let text = ["/error/message", "/error", "/message", "/detail"]
        .iter()
        .find_map(|place| object.pointer(place).and_then(Value::as_str));
    line(&text.map_or_else(|| object.to_string(), str::to_owned))
}

/// The first line with something in it, not too long.
fn line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let short: String = line.chars().take(300).collect();
    if short.len() < line.len() { short + " ..." } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_the_version() {
        for (given, wanted) in [
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            (" http://127.0.0.1:8080/v1/ ", Some("http://127.0.0.1:8080")),
            ("https://api.example/prefix/v1", Some("https://api.example/prefix")),
            ("http://[::1]:80/", Some("http://[::1]:80")),
            ("127.0.0.1:8080", None),
            ("localhost", None),
            ("ftp://host", None),
            ("http://user:word@host", None),
            ("http://host/?a=b", None),
            ("http://", None),
            ("", None),
        ] {
            assert_eq!(root(given).as_deref(), wanted, "{given}");
        }
    }

    #[test]
    fn a_key_that_is_no_header_is_refused() {
        assert!(Remote::new("http://h", Some("sk-1"), 1).is_ok());
        assert!(matches!(Remote::new("http://h", Some("a\nb"), 1), Err(RemoteError::BadKey)));
    }

    #[test]
    fn refusals_are_said_in_a_line() {
        let of = |text: &str| message(&serde_json::from_str(text).expect("json"));
        assert_eq!(of(r#"{"error": {"message": "no such model", "type": "x"}}"#), "no such model");
        assert_eq!(of(r#"{"error": "overloaded"}"#), "overloaded");
        assert_eq!(of(r#"{"object": "error", "message": "too long"}"#), "too long");
        assert_eq!(of(r#"{"detail": [1]}"#), r#"{"detail":[1]}"#);
        assert_eq!(line("\n\n  <html>\n<body>"), "<html>");
        assert_eq!(line(&"x".repeat(400)).chars().count(), 304);
    }
}
