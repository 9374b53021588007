//! `/v1/chat/completions` as clients use it, with the embedded model.

mod common;

use common::{NAME, Problem, ask, engine, options, problems, start, start_with};
use lethe_server::{Options, Reasoning};
use serde_json::{Value, json};

/// A body with more fields.
fn with(mut body: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// What the deltas of one choice make together.
fn joined(chunks: &[Value], index: u64, field: &str) -> String {
    let of = |chunk: &Value| {
        let choice = chunk["choices"].as_array().unwrap().iter().find(|c| c["index"] == index).cloned()?;
        choice["delta"][field].as_str().map(str::to_owned)
    };
    chunks.iter().filter_map(of).collect()
}

#[test]
fn an_answer_has_its_thinking_apart_and_says_what_it_cost() {
    let server = start(options(), engine(4));
    let Problem { question, thinking, answer, prompt_ids, greedy_ids } = problems(1).remove(0);
    let got = server.chat(&ask(&question));
    let choice = &got["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["message"]["content"], answer);
    assert_eq!(choice["message"]["reasoning"], thinking);
    assert_eq!(choice["message"]["reasoning_content"], thinking);
    assert_eq!((&choice["finish_reason"], &choice["index"]), (&json!("stop"), &json!(0)));
    assert!(choice["logprobs"].is_null() && choice["message"].get("tool_calls").is_none());
    assert_eq!((&got["object"], &got["model"]), (&json!("chat.completion"), &json!(NAME)));
    assert!(got["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let usage = &got["usage"];
    assert_eq!(usage["prompt_tokens"], prompt_ids.len());
    assert_eq!(usage["completion_tokens"], greedy_ids.len());
    assert_eq!(usage["total_tokens"], prompt_ids.len() + greedy_ids.len());
    let thought = usage["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap() as usize;
    assert!(thought > greedy_ids.len() / 2 && thought < greedy_ids.len(), "{thought}");
    assert_eq!((&usage["kv"]["policy"], &usage["kv"]["rounds"]), (&json!("auto"), &json!(0)));
    assert_eq!(usage["kv"]["warnings"], json!([]));
    assert!(usage["kv"]["peak_slots"].as_u64().unwrap() as usize >= prompt_ids.len());
}

#[test]
fn a_stream_is_the_same_answer_in_pieces() {
    let server = start(options(), engine(4));
    let problem = problems(1).remove(0);
    let chunks = server.stream("/v1/chat/completions", &ask(&problem.question));
    assert_eq!(joined(&chunks, 0, "content"), problem.answer);
    assert_eq!(joined(&chunks, 0, "reasoning"), problem.thinking);
    assert_eq!(joined(&chunks, 0, "reasoning_content"), problem.thinking);
    assert!(chunks.len() > 20, "token by token");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert!(chunks.iter().all(|c| c["object"] == "chat.completion.chunk" && c["id"] == chunks[0]["id"]));
    assert!(chunks.iter().all(|c| c.get("usage").is_none()));
    let (last, rest) = chunks.split_last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["choices"][0]["delta"], json!({}));
    assert!(rest.iter().all(|c| c["choices"][0]["finish_reason"].is_null()));
}

#[test]
fn the_usage_of_a_stream_comes_last_when_asked_for() {
    let server = start(options(), engine(4));
    let problem = problems(1).remove(0);
    let body = with(ask(&problem.question), json!({ "stream_options": { "include_usage": true }, "max_tokens": 5 }));
    let chunks = server.stream("/v1/chat/completions", &body);
    let (last, rest) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 5);
    assert!(rest.iter().all(|c| c["usage"].is_null() && c.get("usage").is_some()));
    assert_eq!(rest.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[test]
fn several_choices_draw_by_seed() {
    let server = start(options(), engine(4));
    let question = problems(1).remove(0).question;
    let fields = json!({ "n": 3, "temperature": 3.0, "seed": 7, "max_tokens": 12 });
    let body = with(ask(&question), fields);
    let texts = |got: &Value| -> Vec<String> {
        got["choices"].as_array().unwrap().iter().map(|c| c["message"].to_string()).collect()
    };
    let first = texts(&server.chat(&body));
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1] || first[1] != first[2], "each draws for itself");
    assert_eq!(texts(&server.chat(&body)), first, "a seed decides");
    let alone = texts(&server.chat(&with(body.clone(), json!({ "n": 1, "seed": 8 }))));
    assert_eq!(alone[0], first[1], "choice i has seed + i");
    let chunks = server.stream("/v1/chat/completions", &body);
    for i in 0..3 {
        let message: Value = serde_json::from_str(&first[i as usize]).unwrap();
        let whole = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(joined(&chunks, i, "content"), whole("content"));
        assert_eq!(joined(&chunks, i, "reasoning"), whole("reasoning"));
    }
    let got = server.chat(&with(body, json!({ "kv_policy": { "name": "full" } })));
    assert_eq!(got["usage"]["completion_tokens"], 36);
    assert_eq!(got["usage"]["kv"]["policy"], "full");
}

#[test]
fn stops_limits_and_biases_are_heeded() {
    let server = start(options(), engine(4));
    let problem = problems(1).remove(0);
    let word = problem.answer.split(' ').nth(2).unwrap().to_owned();
    let got = server.chat(&with(ask(&problem.question), json!({ "stop": [format!("\n{word}"), word.clone()] })));
    let choice = &got["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["stop_reason"], word);
    assert!(!choice["message"].to_string().contains(&format!("has {word}")), "a stop is not part of the text");

    let got = server.chat(&with(ask(&problem.question), json!({ "max_tokens": 9, "max_completion_tokens": 4 })));
    assert_eq!(got["choices"][0]["finish_reason"], "length");
    assert_eq!(got["usage"]["completion_tokens"], 4, "the newer name wins");

    let first = problem.greedy_ids[3].to_string();
    let got = server.chat(&with(ask(&problem.question), json!({ "stop_token_ids": [problem.greedy_ids[3]] })));
    assert_eq!(got["usage"]["completion_tokens"], 4);
    assert_eq!(got["choices"][0]["stop_reason"], problem.greedy_ids[3]);
    let biased =
        with(ask(&problem.question), json!({ "logit_bias": { first: -100 }, "max_tokens": 4, "logprobs": true }));
    let got = server.chat(&biased);
    let tokens = got["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    let unbiased = server.chat(&with(biased, json!({ "logit_bias": null })));
    assert_ne!(tokens[3]["token"], unbiased["choices"][0]["logprobs"]["content"][3]["token"]);

    let ends = with(ask(&problem.question), json!({ "ignore_eos": true, "max_tokens": problem.greedy_ids.len() + 3 }));
    assert_eq!(server.chat(&ends)["usage"]["completion_tokens"], problem.greedy_ids.len() + 3);
    let least = json!({ "min_tokens": problem.greedy_ids.len() + 2, "max_tokens": problem.greedy_ids.len() + 9 });
    let got = server.chat(&with(ask(&problem.question), least));
    assert!(got["usage"]["completion_tokens"].as_u64().unwrap() as usize >= problem.greedy_ids.len() + 2);
}

#[test]
fn probabilities_come_for_every_token() {
    let server = start(options(), engine(4));
    let problem = problems(1).remove(0);
    let body = with(ask(&problem.question), json!({ "logprobs": true, "top_logprobs": 3, "max_tokens": 6 }));
    let got = server.chat(&body);
    let content = got["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    assert_eq!(content.len(), 6);
    for token in &content {
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        assert_eq!(top[0]["logprob"], token["logprob"], "greedy takes the likeliest");
        assert_eq!(top[0]["token"], token["token"]);
        assert_eq!(token["bytes"], json!(token["token"].as_str().unwrap().as_bytes()));
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
    }
    let chunks = server.stream("/v1/chat/completions", &body);
    let streamed: Vec<Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(streamed, content);
    let bare = server.chat(&with(body, json!({ "top_logprobs": 0 })));
    assert_eq!(bare["choices"][0]["logprobs"]["content"][0]["top_logprobs"], json!([]));
}

#[test]
fn verbatim_thinking_stays_in_the_text() {
    let server = start(Options { reasoning: Reasoning::Verbatim, ..options() }, engine(1));
    let problem = problems(1).remove(0);
    let got = server.chat(&ask(&problem.question));
    let message = &got["choices"][0]["message"];
    let text = message["content"].as_str().unwrap();
    assert!(
        text.starts_with("<think>") && text.contains(&problem.thinking) && text.ends_with(&problem.answer),
        "{text}"
    );
    assert!(message.get("reasoning").is_none());
    assert!(got["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap() > 10);
}

#[test]
fn a_thinking_budget_closes_the_thinking() {
    let server = start(options(), engine(1));
    let problem = problems(1).remove(0);
    let got = server.chat(&with(ask(&problem.question), json!({ "thinking_token_budget": 10, "max_tokens": 400 })));
    let thought = got["choices"][0]["message"]["reasoning"].as_str().unwrap();
    assert!(thought.len() < problem.thinking.len() && thought.contains("limited time"), "{thought}");
    let none = server.chat(&with(ask(&problem.question), json!({ "thinking_token_budget": 0, "max_tokens": 40 })));
    assert!(none["choices"][0]["message"].get("reasoning").is_none());
}

#[test]
fn a_policy_forgets_and_reports() {
    let server = start(Options { risk_mass: 0.0, ..options() }, engine(2));
    let problem = &problems(8)[7];
    let cap = problem.prompt_ids.len() + 48;
    let policy =
        json!({ "kv_policy": { "cap": cap, "half_life": 32, "interval": 8 }, "max_tokens": 200, "ignore_eos": true });
    let got = server.chat(&with(ask(&problem.question), policy));
    let kv = &got["usage"]["kv"];
    assert_eq!((&kv["policy"], &kv["options"]["cap"]), (&json!("lethe"), &json!(cap)));
    assert!(kv["rounds"].as_u64().unwrap() > 0 && kv["evicted"].as_u64().unwrap() > 0, "{kv}");
    assert!(kv["peak_slots"].as_u64().unwrap() as usize <= cap + 8, "{kv}");
    assert!(kv["mean_slots"].as_f64().unwrap() <= (cap + 8) as f64);
    assert!(kv["bytes"].as_u64().unwrap() > 0 && kv["dropped_mass"]["max"].as_f64().unwrap() > 0.0);
    assert!(kv["warnings"][0].as_str().unwrap().contains("attention mass"), "{kv}");
}

#[test]
fn a_loop_ends_with_its_own_reason_and_a_warning() {
    let server = start(options(), engine(1));
    // 300 tokens past its end the model repeats itself; with one token allowed it can do nothing else.
    let bias: Value = json!({ "4": 100 });
    let body = json!({
        "model": NAME, "messages": [{ "role": "user", "content": "Sort 3 1." }], "max_tokens": 60, "logit_bias": bias,
        "repetition_detection": { "max_pattern_size": 4, "min_count": 5 },
    });
    let got = server.chat(&body);
    assert_eq!(got["choices"][0]["finish_reason"], "repetition", "{got}");
    assert!(got["usage"]["completion_tokens"].as_u64().unwrap() < 60);
    assert!(got["usage"]["kv"]["warnings"].to_string().contains("loop"), "{got}");
}

#[test]
fn history_with_thinking_and_parts_is_rendered() {
    let template = std::fs::read_to_string("../lethe-model/tests/fixtures/templates/thinking.jinja").unwrap();
    let dir = common::folder(&template);
    let model = common::model(Some(dir.path()));
    let server = start_with(options(), engine(1), model);
    let tokens = |messages: Value, kwargs: Value| {
        let body = json!({ "messages": messages, "chat_template_kwargs": kwargs });
        let tokens = server.ok("/tokenize", &body)["tokens"].clone();
        server.ok("/detokenize", &json!({ "tokens": tokens }))["prompt"].as_str().unwrap().to_owned()
    };
    let parts = json!([{ "type": "text", "text": "Sort" }, { "type": "text", "text": "3 1." }]);
    let messages = json!([
        { "role": "developer", "content": "Be brief." },
        { "role": "user", "content": parts },
        { "role": "assistant", "content": "1 3", "reasoning_content": "One is less.", "refusal": null },
    ]);
    let text = tokens(messages, json!({}));
    assert!(text.contains("system\nBe brief.") && text.contains("user\nSort\n3 1."), "{text}");
    assert!(text.contains("<think>\nOne is less.\n</think>\n\n1 3"), "{text}");
    let closed = tokens(json!([{ "role": "user", "content": "Hi" }]), json!({ "enable_thinking": false }));
    assert!(closed.ends_with("<think>\n\n</think>\n\n"), "{closed}");
    let effort =
        json!({ "messages": [{ "role": "user", "content": "Hi" }], "reasoning_effort": "none", "max_tokens": 3 });
    let thinking = server.chat(&with(effort.clone(), json!({ "reasoning_effort": "high" })));
    let prompt_tokens = |got: &Value| got["usage"]["prompt_tokens"].as_u64().unwrap();
    assert!(prompt_tokens(&server.chat(&effort)) > prompt_tokens(&thinking), "none closes the thinking in the prompt");
}
