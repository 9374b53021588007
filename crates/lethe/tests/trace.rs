//! `lethe trace`: the file, the page, and what is said of broken files.

mod common;

use std::path::Path;

use common::{fails, fails_naming, ok};
use serde_json::Value;

const POLICY: &str = "lethe:budget=48,trigger=cap,interval=8,half_life=16,recent_ratio=0.3";

/// Traces a small problem into `dir`.
fn trace(dir: &Path, name: &str, more: &[&str]) -> String {
    let path = dir.join(name).to_str().expect("a path").to_owned();
    let args = ["trace", "--task", "cards", "--level", "0.3", "--seed", "3", "--policy", POLICY, "-o", &path];
    ok(&[&args[..], more].concat());
    path
}

fn lines(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

/// The lines of one kind.
fn of<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter_map(|line| line.get(kind)).collect()
}

/// A number among the data of a page or a line.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}

#[test]
fn the_same_run_writes_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a folder");
    let paths = ["a.jsonl", "b.jsonl"].map(|name| trace(dir.path(), name, &[]));
    let [a, b] = paths.clone().map(|path| std::fs::read(path).expect("a file"));
    assert!(a == b, "traces differ");
    for path in &paths {
        ok(&["trace", "view", path, "--svg", &format!("{path}.figures")]);
    }
    for end in ["html", "jsonl.figures/slots.svg", "jsonl.figures/heatmap.svg"] {
        let [a, b] = ["a", "b"].map(|name| std::fs::read(dir.path().join(format!("{name}.{end}"))).expect(end));
        assert!(!a.is_empty() && a == b, "{end} differs");
    }
}

#[test]
fn a_trace_adds_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let all = lines(&trace(dir.path(), "t.jsonl", &["--gold"]));
    assert_eq!((&all[0]["lethe_trace"], &all[0]["layers"], &all[0]["policy"]), (&1.into(), &6.into(), &"lethe".into()));
    assert_eq!(all[0]["options"]["budget"], 48);
    let texts: String = of(&all, "tokens")
        .iter()
        .flat_map(|tokens| tokens["texts"].as_array().expect("texts"))
        .map(|text| text.as_str().expect("text"))
        .collect();
    assert!(texts.starts_with("<|im_start|>user\n") && texts.ends_with("<|im_end|>"), "{texts}");
    assert_eq!(of(&all, "tokens")[1]["right"], true, "the right answer was said");

    // every layer: what was there, plus a slot a token, minus what was forgotten
    let rounds = of(&all, "round");
    assert!(rounds.len() > 20);
    for layer in 0..6u64 {
        let (mut at, mut held) = (0, 0);
        for round in rounds.iter().filter(|round| round["layer"] == layer) {
            let [position, before, after] = ["position", "before", "after"].map(|key| number(&round[key]));
            assert_eq!(before, held + position - at, "{round}");
            let runs = round["forgot"]
                .as_array()
                .expect("a list")
                .iter()
                .flat_map(|lost| lost["runs"].as_array().expect("runs"));
            let forgot: u64 = runs.map(|run| number(&run[1]) - number(&run[0]) + 1).sum();
            assert_eq!(after, before - forgot);
            let hoyer = round["scores"]["hoyer"].as_f64().expect("lethe scores");
            assert!((0.0..=1.0).contains(&hoyer) && number(&round["bytes"]) > 0);
            (at, held) = (position, after);
        }
        assert!(held > 0, "layer {layer} had rounds");
    }
    for level in of(&all, "level") {
        assert_eq!(number(&level["position"]) % 8, 0);
        assert_eq!(
            (level["slots"].as_array().map(Vec::len), level["hoyer"].as_array().map(Vec::len)),
            (Some(6), Some(6))
        );
    }
    let end = &all.last().expect("lines")["end"];
    let tokens: usize = of(&all, "tokens").iter().map(|tokens| tokens["ids"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!((end["reason"].as_str(), end["followed"].as_u64()), (Some("stop"), Some(tokens as u64)));
    assert!(number(&end["reads"]) > 40);
}

#[test]
fn needs_name_what_is_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    // nothing but sinks and newest tokens, and values are read much later
    let policy = ["--gold", "--level", "0.6", "--policy", "recency:budget=24,interval=8"];
    let path = dir.path().join("n.jsonl").to_str().expect("a path").to_owned();
    ok(&[&["trace", "-q", "--task", "rooms", "--seed", "1", "-o", &path], &policy[..]].concat());
    let all = lines(&path);
    let needs = of(&all, "need");
    assert!(!needs.is_empty());
    for need in needs {
        assert_eq!(need["gone"].as_array().map(Vec::len), Some(6), "recency forgets alike in every layer");
        let reader = number(&need["at"][0]);
        for run in need["from"].as_array().expect("runs") {
            let gone = of(&all, "round").iter().filter(|round| number(&round["position"]) < reader).any(|round| {
                let runs = round["forgot"]
                    .as_array()
                    .expect("a list")
                    .iter()
                    .flat_map(|lost| lost["runs"].as_array().expect("runs"));
                runs.clone().any(|lost| number(&lost[0]) <= number(&run[0]) && number(&run[0]) <= number(&lost[1]))
            });
            assert!(gone, "{need}: {run} was never forgotten");
        }
    }
}

