//! `lethe eval drift`, `lethe eval ppl` and `lethe eval --dataset`: what they print, and what they say of bad words.

mod common;

use common::{fails_naming, ok};
use serde_json::Value;

#[test]
fn drift_of_full_is_nothing_and_of_others_something() {
    let words = ["eval", "drift", "--tasks", "sort", "--level", "0", "--problems", "2", "--json"];
    let policies = ["--policy", "full", "--policy", "recency:budget=16,interval=8"];
    let text = ok(&[&words[..], &policies].concat());
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [full, recency] = &rows[..] else { panic!("{text}") };
    assert_eq!((&full["mean"], &full["agreement"], &full["answers"]), (&0.0.into(), &1.0.into(), &2.into()), "{text}");
    assert!(recency["mean"].as_f64().unwrap() > 1e-6 && recency["exercised"] == 1.0, "{text}");
    assert_eq!(recency["tokens"], full["tokens"]);
}

#[test]
fn perplexity_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    let day = |i: usize| format!("Day {i}: {} + {} = {}. Best: day {i}.\n", i * 3, i * 5, i * 8);
    std::fs::write(&path, (1..13).map(day).collect::<String>()).unwrap();
    let file = path.to_str().unwrap();
    let words = ["eval", "ppl", file, "--context", "64", "--json", "--policy", "recency:budget=16,interval=8"];
    let row: Value = serde_json::from_str(&ok(&words)).unwrap();
    let (full, policy) = (&row["full"]["perplexity"], &row["under_policy"]["perplexity"]);
    let ratio = policy.as_f64().unwrap() / full.as_f64().unwrap();
    assert!((row["ratio"]["value"].as_f64().unwrap() - ratio).abs() < 1e-9, "{row}");
    let [low, high] = [0, 1].map(|end| row["full"]["interval"][end].as_f64().unwrap());
    assert!(low < high && low <= full.as_f64().unwrap() && full.as_f64().unwrap() <= high, "{row}");
    assert_eq!(row["under_policy"]["exercised"], row["stretches"]);
    let text = ok(&["eval", "ppl", file, "--context", "64"]);
    assert!(text.contains("full") && text.contains("stretches of "), "{text}");
    fails_naming(&["eval", "ppl", file, "--context", "1"], &["1 tokens", "at least 2"]);
    fails_naming(&["eval", "ppl", "no-such.txt"], &["no-such.txt"]);
}

#[test]
fn questions_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("sums.jsonl"), folder.path().join("out"));
    let line = |id: &str| format!("{{\"uid\": \"{id}\", \"prompt\": \"What is 3 + 4?\", \"gold\": \"7\"}}\n");
    std::fs::write(&file, line("a") + &line("b") + &line("c")).unwrap();
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let fields = ["--field", "question=prompt", "--field", "answer=gold", "--field", "id=uid", "--limit", "2"];
    let words = ["eval", "--dataset", file, "--max-tokens", "24", "--policies", "recency", "--budgets", "12"];
    let rest = ["--protect", "on", "--samples", "2", "--out", out];
    ok(&[&words[..], &fields, &rest].concat());
    let results = std::fs::read_to_string(folder.path().join("out/results.jsonl")).unwrap();
    let rows: Vec<Value> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2 * 2 * 2);
    assert!(rows.iter().all(|row| row["task"] == "sums" && row["tokens"][0].as_u64().unwrap() <= 24), "{results}");
    fails_naming(&words, &["--out"]);
    fails_naming(&[&words[..], &rest].concat(), &["sums.jsonl, line 1", "--field question=NAME"]);
    fails_naming(&[&words[..], &["--tasks", "sort", "--out", out]].concat(), &["--tasks", "--dataset"]);
    fails_naming(&["eval", "--temperature", "0.6", "--out", out], &["--samples"]);
}
