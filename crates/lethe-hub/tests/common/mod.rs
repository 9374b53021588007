//! A small hub on this machine: it serves repositories as the real one does, misbehaves as told, and notes each request.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lethe_hub::{Event, Found, Hub, HubError, HubOptions, ModelRef};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The commit the mock serves unless told otherwise.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// What to do with the next request for a target, instead of serving it.
#[derive(Debug, Clone)]
pub(crate) enum Trick {
    /// Answer with this status and these header lines.
    Status(u16, &'static str),
    /// Close the connection after so many bytes of the body, or at once.
    Cut(usize),
    /// Announce and send only so many bytes.
    Short(usize),
    /// Send the whole file with 200, whatever range was asked for.
    IgnoreRange,
    /// Answer 206 with bytes from another place.
    WrongRange,
    /// Redirect there.
    Redirect(String),
    /// Send these bytes in place of the file's.
    Instead(Vec<u8>),
    /// Wait until told to go on, then serve.
    Hold(Arc<Mutex<()>>),
}

#[derive(Default)]
struct State {
    /// Bodies by target.
    bodies: BTreeMap<String, Vec<u8>>,
    tricks: BTreeMap<String, Vec<Trick>>,
    seen: Vec<Seen>,
}

/// The server. It ends with the process.
#[derive(Clone)]
pub(crate) struct Mock {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Mock {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mock =
            Self { url: format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port()), state: Arc::default() };
        let serving = mock.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mock = serving.clone();
                std::thread::spawn(move || mock.serve(stream));
            }
        });
        mock
    }

    /// Puts a repository at a revision. Files over 64 bytes, and weights, are in large file storage.
    pub(crate) fn repo(&self, repo: &str, revision: &str, commit: &str, files: &[(&str, &[u8])]) {
        let sibling = |(name, bytes): &(&str, &[u8])| {
            let git = git_id(bytes);
            let mut sibling = serde_json::json!({"rfilename": name, "size": bytes.len(), "blobId": git});
            if is_lfs(name, bytes) {
                sibling["lfs"] = serde_json::json!({"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 135});
            }
            sibling
        };
        let siblings: Vec<_> = files.iter().map(sibling).collect();
        let list = serde_json::json!({"id": repo, "sha": commit, "private": false, "siblings": siblings});
        self.body(&list_target(repo, revision), list.to_string().as_bytes());
        for (name, bytes) in files {
            self.body(&format!("/{repo}/resolve/{commit}/{name}"), bytes);
        }
    }

    pub(crate) fn body(&self, target: &str, bytes: &[u8]) {
        self.state.lock().unwrap().bodies.insert(target.to_owned(), bytes.to_vec());
    }

    pub(crate) fn forget(&self, target: &str) {
        self.state.lock().unwrap().bodies.remove(target);
    }

    /// Plays these, one a request, before serving normally.
    pub(crate) fn tricks(&self, target: &str, tricks: impl IntoIterator<Item = Trick>) {
        self.state.lock().unwrap().tricks.insert(target.to_owned(), tricks.into_iter().collect());
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The targets requested since the last call, each with its range.
    pub(crate) fn targets(&self) -> Vec<String> {
        let range = |seen: Seen| match seen.headers.get("range") {
            Some(range) => format!("{} {range}", seen.target),
            None => seen.target,
        };
        std::mem::take(&mut self.state.lock().unwrap().seen).into_iter().map(range).collect()
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let target = line.split(' ').nth(1)?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((key, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(key.to_ascii_lowercase(), value.to_owned());
        }
        let range =
            headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let (trick, body) = {
            let mut state = self.state.lock().unwrap();
            state.seen.push(Seen { target: target.clone(), headers });
            let tricks = state.tricks.get_mut(&target).filter(|tricks| !tricks.is_empty());
            (tricks.map(|tricks| tricks.remove(0)), state.bodies.get(&target).cloned())
        };
        let answer = answer(trick, body, range);
        stream.write_all(&answer).ok()?;
        stream.flush().ok()?;
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        // Closing with unread data would reset the connection and take bytes of the answer with it.
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).ok().map(drop)
    }
}

fn answer(trick: Option<Trick>, body: Option<Vec<u8>>, range: Option<usize>) -> Vec<u8> {
    let head = |status: u16, extra: &str, length: usize| {
        format!("HTTP/1.1 {status} Mock\r\ncontent-length: {length}\r\nconnection: close\r\n{extra}\r\n").into_bytes()
    };
    let bytes = match (&trick, body) {
        (Some(Trick::Status(status, extra)), _) => return head(*status, extra, 0),
        (Some(Trick::Redirect(to)), _) => return head(302, &format!("location: {to}\r\n"), 0),
        (Some(Trick::Instead(bytes)), _) => bytes.clone(),
        (_, Some(bytes)) => bytes,
        (_, None) => return head(404, "", 0),
    };
    let total = bytes.len();
    let from = match (&trick, range) {
        (Some(Trick::IgnoreRange), _) | (_, None) => 0,
        (_, Some(from)) if from >= total => return head(416, "", 0),
        (_, Some(from)) => from,
    };
    let rest = &bytes[from..];
    let shown = if let Some(Trick::WrongRange) = trick { from + 1 } else { from };
    let content_range = format!("content-range: bytes {shown}-{}/{total}\r\n", total.saturating_sub(1));
    let (status, extra) = if from > 0 { (206, content_range.as_str()) } else { (200, "") };
    match trick {
        Some(Trick::Cut(sent)) => [head(status, extra, rest.len()), rest[..sent.min(rest.len())].to_vec()].concat(),
        Some(Trick::Short(sent)) => [head(status, extra, sent), rest[..sent].to_vec()].concat(),
        Some(Trick::Hold(gate)) => {
            drop(gate.lock().unwrap());
            [head(status, extra, rest.len()), rest.to_vec()].concat()
        }
        _ => [head(status, extra, rest.len()), rest.to_vec()].concat(),
    }
}

pub(crate) fn list_target(repo: &str, revision: &str) -> String {
    format!("/api/models/{repo}/revision/{}?blobs=true", revision.replace('/', "%2F"))
}

pub(crate) fn file_target(repo: &str, name: &str) -> String {
    format!("/{repo}/resolve/{COMMIT}/{name}")
}

fn is_lfs(name: &str, bytes: &[u8]) -> bool {
    bytes.len() > 64 || name.ends_with(".gguf") || name.ends_with(".safetensors")
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Not git's id, but as good here: forty digits of hash.
pub(crate) fn git_id(bytes: &[u8]) -> String {
    sha256(bytes)[..40].to_owned()
}

/// What the blob of a file is called.
pub(crate) fn blob_id(name: &str, bytes: &[u8]) -> String {
    if is_lfs(name, bytes) { sha256(bytes) } else { git_id(bytes) }
}

/// Bytes without a pattern that a wrong offset could hide in.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// A mock, an empty cache, and options that never wait.
pub(crate) struct Bench {
    pub(crate) mock: Mock,
    pub(crate) dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { mock: Mock::start(), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn cache(&self) -> &Path {
        self.dir.path()
    }

    /// The cache of a repository.
    pub(crate) fn path(&self, repo: &str, rest: &str) -> PathBuf {
        self.cache().join(format!("models--{}", repo.replace('/', "--"))).join(rest)
    }

    pub(crate) fn options(&self) -> HubOptions {
        HubOptions {
            endpoint: self.mock.url.clone(),
            retries: 3,
            backoff: Duration::ZERO,
            ..HubOptions::new(self.cache())
        }
    }

    pub(crate) fn hub(&self) -> Hub {
        Hub::new(self.options()).unwrap()
    }

    pub(crate) fn offline(&self) -> Hub {
        Hub::new(HubOptions { offline: true, ..self.options() }).unwrap()
    }

    pub(crate) fn resolve(&self, reference: &str) -> Result<Found, HubError> {
        resolve(&self.hub(), reference)
    }
}

pub(crate) fn resolve(hub: &Hub, reference: &str) -> Result<Found, HubError> {
    hub.resolve(&reference.parse().unwrap(), &mut |_| {})
}

/// The result, and what progress was told, a line each.
pub(crate) fn watched(hub: &Hub, reference: &str) -> (Result<Found, HubError>, Vec<String>) {
    let mut lines = Vec::new();
    let model: ModelRef = reference.parse().unwrap();
    let found = hub.resolve(&model, &mut |event| {
        // How the bytes come in pieces is the system's affair; where they end is not.
        let line = match event {
            Event::Bytes { done, size, .. } if done < size => return,
            event => format!("{event:?}"),
        };
        lines.push(line.split(" { at:").next().unwrap_or_default().to_owned());
    });
    (found, lines)
}

#[track_caller]
pub(crate) fn refused(result: Result<Found, HubError>, words: &[&str]) -> HubError {
    let error = result.unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    error
}
