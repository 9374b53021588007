//! `lethe bench serve` against a server that answers as scripted: what it sends, what it counts, what it says went wrong.

mod common;

use std::net::TcpListener;
use std::sync::{Arc, Barrier};

use common::openai::{Act, DONE, Mock, as_asked, event, finish, good, text, usage};
use common::{fails, fails_naming, lethe};
use serde_json::{Value, json};

/// Runs it, with the object it prints and the rows it writes.
fn bench(mock: &Mock, args: &[&str]) -> (Value, Vec<Value>) {
    let dir = tempfile::tempdir().expect("a folder");
    let rows = dir.path().join("rows.jsonl");
    let fixed = ["bench", "serve", "--url", &mock.url, "--json", "--rows", rows.to_str().expect("a path")];
    let out = lethe(&[&fixed[..], args].concat());
    let notes = String::from_utf8_lossy(&out.stderr);
    let text = String::from_utf8(out.stdout).expect("text");
    let object = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text} {notes}"));
    let rows = std::fs::read_to_string(rows).expect("rows");
    (object, rows.lines().map(|line| serde_json::from_str(line).expect("json")).collect())
}

fn count(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{key} is a count: {object}"))
}

/// Latencies are in order, and there are as many as expected.
fn check_latencies(object: &Value, samples: [u64; 4]) {
    for (key, samples) in ["ttft_ms", "itl_ms", "tpot_ms", "e2el_ms"].iter().zip(samples) {
        let timings = &object[*key];
        assert_eq!(timings["samples"], samples, "{key}: {object}");
        let ranks = ["p50", "p90", "p99", "max"].map(|rank| timings[rank].as_f64().expect("a number"));
        assert!(ranks.is_sorted() && ranks[0] >= 0.0, "{key}: {timings}");
        assert!(timings["mean"].as_f64().is_some_and(|mean| mean <= ranks[3]), "{key}: {timings}");
    }
}

#[test]
fn a_closed_loop_keeps_as_many_requests_under_way_as_asked() {
    // nothing is answered before three are there: fewer at once would wait for ever, more would be counted
    let gate = Arc::new(Barrier::new(3));
    let mock = Mock::start(move |_, seen| {
        gate.wait();
        as_asked(seen)
    });
    let args =
        ["-n", "12", "-c", "3", "--warmup", "3", "--prompt-tokens", "20-40", "--new-tokens", "2-6", "--ignore-eos"];
    let (object, rows) = bench(&mock, &args);
    assert_eq!((count(&object, "ok"), count(&object, "failed"), count(&object, "cancelled")), (12, 0, 0));
    assert_eq!(
        (count(&object, "peak_concurrency"), &object["pace"], &object["model"]),
        (3, &"closed".into(), &"tiny".into())
    );
    assert_eq!((rows.len(), count(&object, "requests")), (12, 12));
    let sum = |key: &str| rows.iter().map(|row| count(row, key)).sum::<u64>();
    assert_eq!(
        (count(&object, "output_tokens"), count(&object, "prompt_tokens")),
        (sum("output_tokens"), sum("prompt_tokens"))
    );
    check_latencies(&object, [12, sum("output_tokens") - 12, 12, 12]);
    for key in ["request_throughput", "output_throughput", "total_token_throughput", "mean_concurrency"] {
        assert!(object[key].as_f64() > Some(0.0), "{key}: {object}");
    }
    let seen = mock.completions();
    assert_eq!(seen.len(), 15, "those before the measured ones too");
    let mut prompts = Vec::new();
    for seen in &seen {
        let (path, body) = (seen.path.as_str(), &seen.body);
        assert_eq!((path, &body["model"], &body["stream"]), ("/v1/completions", &"tiny".into(), &true.into()));
        assert_eq!((&body["stream_options"]["include_usage"], &body["ignore_eos"]), (&true.into(), &true.into()));
        let ids = body["prompt"].as_array().expect("ids");
        assert!((20..=40).contains(&ids.len()) && ids.iter().all(|id| id.as_u64().is_some_and(|id| id <= 120)));
        assert!((2..=6).contains(&count(body, "max_tokens")));
        assert!(!prompts.contains(ids), "no two prompts are alike");
        prompts.push(ids.clone());
    }
    for (i, row) in rows.iter().enumerate() {
        assert_eq!((count(row, "index"), &row["status"], &row["reason"]), (i as u64, &"ok".into(), &"length".into()));
        assert_eq!(row["chunks"], row["output_tokens"]);
        let [ttft, end] = ["ttft_ms", "e2el_ms"].map(|key| row[key].as_f64().expect("a number"));
        assert!(0.0 < ttft && ttft <= end, "{row}");
    }
}

