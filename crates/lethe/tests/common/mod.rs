//! Runs the program, and makes model folders for it.
#![allow(dead_code, unreachable_pub)] // each test uses its own part

pub mod openai;

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Runs it without input.
pub fn lethe(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(args)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .output()
        .expect("the program starts")
}

/// What it prints when all is well.
pub fn ok(args: &[&str]) -> String {
    let out = lethe(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

/// The error of a command that must fail, without a panic.
pub fn fails(args: &[&str]) -> String {
    let out = lethe(args);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success(), "{args:?} succeeded");
    assert!(!text.contains("panicked"), "{args:?}: {text}");
    assert!(text.contains("error:"), "{args:?}: {text}");
    text
}

/// The fails-with test: every word must be in the message.
pub fn fails_naming(args: &[&str], words: &[&str]) {
    let text = fails(args);
    for word in words {
        assert!(text.contains(word), "{args:?} should name `{word}`: {text}");
    }
}

/// Runs it with this on stdin.
pub fn piped(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("NO_COLOR", "1")
        .spawn()
        .expect("the program starts");
    // whoever ends early does not read it all
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

/// A folder with the embedded model under another chat template, its generation config and tokenizer edited.
pub fn folder(template: Option<&str>, edit: impl Fn(&str, String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let files = lethe_reasoner::FILES;
    let mut named: serde_json::Value = serde_json::from_slice(files.tokenizer_config).expect("json");
    match template {
        Some(source) => named["chat_template"] = source.into(),
        None => drop(named.as_object_mut().expect("an object").remove("chat_template")),
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    for (name, content) in [
        ("tokenizer_config.json", named.to_string()),
        ("tokenizer.json", text(files.tokenizer)),
        ("generation_config.json", text(files.generation_config)),
    ] {
        std::fs::write(dir.path().join(name), edit(name, content)).expect("written");
    }
    std::fs::write(dir.path().join("config.json"), files.config).expect("written");
    std::fs::write(dir.path().join("model.safetensors"), files.weights).expect("written");
    dir
}

/// A folder with the embedded model as it is.
pub fn embedded() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let files = lethe_reasoner::FILES;
    for (name, content) in [
        ("config.json", files.config),
        ("generation_config.json", files.generation_config),
        ("tokenizer.json", files.tokenizer),
        ("tokenizer_config.json", files.tokenizer_config),
        ("model.safetensors", files.weights),
    ] {
        std::fs::write(dir.path().join(name), content).expect("written");
    }
    dir
}

/// A template like that of a released model.
pub fn template(name: &str) -> String {
    let path = format!("{}/../lethe-model/tests/fixtures/templates/{name}.jinja", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("a template")
}
