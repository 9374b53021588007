//! `lethe eval`: results, summary and report, after a kill too; what it says of bad words.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{fails_naming, ok};

/// Two families, short problems.
const SMALL: [&str; 13] = [
    "eval",
    "--tasks",
    "sort,rooms",
    "--level",
    "0",
    "--problems",
    "2",
    "--policies",
    "recency;lethe:half_life=16",
    "--policies",
    "random",
    "--budgets",
    "16,50%",
];

fn small<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], &["--out", out], more].concat()
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
    let [a, b] = [&whole, &killed].map(|path| path.to_str().unwrap());
    ok(&small(a, &[]));
    let results = read(&whole, "results.jsonl");
    assert_eq!(results.lines().count(), 4 * (1 + 3 * 2 * 2));

    let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(small(b, &["--concurrency", "2"]))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let journal = killed.join("journal.jsonl");
    let rows = || std::fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
    while rows() < 9 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!((1..52).contains(&rows()), "{} rows", rows());
    assert!(!killed.join("results.jsonl").exists());
    fails_naming(&["eval", "report", b], &["results.jsonl"]);
    ok(&small(b, &["--concurrency", "5"]));
    assert_eq!(results, read(&killed, "results.jsonl"));

    // both have the same summary, and it can be made anew against something else
    let summary = read(&whole, "summary.md");
    assert_eq!(summary, read(&killed, "summary.md"));
    for part in
        ["sort, budget 16, protection on", "over full", "over recency", "over random", "all tasks, protection off"]
    {
        assert!(summary.contains(part), "{part}: {summary}");
    }
    let page = read(&whole, "report.html");
    assert!(page.contains("<svg") && page.ends_with("</html>\n"));
    std::fs::remove_file(whole.join("report.html")).unwrap();
    ok(&["eval", "report", a, "--against", "lethe:half_life=16"]);
    assert!(read(&whole, "summary.md").contains("over lethe:half_life=16"));
    assert!(!read(&whole, "summary.md").contains("over random"));
    assert!(whole.join("report.html").exists());
    fails_naming(&["eval", "report", a, "--against", "h2o"], &["h2o", "recency"]);

    // other options do not mix with what is there
    fails_naming(&small(a, &["--seed", "8"]), &["seed", "7", "8", "another folder"]);
    assert_eq!(results, read(&whole, "results.jsonl"));
}

#[test]
fn bad_words_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("none");
    let out = out.to_str().unwrap();
    let with = |words: &[&'static str]| [&["eval", "--out", out], words].concat();
    fails_naming(&["eval"], &["--out"]);
    fails_naming(&with(&["--tasks", "", "--model", "/nowhere/model.gguf"]), &["--tasks", "cards, two_turn", "or all"]);
    fails_naming(&["eval", "drift", "--policy", "recency:budget=48", "--tasks", ","], &["--tasks names no family"]);
    fails_naming(&with(&["--tasks", "chess"]), &["chess", "two_turn"]);
    fails_naming(&with(&["--policies", "recensy"]), &["recensy", "recency"]);
    fails_naming(&with(&["--policies", "auto"]), &["auto", "budget"]);
    fails_naming(&with(&["--budgets", "ten"]), &["ten", "25%"]);
    fails_naming(&with(&["--protect", "maybe"]), &["maybe", "on,off"]);
    fails_naming(&with(&["--problems", "0"]), &["0 problems"]);
    fails_naming(&with(&["--level", "2"]), &["--level", "0 to 1"]);
    fails_naming(&with(&["--length", "9-1"]), &["--length", "400-900"]);
    fails_naming(&with(&["--concurrency", "0"]), &["--concurrency"]);
    fails_naming(&with(&["--against", "h3o"]), &["h3o"]);
    fails_naming(&with(&["--model", "/nowhere/model.gguf"]), &["/nowhere/model.gguf"]);
    fails_naming(&["eval", "report", out], &["none"]);
    assert!(!Path::new(out).exists());
}

#[test]
fn a_text_is_checked_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.txt");
    let text = path.to_str().unwrap();
    std::fs::write(&path, "Sort 41 7 93 20 5 66. ".repeat(8)).unwrap();
    let said = common::fails(&["eval", "ppl", text, "--policy", "recency:budget=2,interval=8"]);
    assert!(said.contains("stretch 1") && !said.contains("of 2"), "{said}");
    std::fs::write(&path, b"one\nna\xefve\n").unwrap();
    fails_naming(&["eval", "ppl", text], &["text.txt, line 2", "byte 3", "convert it to UTF-8"]);
    fails_naming(&["eval", "--dataset", text, "--out", text], &["text.txt, line 1", "JSON"]);
    assert!(ok(&["eval", "report", "--help"]).contains("Examples:"));
}