#[test]
fn open_loops_send_whatever_the_server_does() {
    let gate = Arc::new(Barrier::new(6));
    let mock = Mock::start(move |_, seen| {
        gate.wait();
        as_asked(seen)
    });
    let (object, _) = bench(&mock, &["-n", "6", "--burst", "--warmup", "0"]);
    assert_eq!((count(&object, "ok"), count(&object, "peak_concurrency"), &object["pace"]), (6, 6, &"burst".into()));
    let (object, rows) = bench(&mock, &["-n", "6", "--rate", "200", "--warmup", "0", "--seed", "9"]);
    assert_eq!((count(&object, "ok"), count(&object, "peak_concurrency"), &object["rate"]), (6, 6, &200.0.into()));
    let due: Vec<f64> = rows.iter().map(|row| row["due_s"].as_f64().expect("a time")).collect();
    assert!(due[0] == 0.0 && due.windows(2).all(|pair| pair[0] < pair[1]), "{due:?}");
    let (_, again) = bench(&mock, &["-n", "6", "--rate", "200", "--warmup", "0", "--seed", "9"]);
    assert!(again.iter().zip(&due).all(|(row, due)| row["due_s"] == *due), "arrivals are the seed's");
}

#[test]
fn every_way_to_answer_is_told_from_the_others() {
    let chat = |delta: Value| event(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}));
    let crlf = |pieces: Vec<String>| pieces.concat().replace('\n', "\r\n");
    let acts: Vec<(Act, &str, &str, u64)> = vec![
        (Act::Stream(good(5, 3)), "ok", "", 3),
        // comments keep the connection alive, lines end in CRLF, and events are cut anywhere
        (
            Act::Stream(
                crlf(good(5, 4)).as_bytes().chunks(7).map(|b| String::from_utf8_lossy(b).into_owned()).collect(),
            ),
            "ok",
            "",
            4,
        ),
        (Act::Stream(vec![": ping\n\n".into(), ": ping\n\n".into(), good(5, 2).concat()]), "ok", "", 2),
        // no usage: chunks are counted; no mark: the reason is enough
        (Act::Stream(vec![text("a"), text("b"), finish("stop"), DONE.into()]), "ok", "", 2),
        (Act::Stream(vec![text("a"), finish("stop")]), "ok", "", 1),
        // a role is no text, thinking is
        (
            Act::Stream(vec![
                chat(json!({"role": "assistant", "content": ""})),
                chat(json!({"reasoning_content": "hm"})),
                chat(json!({"content": "yes"})),
                finish("stop"),
                DONE.into(),
            ]),
            "ok",
            "",
            2,
        ),
        (Act::json(500, &json!({"error": {"message": "out of luck"}})), "HTTP 500", "out of luck", 0),
        (Act::json(429, &json!({"error": {"message": "queue full"}})), "HTTP 429", "queue full", 0),
        (Act::Whole(302, "text/plain", "elsewhere".into()), "HTTP 302", "302", 0),
        (Act::Cut(vec![text("a"), text("b")]), "disconnect", "after 2 chunks", 2),
        (Act::Stream(vec![text("a")]), "disconnect", "before any reason", 1),
        (Act::Close, "disconnect", "before the answer began", 0),
        (Act::Stream(vec![text("a"), "data: {\"choices\": [\n\n".into()]), "malformed stream", "EOF", 1),
        (Act::Stream(vec!["data: {\"content\": \"x\"}\n\n".into(), DONE.into()]), "malformed stream", "`choices`", 0),
        (Act::Stream(vec![DONE.into()]), "malformed stream", "`choices`", 0),
        (Act::json(200, &json!({"choices": [{"text": "whole"}]})), "no stream", "application/json", 0),
        (
            Act::Stream(vec![text("a"), event(&json!({"error": {"message": "layer 3 is not finite"}})), DONE.into()]),
            "error event",
            "layer 3",
            1,
        ),
    ];
    let script: Vec<Act> = acts.iter().map(|(act, ..)| act.clone()).collect();
    let n = script.len().to_string();
    let mock = Mock::start(move |i, _| script[i].clone());
    let (object, rows) = bench(&mock, &["-n", &n, "-c", "1", "--warmup", "0"]);
    for (row, (act, status, words, chunks)) in rows.iter().zip(&acts) {
        let kind = row["kind"].as_str().unwrap_or_else(|| row["status"].as_str().expect("a status"));
        assert_eq!((kind, count(row, "chunks")), (*status, *chunks), "{act:?}: {row}");
        assert!(row["reason"].as_str().is_some_and(|reason| reason.contains(words)), "{words}: {row}");
    }
    assert_eq!((count(&object, "ok"), count(&object, "failed"), count(&object, "cancelled")), (6, 11, 0));
    assert_eq!((count(&object, "without_done_mark"), count(&object, "answers_counted_by_chunks")), (1, 3));
    assert_eq!(
        (count(&object, "output_tokens"), count(&object, "lost_tokens")),
        (3 + 4 + 2 + 2 + 1 + 2, 2 + 1 + 1 + 1)
    );
    let failures = |kind: &str| object["failures"][kind]["count"].clone();
    assert_eq!(
        ["disconnect", "malformed stream", "HTTP 500", "HTTP 429", "no stream", "error event"].map(failures),
        [3, 3, 1, 1, 1, 1].map(Value::from)
    );
    check_latencies(&object, [6, 3 + 2 + 1 + 1 + 1, 5, 6]);
}

