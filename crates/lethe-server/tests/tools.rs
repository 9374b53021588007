//! Tools and forms: what the grammar forces, the answer is, and calls are told as calls.

mod common;

use std::sync::Arc;

use common::{Running, engine, options, start, start_with};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn with_tools() -> (tempfile::TempDir, Running) {
    let template = std::fs::read_to_string("../lethe-model/tests/fixtures/templates/chatml_tools.jinja").unwrap();
    let dir = common::folder(&template);
    let model = common::model(Some(dir.path()));
    let server = start_with(options(), engine(2), Arc::clone(&model));
    (dir, server)
}

/// A question with a tool of finitely many calls, so that any model ends.
fn body() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": { "order": { "enum": ["up", "down"] } },
        "required": ["order"],
        "additionalProperties": false,
    });
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": parameters } });
    json!({
        "messages": [{ "role": "user", "content": "Sort 2 1." }],
        "tools": [tool("sort"), tool("shuffle")],
        "thinking_token_budget": 0,
        "max_tokens": 700,
    })
}

fn check(call: &Value, name: &str) {
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!(name)));
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["order"] == "up" || arguments["order"] == "down", "{arguments}");
}

#[test]
fn a_named_tool_is_called() {
    let (_dir, server) = with_tools();
    let mut body = body();
    body["tool_choice"] = json!({ "type": "function", "function": { "name": "shuffle" } });
    let got = server.chat(&body);
    let choice = &got["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{got}");
    assert!(choice["message"]["content"].is_null());
    check(&choice["message"]["tool_calls"][0], "shuffle");

    let chunks = server.stream(CHAT, &body);
    let calls: Vec<&Value> = chunks.iter().filter_map(|c| c["choices"][0]["delta"].get("tool_calls")).collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0][0]["index"], 0);
    check(&calls[0][0], "shuffle");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn a_required_call_is_one_of_the_tools() {
    let (_dir, server) = with_tools();
    let mut body = body();
    body["tool_choice"] = "required".into();
    let got = server.chat(&body);
    let call = &got["choices"][0]["message"]["tool_calls"][0];
    let name = call["function"]["name"].as_str().unwrap();
    assert!(name == "sort" || name == "shuffle", "{got}");
    check(call, name);
}

#[test]
fn tools_are_shown_unless_none_may_be_called() {
    let (_dir, server) = with_tools();
    let tokens = |choice: Value| {
        let mut body = body();
        body["tool_choice"] = choice;
        body["max_tokens"] = 1.into();
        server.chat(&body)["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    assert!(tokens(json!("auto")) > tokens(json!("none")) + 20);
}

#[test]
fn calls_and_results_are_history() {
    let (_dir, server) = with_tools();
    let mut body = body();
    body["messages"] = json!([
        { "role": "user", "content": "Sort 2 1." },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": "c1", "type": "function", "function": { "name": "sort", "arguments": "{\"order\": \"up\"}" } }
        ]},
        { "role": "tool", "tool_call_id": "c1", "content": "1 2" },
    ]);
    for field in ["thinking_token_budget", "max_tokens"] {
        body.as_object_mut().unwrap().remove(field);
    }
    let tokens = server.ok("/tokenize", &body)["tokens"].clone();
    let text = server.ok("/detokenize", &json!({ "tokens": tokens }))["prompt"].as_str().unwrap().to_owned();
    assert!(text.contains("<tool_response>\n1 2\n</tool_response>"), "{text}");
    assert!(text.contains(r#"{"type": "function", "function": {"name": "sort", "parameters""#), "{text}");
}

#[test]
fn forms_bind_after_the_thinking() {
    let server = start(options(), engine(2));
    let schema = json!({
        "type": "object",
        "properties": { "kind": { "enum": ["cards", "rooms"] }, "sure": { "type": "boolean" } },
        "required": ["kind", "sure"],
        "additionalProperties": false,
    });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "kind", "schema": schema, "strict": true } });
    let problem = common::problems(1).remove(0);
    let mut body = common::ask(&problem.question);
    body["response_format"] = format;
    let got = server.chat(&body);
    let message = &got["choices"][0]["message"];
    assert_eq!(message["reasoning"], problem.thinking, "thinking is free");
    let answer: Value = serde_json::from_str(message["content"].as_str().unwrap()).unwrap();
    assert!(answer["kind"].is_string() && answer["sure"].is_boolean(), "{answer}");
    assert_eq!(got["choices"][0]["finish_reason"], "stop");

    body["response_format"] = json!({ "type": "json_object" });
    body["max_tokens"] = 300.into();
    let got = server.chat(&body);
    assert!(got["choices"][0]["message"]["content"].as_str().unwrap().trim_start().starts_with('{'), "{got}");
}
