//! Answers of the embedded model under grammars. It knows no JSON at all, so whatever is right about them is the
//! grammar's doing.

#[path = "../../lethe-engine/tests/common/mod.rs"]
mod common;

use common::{END, Outcome, options, problems, reasoner, request, run};
use lethe_engine::{
    AfterThinking, Constrained, Constraint, EngineOptions, FinishReason, Request, Sampling, ThinkingBudget,
};
use lethe_grammar::Grammars;
use lethe_model::{CpuBackend, Model, ThinkTags};
use serde_json::{Value, json};

fn grammars(model: &Model<CpuBackend>) -> Grammars {
    Grammars::new(model.tokenizer.as_ref().unwrap(), model.decoder.dims.vocab, &model.end_ids).unwrap()
}

/// Greedy for seed 0, else drawn.
fn bound(problem: usize, grammar: Box<dyn Constraint>, thinks: bool, seed: u64) -> Request {
    let mut r = request(&problems()[problem].prompt, "full", 1500);
    let after_thinking = thinks.then_some(AfterThinking { tags: ThinkTags::THINK, starts_inside: false });
    r.generation.constraint = Some(Constrained { grammar, after_thinking });
    r.generation.sampling = Sampling { temperature: if seed == 0 { 0.0 } else { 1.5 }, seed, ..Sampling::default() };
    r
}

fn integer(v: &Value, from: i64, to: i64) -> bool {
    v.as_i64().is_some_and(|n| (from..=to).contains(&n))
}

fn keys(v: &Value) -> Vec<&str> {
    v.as_object().map(|o| o.keys().map(String::as_str).collect()).unwrap_or_default()
}

type Check = fn(&Value) -> bool;

/// Schemas whose answers are finite, and what is true of each answer, written by hand.
fn schemas() -> Vec<(Value, Check)> {
    vec![
        (
            json!({"type": "object", "properties": {"who": {"enum": ["Kim", "Ned", "Pia"]},
                "has": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["who", "has"],
                "additionalProperties": false}),
            |v| {
                keys(v) == ["who", "has"]
                    && integer(&v["has"], 0, 99)
                    && ["Kim", "Ned", "Pia"].contains(&v["who"].as_str().unwrap())
            },
        ),
        (
            json!({"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 5}, "minItems": 2, "maxItems": 6}),
            |v| v.as_array().is_some_and(|a| (2..=6).contains(&a.len()) && a.iter().all(|n| integer(n, -5, 5))),
        ),
        (
            json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                "old": {"type": "boolean"}, "maybe": {"type": ["null", "integer"], "maximum": 10, "minimum": 1}},
                "required": ["name", "maybe"], "additionalProperties": false}),
            |v| {
                let name = v["name"].as_str().is_some_and(|s| s.chars().count() <= 12);
                let old = v.get("old").is_none_or(Value::is_boolean);
                name && old && v.get("maybe").is_some_and(|m| m.is_null() || integer(m, 1, 10))
            },
        ),
        (
            json!({"$defs": {"door": {"type": "object", "properties": {"to": {"type": "string", "pattern": "^[A-Z][0-9]{2}$"}},
                "required": ["to"], "additionalProperties": false}},
                "type": "object", "properties": {"doors": {"type": "array", "items": {"$ref": "#/$defs/door"}, "minItems": 1, "maxItems": 3}},
                "required": ["doors"], "additionalProperties": false}),
            |v| {
                let right = |t: &str| {
                    t.len() == 3
                        && t.as_bytes()[0].is_ascii_uppercase()
                        && t.as_bytes()[1..].iter().all(u8::is_ascii_digit)
                };
                let doors = v["doors"].as_array().unwrap();
                (1..=3).contains(&doors.len())
                    && doors.iter().all(|d| keys(d) == ["to"] && d["to"].as_str().is_some_and(right))
            },
        ),
        (
            json!({"anyOf": [{"const": "none"}, {"type": "object", "properties": {"x": {"const": 7}}, "required": ["x"], "additionalProperties": false}]}),
            |v| v == "none" || v == &json!({"x": 7}),
        ),
    ]
}