#[test]
fn what_takes_too_long_and_what_is_cancelled_are_hung_up_on() {
    let mock = Mock::start(|_, _| Act::Hold(vec![text("a")]));
    let (object, rows) = bench(&mock, &["-n", "3", "-c", "3", "--warmup", "0", "--timeout", "0.2"]);
    assert_eq!((count(&object, "failed"), &object["failures"]["timeout"]["count"]), (3, &3.into()));
    assert!(rows[0]["reason"].as_str().is_some_and(|said| said.contains("200ms")), "{}", rows[0]);
    assert_eq!(mock.hung_up(3), 3);
    // one chunk and no more: some are dropped at it, the others in time
    let args = ["-n", "10", "-c", "5", "--warmup", "0", "--cancel", "1", "--new-tokens", "2", "--cancel-within", "0.1"];
    let (object, rows) = bench(&mock, &args);
    assert_eq!((count(&object, "cancelled"), count(&object, "failed")), (10, 0));
    assert!(rows.iter().all(|row| row["status"] == "cancelled"));
    // the share is exact, and whoever is not chosen is answered
    let mock = Mock::start(|_, seen| as_asked(seen));
    let args =
        ["-n", "20", "-c", "2", "--warmup", "0", "--cancel", "0.4", "--cancel-within", "600", "--new-tokens", "9"];
    let (object, rows) = bench(&mock, &args);
    assert!((12..20).contains(&count(&object, "ok")) && count(&object, "failed") == 0, "{object}");
    assert_eq!(count(&object, "ok") + count(&object, "cancelled"), 20);
    let (_, again) = bench(&mock, &args);
    let ends = |rows: &[Value]| rows.iter().map(|row| row["status"].clone()).collect::<Vec<_>>();
    assert_eq!(ends(&rows), ends(&again), "moments by tokens are the seed's");
    assert!(rows.iter().filter(|row| row["status"] == "cancelled").all(|row| (1..9).contains(&count(row, "chunks"))));
}

