//! Many clients at once on a pool that is too small for them, a third of which leave at a random moment. `STORM=2000` makes as many
//! requests of it.

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{NAME, Running, engine, model, options, start};
use lethe_engine::{Core, EngineOptions, Event, Generation, Request};
use lethe_policy::PolicySpec;
use serde_json::{Value, json};

const CLIENTS: usize = 64;
const REQUESTS: usize = 400;
const LENGTHS: [usize; 4] = [3, 12, 40, 120];
const POLICIES: [&str; 3] =
    ["full", "lethe:budget=40,trigger=cap,interval=8,recent_ratio=0.1", "random:budget=32,interval=8,seed=5"];

/// Numbers that look random, for a request.
fn dice(request: usize, salt: u64) -> usize {
    (lethe_engine::uniform(salt, request as u64) * 1e9) as usize
}

/// A request: which prompt, which policy, how many tokens, and after how many chunks its client leaves.
fn plan(request: usize) -> (usize, usize, usize, Option<usize>) {
    let tokens = LENGTHS[dice(request, 3) % LENGTHS.len()];
    let leaves = dice(request, 4).is_multiple_of(3).then(|| dice(request, 5) % tokens);
    (dice(request, 1) % 8, dice(request, 2) % POLICIES.len(), tokens, leaves)
}

fn prompts() -> Vec<Vec<u32>> {
    let lines: Vec<Value> = lethe_reasoner::PROBLEMS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids =
        |line: &Value| line["prompt_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    (0..8).map(|i| ids(&lines[i * 12])).collect()
}

/// The text of a prompt under a policy, alone in an engine: what each of its tokens adds.
fn alone(prompt: &[u32], policy: &str) -> Vec<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut core = Core::new(model(None), engine(1)).unwrap();
    let generation = Generation { max_tokens: Some(LENGTHS[3]), ignore_eos: true, ..Generation::default() };
    let request = Request { policy: PolicySpec::parse(policy).unwrap(), generation, ..Request::new(prompt.to_vec()) };
    core.submit(1, request, move |event| drop(sender.send(event))).unwrap();
    while core.step() {}
    let text = |event| match event {
        Event::Token { text, .. } => Some(text),
        _ => None,
    };
    receiver.try_iter().filter_map(text).collect()
}

/// Streams an answer; leaves after so many chunks. Returns the text, if it heard it to its end.
fn stream(server: &Running, body: &Value, leaves: Option<usize>) -> Result<Option<String>, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let sent =
        agent.post(server.url("/v1/completions")).header("content-type", "application/json").send(body.to_string());
    let mut reply = sent.map_err(|e| e.to_string())?;
    if reply.status() != 200 {
        return Err(format!("{}: {}", reply.status(), reply.body_mut().read_to_string().unwrap_or_default()));
    }
    let (mut text, mut chunks) = (String::new(), 0);
    if leaves == Some(0) {
        return Ok(None);
    }
    for line in BufReader::new(reply.body_mut().as_reader()).lines() {
        let line = line.map_err(|e| e.to_string())?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        if data == "[DONE]" {
            return Ok(Some(text));
        }
        let chunk: Value = serde_json::from_str(data).map_err(|e| format!("{e}: {data}"))?;
        if chunk.get("error").is_some() {
            return Err(data.to_owned());
        }
        text.push_str(chunk["choices"][0]["text"].as_str().unwrap_or_default());
        chunks += 1;
        if leaves == Some(chunks) {
            return Ok(None);
        }
    }
    Err("the stream broke off".into())
}

#[test]
fn every_answer_that_is_heard_to_its_end_is_the_one_of_a_run_alone() {
    let prompts = prompts();
    let mut whole = HashMap::new();
    for (p, prompt) in prompts.iter().enumerate() {
        for (k, policy) in POLICIES.iter().enumerate() {
            whole.insert((p, k), alone(prompt, policy));
        }
    }
    let small = EngineOptions {
        kv_memory: 5 << 20,
        max_batched_tokens: 128,
        head_room: 16,
        prefix_cache: true,
        park_memory: 2 << 20,
        ..engine(24)
    };
    let requests =
        std::env::var("STORM").map_or(REQUESTS, |number| number.parse().expect("STORM is a number of requests"));
    let server = start(options(), small);
    let (next, heard, left) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let request = next.fetch_add(1, Ordering::Relaxed);
                    if request >= requests {
                        return;
                    }
                    let (prompt, policy, tokens, leaves) = plan(request);
                    let body = json!({
                        "model": NAME, "prompt": prompts[prompt], "max_tokens": tokens, "ignore_eos": true,
                        "temperature": 0, "stream": true, "kv_policy": spec(POLICIES[policy]),
                    });
                    match stream(&server, &body, leaves) {
                        Ok(None) => _ = left.fetch_add(1, Ordering::Relaxed),
                        Ok(Some(text)) if text == whole[&(prompt, policy)][..tokens].concat() => {
                            heard.fetch_add(1, Ordering::Relaxed);
                        }
                        other => wrong.lock().unwrap().push(format!("request {request}: {other:?}")),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong, such as {:?}", wrong.len(), &wrong[..wrong.len().min(3)]);
    let (heard, left) = (heard.into_inner(), left.into_inner());
    assert_eq!(heard + left, requests);
    assert!(left > requests / 5, "{left} left early");
    server.until_idle();
    let count = |name: &str| -> u64 {
        let metrics = server.get("/metrics").text;
        metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
    };
    assert!(count("lethe_preemptions_total ") > 20, "the pool was under pressure");
    server.until(|_| count("lethe_integrity_checks_total ") > 0);
    assert_eq!(count("lethe_integrity_failures_total "), 0, "a page is owned twice or by nobody");
}

/// A policy as a request gives it.
fn spec(policy: &str) -> Value {
    let (name, options) = policy.split_once(':').unwrap_or((policy, ""));
    let mut spec = json!({ "name": name });
    for (key, value) in options.split(',').filter_map(|option| option.split_once('=')) {
        spec[key] = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    }
    spec
}