fn parsed(o: &Outcome, answer: &str) -> Value {
    let done = o.done.as_ref().unwrap_or_else(|| panic!("{:?}: {}", o.failed, o.text));
    assert_eq!(done.reason, FinishReason::Stop, "{}", o.text);
    serde_json::from_str(answer).unwrap_or_else(|e| panic!("{e}: {answer}"))
}

#[test]
fn answers_follow_their_schema_greedy_and_sampled_alone_and_in_a_batch() {
    let model = reasoner(2);
    let grammars = grammars(&model);
    let schemas = schemas();
    let requests = || -> Vec<Request> {
        let one = |(i, (schema, _)): (usize, &(Value, Check))| {
            let grammar = grammars.json_schema(schema).unwrap();
            (0..4).map(move |seed| bound(i * 11 + seed as usize, grammar.boxed(), false, seed)).collect::<Vec<_>>()
        };
        schemas.iter().enumerate().flat_map(one).collect()
    };
    let small = EngineOptions { prefill_chunk: 21, max_batched_tokens: 64, ..options(7) };
    let all = run(&model, small, requests());
    for (i, (o, alone)) in all.iter().zip(requests()).enumerate() {
        let v = parsed(o, &o.text);
        let (schema, check) = &schemas[i / 4];
        assert!(check(&v), "{schema}: {v}");
        assert!(!o.text.starts_with(char::is_whitespace) && !o.text.ends_with(char::is_whitespace));
        if i % 3 == 0 {
            assert_eq!(run(&model, options(1), vec![alone]).remove(0).ids(), o.ids(), "{schema}");
        }
    }
}

#[test]
fn any_object_will_do_and_nothing_else() {
    let model = reasoner(2);
    let grammars = grammars(&model);
    let id = |text: &str| model.tokenizer.as_ref().unwrap().id(text).unwrap();
    let (close, quote) = (id("}"), id("\""));
    let request = |seed| {
        let mut r = bound(seed as usize, grammars.json_object().unwrap(), false, seed);
        r.generation.sampling.logit_bias = vec![(close, 16.0), (quote, 16.0)]; // or it would go on for ever
        r.generation.max_tokens = Some(400);
        r
    };
    let all = run(&model, options(8), (0..16).map(request).collect());
    let mut whole = 0;
    for o in &all {
        if o.done.as_ref().unwrap().reason == FinishReason::Stop {
            assert!(parsed(o, &o.text).is_object(), "{}", o.text);
            whole += 1;
        } else {
            // what is cut off is the beginning of one
            let error = serde_json::from_str::<Value>(&o.text).unwrap_err();
            assert!(o.text.starts_with('{') && error.is_eof(), "{error}: {}", o.text);
        }
    }
    assert!(whole > 8, "{whole} are whole");
    assert!(all.iter().any(|o| o.text.len() > 20), "and not all are empty");
}

#[test]
fn thinking_comes_first_where_the_model_thinks() {
    let model = reasoner(2);
    let grammars = grammars(&model);
    let (schema, check) = schemas().swap_remove(0);
    let free = run(&model, options(1), vec![request(&problems()[0].prompt, "full", 900)]).remove(0);
    let grammar = grammars.json_schema(&schema).unwrap();
    let mut cut = bound(0, grammar.boxed(), true, 0);
    let tokenizer = model.tokenizer.as_ref().unwrap();
    cut.generation.thinking = Some(ThinkingBudget::new(tokenizer, ThinkTags::THINK, false, Some(12), None).unwrap());
    let requests = vec![bound(0, grammar.boxed(), true, 0), cut, bound(9, grammar.boxed(), true, 3)];
    for (i, o) in run(&model, options(3), requests).iter().enumerate() {
        let (thinking, answer) = o.text.split_once("</think>").unwrap();
        assert!(thinking.starts_with("<think>\n"));
        match i {
            0 => assert_eq!(thinking, free.text.split_once("</think>").unwrap().0, "free of the grammar"),
            1 => assert!(thinking.contains(ThinkingBudget::MESSAGE), "{thinking}"),
            _ => {}
        }
        assert!(check(&parsed(o, answer)), "{answer}");
    }
}

