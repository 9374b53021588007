//! Models from files, folders and the cache: quantize, inspect, models, plan, and running what they name.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{embedded, fails, fails_naming, ok};

const QUESTION: &str = "Sort 41 7 93 20.";

/// Runs the program with this folder as its cache and a hub that nobody answers at.
fn cached(cache: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lethe"))
        .args(args)
        .env("HF_HUB_CACHE", cache)
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The embedded model as a GGUF file of this type.
fn quantized(dir: &Path, dtype: &str) -> String {
    let model = embedded();
    let out = dir.join(format!("reasoner-{dtype}.gguf"));
    let out = out.to_str().expect("a path").to_owned();
    ok(&["quantize", model.path().to_str().expect("a path"), &out, "--type", dtype]);
    out
}

#[test]
fn a_folder_becomes_a_file_that_answers_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let expected = ok(&["run", "-q", QUESTION]);
    for dtype in ["f16", "q8_0"] {
        let file = quantized(dir.path(), dtype);
        assert_eq!(ok(&["run", "-q", "-m", &file, QUESTION]), expected, "{dtype}");
    }
    let file = quantized(dir.path(), "q4_0");
    assert!(ok(&["run", "-q", "-n", "40", "-m", &file, QUESTION]).starts_with("<think>"), "four bits still think");
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(left.len(), 3, "nothing half written: {left:?}");
}

#[test]
fn quantize_refuses_what_it_cannot_do() {
    let model = embedded();
    let model = model.path().to_str().expect("a path");
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out.gguf");
    let out = out.to_str().expect("a path");
    fails_naming(&["quantize", model, out, "--type", "q9_9"], &["q9_9", "q8_0"]);
    fails_naming(&["quantize", model, out, "--type", "q6_K"], &["q8_0", "f16"]);
    fails_naming(&["quantize", "/no/such/folder", out], &["/no/such/folder"]);
    fails_naming(&["quantize", model, "/no/such/folder/out.gguf"], &["/no/such/folder"]);
    fails_naming(&["quantize", model, &format!("{model}/model.safetensors"), "--force"], &[".gguf"]);
    std::fs::write(out, "mine").expect("written");
    fails_naming(&["quantize", model, out], &["--force"]);
    assert_eq!(std::fs::read(out).expect("still there"), b"mine");
    ok(&["quantize", model, out, "--force"]);
}

#[test]
fn inspect_says_what_is_inside_and_whether_it_runs() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = quantized(dir.path(), "q8_0");
    let shown = ok(&["inspect", &file, "--tensors"]);
    for word in
        ["general.architecture", "qwen3", "Q8_0", "blk.5.ffn_down.weight", "[256, 640]", "runs: qwen3, 6 layers"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let json: serde_json::Value = serde_json::from_str(&ok(&["inspect", &file, "--json"])).expect("json");
    assert_eq!((&json["runs"], &json["types"]["Q8_0"]["here"]), (&true.into(), &"as it lies".into()));
    std::fs::write(dir.path().join("not.gguf"), "GGML of old").expect("written");
    fails_naming(&["inspect", dir.path().join("not.gguf").to_str().expect("a path")], &["not.gguf", "GGML"]);
    fails(&["inspect", "/no/such/file.gguf"]);
}

#[test]
fn the_cache_is_listed_and_run_from_offline() {
    let cache = tempfile::tempdir().expect("a folder");
    let out = cached(cache.path(), &["models"]);
    assert!(text(&out.stdout).contains("no models"), "{}", text(&out.stdout));
    let snapshot = cache.path().join("models--org--tiny/snapshots/0123456789012345678901234567890123456789");
    std::fs::create_dir_all(&snapshot).expect("made");
    std::fs::create_dir_all(cache.path().join("models--org--tiny/refs")).expect("made");
    let commit = "0123456789012345678901234567890123456789";
    std::fs::write(cache.path().join("models--org--tiny/refs/main"), commit).expect("written");
    std::fs::rename(quantized(cache.path(), "q8_0"), snapshot.join("tiny-Q8_0.gguf")).expect("moved");
    std::fs::write(snapshot.join("broken-Q4_K_M.gguf"), "GGUF").expect("written");
    let listed = text(&cached(cache.path(), &["models"]).stdout);
    assert!(listed.contains("org/tiny:tiny-Q8_0.gguf") && listed.contains("runs"), "{listed}");
    assert!(listed.contains("broken-Q4_K_M.gguf") && listed.contains("truncated"), "{listed}");
    let json: serde_json::Value =
        serde_json::from_slice(&cached(cache.path(), &["models", "--json"]).stdout).expect("json");
    assert_eq!(json.as_array().map(Vec::len), Some(2));
    let run = cached(cache.path(), &["run", "-q", "-m", "org/tiny:Q8_0", "--offline", QUESTION]);
    assert!(run.status.success() && text(&run.stdout).contains("7 20 41 93"), "{}", text(&run.stderr));
    let missing = cached(cache.path(), &["run", "-m", "org/other", "--offline", QUESTION]);
    assert!(!missing.status.success() && text(&missing.stderr).contains("offline"), "{}", text(&missing.stderr));
}

#[test]
fn plans_need_no_weights() {
    let dir = tempfile::tempdir().expect("a folder");
    let all: serde_json::Value =
        serde_json::from_str(include_str!("../../lethe-model/tests/fixtures/configs.json")).expect("json");
    for (name, entry) in all.as_object().expect("an object") {
        let path = dir.path().join("config.json");
        std::fs::write(&path, entry["config"].to_string()).expect("written");
        let path = path.to_str().expect("a path");
        let shown = ok(&["models", "plan", path, "--memory", "200GiB", "--json"]);
        let plan: serde_json::Value = serde_json::from_str(&shown).expect("json");
        assert_eq!(plan["parameters"], entry["parameters"], "{name}");
        let number = |v: &serde_json::Value| v.as_f64().expect("a number");
        let (f16, q8) = (&plan["plans"][0], &plan["plans"][1]);
        let bits = 8.0 * number(&q8["weight_bytes"]) / number(&entry["parameters"]);
        assert!((bits - 8.5).abs() < 0.01, "{name}: {bits} bits a weight");
        assert!(number(&f16["requests_cap"]) >= number(&f16["requests_full"]) * 8.0, "{name}: a cap lets more run");
    }
    // The figures of one model, by hand: 2 x 28 layers x 8 heads x 128 x 2 bytes.
    let path = dir.path().join("config.json");
    std::fs::write(&path, all["Qwen/Qwen3-0.6B"]["config"].to_string()).expect("written");
    let path = path.to_str().expect("a path");
    let plan: serde_json::Value = serde_json::from_str(&ok(&["models", "plan", path, "--json"])).expect("json");
    assert_eq!(plan["kv_bytes_per_token"], 114_688);
    let shown = ok(&["models", "plan", path, "--memory", "4GiB"]);
    for word in ["0.60 billion", "28 layers", "112.0 KiB per token", "q8_0", "cap 1024"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(ok(&["models", "plan", path, "--memory", "1MiB"]).contains("does not fit"));
    fails_naming(&["models", "plan", path, "--context", "50000"], &["50000", "40960"]);
    fails_naming(&["models", "plan", path, "--cap", "10"], &["10"]);
    fails_naming(&["models", "plan", path, "--prompt", "16384"], &["16384"]);
    let cache = tempfile::tempdir().expect("a folder");
    let out = cached(cache.path(), &["models", "plan", "org/name", "--offline"]);
    assert!(!out.status.success() && text(&out.stderr).contains("org/name"), "{}", text(&out.stderr));
}
