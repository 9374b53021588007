//! The program as a user meets it: answers, JSON, and errors that say what to do.

mod common;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{fails_naming, lethe, ok};

const QUESTION: &str = "Sort 41 7 93 20.";

#[test]
fn an_answer_streams_to_stdout_and_statistics_to_stderr() {
    let out = lethe(&["run", QUESTION]);
    let (text, notes) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success());
    assert!(text.starts_with("<think>") && text.trim_end().ends_with("7 20 41 93."), "{text}");
    assert!(!text.contains('\x1b'), "no colour asked for");
    for word in ["reasoner-s", "policy auto", "greedy", "stop", "slots per layer"] {
        assert!(notes.contains(word), "{word}: {notes}");
    }
    assert!(lethe(&["run", "--quiet", QUESTION]).stderr.is_empty());
}

#[test]
fn json_has_every_field_and_nothing_else_on_stdout() {
    let policy = "lethe:budget=30,trigger=cap,interval=8,recent_ratio=0.1";
    let text = ok(&["run", "--json", "--policy", policy, QUESTION]);
    let v: serde_json::Value = serde_json::from_str(&text).expect("one object");
    let ids = v["token_ids"].as_array().expect("ids");
    assert_eq!(v["usage"]["completion_tokens"], ids.len());
    assert_eq!(v["finish_reason"], "stop");
    let (all, thinking) = (v["text"].as_str().expect("text"), v["reasoning"].as_str().expect("thinking"));
    let (before, answer) = all.split_once("</think>").expect("tags stay in the text");
    assert_eq!(before, format!("<think>\n{thinking}\n"));
    let tokens = v["usage"]["reasoning_tokens"].as_u64().expect("a count") as usize;
    assert_eq!(ids[tokens - 1], 799, "up to the closing tag");
    assert!(answer.ends_with('.'));
    assert_eq!(v["usage"]["cached_tokens"], 0);
    let kv = &v["kv"];
    assert_eq!((&kv["policy"], &kv["options"]["budget"]), (&"lethe".into(), &30.into()));
    for key in ["peak_slots", "final_slots", "rounds"] {
        assert_eq!(kv[key].as_array().map(Vec::len), Some(6), "{key}: one number per layer");
    }
    assert!(kv["evicted"].as_u64() > Some(0) && kv["peak_bytes"].as_u64() >= kv["mean_bytes"].as_u64());
    let (mean, max) = (kv["dropped_mass"]["mean"].as_f64(), kv["dropped_mass"]["max"].as_f64());
    assert!(mean > Some(0.0) && max >= mean && max < Some(1.0), "{mean:?} {max:?}");
}

#[test]
fn length_names_its_limit_on_every_channel() {
    let out = lethe(&["run", "-q", "-n", "3", QUESTION]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("max_tokens 3"));
    let v: serde_json::Value = serde_json::from_str(&ok(&["run", "--json", "-n", "3", QUESTION])).expect("json");
    assert_eq!((&v["finish_reason"], &v["limit"]), (&"length".into(), &"max_tokens 3".into()));
    let out = lethe(&["run", "-n", "0", QUESTION]);
    assert!(out.status.success() && String::from_utf8_lossy(&out.stdout).trim().is_empty());
    assert!(String::from_utf8_lossy(&out.stderr).contains("max_tokens 0"));
}

#[test]
fn a_folder_without_a_tokenizer_takes_ids() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = lethe_reasoner::FILES;
    std::fs::write(dir.path().join("config.json"), files.config).expect("written");
    std::fs::write(dir.path().join("model.safetensors"), files.weights).expect("written");
    let path = dir.path().to_str().expect("a path");
    let text = ok(&["run", "-m", path, "--prompt-tokens", "796,766,198", "-n", "4", "--json", "--kv-dtype", "f32"]);
    let v: serde_json::Value = serde_json::from_str(&text).expect("json");
    assert_eq!(v["token_ids"].as_array().map(Vec::len), Some(4));
    fails_naming(&["run", path, QUESTION], &["tokenizer.json", "--prompt-tokens"]);
}

#[test]
fn a_cache_of_eight_bits_answers_in_half_the_memory() {
    let run = |dtype: &str| {
        let text = ok(&["run", "--json", "-n", "40", "--kv-dtype", dtype, QUESTION]);
        serde_json::from_str::<serde_json::Value>(&text).expect("json")
    };
    let (f16, int8) = (run("f16"), run("int8"));
    let bytes = |v: &serde_json::Value| v["kv"]["peak_bytes"].as_f64().expect("bytes");
    assert!(bytes(&int8) < 0.6 * bytes(&f16), "{} of {}", bytes(&int8), bytes(&f16));
    assert_eq!(int8["token_ids"].as_array().expect("ids").len(), 40);
}

#[test]
fn threads_and_memory_change_nothing_but_the_time() {
    let one = ok(&["run", "-q", "-t", "1", QUESTION]);
    assert_eq!(ok(&["run", "-q", "-t", "3", "--kv-memory", "8MiB", QUESTION]), one);
}

