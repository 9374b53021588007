//! The commands of a conversation, through a pipe.

mod common;

use common::{ok, piped};
use serde_json::Value;

const FIRST: &str = "Sort 41 7 93 20.";
const SECOND: &str = "Sort 5 3 9.";

/// stdout and stderr of a chat that goes well. Every item is a line.
fn chat(args: &[&str], lines: &[&str]) -> (String, String) {
    let (stdout, stderr, well) = talk(args, lines);
    assert!(well, "{args:?} {lines:?}: {stderr}");
    assert!(!stderr.contains("error:"), "{stderr}");
    (stdout, stderr)
}

/// stdout and stderr of a chat in which so many commands are refused, and which goes on all the same.
fn refusing(refused: usize, args: &[&str], lines: &[&str]) -> (String, String) {
    let (stdout, stderr, well) = talk(args, lines);
    assert!(!well, "{lines:?}: a script must see that something was refused");
    assert_eq!(stderr.matches("error:").count(), refused + 1, "{stderr}");
    assert!(stderr.contains(&format!("error: {refused} of the commands above")), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (stdout, stderr)
}

fn talk(args: &[&str], lines: &[&str]) -> (String, String, bool) {
    let out = piped(&[&["chat"], args].concat(), &format!("{}\n", lines.join("\n")));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (text(out.stdout), text(out.stderr), out.status.success())
}

fn names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is missing: {text}");
    }
}

/// What a conversation of these lines prints after the answer to its first question.
fn after_first(args: &[&str], lines: &[&str]) -> String {
    let first = chat(&[&["-q"], args].concat(), &[FIRST]).0;
    let all = chat(&[&["-q"], args].concat(), lines).0;
    all.strip_prefix(&first).expect("the same first answer").to_owned()
}

#[test]
fn an_unknown_command_is_refused_and_two_slashes_are_one() {
    let (text, notes) = refusing(2, &["-q"], &["/polcy lethe:cap=80", FIRST, "/etc/fstab is what?"]);
    assert_eq!(text, ok(&["run", "-q", FIRST]), "nothing but the question reached the model");
    names(&notes, &["`/polcy` (did you mean `/policy`?)", "`/etc/fstab`; /help", "with two"]);
    let (text, _) = chat(&["-q", "-n", "9"], &["//help 3"]);
    assert_eq!(text, ok(&["run", "-q", "-n", "9", "/help 3"]));
    let (text, notes) = refusing(2, &["-q"], &["/undo 2", "/stats now"]);
    assert_eq!(text, "");
    names(&notes, &["`/undo` takes nothing", "`now` is there"]);
}

#[test]
fn lines_between_quotes_are_one_turn() {
    let (text, _) =
        chat(&["-q", "-n", "9"], &["\"\"\"", "/help", "me \\", "\"\"\"", "/clear", "\"\"\"one", "two\"\"\""]);
    let block = |text: &str| ok(&["run", "-q", "-n", "9", text]);
    assert_eq!(text, block("/help\nme \\") + &block("one\ntwo"));
}

#[test]
fn a_policy_takes_over_with_the_next_turn() {
    let tight = "lethe:budget=12,trigger=cap,interval=4,recent_ratio=0.1";
    let switch = format!("/policy {tight}");
    let (text, notes) = chat(&[], &["/policy", FIRST, &switch, "/policy", SECOND, "/policy"]);
    names(&text, &["policy auto cap=", "so far: no round", "policy lethe budget=12 ", "interval=4"]);
    let shown: Vec<&str> = text.lines().filter(|line| line.starts_with("so far: ")).collect();
    assert_eq!(shown[..2], ["so far: no round"; 2]);
    names(shown[2], &[" rounds, ", " forgotten, dropped mass ", " % at most"]);
    assert_eq!(notes.matches("policy lethe budget=12 ").count(), 1, "said when it is chosen: {notes}");
    assert_eq!(notes.matches(" · lethe · ").count(), 1, "in the statistics of the second turn: {notes}");
    assert!(!notes.contains(" cached) + "), "the conversation is read anew: {notes}");

    // as if the conversation had been under it from the first
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("talk.json");
    let (save, load) = (format!("/save {}", file.display()), format!("/load {}", file.display()));
    let second = after_first(&[], &[FIRST, &save, &switch, SECOND]);
    assert_eq!(second, chat(&["-q", "--policy", tight], &[&load, SECOND]).0);
    assert_ne!(second, after_first(&[], &[FIRST, SECOND]), "12 slots are too few for the same thoughts");
}

