//! Every wrong request is told what is wrong with it, in OpenAI's shape.

mod common;

use common::{NAME, ask, engine, options, start};
use lethe_server::Options;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const COMPLETIONS: &str = "/v1/completions";

/// The error of a reply, whose shape is checked.
fn error(reply: &common::Reply) -> Value {
    assert_eq!(reply.header("content-type"), "application/json", "{}", reply.text);
    let body = reply.json();
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    assert!(error["type"].is_string() && error.get("param").is_some() && error.get("code").is_some(), "{body}");
    error.clone()
}

#[test]
fn bad_fields_are_named() {
    let server = start(options(), engine(2));
    let tool = json!([{ "type": "function", "function": { "name": "f" } }]);
    let chat = |fields: Value| (CHAT, ask("Sort 2 1."), fields);
    let completion = |fields: Value| (COMPLETIONS, json!({ "prompt": "Sort 2 1." }), fields);
    let cases = [
        (chat(json!({ "temperature": -1 })), "temperature", "from 0"),
        (chat(json!({ "temperature": "hot" })), "temperature", "a number"),
        (chat(json!({ "top_p": 0 })), "top_p", "above 0"),
        (chat(json!({ "top_p": 1.5 })), "top_p", "1.5"),
        (chat(json!({ "min_p": 2 })), "min_p", "from 0 to 1"),
        (chat(json!({ "top_k": -2 })), "top_k", "-1"),
        (chat(json!({ "presence_penalty": 3 })), "presence_penalty", "from -2 to 2"),
        (chat(json!({ "frequency_penalty": -3 })), "frequency_penalty", "from -2 to 2"),
        (chat(json!({ "repetition_penalty": 0 })), "repetition_penalty", "0.01"),
        (chat(json!({ "n": 0 })), "n", "from 1"),
        (chat(json!({ "n": 129 })), "n", "128"),
        (chat(json!({ "seed": "x" })), "seed", "whole number"),
        (chat(json!({ "max_tokens": -1 })), "max_tokens", "at least 0"),
        (chat(json!({ "max_tokens": 2, "min_tokens": 3 })), "min_tokens", "min_tokens"),
        (chat(json!({ "stop": [""] })), "stop", "empty"),
        (chat(json!({ "stop": 3 })), "stop", "a string or a list"),
        (chat(json!({ "stop_token_ids": [800] })), "stop_token_ids", "799"),
        (chat(json!({ "logit_bias": { "x": 1 } })), "logit_bias.x", "no token id"),
        (chat(json!({ "logit_bias": { "3": 101 } })), "logit_bias.3", "from -100 to 100"),
        (chat(json!({ "logit_bias": { "800": 1 } })), "logit_bias", "vocabulary"),
        (chat(json!({ "top_logprobs": 3 })), "top_logprobs", "logprobs"),
        (chat(json!({ "logprobs": true, "top_logprobs": 21 })), "top_logprobs", "20"),
        (chat(json!({ "messages": [] })), "messages", "empty"),
        (chat(json!({ "messages": null })), "messages", "null"),
        (chat(json!({ "messages": [{ "role": "user" }] })), "messages[0].content", "missing"),
        (chat(json!({ "messages": [{ "role": "king", "content": "" }] })), "messages[0].role", "king"),
        (
            chat(json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url" }] }] })),
            "messages[0].content",
            "images",
        ),
        (chat(json!({ "tools": tool })), "tools", "shows no tools"),
        (chat(json!({ "tool_choice": "required" })), "tool_choice", "no `tools`"),
        (chat(json!({ "tools": [{ "type": "function" }] })), "tools[0].function", "missing"),
        (chat(json!({ "response_format": { "type": "xml" } })), "response_format.type", "xml"),
        (
            chat(json!({ "response_format": { "type": "json_schema", "json_schema": { "schema": { "type": 3 } } } })),
            "response_format.json_schema.schema",
            "schema",
        ),
        (chat(json!({ "chat_template_kwargs": { "messages": [] } })), "chat_template_kwargs.messages", "messages"),
        (chat(json!({ "kv_policy": { "name": "lehte" } })), "kv_policy.name", "lethe"),
        (chat(json!({ "kv_policy": { "cap": 0 } })), "kv_policy.cap", "whole number"),
        (chat(json!({ "kv_policy": { "protect_prompt": "none" } })), "kv_policy.protect_prompt", "--allow-unprotected"),
        (chat(json!({ "kv_policy": 3 })), "kv_policy", "an object"),
        (
            chat(json!({ "repetition_detection": { "max_pattern_size": 3, "min_count": 1 } })),
            "repetition_detection.min_count",
            "2",
        ),
        (chat(json!({ "functions": [] })), "functions", "tools"),
        (chat(json!({ "suffix": "x" })), "suffix", "not supported"),
        (chat(json!({ "max_token": 3 })), "max_token", "did you mean `max_tokens`"),
        (completion(json!({ "prompt": "" })), "prompt", "empty"),
        (completion(json!({ "prompt": [] })), "prompt", "empty"),
        (completion(json!({ "prompt": [[1], []] })), "prompt", "empty"),
        (completion(json!({ "prompt": [1, 800] })), "prompt", "vocabulary"),
        (completion(json!({ "prompt": { "text": "x" } })), "prompt", "a string"),
        (completion(json!({ "logprobs": 21 })), "logprobs", "20"),
        (completion(json!({ "messages": [] })), "messages", "unknown"),
        (completion(json!({ "best_of": 3 })), "best_of", "`n`"),
    ];
    for ((path, mut body, fields), param, words) in cases {
        for (key, value) in fields.as_object().unwrap() {
            body[key] = value.clone();
        }
        let reply = server.post(path, &body);
        assert_eq!(reply.status, 400, "{fields}: {}", reply.text);
        let error = error(&reply);
        assert_eq!(error["param"], param, "{fields}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{fields}: {error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    server.until_idle();
}

#[test]
fn a_prompt_that_cannot_fit_is_refused_with_the_numbers() {
    let server = start(options(), engine(1));
    let long = json!({ "prompt": vec![5; 4096] });
    let reply = server.post(COMPLETIONS, &long);
    let said = error(&reply);
    assert_eq!((reply.status, &said["code"]), (400, &json!("context_length_exceeded")));
    assert!(said["message"].as_str().unwrap().contains("4096"), "{said}");

    let mut body = ask("Sort 41 7 93 20 58.");
    body["kv_policy"] = json!({ "cap": 10 });
    let reply = server.post(CHAT, &body);
    let said = error(&reply);
    assert_eq!((reply.status, &said["param"]), (400, &json!("kv_policy")));
    let message = said["message"].as_str().unwrap();
    assert!(message.contains("cap 10 is below the"), "both numbers: {message}");
}

#[test]
fn broken_bodies_and_wrong_places() {
    let server = start(Options { body_limit: 1000, ..options() }, engine(1));
    let status = |reply: common::Reply, status: u16, code: Value| {
        assert_eq!(reply.status, status, "{}", reply.text);
        assert_eq!(error(&reply)["code"], code);
        reply
    };
    for broken in ["", "{", "[]", "nonsense", "{\"messages\": [}", "\"text\"", &"[".repeat(900)] {
        status(server.send(CHAT, "application/json", &[], broken), 400, Value::Null);
    }
    status(server.send(CHAT, "application/x-www-form-urlencoded", &[], "{}"), 415, json!("unsupported_media_type"));
    status(server.send(CHAT, "application/json; charset=utf-8", &[], "{}"), 400, Value::Null);
    let large = ask(&"x".repeat(2000)).to_string();
    status(server.send(CHAT, "application/json", &[], &large), 413, json!("body_too_large"));
    status(server.get("/v2/nothing"), 404, json!("not_found"));
    let wrong = status(server.get(CHAT), 405, json!("method_not_allowed"));
    assert_eq!(wrong.header("allow"), "POST");
    status(server.post("/health", &json!({})), 405, json!("method_not_allowed"));
    for path in [CHAT, COMPLETIONS, "/tokenize", "/detokenize"] {
        let body = match path {
            CHAT => ask("Hi"),
            "/detokenize" => json!({ "tokens": [1] }),
            _ => json!({ "prompt": "Hi" }),
        };
        let mut body = body;
        body["model"] = "gpt-5".into();
        let reply = status(server.post(path, &body), 404, json!("model_not_found"));
        assert!(error(&reply)["message"].as_str().unwrap().contains(NAME), "names what there is");
    }
    status(server.get("/v1/models/gpt-5"), 404, json!("model_not_found"));
    status(server.get("/v1/models/%FF"), 404, json!("model_not_found"));
}

#[test]
fn only_those_with_a_key_come_in() {
    let keys = vec!["sesame".to_owned(), "mellon".to_owned()];
    let server = start(Options { api_keys: keys, ..options() }, engine(1));
    let mut body = ask("Sort 2 1.");
    body["max_tokens"] = 1.into();
    let body = body.to_string();
    for key in ["Bearer sesame", "Bearer mellon"] {
        let reply = server.send(CHAT, "application/json", &[("authorization", key)], &body);
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    for headers in [&[][..], &[("authorization", "Bearer open")], &[("authorization", "Basic sesame")]] {
        let reply = server.send(CHAT, "application/json", headers, &body);
        assert_eq!(reply.status, 401, "{}", reply.text);
        assert_eq!(error(&reply)["code"], "invalid_api_key");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    for path in ["/v1/models", "/v1/loads"] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    for path in ["/health", "/ready", "/version", "/metrics", "/openapi.json"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
}
