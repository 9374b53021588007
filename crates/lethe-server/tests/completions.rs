//! `/v1/completions`, the endpoint that evaluation harnesses speak.

mod common;

use common::{NAME, engine, options, problems, start};
use serde_json::{Value, json};

const PATH: &str = "/v1/completions";

#[test]
fn ids_and_text_are_the_same_prompt() {
    let server = start(options(), engine(4));
    let problem = problems(1).remove(0);
    let body = |prompt: Value| json!({ "model": NAME, "prompt": prompt, "max_tokens": 30, "temperature": 0 });
    let from_ids = server.ok(PATH, &body(json!(problem.prompt_ids)));
    let text = server.ok("/detokenize", &json!({ "tokens": problem.prompt_ids }))["prompt"].clone();
    let from_text = server.ok(PATH, &body(text.clone()));
    assert_eq!(from_ids["choices"], from_text["choices"]);
    assert_eq!(from_ids["object"], "text_completion");
    let said = from_ids["choices"][0]["text"].as_str().unwrap();
    assert!(said.starts_with("<think>\nMove 1"), "thinking stays where it is: {said}");
    assert_eq!(from_ids["choices"][0]["finish_reason"], "length");

    let both = server.ok(PATH, &body(json!([text, text])));
    let lists = server.ok(PATH, &body(json!([problem.prompt_ids, problem.prompt_ids])));
    for several in [both, lists] {
        let choices = several["choices"].as_array().unwrap();
        assert_eq!(choices.len(), 2);
        assert!(choices.iter().enumerate().all(|(i, c)| c["index"] == i && c["text"] == said));
        assert_eq!(several["usage"]["prompt_tokens"], 2 * problem.prompt_ids.len());
    }
    let usual = server.ok(PATH, &json!({ "prompt": problem.prompt_ids }));
    assert_eq!(usual["usage"]["completion_tokens"], 16, "the API's own default");
}

#[test]
fn choices_come_by_prompt() {
    let server = start(options(), engine(4));
    let [a, b] = [0, 1].map(|i| problems(2)[i].prompt_ids.clone());
    let body = json!({ "prompt": [a, b], "n": 2, "max_tokens": 3, "temperature": 0, "echo": true });
    let got = server.ok(PATH, &body);
    let texts: Vec<&str> = got["choices"].as_array().unwrap().iter().map(|c| c["text"].as_str().unwrap()).collect();
    assert_eq!(texts.len(), 4);
    assert_eq!((texts[0], texts[2]), (texts[1], texts[3]));
    assert_ne!(texts[0], texts[2]);
    assert_eq!(got["usage"]["prompt_tokens"], a.len() + b.len(), "a prompt is counted once");
    assert_eq!(got["usage"]["completion_tokens"], 12);
}

#[test]
fn an_echo_scores_the_prompt() {
    let server = start(options(), engine(4));
    let problem = problems(1).remove(0);
    let ids: Vec<u32> = problem.prompt_ids.iter().chain(&problem.greedy_ids[..20]).copied().collect();
    let body = json!({ "prompt": ids, "echo": true, "logprobs": 2, "max_tokens": 0, "temperature": 0 });
    let got = server.ok(PATH, &body);
    let choice = &got["choices"][0];
    let scores = &choice["logprobs"];
    let list = |field: &str| scores[field].as_array().unwrap().clone();
    let (tokens, values, top) = (list("tokens"), list("token_logprobs"), list("top_logprobs"));
    assert!([tokens.len(), values.len(), top.len(), list("text_offset").len()].iter().all(|n| *n == ids.len()));
    assert!(values[0].is_null() && top[0].is_null());
    assert_eq!(got["usage"]["completion_tokens"], 0);
    assert_eq!(choice["finish_reason"], "length");
    let text: String = tokens.iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(choice["text"], text);
    // What the model would say greedily is the likeliest, and harnesses compare the numbers exactly.
    for at in problem.prompt_ids.len()..ids.len() {
        let best = top[at].as_object().unwrap().values().map(|v| v.as_f64().unwrap()).fold(f64::MIN, f64::max);
        assert_eq!(values[at].as_f64().unwrap(), best, "token {at}");
    }
    let offsets: Vec<u64> = list("text_offset").iter().map(|n| n.as_u64().unwrap()).collect();
    assert_eq!(offsets[0], 0);
    assert_eq!(offsets[2] as usize, tokens[..2].iter().map(|t| t.as_str().unwrap().chars().count()).sum::<usize>());

    // With one new token everything before it is the same.
    let mut more = body.clone();
    more["max_tokens"] = 1.into();
    let more = server.ok(PATH, &more);
    let longer = more["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap().clone();
    assert_eq!(longer.len(), ids.len() + 1);
    assert_eq!(longer[..ids.len()], values[..]);

    // And streaming tells the same.
    let mut chunks = server.stream(PATH, &{
        let mut body = body;
        body["max_tokens"] = 4.into();
        body
    });
    let streamed: Vec<Value> =
        chunks.iter().flat_map(|c| c["choices"][0]["logprobs"]["token_logprobs"].as_array().unwrap().clone()).collect();
    assert_eq!(streamed.len(), ids.len() + 4);
    assert_eq!(streamed[..ids.len()], values[..]);
    assert_eq!(chunks.pop().unwrap()["choices"][0]["finish_reason"], "length");
    assert!(chunks[0]["choices"][0]["text"].as_str().unwrap().starts_with(&text));
}

#[test]
fn tokens_go_both_ways() {
    let server = start(options(), engine(1));
    let text = "Sort 41 7 93 20 58.";
    let got = server.ok("/tokenize", &json!({ "prompt": text, "return_token_strs": true }));
    let tokens = got["tokens"].as_array().unwrap();
    assert_eq!(got["count"], tokens.len());
    assert_eq!(got["max_model_len"], 4096);
    let whole: String = got["token_strs"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(whole, text);
    assert_eq!(server.ok("/detokenize", &json!({ "tokens": tokens }))["prompt"], text);
    let problem = problems(1).remove(0);
    let chat = json!({ "messages": [{ "role": "user", "content": problem.question }] });
    assert_eq!(server.ok("/tokenize", &chat)["tokens"], json!(problem.prompt_ids));
    assert!(server.ok("/tokenize", &chat)["token_strs"].is_null());
}