#[test]
fn a_policy_that_is_none_changes_nothing() {
    let lines = [FIRST, "/policy leth", "/policy lethe:capp=3", "/policy lethe:cap=100,budget=50", "/policy", SECOND];
    let (text, notes) = refusing(3, &[], &lines);
    names(&text, &["policy auto cap="]);
    names(&notes, &["unknown policy `leth` (did you mean `lethe`?)", "no option `capp`", "`cap` and `budget` cannot"]);
    assert!(notes.contains(" cached) + "), "the session is the same: {notes}");
    // one that cannot keep the prompt is only known to when there is one
    let (_, notes, well) = talk(&["-q"], &["/policy lethe:cap=8,trigger=cap", FIRST, SECOND]);
    assert!(!well);
    names(&notes, &["cap 8 is below the "]);
}

#[test]
fn stats_show_every_layer_and_all_turns() {
    let tight = ["--policy", "lethe:budget=30,trigger=cap,interval=8,recent_ratio=0.1"];
    let (text, _) = chat(&[&["-q"], &tight[..]].concat(), &["/stats", FIRST, "/stats", SECOND, "/stats"]);
    let reports: Vec<&str> = text.split("slots of each layer at the end").collect();
    assert!(reports[0].starts_with("nothing was asked yet\n") && reports.len() == 3, "{text}");
    for (report, turns) in reports[1..].iter().zip(["all turns (1): ", "all turns (2): "]) {
        for layer in 0..6 {
            let line = report.lines().find(|l| l.starts_with(&format!("layer {layer:>3} "))).expect("a line a layer");
            names(line, &["█", " of ", " rounds"]);
        }
        names(
            report,
            &["slots per layer: mean ", ", peak ", " forgotten, dropped mass ", "KV: peak ", "last turn: ", turns],
        );
    }
    let v: Value = serde_json::from_str(&ok(&[&["run", "--json", FIRST], &tight[..]].concat())).expect("json");
    let peaks = v["kv"]["peak_slots"].as_array().expect("slots").iter().map(|n| n.as_u64().expect("a count"));
    names(
        reports[1],
        &[&format!("peak {} · ", peaks.max().expect("layers")), &format!("{} forgotten", v["kv"]["evicted"])],
    );
    let tokens = &v["usage"];
    names(reports[1], &[&format!("last turn: {} + {} tokens", tokens["prompt_tokens"], tokens["completion_tokens"])]);
}

#[test]
fn the_system_message_can_be_set_and_removed() {
    let alone = |args: &[&str]| ok(&[&["run", "-q", "-n", "30", SECOND], args].concat());
    // numbers that a small model takes for those to sort
    let (told, bare) = (alone(&["--system", "9 5 3 9 5 3"]), alone(&[]));
    assert_ne!(told, bare);
    let set = ["/system", "/system 9 5 3 9 5 3", "/system", SECOND, "/clear", SECOND];
    let removed = ["/system \"\"", "/clear", "/system", SECOND];
    let (text, notes) = chat(&["-n", "30"], &[&set[..], &removed].concat());
    assert_eq!(text, format!("9 5 3 9 5 3\n{told}{told}{bare}"), "it outlives what was said");
    assert_eq!(notes.matches("there is no system message").count(), 2, "{notes}");
    let (text, _) = chat(&["-q", "-n", "30", "--system", "9 5 3 9 5 3"], &["/system", SECOND]);
    assert_eq!(text, format!("9 5 3 9 5 3\n{told}"));
    // in the middle of a conversation
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("talk.json");
    let save = format!("/save {}", file.display());
    chat(&["-q"], &[FIRST, "/system Be brief.", &save]);
    let v: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("json");
    assert_eq!((&v[0]["content"], v.as_array().map(Vec::len)), (&"Be brief.".into(), Some(3)));
}