#[test]
fn the_page_is_whole_and_asks_nobody() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = trace(dir.path(), "p.jsonl", &[]);
    let page = dir.path().join("page.html");
    ok(&["trace", "view", &path, "-o", page.to_str().expect("a path")]);
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    for part in [
        "color-scheme: light dark",
        "type=\"range\"",
        "max-width: 900px",
        "id=\"text\" tabindex=\"0\"",
        "onkeydown",
        "id=\"map\"",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("{{"), "a place was not filled");
    for outside in ["src=", "href=\"http", "@import", "url(", "fetch("] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert_eq!(html.matches("<svg ").count(), 2, "slots and sparsity");
    for tag in ["section", "div", "svg", "script", "table", "ul", "main", "button"] {
        let open = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(open, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    // what the script works with is the trace
    let (_, data) = html.split_once("id=\"data\">").expect("data");
    let data: Value = serde_json::from_str(data.split_once("</script>").expect("an end").0).expect("json");
    let all = lines(&path);
    let texts: Vec<&Value> = of(&all, "tokens").iter().flat_map(|t| t["texts"].as_array().expect("texts")).collect();
    assert_eq!(data["texts"].as_array().expect("texts").iter().collect::<Vec<_>>(), texts);
    assert_eq!(data["rounds"].as_array().map(Vec::len), Some(of(&all, "round").len()));
    let forgotten: u64 = of(&all, "round").iter().map(|r| number(&r["before"]) - number(&r["after"])).sum();
    let gone: usize = data["gone"].as_array().expect("a list").iter().map(|g| g.as_array().map_or(0, Vec::len)).sum();
    assert_eq!(gone as u64, forgotten * 2, "when and where, for each slot");
}

#[test]
fn two_turns_are_one_trace() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("two.jsonl").to_str().expect("a path").to_owned();
    ok(&[
        "trace",
        "-q",
        "--task",
        "two_turn",
        "--level",
        "0.4",
        "--seed",
        "1",
        "--gold",
        "--policy",
        "recency:budget=40,interval=8",
        "-o",
        &path,
    ]);
    let all = lines(&path);
    let by: Vec<&str> = of(&all, "tokens").iter().map(|tokens| tokens["by"].as_str().expect("who")).collect();
    assert_eq!(by, ["prompt", "model", "prompt", "model"]);
    ok(&["trace", "view", &path]);
}

#[test]
fn lanes_and_policies_without_scores_have_pages_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("l.jsonl").to_str().expect("a path").to_owned();
    let run = |policy: &str| ok(&["trace", "-q", "Sort 41 7 93 20 5 66.", "--policy", policy, "-o", &path]);
    run("snapkv:budget=40,interval=8,window=8");
    let all = lines(&path);
    assert!(of(&all, "round").iter().any(|round| round["forgot"][0]["lane"] == 0));
    assert!(of(&all, "need").is_empty() && all.last().expect("lines")["end"].get("reads").is_none(), "nobody knows");
    assert!(ok(&["trace", "view", &path]).contains("l.html"));
    run("recency:budget=40,interval=8");
    let figures = dir.path().join("figures");
    let said = ok(&["trace", "view", &path, "--svg", figures.to_str().expect("a path")]);
    assert!(said.contains("no heatmap.svg: policy recency keeps no scores"), "{said}");
    assert!(figures.join("slots.svg").exists() && !figures.join("heatmap.svg").exists());
}

#[test]
fn text_cannot_break_out_of_the_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.jsonl").to_str().expect("a path").to_owned();
    ok(&["trace", "-q", "</script><script>alert(1)</script><b>{{data}}", "-n", "4", "-o", &path]);
    ok(&["trace", "view", &path]);
    let html = std::fs::read_to_string(dir.path().join("x.html")).expect("a page");
    assert!(!html.contains("<script>alert") && !html.contains("<b>{{data}}"));
    assert_eq!(html.matches("</script>").count(), 2);
}