#[test]
fn bad_policies_are_named_with_what_would_do() {
    let with = |policy: &'static str| ["run", "--policy", policy, QUESTION];
    fails_naming(&with("leth"), &["leth", "lethe", "recency"]);
    fails_naming(&with("lethe:capp=3"), &["capp", "cap"]);
    fails_naming(&with("lethe:half_life=soon"), &["half_life", "soon"]);
    fails_naming(&with("lethe:cap"), &["cap"]);
    fails_naming(&with("lethe:cap=100,budget=50"), &["cap", "budget"]);
    fails_naming(&with("recency"), &["budget"]);
    fails_naming(&["run", "--cap", "3", QUESTION], &["3"]);
    fails_naming(&["run", "--protect-prompt", "some", QUESTION], &["some", "newest"]);
}

#[test]
fn bad_input_is_refused_with_the_reason() {
    fails_naming(&["run", "--raw", "--system", "Be brief.", QUESTION], &["--system", "template"]);
    fails_naming(&["run", "--template-arg", "a=b", QUESTION], &["a=b", "JSON"]);
    fails_naming(&["run", "--template-arg", "a=1", "--no-template", QUESTION], &["--no-template"]);
    fails_naming(&["run", "--reasoning-budget-message", "So.", QUESTION], &["--reasoning-budget"]);
    fails_naming(&["run", "--reasoning-budget", "-1", QUESTION], &["--reasoning-budget"]);
    fails_naming(&["run", ""], &["empty"]);
    fails_naming(&["run"], &["empty"]);
    fails_naming(&["run", "--prompt-tokens", "1,99999"], &["99999", "799"]);
    fails_naming(&["run", "--temperature", "-1", QUESTION], &["temperature"]);
    fails_naming(&["run", "--top-p", "1.5", QUESTION], &["top_p"]);
    fails_naming(&["run", "--top-p", "-1", QUESTION], &["top_p"]);
    fails_naming(&["run", "--repetition-penalty", "1e-38", QUESTION], &["repetition_penalty"]);
    fails_naming(&["run", "/"], &["folder", "-m"]);
    fails_naming(&["run", "--kv-memory", "900000TiB", QUESTION], &["--kv-memory"]);
    fails_naming(&["demo", "--policy", "recency"], &["budget"]);
    fails_naming(&["run", "-t", "0", QUESTION], &["thread"]);
    fails_naming(&["run", "--kv-memory", "lots", QUESTION], &["lots", "512MiB"]);
    fails_naming(&["run", "--kv-memory", "1KiB", QUESTION], &["--kv-memory"]);
    fails_naming(&["run", "--kv-memory", "64KiB", "--policy", "full", "-n", "3000", QUESTION], &["64", "--kv-memory"]);
    fails_naming(&["run", "-m", "/no/such/folder", QUESTION], &["/no/such/folder"]);
    fails_naming(&["run", "-m", "/a", "/b", QUESTION], &["twice"]);
    let long = vec!["5"; 4096].join(",");
    fails_naming(&["run", "--prompt-tokens", &long], &["4096"]);
}

#[test]
fn damaged_models_are_named_by_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path();
    let files = lethe_reasoner::FILES;
    let write = |name: &str, bytes: &[u8]| std::fs::write(path.join(name), bytes).expect("written");
    let run = |path: &Path, words: &[&str]| {
        fails_naming(&["run", "-m", path.to_str().expect("a path"), "--prompt-tokens", "1"], words);
    };
    run(path, &["config.json"]);
    write("config.json", files.config);
    run(path, &["model.safetensors"]);
    write("model.safetensors", &files.weights[..files.weights.len() / 2]);
    run(path, &["model.safetensors", "truncated"]);
    write("model.safetensors", &u64::MAX.to_le_bytes());
    run(path, &["model.safetensors", "header"]);
    write("model.safetensors", files.weights);
    write("config.json", br#"{"model_type": "qwen3", "hidden_size": "wide"}"#);
    run(path, &["config.json", "hidden_size"]);
    write("config.json", br#"{"model_type": "mamba"}"#);
    run(path, &["mamba"]);
    write("config.json", b"[1, 2");
    run(path, &["config.json"]);
}

#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(["run", "--ignore-eos", "-n", "2000", QUESTION])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = [0; 4];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("some text");
    // the pipe is closed here, long before the answer is complete
    let out = child.wait_with_output().expect("it ends");
    let notes = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && !notes.contains("panicked") && !notes.contains("error"), "{notes}");
}

#[test]
fn policies_are_listed_with_keys_defaults_and_cost() {
    let text = ok(&["policies"]);
    for word in ["auto", "lethe", "full", "recency", "random", "half_life", "[default: 256]", "cost:"] {
        assert!(text.contains(word), "{word}");
    }
    let all: serde_json::Value = serde_json::from_str(&ok(&["policies", "--json"])).expect("json");
    assert!(all.as_array().is_some_and(|a| a.iter().any(|p| p["name"] == "lethe")));
    fails_naming(&["policies", "nothing"], &["nothing"]);
}

#[test]
fn the_demo_works_without_a_terminal() {
    let text = ok(&["demo", "--problems", "1", "--moves", "6", "--policy", "lethe:budget=200,trigger=cap,interval=16"]);
    assert!(!text.contains('\x1b'));
    for word in ["Problem 1 of 1", "layer 5", "right", "KV peak", "tok/s", "lethe"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
