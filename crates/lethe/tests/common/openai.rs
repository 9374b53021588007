//! A small server of the OpenAI API on this machine: it answers as told, well or badly, and notes each request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// `null` without a body.
    pub body: Value,
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// A whole answer: status, content type, body.
    Whole(u16, &'static str, String),
    /// Events, each piece a chunk of the body, to the body's end.
    Stream(Vec<String>),
    /// As many pieces, and the connection is closed before the body's end.
    Cut(Vec<String>),
    /// As many pieces, and nothing more until the client hangs up.
    Hold(Vec<String>),
    /// The connection is closed before any answer.
    Close,
}

impl Act {
    pub fn json(status: u16, body: &Value) -> Act {
        Act::Whole(status, "application/json", body.to_string())
    }
}

type Answer = dyn Fn(usize, &Seen) -> Act + Send + Sync;

#[derive(Default)]
struct Noted {
    seen: Vec<Seen>,
    connections: usize,
    hung_up: usize,
    completions: usize,
}

/// The server. It ends with the process.
#[derive(Clone)]
pub struct Mock {
    pub url: String,
    noted: Arc<(Mutex<Noted>, Condvar)>,
    answer: Arc<Answer>,
    fixed: Arc<BTreeMap<&'static str, Act>>,
}

/// A model named `tiny`, which makes the tokens 1, 2, 3 and so on of the words of a text.
fn usual() -> BTreeMap<&'static str, Act> {
    let tokens: Vec<u32> = (1..=120).collect();
    BTreeMap::from([
        ("/v1/models", Act::json(200, &json!({"data": [{"id": "tiny"}, {"id": "other"}]}))),
        ("/tokenize", Act::json(200, &json!({"tokens": tokens, "count": 120}))),
    ])
}

impl Mock {
    /// Answers completions by `answer`, which is told how many came before.
    pub fn start(answer: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Mock {
        Mock::with(&[], answer)
    }

    /// With other answers at some paths.
    pub fn with(paths: &[(&'static str, Act)], answer: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut fixed = usual();
        fixed.extend(paths.iter().cloned());
        let mock = Mock {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            noted: Arc::default(),
            answer: Arc::new(answer),
            fixed: Arc::new(fixed),
        };
        let serving = mock.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mock = serving.clone();
                mock.noted.0.lock().expect("no panic").connections += 1;
                std::thread::spawn(move || while mock.serve(&stream).is_some() {});
            }
        });
        mock
    }

    /// The requests for completions so far, in the order of their arrival.
    pub fn completions(&self) -> Vec<Seen> {
        let noted = self.noted.0.lock().expect("no panic");
        noted.seen.iter().filter(|seen| seen.path.ends_with("completions")).cloned().collect()
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.noted.0.lock().expect("no panic").seen.clone()
    }

    pub fn connections(&self) -> usize {
        self.noted.0.lock().expect("no panic").connections
    }

    /// Waits until clients hung up on so many answers, or for a long time; how many did.
    pub fn hung_up(&self, wanted: usize) -> usize {
        let (noted, changed) = &*self.noted;
        let guard = noted.lock().expect("no panic");
        let long = Duration::from_secs(60);
        changed.wait_timeout_while(guard, long, |noted| noted.hung_up < wanted).expect("no panic").0.hung_up
    }

    /// One request; `None` when the connection serves no other.
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let seen = read(&mut reader)?;
        let before = {
            let mut noted = self.noted.0.lock().expect("no panic");
            noted.seen.push(seen.clone());
            let before = noted.completions;
            noted.completions += usize::from(seen.path.ends_with("completions"));
            before
        };
        let act = match self.fixed.get(seen.path.as_str()) {
            Some(act) => act.clone(),
            None if seen.path.ends_with("completions") => (self.answer)(before, &seen),
            None => Act::json(404, &json!({"error": {"message": "no such path"}})),
        };
        let mut out = stream;
        let pieces = match &act {
            Act::Whole(status, kind, body) => {
                let head =
                    format!("HTTP/1.1 {status} Mock\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
                out.write_all((head + body).as_bytes()).ok()?;
                return Some(());
            }
            Act::Close => return None,
            Act::Stream(pieces) | Act::Cut(pieces) | Act::Hold(pieces) => pieces,
        };
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
        out.write_all(head.as_bytes()).ok()?;
        for piece in pieces {
            out.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).ok()?;
        }
        match act {
            Act::Stream(_) => out.write_all(b"0\r\n\r\n").ok(),
            Act::Hold(_) => {
                // the client says nothing more: a read ends when it hangs up
                let _ = reader.read(&mut [0]);
                self.noted.0.lock().expect("no panic").hung_up += 1;
                self.noted.1.notify_all();
                None
            }
            _ => None,
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(key.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { path, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// An event of this data.
pub fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// A chunk of a text completion.
pub fn text(text: &str) -> String {
    event(&json!({"choices": [{"index": 0, "text": text, "finish_reason": null}]}))
}

/// The last chunk of a text completion.
pub fn finish(reason: &str) -> String {
    event(&json!({"choices": [{"index": 0, "text": "", "finish_reason": reason}]}))
}

/// The chunk with usage.
pub fn usage(usage: &Value) -> String {
    event(&json!({"choices": [], "usage": usage}))
}

/// The end mark.
pub const DONE: &str = "data: [DONE]\n\n";

/// A whole answer of so many tokens in as many chunks, with usage.
pub fn good(prompt: u64, tokens: u64) -> Vec<String> {
    let mut pieces: Vec<String> = (0..tokens).map(|i| text(&format!(" {i}"))).collect();
    pieces.push(finish("length"));
    pieces.push(usage(&json!({"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens})));
    pieces.push(DONE.to_owned());
    pieces
}

/// A good answer to what was asked.
pub fn as_asked(seen: &Seen) -> Act {
    let prompt = seen.body["prompt"].as_array().map_or(7, |ids| ids.len() as u64);
    Act::Stream(good(prompt, seen.body["max_tokens"].as_u64().unwrap_or(3)))
}
