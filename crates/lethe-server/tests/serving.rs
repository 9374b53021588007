//! The server as its operators know it: loading, limits, clients that go away, metrics, the end.

mod common;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::{NAME, ask, begin, engine, model, options, problems, read_to_end, start};
use lethe_engine::{Engine, EngineOptions};
use lethe_server::{Options, Served};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

/// A request that goes on as long as the model has positions.
fn endless() -> Value {
    let mut body = ask("Sort 41 7 93 20 58.");
    for (key, value) in [("ignore_eos", json!(true)), ("stream", json!(true)), ("kv_policy", json!({ "name": "full" }))]
    {
        body[key] = value;
    }
    body
}

#[test]
fn it_listens_before_the_model_is_there() {
    let (go, gone) = channel::<()>();
    let server = begin(options(), move || {
        gone.recv().map_err(|e| e.to_string())?;
        let model = model(None);
        let engine = Engine::start(Arc::clone(&model), engine(1)).map_err(|e| e.to_string())?;
        Served::new(model, engine).map_err(|e| e.to_string())
    });
    assert_eq!(server.get("/health").status, 200);
    for reply in [server.get("/ready"), server.get("/v1/models"), server.post(CHAT, &ask("Hi"))] {
        assert_eq!(reply.status, 503);
        assert_eq!(reply.json()["error"]["code"], "loading");
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert!(server.get("/metrics").text.contains("# EOF"));
    go.send(()).unwrap();
    server.until(|server| server.get("/ready").status == 200);
    let models = server.get("/v1/models").json();
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["max_model_len"]), (&json!(NAME), &json!(4096)));
    assert_eq!(server.get(&format!("/v1/models/{NAME}")).json()["id"], NAME);
}

#[test]
fn a_model_that_does_not_load_ends_the_server() {
    let server = begin(options(), || Err("no such file".to_owned()));
    assert!(server.join().unwrap_err().to_string().contains("no such file"));
}

#[test]
fn a_full_queue_is_a_429_and_one_that_leaves_makes_room() {
    let server = start(options(), EngineOptions { max_queue: 1, ..engine(1) });
    let running = server.half_open(CHAT, &endless());
    server.until(|server| server.loads()["num_running_reqs"] == 1);
    let waiting = server.half_open(CHAT, &endless());
    server.until(|server| server.loads()["num_waiting_reqs"] == 1);
    let refused = server.post(CHAT, &ask("Sort 2 1."));
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert_eq!(refused.json()["error"]["code"], "queue_full");
    assert_eq!(refused.header("retry-after"), "1");
    drop((running, waiting));
    server.until_idle();
    assert_eq!(server.post(CHAT, &ask("Sort 2 1.")).status, 200);
}

#[test]
fn a_client_that_goes_away_gives_everything_back() {
    let server = start(options(), engine(4));
    let mut plain = endless();
    plain["stream"] = false.into();
    let clients = [server.half_open(CHAT, &endless()), server.half_open(CHAT, &plain)];
    server.until(|server| server.loads()["num_running_reqs"] == 2);
    assert!(server.loads()["lethe"]["pages_free"].as_u64() < server.loads()["lethe"]["pages_total"].as_u64());
    drop(clients);
    server.until_idle();
    server.until(|server| server.get("/metrics").text.contains("lethe_requests_total{finished_reason=\"abort\"} 2"));
}

#[test]
fn who_reads_nothing_slows_nobody() {
    let server = start(options(), engine(2));
    let deaf = server.half_open(CHAT, &endless());
    server.until(|server| server.loads()["num_running_reqs"] == 1);
    let problem = problems(1).remove(0);
    let got = server.chat(&ask(&problem.question));
    assert_eq!(got["choices"][0]["message"]["content"], problem.answer);
    drop(deaf);
    server.until_idle();
}

#[test]
fn too_long_is_a_timeout() {
    let server = start(Options { request_timeout: Some(Duration::from_millis(50)), ..options() }, engine(1));
    let mut body = endless();
    body["stream"] = false.into();
    let reply = server.post(CHAT, &body);
    assert_eq!((reply.status, reply.json()["error"]["code"].as_str()), (504, Some("timeout")));
    server.until_idle();
    let events = server.post(CHAT, &endless()).events();
    assert_eq!(events.last().unwrap()["error"]["code"], "timeout", "a stream has its error in place of the rest");
    server.until_idle();
}