#[test]
fn expressions_choices_and_lark() {
    let model = reasoner(2);
    let grammars = grammars(&model);
    let texts = |grammar: Box<dyn Constraint>| -> Vec<String> {
        let requests = (0..8).map(|seed| bound(seed as usize * 3, grammar.boxed(), false, seed)).collect();
        let all = run(&model, options(8), requests);
        all.into_iter()
            .map(|o| {
                assert_eq!(o.done.as_ref().map(|d| d.reason), Some(FinishReason::Stop), "{:?} {}", o.failed, o.text);
                o.text
            })
            .collect()
    };
    for text in texts(grammars.regex(r"(yes|no), [a-c]{3,5}\.").unwrap()) {
        let rest = text.strip_prefix("yes, ").or(text.strip_prefix("no, ")).and_then(|r| r.strip_suffix('.')).unwrap();
        assert!((3..=5).contains(&rest.len()) && rest.bytes().all(|b| (b'a'..=b'c').contains(&b)), "{text}");
    }
    let choices = ["a", "ab", "say \"hi\"\n\\", "Größe", "😀!"];
    let mut seen = texts(grammars.choice(&choices).unwrap());
    assert!(seen.iter().all(|text| choices.contains(&text.as_str())), "{seen:?}");
    seen.dedup();
    assert!(seen.len() > 1, "{seen:?}");
    for choice in choices {
        assert_eq!(texts(grammars.choice(&[choice]).unwrap()), vec![choice; 8]);
    }
    let lark = "start: \"(\" start? \")\"";
    let mut r = bound(1, grammars.lark(lark).unwrap(), false, 0);
    r.generation.max_tokens = Some(40);
    let o = run(&model, options(1), vec![r]).remove(0);
    let depth = o.text.bytes().take_while(|&b| b == b'(').count();
    assert!(
        depth > 0
            && (o.done.unwrap().reason == FinishReason::Length || o.text == "(".repeat(depth) + &")".repeat(depth)),
        "{}",
        o.text
    );
}

#[test]
fn an_answer_that_may_go_on_ends_with_an_end_id_or_at_its_fewest_tokens() {
    let model = reasoner(1);
    let grammars = grammars(&model);
    let mut r = bound(2, grammars.regex("[ab]+").unwrap(), false, 0);
    r.generation.sampling.logit_bias = vec![(END, 1000.0)];
    let o = run(&model, options(1), vec![r.clone()]).remove(0);
    assert_eq!((o.ids().len(), o.ids()[1]), (2, END), "one letter is complete");
    r.generation.min_tokens = 6;
    let o = run(&model, options(1), vec![r.clone()]).remove(0);
    assert_eq!((o.ids().len(), o.ids()[6]), (7, END));
    assert!(o.text.bytes().all(|b| b == b'a' || b == b'b'), "{}", o.text);
    // a grammar that is at its end ends the answer, however few tokens that were
    let mut r = bound(2, grammars.regex("ab").unwrap(), false, 0);
    r.generation.min_tokens = 6;
    let o = run(&model, options(1), vec![r]).remove(0);
    assert_eq!((o.text.as_str(), o.done.unwrap().stopped_by), ("ab", None));
}

#[test]
fn a_grammar_of_another_model_ends_the_request_alone() {
    let model = reasoner(1);
    let other = Grammars::new(model.tokenizer.as_ref().unwrap(), 900, &model.end_ids).unwrap();
    let requests = vec![bound(0, other.json_object().unwrap(), false, 0), request(&problems()[1].prompt, "full", 10)];
    let all = run(&model, options(2), requests);
    let failure = all[0].failed.as_ref().unwrap().to_string();
    assert!(failure.contains("900") && failure.contains("800"), "{failure}");
    assert_eq!(all[1].ids().len(), 10);
}