#[test]
fn questions_are_taken_back_and_asked_again() {
    let alone =
        |question: &str, seed: &str| ok(&["run", "-q", "-n", "60", "--temperature", "2.5", "--seed", seed, question]);
    let warm = ["-q", "-n", "60", "--temperature", "2.5", "--seed", "4"];
    let (text, _) = chat(&warm, &[FIRST, "/retry", "/retry", "/undo", SECOND]);
    let expected = [alone(FIRST, "4"), alone(FIRST, "5"), alone(FIRST, "6"), alone(SECOND, "6")];
    assert_eq!(text, expected.concat(), "each retry has the next seed, and nothing is left after an undo");
    assert_ne!(expected[0], expected[1]);

    let two = after_first(&[], &[FIRST, SECOND]);
    assert_eq!(
        after_first(&[], &[FIRST, "Sort 8 1.", "/undo", SECOND]).strip_suffix(&two).map(str::is_empty),
        Some(false)
    );
    let (_, notes) = chat(&[], &[FIRST, SECOND, "/undo", "/retry"]);
    names(&notes, &["dropped: Sort 5 3 9.", "greedy", " cached) + "]);
    let (text, notes) = refusing(3, &["-q"], &["/undo", "/retry", FIRST, "/undo", "/undo"]);
    assert_eq!(text, ok(&["run", "-q", FIRST]));
    names(&notes, &["no question to take back", "no question to answer again"]);
}

#[test]
fn in_a_cache_that_goes_on_nothing_can_be_taken_back_silently() {
    let anew = "the next turn reads the conversation without its thinking";
    let keep = ["--keep-thinking"];
    for command in ["/undo", "/system Be brief.", "/policy full"] {
        let (_, notes) = chat(&keep, &[FIRST, SECOND, command, SECOND]);
        assert_eq!(notes.matches(anew).count(), 1, "{command}: {notes}");
    }
    let (_, notes) = chat(&keep, &[FIRST, SECOND, "/retry"]);
    names(&notes, &["the conversation is read anew, without its thinking"]);
    for lines in [&[FIRST, "/undo", SECOND][..], &[FIRST, "/clear", SECOND], &[FIRST, "/retry"]] {
        assert!(!chat(&keep, lines).1.contains("without its thinking"), "nothing is left to be read");
    }
    let plain = after_first(&[], &[FIRST, SECOND]);
    let undone = after_first(&keep, &[FIRST, "Sort 8 1.", "/undo", SECOND]);
    assert!(undone.ends_with(&plain), "{undone}: {plain}");
}

#[test]
fn settings_are_shown_and_changed_for_the_turns_to_come() {
    let (text, notes) =
        chat(&["-n", "9"], &["/set", "/set temperature 1.5", "/set seed 4", "/set max_tokens none", FIRST]);
    let (shown, answer) = text.split_once("reasoning_budget none\n").expect("the last setting");
    assert_eq!(shown, "temperature 0\ntop_p 1\ntop_k 0\nmin_p 0\nseed 0\nmax_tokens 9\n");
    assert_eq!(answer, ok(&["run", "-q", "--temperature", "1.5", "--seed", "4", FIRST]));
    names(&notes, &["temperature 1.5", "seed 4", "max_tokens none"]);
    let set = ["/set top_p 0.9", "/set top-k=5", "/set min_p 0.1", "/set temperature 2", "/set max_tokens 40"];
    let (text, _) = chat(&["-q"], &[&set[..], &[FIRST]].concat());
    let flags = ["--top-p", "0.9", "--top-k", "5", "--min-p", "0.1", "--temperature", "2", "-n", "40"];
    assert_eq!(text, ok(&[&["run", "-q", FIRST], &flags[..]].concat()));
    let (text, _) = chat(&["-q"], &["/set reasoning_budget 4", FIRST, "/clear", "/set reasoning_budget none", FIRST]);
    assert_eq!(text, ok(&["run", "-q", "--reasoning-budget", "4", FIRST]) + &ok(&["run", "-q", FIRST]));
}