#[test]
fn the_servers_own_counts_are_summed_up() {
    let kv =
        json!({"policy": "lethe", "peak_slots": 40, "mean_slots": 25.5, "evicted": 12, "rounds": 3, "warnings": []});
    let counts = json!({
        "prompt_tokens": 30, "completion_tokens": 8, "kv": kv,
        "prompt_tokens_details": {"cached_tokens": 16}, "completion_tokens_details": {"reasoning_tokens": 5},
    });
    let mock =
        Mock::start(move |_, _| Act::Stream(vec![text("a"), text("b"), finish("stop"), usage(&counts), DONE.into()]));
    let (object, rows) = bench(&mock, &["-n", "4", "--body", r#"{"kv_policy": {"name": "lethe"}, "temperature": 0}"#]);
    assert_eq!((count(&object, "prompt_tokens"), count(&object, "output_tokens")), (120, 32));
    assert_eq!((count(&object, "cached_tokens"), count(&object, "reasoning_tokens")), (64, 20));
    let kv = &object["kv"];
    assert_eq!(
        (&kv["peak_slots_mean"], &kv["mean_slots_mean"], &kv["evicted"]),
        (&40.0.into(), &25.5.into(), &48.0.into())
    );
    assert_eq!((&rows[0]["kv"]["policy"], &rows[0]["chunks"]), (&"lethe".into(), &2.into()));
    let body = &mock.completions()[0].body;
    assert_eq!((&body["kv_policy"]["name"], &body["temperature"]), (&"lethe".into(), &0.into()));
    let out = lethe(&["bench", "serve", "--url", &mock.url, "-n", "2"]);
    let table = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && !table.contains('\x1b'), "{table}");
    let words = [
        "tiny at http",
        "closed loop of 8",
        "2 ok",
        "60 of prompts (32 cached), 16 generated (10 thinking)",
        "24 forgotten in 6 rounds",
        "p99",
    ];
    for word in words {
        assert!(table.contains(word), "{word}: {table}");
    }
}

#[test]
fn prompts_come_from_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("prompts.jsonl");
    std::fs::write(
        &path,
        "\"Sort 3 1 2.\"\n{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"max_tokens\": 4}\n",
    )
    .expect("written");
    let file = path.to_str().expect("a path");
    let mock = Mock::start(|_, seen| as_asked(seen));
    let (object, _) = bench(&mock, &["--prompts", file, "-c", "1", "--warmup", "0", "--new-tokens", "6"]);
    assert_eq!((count(&object, "ok"), &object["endpoint"]), (2, &"/v1/chat/completions".into()));
    let seen = mock.completions();
    assert_eq!(seen[0].body["messages"], json!([{"role": "user", "content": "Sort 3 1 2."}]));
    assert_eq!((&seen[0].body["max_tokens"], &seen[1].body["max_tokens"]), (&6.into(), &4.into()));
    assert!(!mock.seen().iter().any(|seen| seen.path == "/tokenize"), "nothing is drawn");
    let url = ["bench", "serve", "--url", &mock.url];
    fails_naming(
        &[&url[..], &["--prompts", file, "--endpoint", "completions"]].concat(),
        &["line 2", "--endpoint chat"],
    );
    fails_naming(&[&url[..], &["--prompts", "/no/such/file"]].concat(), &["/no/such/file"]);
}

