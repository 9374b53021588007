//! `lethe top` where there is no terminal: one look, or why there is none.

mod common;

use common::openai::{Act, Mock, as_asked};
use common::{fails_naming, ok};
use serde_json::json;

#[test]
fn without_a_terminal_it_prints_one_look() {
    let cache = json!({
        "slots": [300, 150], "pages_free": 30, "pages_total": 40, "cached_pages": 3, "preempted": 1,
        "generated_tokens_total": 1234, "rounds_total": 9, "evicted_slots_total": 80, "steps_total": 700,
    });
    let engine = json!({"num_running_reqs": 2, "num_waiting_reqs": 1, "max_running_requests": 8, "lethe": cache});
    let loads = Act::json(200, &json!({"version": "9.9.9", "loads": [engine]}));
    let mock = Mock::with(&[("/v1/loads", loads)], |_, seen| as_asked(seen));
    for args in [&["top", "--url", &mock.url][..], &["top", "--once", "--url", &mock.url, "--api-key", "k"]] {
        let text = ok(args);
        for word in
            ["lethe 9.9.9", "2 running of at most 8", "10 of 40 held (25 %)", "1234 generated", "9 rounds", "300"]
        {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains('\x1b'), "{text}");
    }
    assert_eq!(mock.seen().last().and_then(|seen| seen.headers.get("authorization").cloned()), Some("Bearer k".into()));
}

#[test]
fn another_server_is_told_from_none() {
    let mock = Mock::start(|_, seen| as_asked(seen));
    fails_naming(&["top", "--once", "--url", &mock.url], &["/v1/loads", "404", "server of Lethe"]);
    let odd = Act::json(200, &json!({"loads": [{"num_running_reqs": 1, "num_waiting_reqs": 1}]}));
    let mock = Mock::with(&[("/v1/loads", odd)], |_, seen| as_asked(seen));
    fails_naming(&["top", "--once", "--url", &mock.url], &["lethe", "server of Lethe"]);
    fails_naming(&["top", "--url", "nowhere"], &["nowhere", "http://127.0.0.1:8080"]);
}
