//! `lethe serve` as a program: where its settings come from, and how signals end it.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

/// A server on a free port, and the lines of its log.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: String,
}

fn serve(args: &[&str], env: &[(&str, &str)]) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(["serve", "--port", "0", "--log-format", "json", "--kv-memory", "64MiB", "--threads", "1"])
        .args(args)
        .envs(env.iter().copied())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut running = Running { child, log, address: String::new() };
    running.address = running.line_with("listening")["address"].as_str().expect("an address").to_owned();
    running
}

impl Running {
    /// The next line of the log whose message has this word.
    fn line_with(&mut self, word: &str) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.log.read_line(&mut line).expect("a log") > 0, "the log ended before `{word}`");
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value["message"].as_str().is_some_and(|m| m.contains(word)) => return value,
                _ => {}
            }
        }
    }

    /// Head and body of a response.
    fn ask(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        let (head, body) = text.split_once("\r\n\r\n").expect("a response");
        (head.to_owned(), body.to_owned())
    }

    fn get(&self, path: &str) -> (String, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    fn end(mut self) -> ExitStatus {
        let status = self.child.wait().expect("it ends");
        let mut rest = String::new();
        let _ = self.log.read_to_string(&mut rest);
        assert!(!rest.contains("panicked"), "{rest}");
        status
    }
}

fn config(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

#[test]
fn options_count_before_the_environment_before_the_file() {
    let file = config("served_model_name = ['from-file']\nmax_num_seqs = 3\nmax_model_len = 100\ncap = 64\n");
    let path = file.path().to_str().expect("a path");
    let env = [("LETHE_MAX_NUM_SEQS", "4"), ("LETHE_CAP", "80"), ("LETHE_CONFIG", path)];
    let mut server = serve(&["--cap", "96"], &env);
    server.line_with("ready");
    let body = |path: &str| -> Value { serde_json::from_str(&server.get(path).1).expect("json") };
    assert_eq!(body("/v1/models")["data"][0]["id"], "from-file", "only the file says");
    assert_eq!(body("/v1/models")["data"][0]["max_model_len"], 100);
    assert_eq!(body("/v1/loads")["loads"][0]["max_running_requests"], 4, "the environment wins over the file");
    let question = "{\"messages\": [{\"role\": \"user\", \"content\": \"Sort 2 1.\"}], \"max_tokens\": 2}";
    let (head, answer) = server.ask(&format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{question}",
        question.len()
    ));
    assert!(head.starts_with("HTTP/1.1 200"), "{head} {answer}");
    let answer: Value = serde_json::from_str(&answer).expect("json");
    assert_eq!(answer["usage"]["kv"]["options"]["cap"], 96, "an option wins over both");
    let said = server.line_with("answered");
    assert_eq!((&said["completion_tokens"], &said["finish_reason"]), (&2.into(), &"length".into()));
    assert!(said["request_id"].as_str().is_some_and(|id| id.starts_with("req-")));
    server.signal("-TERM");
    assert!(server.end().success());
}

#[test]
fn a_signal_drains_and_ends_well() {
    let mut server = serve(&[], &[]);
    server.line_with("ready");
    assert!(server.get("/ready").0.starts_with("HTTP/1.1 200"));
    server.signal("-INT");
    server.line_with("draining");
    assert!(server.end().success());
}

#[test]
fn what_cannot_be_served_says_so() {
    let bad = config("max_num_seq = 3");
    let path = bad.path().to_str().expect("a path");
    for (args, words) in [
        (&["serve", "--config", path][..], &["max_num_seq"][..]),
        (&["serve", "--port", "0", "/no/such/model"], &["/no/such/model"]),
        (&["serve", "--port", "0", "--protect-prompt", "none"], &["--allow-unprotected-prompt"]),
        (&["serve", "--host", "no.such.host.invalid"], &["cannot listen"]),
        (&["serve", "--policy", "leth"], &["did you mean `lethe`"]),
        (&["serve", "--port", "0", "--kv-memory", "64MiB", "--max-model-len", "100000"], &["100000"]),
    ] {
        common::fails_naming(args, words);
    }
}

#[test]
fn help_names_variables_and_defaults() {
    let help = common::ok(&["serve", "--help"]);
    for word in ["LETHE_MAX_NUM_SEQS", "[default: 127.0.0.1]", "--allow-unprotected-prompt", "curl", "LETHE_CONFIG"] {
        assert!(help.contains(word), "{word}");
    }
}

#[test]
fn shells_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let script = common::ok(&["completions", shell]);
        assert!(script.contains("serve") && script.contains("max-num-seqs"), "{shell}");
    }
}