#[test]
fn a_chat_is_drawn_in_words_and_a_server_without_tokenize_still_works() {
    let none = Act::json(404, &json!({"detail": "Not Found"}));
    let mock = Mock::with(&[("/tokenize", none)], |_, seen| as_asked(seen));
    let out = lethe(&["bench", "serve", "--url", &mock.url, "-n", "2", "--endpoint", "chat", "--prompt-tokens", "11"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("/tokenize"), "a notice says that lengths are uncertain");
    let body = mock.completions().remove(0).body;
    let content = body["messages"][0]["content"].as_str().expect("text");
    assert_eq!((content.split(' ').count(), &body["messages"][0]["role"]), (11, &"user".into()));
    bench(&mock, &["-n", "2", "--token-ids", "50-59", "--prompt-tokens", "8"]);
    let body = mock.completions().pop().expect("requests").body;
    let ids = body["prompt"].as_array().expect("ids");
    assert!(ids.len() == 8 && ids.iter().all(|id| id.as_u64().is_some_and(|id| (50..60).contains(&id))), "{body}");
}

#[test]
fn connections_are_kept_and_the_key_goes_with_every_request() {
    let mock = Mock::start(|_, seen| as_asked(seen));
    bench(&mock, &["-n", "20", "-c", "1", "--api-key", "sk-test", "--model", "other"]);
    let seen = mock.seen();
    assert!(seen.iter().all(|seen| seen.headers.get("authorization").is_some_and(|value| value == "Bearer sk-test")));
    assert!(mock.completions().iter().all(|seen| seen.body["model"] == "other"));
    assert!(mock.connections() < 5, "{} connections for {} requests", mock.connections(), seen.len());
}

#[test]
fn what_cannot_be_measured_is_said_before_the_load() {
    let serve = |url: &str, args: &[&str], words: &[&str]| {
        fails_naming(&[&["bench", "serve", "--url", url], args].concat(), words);
    };
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    serve(&format!("http://127.0.0.1:{port}"), &[], &["no server answers", "refused", "--url"]);
    serve("localhost:8080", &[], &["localhost:8080", "http://127.0.0.1:8080"]);
    let mock = Mock::start(|_, seen| as_asked(seen));
    let url = mock.url.as_str();
    serve(url, &["--model", "huge"], &["huge", "tiny, other"]);
    serve(url, &["--rows", "/no/such/folder/rows"], &["--rows", "/no/such/folder"]);
    serve(url, &["--endpoint", "chat", "--token-ids", "1-9"], &["--token-ids", "completions"]);
    serve(url, &["--prefix-tokens", "9", "--prompt-tokens", "8"], &["--prefix-tokens 9", "--prompt-tokens 8"]);
    assert!(mock.completions().is_empty());
    let denied = Act::json(401, &json!({"error": {"message": "bad key"}}));
    let mock = Mock::with(&[("/v1/models", denied)], |_, seen| as_asked(seen));
    serve(&mock.url, &[], &["401", "bad key", "--api-key"]);
    let page = Act::Whole(200, "text/html", "<html>".into());
    let mock = Mock::with(&[("/v1/models", page)], |_, seen| as_asked(seen));
    serve(&mock.url, &[], &["JSON", "OpenAI"]);
    let empty = Act::json(200, &json!({"data": []}));
    let mock = Mock::with(&[("/v1/models", empty)], |_, seen| as_asked(seen));
    serve(&mock.url, &[], &["no models", "--model"]);
    let mock = Mock::start(|_, _| Act::json(400, &json!({"error": {"message": "prompt too long"}})));
    serve(&mock.url, &[], &["before the measured", "HTTP 400", "prompt too long"]);
    assert_eq!(mock.completions().len(), 1, "nothing more is sent");
    serve(&mock.url, &["--warmup", "0", "-n", "3"], &["none of the requests", "3 failed", "prompt too long"]);
}

#[test]
fn bad_options_are_refused_with_the_reason() {
    let serve = |args: &[&str], words: &[&str]| fails_naming(&[&["bench", "serve"], args].concat(), words);
    serve(&["-n", "0"], &["--requests", "at least 1"]);
    serve(&["-n", "2000000"], &["2000000", "1000000"]);
    serve(&["-c", "0"], &["--concurrency", "at least 1"]);
    serve(&["-c", "3", "--rate", "2"], &["--concurrency", "--rate"]);
    serve(&["--burst", "--rate", "2"], &["--burst", "--rate"]);
    serve(&["--rate", "0"], &["--rate", "0.001"]);
    serve(&["--rate", "nan"], &["nan"]);
    serve(&["--prompt-tokens", "9-3"], &["9-3", "ends before"]);
    serve(&["--new-tokens", "0"], &["--new-tokens", "below 1"]);
    serve(&["--body", "[1]"], &["--body", "JSON object"]);
    serve(&["--body", "{"], &["--body", "JSON object"]);
    serve(&["--cancel", "1.5"], &["--cancel", "0 to 1"]);
    serve(&["--timeout", "0"], &["--timeout", "seconds"]);
    serve(&["--prompts", "p.jsonl", "--prompt-tokens", "4"], &["--prompts", "--prompt-tokens"]);
    serve(&["--api-key", "a\nb"], &["API key"]);
    // the command that it belongs to goes on without it, and knows when both are mixed
    assert!(fails(&["bench", "--batch", "2", "serve"]).contains("serve"));
}