#[test]
fn draining_answers_what_was_asked_and_refuses_the_rest() {
    let server = start(options(), engine(1));
    let mut body = endless();
    body["max_tokens"] = 400.into();
    let client = server.half_open(CHAT, &body);
    server.until(|server| server.loads()["num_running_reqs"] == 1);
    server.stopper.drain();
    server.until(|server| server.get("/ready").status == 503);
    let refused = server.post(CHAT, &ask("Hi"));
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("draining")));
    assert_eq!(server.get("/health").status, 200);
    let text = read_to_end(client);
    assert!(text.contains("\"finish_reason\":\"length\"") && text.contains("[DONE]"), "{text}");
    server.join().unwrap();
}

#[test]
fn a_second_word_ends_it_at_once() {
    let server = start(options(), engine(1));
    let client = server.half_open(CHAT, &endless());
    server.until(|server| server.loads()["num_running_reqs"] == 1);
    server.stopper.drain();
    server.until(|server| server.get("/ready").status == 503);
    server.stopper.stop();
    server.join().unwrap();
    let mut client = client;
    let mut rest = Vec::new();
    // cut off, or reset: in any case over
    let _ = std::io::Read::read_to_end(&mut client, &mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("[DONE]"));
}

#[test]
fn metrics_have_both_sets_of_names() {
    let server = start(options(), engine(2));
    let problem = problems(1).remove(0);
    let mut body = ask(&problem.question);
    body["kv_policy"] = json!({ "cap": problem.prompt_ids.len() + 24, "interval": 8 });
    let got = server.chat(&body);
    let reply = server.get("/metrics");
    assert!(reply.header("content-type").starts_with("application/openmetrics-text"));
    let value = |name: &str| -> f64 {
        let line = reply.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in\n{}", reply.text)).parse().unwrap()
    };
    let tokens = got["usage"]["completion_tokens"].as_f64().unwrap();
    assert_eq!(value("lethe_generated_tokens_total"), tokens);
    assert_eq!(value("vllm:generation_tokens_total{model_name=\"reasoner-s\"}"), tokens);
    let reason = got["choices"][0]["finish_reason"].as_str().unwrap();
    assert_eq!(value(&format!("lethe_requests_total{{finished_reason=\"{reason}\"}}")), 1.0);
    let success = format!("vllm:request_success_total{{model_name=\"reasoner-s\",finished_reason=\"{reason}\"}}");
    assert_eq!(value(&success), 1.0);
    for (name, count) in [("time_to_first_token_seconds", 1.0), ("inter_token_latency_seconds", tokens - 1.0)] {
        assert_eq!(value(&format!("lethe_{name}_count")), count);
        assert_eq!(value(&format!("vllm:{name}_count{{model_name=\"reasoner-s\"}}")), count);
    }
    let rounds = got["usage"]["kv"]["rounds"].as_f64().unwrap();
    assert!(rounds > 0.0);
    assert_eq!((value("lethe_rounds_total"), value("lethe_dropped_mass_count")), (rounds, rounds));
    assert_eq!(value("lethe_evicted_slots_total"), got["usage"]["kv"]["evicted"].as_f64().unwrap());
    for layer in 0..6 {
        assert_eq!(value(&format!("lethe_kv_slots{{layer=\"{layer}\"}}")), 0.0);
    }
    assert!(value("lethe_kv_pages_free") <= value("lethe_kv_pages_total"));
    for name in [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_hits_total",
        "vllm:num_preemptions_total",
    ] {
        value(&format!("{name}{{model_name=\"reasoner-s\"}}"));
    }
    for name in ["lethe_queue_seconds_count", "lethe_preemptions_total", "lethe_requests_refused_total"] {
        value(name);
    }
}

#[test]
fn requests_have_names() {
    let server = start(options(), engine(1));
    let named = server.send("/tokenize", "application/json", &[("x-request-id", "mine-7")], "{\"prompt\": \"a\"}");
    assert_eq!(named.header("x-request-id"), "mine-7");
    let made = server.get("/nothing");
    assert!(made.header("x-request-id").starts_with("req-"), "errors have one too");
    assert_ne!(made.header("x-request-id"), server.get("/nothing").header("x-request-id"));
}

#[test]
fn the_api_describes_itself() {
    let server = start(options(), engine(1));
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{model}", NAME);
            let reply = if method == "get" { server.get(&path) } else { server.post(&path, &json!({})) };
            assert!(reply.status != 404 && reply.status != 405, "{method} {path}: {}", reply.status);
        }
    }
    assert_eq!(document["components"]["schemas"]["Prompt"]["oneOf"][1]["items"]["maximum"], 799);
    assert_eq!(server.get("/version").json()["version"], env!("CARGO_PKG_VERSION"));
}
