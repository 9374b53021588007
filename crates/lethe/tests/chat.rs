//! Conversations, and thinking: shown apart, hidden, cut short.

mod common;

use std::io::Read;
use std::process::{Command, Stdio};

use common::{fails_naming, folder, lethe, ok, piped, template};
use serde_json::Value;

const FIRST: &str = "Sort 41 7 93 20.";
const SECOND: &str = "Sort 5 3 9.";

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).expect("one object")
}

/// stdout and stderr of a chat that goes well.
fn chat(args: &[&str], input: &str) -> (String, String) {
    let out = piped(&[&["chat"], args].concat(), input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let (stdout, stderr) = (text(out.stdout), text(out.stderr));
    assert!(out.status.success(), "{args:?}: {stderr}");
    assert!(!stdout.contains('\x1b') && !stdout.contains("> "), "neither colour nor prompt: {stdout}");
    (stdout, stderr)
}

fn user(text: &str) -> String {
    format!("<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n")
}

/// The answer of an object of `--json`, without thinking.
fn answer(v: &Value) -> &str {
    v["text"].as_str().and_then(|t| t.split_once("</think>")).expect("an answer").1.trim_start_matches('\n')
}

#[test]
fn a_turn_reads_the_whole_conversation_without_earlier_thinking() {
    let one = json(&["run", "--json", FIRST]);
    let history = format!("{}{}<|im_end|>\n{}", user(FIRST), answer(&one), user(SECOND));
    let two = ok(&["run", "-q", "--no-template", &history]);
    let (text, notes) = chat(&[], &format!("{FIRST}\n{SECOND}\n"));
    assert_eq!(text, format!("{}\n{two}", one["text"].as_str().expect("text")));
    assert_eq!(notes.matches(" cached) + ").count(), 1, "the second turn reuses the first prompt: {notes}");
    assert_eq!(notes.matches("slots per layer").count(), 1 + 2, "a line for the model, one a turn: {notes}");
    let (same, notes) = chat(&["--quiet", "--policy", "lethe:prefill=sum"], &format!("{FIRST}\n{SECOND}\n"));
    assert_eq!(same, text, "what is reused is what would be computed");
    assert_eq!(notes, "");
}

#[test]
fn keep_thinking_goes_on_behind_what_was_generated() {
    let tokenizer = lethe_model::Tokenizer::from_bytes(lethe_reasoner::FILES.tokenizer).expect("a tokenizer");
    let encode = |text: &str| tokenizer.encode(text, false).expect("ids");
    let one = json(&["run", "--json", FIRST]);
    let mut ids = encode(&user(FIRST));
    ids.extend(one["token_ids"].as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id") as u32));
    assert_eq!(ids.last(), encode("<|im_end|>").first());
    ids.extend(encode(&format!("\n{}", user(SECOND))));
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let two = ok(&["run", "-q", "--prompt-tokens", &ids.join(",")]);
    let (text, notes) = chat(&["--keep-thinking"], &format!("{FIRST}\n{SECOND}\n"));
    assert_eq!(text, format!("{}\n{two}", one["text"].as_str().expect("text")));
    let seen = format!("of {}", ids.len() + two_tokens(&ids) - 1);
    assert!(notes.contains(&seen), "all turns count: {seen}: {notes}");
    // an answer that was cut off is closed by the template's own end
    chat(&["--keep-thinking", "-n", "5"], &format!("{FIRST}\n{SECOND}\n{FIRST}\n"));
    // it forgets as it goes
    let policy = "lethe:cap=80,trigger=cap,interval=16,protect_prompt=newest";
    let (_, notes) = chat(&["--keep-thinking", "--policy", policy], &format!("{FIRST}\n{SECOND}\n{FIRST}\n"));
    assert!(!notes.lines().last().expect("statistics").contains(" 0 forgotten"), "{notes}");
}

fn two_tokens(ids: &[String]) -> usize {
    let v = json(&["run", "--json", "--prompt-tokens", &ids.join(",")]);
    v["usage"]["completion_tokens"].as_u64().expect("a count") as usize
}

#[test]
fn commands_and_joined_lines() {
    let alone = ok(&["run", "-q", SECOND]);
    let input = format!("/help\n\n{SECOND}\n/reset\n{SECOND}\n/exit\n{FIRST}\n");
    let (text, _) = chat(&["-q"], &input);
    let (help, answers) = text.split_once("next.\n").expect("the help ends so");
    assert!(help.contains("/clear") && help.contains("/exit"));
    assert_eq!(answers, alone.repeat(2), "a reset forgets all, and nothing is read after the exit");
    let joined = ok(&["run", "-q", "--hide-thinking", "Sort 5 \n3 9."]);
    assert_eq!(chat(&["-q", "--hide-thinking"], "Sort 5 \\\n3 9.").0, joined);
    assert_eq!(chat(&["-q"], "").0, "", "nobody said anything");
}

#[test]
fn without_a_template_lines_go_on_in_one_text() {
    let first = json(&["run", "--json", "--no-template", "-n", "6", &user(FIRST)]);
    let whole = format!("{}{}\n{}", user(FIRST), first["text"].as_str().expect("text"), SECOND);
    let second = ok(&["run", "-q", "--raw", "-n", "6", &whole]);
    let line = user(FIRST).replace('\n', "\\\n");
    let (text, notes) = chat(&["--no-template", "-n", "6"], &format!("{}\n\n{SECOND}\n", line.trim_end_matches('\n')));
    assert!(text.ends_with(&second), "{text}: {second}");
    assert!(notes.contains(" cached) + "), "{notes}");
    let bare = folder(None, |_, text| text);
    let path = bare.path().to_str().expect("a path");
    assert_eq!(chat(&["-q", path, "-n", "6"], SECOND).0, ok(&["run", "-q", "-n", "6", "--no-template", SECOND]));
    fails_naming(&["chat", path, "--keep-thinking"], &["--keep-thinking", "template"]);
    fails_naming(&["run", path, "--template-arg", "a=1", FIRST], &["--template-arg", "template"]);
    fails_naming(&["chat", path, "--system", "Be brief."], &["--system", "template"]);
    fails_naming(&["chat", "--no-template", "--keep-thinking"], &["--no-template", "--keep-thinking"]);
}

#[test]
fn thinking_can_be_hidden_and_cut_short() {
    assert_eq!(ok(&["run", "-q", "--hide-thinking", FIRST]), "7 20 41 93.\n");
    assert_eq!(chat(&["-q", "--hide-thinking"], FIRST).0, "7 20 41 93.\n");
    let v = json(&["run", "--json", "--reasoning-budget", "4", "--reasoning-budget-message", "Enough.", FIRST]);
    let free = json(&["run", "--json", FIRST]);
    let ids = |v: &Value| v["token_ids"].as_array().expect("ids").clone();
    assert_eq!(ids(&v)[..5], ids(&free)[..5], "the tag and four tokens are its own");
    let thinking = v["reasoning"].as_str().expect("thinking");
    assert!(thinking.ends_with("\nEnough."), "{thinking}");
    assert!(v["text"].as_str().expect("text").contains("\nEnough.\n</think>\n\n"), "{v}");
    let count = v["usage"]["reasoning_tokens"].as_u64().expect("a count") as usize;
    assert_eq!(ids(&v)[count - 1], 799);
    let v = json(&["run", "--json", "--reasoning-budget", "0", FIRST]);
    assert_eq!((&v["reasoning"], &v["usage"]["reasoning_tokens"].as_u64().is_some_and(|n| n < 5)), (&"".into(), &true));
    let default = json(&["run", "--json", "--reasoning-budget", "9", FIRST]);
    assert!(default["reasoning"].as_str().expect("thinking").contains("limited time"));
    let enough = json(&["run", "--json", "--reasoning-budget", "4000", FIRST]);
    assert_eq!(ids(&enough), ids(&free));
}

#[test]
fn templates_take_variables_and_may_leave_thinking_open() {
    let qwen = folder(Some(&template("thinking")), |_, text| text);
    let path = qwen.path().to_str().expect("a path");
    let (with, without) = (
        json(&["run", path, "--json", "-n", "8", FIRST]),
        json(&["run", path, "--json", "-n", "8", "--template-arg", "enable_thinking=false", FIRST]),
    );
    let tokens = |v: &Value| v["usage"]["prompt_tokens"].as_u64().expect("a count");
    assert!(tokens(&without) > tokens(&with), "the template closes thinking in the prompt");
    assert_eq!((&without["reasoning"], without["usage"]["reasoning_tokens"].as_u64()), (&"".into(), Some(0)));
    chat(&[path, "-n", "12", "--keep-thinking"], &format!("{FIRST}\n{SECOND}\n"));
    let (_, notes) = chat(&[path, "-n", "12"], &format!("{FIRST}\n{SECOND}\n"));
    assert!(notes.contains(" cached) + "), "{notes}");

    let r1 = folder(Some(&template("distill")), |_, text| text);
    let path = r1.path().to_str().expect("a path");
    let v = json(&["run", path, "--json", "-n", "120", "--reasoning-budget", "3", "--ignore-eos", FIRST]);
    let (text, thinking) = (v["text"].as_str().expect("text"), v["reasoning"].as_str().expect("thinking"));
    assert!(!text.contains("<think>") && text.starts_with(thinking), "it begins inside: {v}");
    assert!(thinking.ends_with("so far."), "{thinking}");
    // ids say it too
    let v = json(&["run", "--json", "--prompt-tokens", "796,766,198,798,198", "-n", "4"]);
    assert_eq!(v["usage"]["reasoning_tokens"], 4);
    for mode in [&[][..], &["--keep-thinking"]] {
        chat(&[&[path, "-n", "9"], mode].concat(), &format!("{FIRST}\n{SECOND}\n{FIRST}\n"));
    }
}

#[test]
fn what_a_model_or_template_cannot_do_is_said() {
    let plain = folder(Some("{{ messages[0].content }}"), |name, text| match name {
        "tokenizer.json" => text.replace("think>", "thonk>"),
        _ => text,
    });
    let path = plain.path().to_str().expect("a path");
    fails_naming(&["run", path, "--reasoning-budget", "5", FIRST], &["--reasoning-budget", "<think>", "--max-tokens"]);
    assert!(ok(&["run", "-q", path, "--hide-thinking", "-n", "5", FIRST]).len() > 1, "nothing to hide");

    let mute = folder(
        Some("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"),
        |_, t| t,
    );
    let path = mute.path().to_str().expect("a path");
    let out = piped(&["chat", path, "--keep-thinking", "-n", "3"], &format!("{FIRST}\n{SECOND}\n"));
    let notes = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && notes.contains("--keep-thinking") && notes.contains("each reply once"), "{notes}");

    let strict = folder(Some("{{ raise_exception('only poems') }}"), |_, text| text);
    let path = strict.path().to_str().expect("a path");
    fails_naming(&["run", path, FIRST], &["refuses", "only poems"]);
    let out = piped(&["chat", path], FIRST);
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("only poems"));
    fails_naming(&["chat", "/a", "-m", "/b"], &["--model"]);
    let long = "5 ".repeat(4096);
    let out = piped(&["chat", "-q"], &long);
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("4096"));
}

