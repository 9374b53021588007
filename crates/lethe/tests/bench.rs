//! `lethe bench`: that what it reports is what it did. How fast that was is the machine's affair.

mod common;

use common::{fails_naming, lethe, ok};
use serde_json::Value;

/// Lines of `--json`.
fn rows(args: &[&str]) -> Vec<Value> {
    let text = ok(&[&["bench", "--json"], args].concat());
    text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}

fn count(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key} is a count: {row}"))
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} is a number: {row}"))
}

/// What every row must satisfy.
fn check(row: &Value) {
    assert_eq!(row["model"], "reasoner-s");
    for key in ["policy", "simd"] {
        assert!(row[key].is_string(), "{key}: {row}");
    }
    for key in ["threads", "prompt", "kv_slots", "batch", "new", "kv_peak_bytes", "bytes_per_token"] {
        assert!(count(row, key) > 0, "{key}: {row}");
    }
    for key in ["prompt_tok_s", "bandwidth_gb_s", "bandwidth_share"] {
        assert!(number(row, key) > 0.0, "{key}: {row}");
    }
    let [min, median, max] = ["decode_tok_s_min", "decode_tok_s", "decode_tok_s_max"].map(|key| number(row, key));
    assert!(0.0 < min && min <= median && median <= max, "{row}");
    let share = number(row, "bytes_per_token") * median / 1e9 / number(row, "bandwidth_gb_s");
    assert!((share / number(row, "bandwidth_share") - 1.0).abs() < 1e-3, "{row}");
}

#[test]
fn depths_under_a_policy_hold_what_the_policy_allows() {
    let policy = "lethe:cap=64,trigger=cap,interval=16";
    let rows = rows(&["--context", "64,256", "--prompt", "16", "--policy", policy, "-t", "1"]);
    assert_eq!(rows.len(), 2);
    for (row, context) in rows.iter().zip([64, 256]) {
        check(row);
        assert_eq!((&row["policy"], &row["cap"], &row["threads"]), (&"lethe".into(), &64.into(), &1.into()));
        assert_eq!((&row["context"], &row["prompt"], &row["batch"]), (&context.into(), &16.into(), &1.into()));
        assert_eq!((&row["new"], &row["windows"], &row["kv_dtype"]), (&160.into(), &5.into(), &"f16".into()));
        assert_eq!(row["options"]["protect_prompt"], "newest");
        assert!(count(row, "kv_slots") <= 64 + 16, "{row}");
        // pages of 16 slots in 12 lanes of 64 numbers, K and V
        assert!(count(row, "kv_peak_bytes") <= (64 + 16) * 12 * 64 * 4, "{row}");
    }
    assert!(count(&rows[0], "rounds") > 0 && count(&rows[1], "rounds") > count(&rows[0], "rounds"));
    // what was fed and is not held was forgotten, by all six layers
    assert!(count(&rows[1], "evicted") >= 6 * (256 - 80), "{}", rows[1]);
    // policies without scores are fed alike
    let rows = self::rows(&["--context", "200", "--policy", "recency:cap=48,interval=8", "--prompt", "8"]);
    assert!(count(&rows[0], "kv_slots") <= 48 + 8 && count(&rows[0], "rounds") > 0, "{}", rows[0]);
}

#[test]
fn the_full_cache_holds_every_position() {
    let rows = rows(&["--context", "64,256,100", "--policy", "full"]);
    assert_eq!(rows.len(), 3);
    for (row, context) in rows.iter().zip([64, 256, 100]) {
        check(row);
        assert_eq!((&row["policy"], &row["cap"], &row["rounds"]), (&"full".into(), &Value::Null, &0.into()));
        assert_eq!((count(row, "context"), count(row, "prompt")), (context, context));
        // the token left over, one to go on from, four to warm up, 160 timed ones of which the last was not fed
        assert_eq!(count(row, "kv_slots"), context + 165);
        assert_eq!(count(row, "kv_peak_bytes"), (context + 165).next_multiple_of(16) * 12 * 64 * 4);
    }
    // weights once, and K and V of the slots that were held on the way
    let [small, large] = [0, 1].map(|i| count(&rows[i], "bytes_per_token"));
    assert_eq!(large - small, (256 - 64) * 12 * 64 * 4);
}