#[test]
fn the_page_is_not_written_over_the_trace() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = trace(dir.path(), "t.html", &[]);
    let before = std::fs::read(&path).expect("a file");
    fails_naming(&["trace", "view", &path], &["t.html", "trace itself", "name another page with -o"]);
    let around = dir.path().join(".").join("t.html");
    fails_naming(&["trace", "view", &path, "-o", around.to_str().expect("a path")], &["another page with -o"]);
    let figure = dir.path().join("slots.svg");
    std::fs::copy(&path, &figure).expect("copied");
    let (figure, folder) = (figure.to_str().expect("a path"), dir.path().to_str().expect("a path"));
    let page = dir.path().join("page.html");
    let page = page.to_str().expect("a path");
    fails_naming(&["trace", "view", figure, "-o", page, "--svg", folder], &["slots.svg", "--svg"]);
    assert!(std::fs::read(&path).expect("a file") == before && std::fs::read(figure).expect("a file") == before);
    ok(&["trace", "view", &path, "-o", page]);
}

#[test]
fn names_cannot_command_the_terminal() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("n.jsonl").to_str().expect("a path").to_owned();
    ok(&["trace", "-q", "Sort 3 1.", "-n", "4", "--policy", "recency:budget=40", "-o", &path]);
    let text = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, text.replacen("\"policy\":\"recency\"", "\"policy\":\"\\u001b[2Jx\"", 1)).expect("written");
    let said = ok(&["trace", "view", &path, "--svg", dir.path().to_str().expect("a path")]);
    assert!(said.contains("[2Jx keeps no scores") && !said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn broken_files_say_which_line_and_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let good = std::fs::read_to_string(trace(dir.path(), "good.jsonl", &[])).expect("a file");
    let broken = dir.path().join("broken.jsonl");
    let path = broken.to_str().expect("a path");
    let with = |line: usize, edit: &dyn Fn(&str) -> String| -> String {
        let edited = good.lines().enumerate().map(|(i, text)| if i + 1 == line { edit(text) } else { text.to_owned() });
        edited.map(|line| line + "\n").collect()
    };
    let round = good.lines().position(|line| line.starts_with("{\"round\"")).expect("a round") + 1;
    let at = format!("line {round}");
    let cases = [
        (String::new(), vec!["empty", "lethe trace"]),
        ("hello\n".to_owned(), vec!["line 1", "no header", "lethe trace"]),
        (with(1, &|line| line.replace("\"lethe_trace\":1", "\"lethe_trace\":9")), vec!["format 9", "reads 1"]),
        (with(1, &|line| line.replace("\"layers\":6", "\"layers\":0")), vec!["line 1", "layers is 0"]),
        (with(3, &|line| line[..line.len() / 2].to_owned()), vec!["line 3", "broken"]),
        (with(round, &|line| line.replace("\"layer\":0", "\"layer\":77")), vec![&at, "layer 77", "the model has 6"]),
        (with(round, &|line| line.replace("\"position\":", "\"position\":9999")), vec![&at, "position 9999"]),
        (
            with(round, &|line| line.replace("\"forgot\":[]", "\"forgot\":[{\"runs\":[[5,4]]}]")),
            vec![&at, "positions 5 to 4"],
        ),
        (with(round, &|line| line.replace("\"before\":", "\"before\":99999")), vec![&at, "slots before"]),
        (with(round, &|line| line.replace("\"after\":", "\"after\":9999")), vec![&at, "a round adds none"]),
        (
            with(round, &|line| line.replace("\"forgot\":[]", "\"forgot\":[{\"runs\":[[5,5],[5,5]]}]")),
            vec![&at, "a second time"],
        ),
        (good.lines().take(round).map(|line| line.to_owned() + "\n").collect(), vec![&at, "cut off", "again"]),
        (good.clone() + "{\"end\":{}}\n", vec!["after `end`"]),
    ];
    for (text, words) in cases {
        std::fs::write(&broken, text).expect("written");
        fails_naming(&["trace", "view", path], &[&words[..], &["broken.jsonl"]].concat());
    }
    fails_naming(&["trace", "view", "no-such-file.jsonl"], &["no-such-file.jsonl"]);
}

#[test]
fn bad_calls_say_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("t.jsonl");
    let out = out.to_str().expect("a path");
    fails_naming(&["trace", "-o", out], &["question", "--task cards"]);
    fails_naming(&["trace", "--task", "chess", "-o", out], &["unknown family", "cards, two_turn"]);
    fails_naming(&["trace", "--task", "cards", "--level", "7", "-o", out], &["0 to 1"]);
    fails_naming(&["trace", "--gold", "Sort 3 1.", "-o", out], &["--gold", "cannot be used"]);
    assert!(!dir.path().join("t.jsonl").exists());
    // before the run: nothing is said of the model
    for place in ["no/such/folder/t.jsonl", dir.path().to_str().expect("a path")] {
        let said = fails(&["trace", "Sort 3 1.", "-o", place]);
        assert!(said.contains(place) && said.contains("-o") && said.lines().count() == 1, "{said}");
    }
    let help = ok(&["trace", "--help"]);
    for word in ["Examples:", "lethe trace view trace.jsonl", "--gold"] {
        assert!(help.contains(word), "{word}");
    }
    assert!(ok(&["trace", "view", "--help"]).contains("--svg"));
}