#[test]
fn greedy_against_the_makers_advice_is_warned_about_once() {
    let sampled = folder(Some(&template("thinking")), |name, text| match name {
        "generation_config.json" => text.replace("\"do_sample\": false", "\"do_sample\": true, \"temperature\": 0.6"),
        _ => text,
    });
    let path = sampled.path().to_str().expect("a path");
    let warnings = |args: &[&str], input: &str| {
        let out = piped(args, input);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stderr).lines().filter(|l| l.contains("warning")).count()
    };
    let greedy = ["--temperature", "0", "-n", "2", "-m", path];
    assert_eq!(warnings(&[&["run", FIRST], &greedy[..]].concat(), ""), 1);
    assert_eq!(warnings(&[&["run", "--json", FIRST], &greedy[..]].concat(), ""), 1);
    assert_eq!(warnings(&[&["chat"], &greedy[..]].concat(), &format!("{FIRST}\n{SECOND}\n")), 1);
    assert_eq!(warnings(&["run", "-n", "2", "-m", path, FIRST], ""), 0);
    assert_eq!(warnings(&["run", "-n", "2", "--temperature", "0", FIRST], ""), 0);
}

#[test]
fn a_chat_whose_reader_has_gone_ends_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(["chat", "--ignore-eos", "-n", "2000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), FIRST.as_bytes()).expect("written");
    child.stdout.take().expect("a pipe").read_exact(&mut [0; 4]).expect("some text");
    let out = child.wait_with_output().expect("it ends");
    let notes = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && !notes.contains("panicked") && !notes.contains("error"), "{notes}");
    assert!(lethe(&["chat", "--quiet"]).stdout.is_empty());
}
