//! A server with the embedded model on a free port, and a client for it.
#![allow(dead_code, unreachable_pub)] // each test uses its own part

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lethe_engine::{Engine, EngineOptions};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_kv::KvDtype;
use lethe_model::{CpuBackend, Model};
use lethe_server::{Options, ServeError, Served, Server, Stopper};
use serde_json::Value;

pub const NAME: &str = "reasoner-s";

/// A running server; it drains when dropped.
pub struct Running {
    pub address: SocketAddr,
    pub stopper: Stopper,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

/// Settings of a server that is open to everybody.
pub fn options() -> Options {
    Options { names: vec![NAME.to_owned()], ..Options::default() }
}

/// A pool that holds several problems.
pub fn engine(seqs: usize) -> EngineOptions {
    EngineOptions { kv_memory: 64 << 20, kv_dtype: KvDtype::F32, max_num_seqs: seqs, ..EngineOptions::default() }
}

/// The embedded model, or the one of a folder.
pub fn model(folder: Option<&std::path::Path>) -> Arc<Model<CpuBackend>> {
    let backend = CpuBackend::new(Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap());
    Arc::new(match folder {
        None => Model::from_bytes(lethe_reasoner::FILES, backend).unwrap(),
        Some(path) => Model::open(path, backend).unwrap(),
    })
}

/// A folder with the embedded model under another chat template.
pub fn folder(template: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = lethe_reasoner::FILES;
    let mut named: Value = serde_json::from_slice(files.tokenizer_config).unwrap();
    named["chat_template"] = template.into();
    for (name, content) in [
        ("tokenizer_config.json", named.to_string().as_bytes()),
        ("tokenizer.json", files.tokenizer),
        ("generation_config.json", files.generation_config),
        ("config.json", files.config),
        ("model.safetensors", files.weights),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

/// Starts a server whose model comes from `load`, and does not wait for it.
pub fn begin(options: Options, load: impl FnOnce() -> Result<Served, String> + Send + 'static) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(options);
    let stopper = server.stopper();
    let thread = std::thread::spawn(move || server.run(listener, false, load));
    Running { address, stopper, thread: Some(thread) }
}

/// Starts a server and waits until it is ready.
pub fn start(options: Options, engine: EngineOptions) -> Running {
    start_with(options, engine, model(None))
}

/// As [`start`], with another model.
pub fn start_with(options: Options, engine: EngineOptions, model: Arc<Model<CpuBackend>>) -> Running {
    let running = begin(options, move || {
        let engine = Engine::start(Arc::clone(&model), engine).map_err(|e| e.to_string())?;
        Served::new(model, engine).map_err(|e| e.to_string())
    });
    running.until(|server| server.get("/ready").status == 200);
    running
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The data of every event of a stream, but for the mark at the end, which must be there.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.header("content-type"), "text/event-stream");
        let mut data: Vec<&str> = self.text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{}", self.text);
        data.into_iter().map(|json| serde_json::from_str(json).unwrap()).collect()
    }
}

impl Running {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn agent(&self) -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).build().into()
    }

    pub fn get(&self, path: &str) -> Reply {
        reply(self.agent().get(self.url(path)).call().unwrap())
    }

    /// A POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(path, "application/json", &[], &body.to_string())
    }

    pub fn send(&self, path: &str, content_type: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = self.agent().post(self.url(path)).header("content-type", content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.send(body).unwrap())
    }

    /// A POST that must be answered.
    pub fn ok(&self, path: &str, body: &Value) -> Value {
        let reply = self.post(path, body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.text);
        reply.json()
    }

    pub fn chat(&self, body: &Value) -> Value {
        self.ok("/v1/chat/completions", body)
    }

    /// The chunks of a chat that streams.
    pub fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut body = body.clone();
        body["stream"] = true.into();
        let reply = self.post(path, &body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.text);
        reply.events()
    }

    /// A connection that has sent a request and read nothing.
    pub fn half_open(&self, path: &str, body: &Value) -> TcpStream {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    /// Waits until something holds; how long it takes is nobody's business.
    pub fn until(&self, holds: impl Fn(&Running) -> bool) {
        for _ in 0..6000 {
            if holds(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it never held");
    }

    pub fn loads(&self) -> Value {
        self.get("/v1/loads").json()["loads"][0].clone()
    }

    /// Waits until nothing runs and every page that no prefix is kept in is back.
    pub fn until_idle(&self) {
        self.until(|server| {
            let load = server.loads();
            let pages = &load["lethe"];
            let free = pages["pages_free"].as_u64().unwrap() + pages["cached_pages"].as_u64().unwrap();
            load["num_total_reqs"] == 0 && free >= pages["pages_total"].as_u64().unwrap()
        });
    }

    /// Ends it and says how it ended.
    pub fn join(mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stopper.stop();
            let _ = thread.join();
        }
    }
}

fn reply(mut response: ureq::http::Response<ureq::Body>) -> Reply {
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.body_mut().read_to_string().unwrap(),
    }
}

/// All that comes until the other side closes.
pub fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A problem that the model solves right: question, thinking, answer.
pub struct Problem {
    pub question: String,
    pub thinking: String,
    pub answer: String,
    pub prompt_ids: Vec<u32>,
    pub greedy_ids: Vec<u32>,
}

/// The first problems that the model solves as written.
pub fn problems(count: usize) -> Vec<Problem> {
    let ids = |v: &Value| v.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect::<Vec<_>>();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    lethe_reasoner::PROBLEMS
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|v| v["gold_ids"] == v["greedy_ids"])
        .map(|v| Problem {
            question: text(&v["question"]),
            thinking: text(&v["thinking"]),
            answer: text(&v["answer"]),
            prompt_ids: ids(&v["prompt_ids"]),
            greedy_ids: ids(&v["greedy_ids"]),
        })
        .take(count)
        .collect()
}

/// A chat with one question.
pub fn ask(question: &str) -> Value {
    serde_json::json!({ "model": NAME, "messages": [{ "role": "user", "content": question }] })
}