#[test]
fn settings_that_make_no_sense_change_nothing() {
    let bad =
        ["/set warmth 1", "/set temprature 1", "/set temperature", "/set temperature warm", "/set temperature -1"];
    let worse = ["/set top_p 0", "/set min_p 2", "/set top_k -1", "/set max_tokens 0", "/set reasoning_budget soon"];
    let (text, notes) = refusing(10, &["-q"], &[&bad[..], &worse, &["/set", FIRST]].concat());
    let before = "temperature 0\ntop_p 1\ntop_k 0\nmin_p 0\nseed 0\nmax_tokens none\nreasoning_budget none\n";
    assert_eq!(text, format!("{before}{}", ok(&["run", "-q", FIRST])));
    names(
        &notes,
        &[
            "there is no setting `warmth`",
            "did you mean `temperature`?",
            "needs a value",
            "not `warm`",
            "temperature = -1: expected a number of at least 0",
            "top_p = 0: expected",
            "min_p = 2: expected",
            "not `-1`",
            "max_tokens takes a whole number of at least 1",
            "not `soon`",
        ],
    );
}

#[test]
fn a_conversation_is_saved_and_gone_on_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let talk_json = path("a talk.json");
    let (save, load) = (format!("/save {talk_json}"), format!("/load {talk_json}"));
    let second = after_first(&["--system", "Be brief."], &[FIRST, &save, SECOND]);
    let v: Value = serde_json::from_slice(&std::fs::read(&talk_json).expect("a file")).expect("json");
    let one: Value = serde_json::from_str(&ok(&["run", "--json", "--system", "Be brief.", FIRST])).expect("json");
    let answer = one["text"].as_str().and_then(|t| t.split_once("</think>")).expect("an answer").1.trim_start();
    let message = |role: &str, text: &str| serde_json::json!({ "role": role, "content": text });
    assert_eq!(
        v,
        serde_json::json!([message("system", "Be brief."), message("user", FIRST), message("assistant", answer)])
    );
    let (text, notes) = chat(&[], &["Sort 8 1.", &load, SECOND]);
    assert!(text.ends_with(&second), "{text}: {second}");
    names(&notes, &["read 3 messages from ", "a talk.json"]);

    std::fs::write(path("odd.json"), r#"[{"role": "user", "content": "a"}]"#).expect("written");
    let bad = ["/load", "/save", &format!("/load {}", path("odd.json")), &format!("/load {}", path("none.json"))];
    let nowhere = format!("/save {}", path("no/such/folder.json"));
    let (text, notes) = refusing(5, &["-q"], &[&[FIRST][..], &bad, &[&nowhere, SECOND]].concat());
    assert_eq!(text, chat(&["-q"], &[FIRST, SECOND]).0, "the conversation is as it was");
    names(&notes, &["`/load` needs FILE", "odd.json: message 1: a question without", "none.json: ", "folder.json: "]);
}

#[test]
fn without_a_template_there_are_no_messages() {
    let lines = ["/system Be brief.", "/save a.json", "/load a.json", SECOND];
    let (text, notes) = refusing(3, &["-q", "--no-template", "-n", "6"], &lines);
    assert_eq!(text, ok(&["run", "-q", "--no-template", "-n", "6", SECOND]));
    assert_eq!(notes.matches("needs a chat template").count(), 3, "{notes}");
    // the text is cut where it was
    let raw = ["-q", "--no-template", "-n", "6"];
    let two = chat(&raw, &[FIRST, SECOND]).0;
    let (text, _) = chat(&raw, &[FIRST, "Sort 8 1.", "/undo", SECOND]);
    let (first, last) = (ok(&["run", "-q", "--no-template", "-n", "6", FIRST]), two.lines().count());
    let tail: Vec<&str> = text.lines().rev().take(last - first.lines().count()).collect();
    assert_eq!(tail, two.lines().rev().take(tail.len()).collect::<Vec<_>>());
    let (text, _) = chat(&raw, &[FIRST, "/retry"]);
    assert_eq!(text, first.repeat(2), "greedy");
}