#[test]
fn sequences_side_by_side_share_the_weights() {
    let rows =
        |batch| rows(&["--context", "96", "--cap", "80", "--prompt", "32", "--batch", batch, "--kv-dtype", "f32"]);
    let (one, three) = (&rows("1")[0], &rows("3")[0]);
    check(one);
    check(three);
    assert_eq!((&three["batch"], &three["kv_dtype"]), (&3.into(), &"f32".into()));
    assert!(count(three, "bytes_per_token") < count(one, "bytes_per_token"));
    assert!(count(three, "kv_peak_bytes") > 2 * count(one, "kv_peak_bytes"));
}

#[test]
fn requests_are_run_until_all_are_done() {
    let args = ["--batch", "3", "--prompt", "20", "--gen", "30", "--repeats", "2", "--policy", "full"];
    let rows = |memory| rows(&[&args[..], &["--kv-memory", memory]].concat());
    let (wide, narrow) = (rows("8MiB"), rows("300KiB"));
    for row in wide.iter().chain(&narrow) {
        check(row);
        assert_eq!((&row["prompt"], &row["new"], &row["batch"]), (&20.into(), &30.into(), &3.into()));
        assert_eq!((&row["context"], &row["repeats"]), (&Value::Null, &2.into()));
        assert_eq!(count(row, "kv_slots"), 20 + 30 - 1);
    }
    // 49 slots in four pages of every lane; the smaller pool holds one request at a time, so weights are read more often
    let request = 64 * 12 * 64 * 4;
    assert_eq!((count(&wide[0], "kv_peak_bytes"), count(&narrow[0], "kv_peak_bytes")), (3 * request, request));
    assert!(count(&narrow[0], "bytes_per_token") > count(&wide[0], "bytes_per_token"));
    assert_eq!(self::rows(&["--gen", "1", "--warmup", "0", "--repeats", "1", "--policy", "full"])[0]["new"], 1);
}

#[test]
fn the_table_says_what_it_measured_on() {
    let out = lethe(&["bench", "--context", "40", "--cap", "64", "--prompt", "8"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && !text.contains('\x1b'), "{text}");
    for word in ["reasoner-s", "threads", "f16", "GB/s", "lethe cap=64", "decode tok/s", "KV peak", "of reads"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.last().is_some_and(|row| row.trim_start().starts_with("8       40")), "{text}");
    let [heading, row] = [lines[lines.len() - 2], lines[lines.len() - 1]].map(|line| line.chars().count());
    assert_eq!(heading, row, "columns are aligned: {text}");
}

#[test]
fn a_folder_without_a_tokenizer_is_measured_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = lethe_reasoner::FILES;
    std::fs::write(dir.path().join("config.json"), files.config).expect("written");
    std::fs::write(dir.path().join("model.safetensors"), files.weights).expect("written");
    let path = dir.path().to_str().expect("a path");
    let rows = rows(&["-m", path, "--gen", "4", "--repeats", "1", "--kv-memory", "16MiB"]);
    assert_eq!(rows.len(), 1);
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason() {
    let fails = |args: &[&str], words: &[&str]| fails_naming(&[&["bench"], args].concat(), words);
    fails(&["--gen", "0"], &["--gen", "at least 1"]);
    fails(&["--batch", "0"], &["--batch", "at least 1"]);
    fails(&["--batch", "5000"], &["5000", "1024"]);
    fails(&["--repeats", "0"], &["--repeats", "at least 1"]);
    fails(&["--prompt", "0"], &["--prompt", "at least 1"]);
    fails(&["--context", "64,0"], &["--context", "at least 1"]);
    fails(&["--context", "64", "--gen", "9"], &["--context", "--gen"]);
    fails(&["--context", "64", "--prompt", "65"], &["--prompt 65", "--context 64"]);
    fails(&["--context", "64,4096"], &["4096", "3930"]);
    fails(&["--prompt", "4000", "--gen", "97"], &["4097", "4096"]);
    fails(&["--context", "400", "--cap", "100"], &["cap 100", "--prompt"]);
    fails(&["--context", "400", "--policy", "lethe:cap=300,protect_prompt=all"], &["protect_prompt=all", "newest"]);
    fails(&["--context", "2000", "--policy", "full", "--kv-memory", "1MiB"], &["--kv-memory", "1.0 MiB"]);
    fails(&["--policy", "full", "--kv-memory", "100KiB"], &["--kv-memory"]);
    fails(&["--policy", "recency"], &["budget"]);
    fails(&["-m", "/no/such/folder"], &["/no/such/folder"]);
}
