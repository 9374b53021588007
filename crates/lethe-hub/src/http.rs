//! Requests to the hub: one at a time, redirects followed by hand, what may pass told from what will not.

use std::time::Duration;

use ureq::http::{Response, header};
use ureq::{Agent, Body};

use crate::error::HubError;
use crate::options::HubOptions;
use crate::reference::{HubRef, RepoId};
use crate::url;

/// Redirects followed for one request; the hub needs two.
const MAX_REDIRECTS: usize = 10;

/// Speaks to one hub.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    authorization: Option<String>,
}

/// What a request is about, for the error it may end in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The repository and revision.
    pub(crate) at: &'a HubRef,
    /// The file, if it is about one.
    pub(crate) file: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// What progress calls it.
    pub(crate) fn name(&self) -> &'a str {
        self.file.unwrap_or(self.at.repo.as_str())
    }
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It may succeed when made again.
    Passing {
        /// What went wrong.
        reason: String,
        /// The HTTP status, if there was an answer.
        status: Option<u16>,
        /// How long the server asks to wait.
        wait: Option<Duration>,
    },
    /// It will not.
    Final(HubError),
}

impl Failure {
    /// A connection that broke, or never was.
    pub(crate) fn cut(reason: impl ToString) -> Self {
        Self::Passing { reason: reason.to_string(), status: None, wait: None }
    }
}

impl Client {
    pub(crate) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let bad = |setting, reason: &str| HubError::BadSetting { setting, reason: reason.to_owned() };
        let endpoint = options.endpoint.trim().trim_end_matches('/').to_owned();
        if url::origin(&endpoint).is_none() || endpoint.contains(['?', '#']) {
            return Err(bad("HF_ENDPOINT", "it should look like https://huggingface.co"));
        }
        let authorization = options.token.as_ref().map(|token| format!("Bearer {}", token.secret()));
        if authorization.as_ref().is_some_and(|value| !value.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
            return Err(bad("HF_TOKEN", "it has characters that no token has"));
        }
        let proxy = if options.system_proxy { ureq::Proxy::try_from_env() } else { None };
        let config = Agent::config_builder()
            .user_agent(concat!("lethe-hub/", env!("CARGO_PKG_VERSION")))
            // Ranges and sizes are those of the bytes on disk.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(options.stall.min(Duration::from_secs(20))))
            .timeout_recv_response(Some(options.stall))
            .timeout_per_read(Some(options.stall))
            .proxy(proxy)
            .build();
        Ok(Self { agent: Agent::new_with_config(config), endpoint, authorization })
    }

    /// Where the list of files is.
    pub(crate) fn list_url(&self, at: &HubRef) -> String {
        format!("{}/api/models/{}/revision/{}?blobs=true", self.endpoint, at.repo, url::escape(at.revision.as_str()))
    }

    /// Where a file is.
    pub(crate) fn file_url(&self, repo: &RepoId, commit: &str, name: &str) -> String {
        format!("{}/{repo}/resolve/{commit}/{}", self.endpoint, url::escape_path(name))
    }

    /// Asks for all of it, or for what lies beyond `from` bytes. An answer is 200, 206 or 416.
    pub(crate) fn get(&self, start: &str, from: Option<u64>, subject: Subject<'_>) -> Result<Response<Body>, Failure> {
        let mut at = start.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(&at);
            if let Some(from) = from {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            // A file lies on other servers than the hub: they get a signed URL, never the token.
            if let Some(value) = self.authorization.as_ref().filter(|_| url::same_origin(&at, &self.endpoint)) {
                request = request.header(header::AUTHORIZATION, value);
            }
            let response = request.call().map_err(|error| transport(start, error))?;
            match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => at = redirect(start, &at, &response)?,
                _ => return self.judge(start, &at, response, subject),
            }
        }
        Err(Failure::Final(HubError::Redirect { url: start.to_owned(), target: at, reason: "it goes on for ever" }))
    }

    /// Sorts answers into those with bytes, those that may get better, and those that will not.
    fn judge(&self, start: &str, at: &str, answer: Response<Body>, of: Subject<'_>) -> Result<Response<Body>, Failure> {
        let status = answer.status().as_u16();
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let passing = || Failure::Passing {
            reason: format!("the server answers {status}"),
            status: Some(status),
            wait: header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs),
        };
        let (repo, revision) = (of.at.repo.clone(), of.at.revision.clone());
        let (token, endpoint) = (self.authorization.is_some(), self.endpoint.clone());
        Err(match (status, header("x-error-code")) {
            (200 | 206 | 416, _) => return Ok(answer),
            (408 | 429 | 500.., _) => passing(),
            // A signed URL has run out; asking the hub again gives a new one.
            (401 | 403 | 404, _) if !url::same_origin(at, &self.endpoint) => passing(),
            (401 | 403 | 404, Some("RepoNotFound")) => Failure::Final(HubError::RepoNotFound { repo, token, endpoint }),
            (401 | 403, _) => Failure::Final(HubError::Denied { repo, status, token, endpoint }),
            (404, Some("RevisionNotFound")) => Failure::Final(HubError::RevisionNotFound { repo, revision }),
            (404, _) => Failure::Final(match of.file {
                Some(file) => HubError::FileNotFound { repo, file: file.to_owned(), near: Vec::new() },
                None => HubError::RepoNotFound { repo, token, endpoint },
            }),
            _ => Failure::Final(HubError::Status { url: start.to_owned(), status, attempts: 1 }),
        })
    }
}

/// The next address of a redirect.
fn redirect(start: &str, at: &str, response: &Response<Body>) -> Result<String, Failure> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let refused = |reason| {
        Failure::Final(HubError::Redirect {
            url: start.to_owned(),
            target: location.chars().take(200).collect(),
            reason,
        })
    };
    let target = url::join(at, location).ok_or_else(|| refused("it is no http or https address"))?;
    if at.starts_with("https:") && !target.starts_with("https:") {
        return Err(refused("it leaves https"));
    }
    Ok(target)
}

/// A broken connection may be whole next time; a bad certificate or address will not be better.
fn transport(url: &str, error: ureq::Error) -> Failure {
    use ureq::Error::{BadUri, Http, Io, Rustls, Tls, TlsRequired};
    let lasting = match &error {
        Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        BadUri(_) | Http(_) | Rustls(_) | Tls(_) | TlsRequired => true,
        _ => false,
    };
    if lasting {
        let (url, reason) = (url.to_owned(), error.to_string());
        return Failure::Final(HubError::Network { url, reason, attempts: 1 });
    }
    Failure::cut(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_never_leave_https() {
        let follow = |from: &str, to: &str| {
            let response = Response::builder().status(302).header(header::LOCATION, to);
            redirect(from, from, &response.body(Body::builder().data("")).unwrap())
        };
        assert_eq!(follow("http://hub/x", "https://cdn/y").unwrap(), "https://cdn/y");
        assert_eq!(follow("https://hub/x", "/y").unwrap(), "https://hub/y");
        let Err(Failure::Final(error)) = follow("https://hub/x", "http://hub/x") else { panic!("it was followed") };
        assert!(error.to_string().contains("it leaves https"), "{error}");
    }
}
