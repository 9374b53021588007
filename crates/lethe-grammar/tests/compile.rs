//! What is compiled and what is refused, and that tokens are read as the detokenizer reads them.

use std::sync::Arc;

use lethe_engine::Constraint;
use lethe_grammar::{GrammarError, Grammars, MAX_BYTES};
use lethe_model::{Detokenizer, Tokenizer};
use serde_json::{Value, json};

fn tokenizer(name: &str) -> Arc<Tokenizer> {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../lethe-model/tests/fixtures/tokenizers");
    Arc::new(Tokenizer::from_file(format!("{fixtures}/{name}.json")).unwrap())
}

/// Rows of logits that no token belongs to.
const SPARE: usize = 9;

fn grammars(tokenizer: &Tokenizer) -> Grammars {
    let end: Vec<u32> = tokenizer.special_ids().take(2).collect();
    Grammars::new(tokenizer, tokenizer.vocab_size() + SPARE, &end).unwrap()
}

/// A walk through a grammar by dice. Returns what it says, as it would be shown.
fn walk(tokenizer: &Arc<Tokenizer>, mut grammar: Box<dyn Constraint>, seed: u64) -> String {
    let vocab = tokenizer.vocab_size() + SPARE;
    let mut state = seed;
    let mut shown = Detokenizer::new(Arc::clone(tokenizer), Vec::<String>::new(), true);
    let mut text = String::new();
    let mut bytes = Vec::new();
    while !grammar.finished() {
        let mut logits = vec![0.0f32; vocab];
        grammar.mask(&mut logits).unwrap();
        let allowed: Vec<u32> = (0..vocab as u32).filter(|&id| logits[id as usize] == 0.0).collect();
        for &id in &allowed {
            assert!((id as usize) < vocab - SPARE && (!grammar.bytes(id).is_empty() || tokenizer.is_special(id)));
            let kept = grammar.bytes(id) == tokenizer.bytes(id);
            assert!(kept, "{id}: {:?} {:?}", grammar.bytes(id), tokenizer.bytes(id));
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = allowed[(state >> 33) as usize % allowed.len()];
        grammar.commit(id).unwrap();
        bytes.extend_from_slice(grammar.bytes(id));
        text.push_str(&shown.push(id));
        assert!(bytes.len() < 20_000, "{text}");
    }
    text.push_str(&shown.finish());
    assert_eq!(text.as_bytes(), bytes, "the grammar reads what is shown");
    text
}

#[test]
fn tokens_of_every_kind_of_tokenizer_are_read_as_they_are_shown() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "maxLength": 20}, "b": {"type": "array", "items": {"enum": ["x", "Größe", "😀"]}, "maxItems": 4},
        "c": {"type": "number", "minimum": 0, "maximum": 9}}, "required": ["a", "b", "c"], "additionalProperties": false});
    for name in ["reasoner", "byte_level", "byte_fallback"] {
        let tokenizer = tokenizer(name);
        let grammar = grammars(&tokenizer).json_schema(&schema).unwrap();
        for seed in 0..20 {
            let text = walk(&tokenizer, grammar.boxed(), seed);
            let v: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
            assert!(v["a"].as_str().unwrap().chars().count() <= 20, "{text}");
            assert!(v["b"].as_array().unwrap().iter().all(|x| ["x", "Größe", "😀"].contains(&x.as_str().unwrap())));
            assert!((0.0..=9.0).contains(&v["c"].as_f64().unwrap()), "{text}");
        }
    }
}

#[test]
fn a_copy_goes_on_by_itself() {
    let tokenizer = tokenizer("reasoner");
    let mut one = grammars(&tokenizer).choice(&["Kim", "Kinn"]).unwrap();
    let say = |grammar: &mut Box<dyn Constraint>, text: &str| {
        text.chars().try_for_each(|c| grammar.commit(tokenizer.id(&c.to_string()).unwrap()))
    };
    say(&mut one, "Ki").unwrap();
    let mut other = one.boxed();
    say(&mut one, "m").unwrap();
    assert!(one.finished() && !other.finished());
    say(&mut other, "nn").unwrap();
    assert!(other.finished());
    assert!(say(&mut one, "m").is_err(), "nothing may follow");
}

#[test]
fn what_cannot_be_done_is_said() {
    let grammars = grammars(&tokenizer("reasoner"));
    let refuse = |schema: Value| grammars.json_schema(&schema).unwrap_err();
    for (schema, word) in [
        (json!({"type": "strin"}), "strin"),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 5, "maximum": 2}}, "required": ["a"]}),
            "5",
        ),
        (json!({"$ref": "#/$defs/missing"}), "missing"),
        (json!({"$ref": "https://example.com/schema.json"}), "example.com"),
        (json!({"type": "string", "pattern": "(?=look)ahead"}), "look"),
        (json!({"type": "string", "format": "no-such-format"}), "no-such-format"),
        (json!({"not": {"type": "string"}}), "not"),
        (json!({"type": "array", "uniqueItems": true}), "uniqueItems"),
        // a schema cannot switch the checks off
        (json!({"x-guidance": {"lenient": true}, "type": "string", "format": "no-such-format"}), "no-such-format"),
    ] {
        let error = refuse(schema.clone());
        assert!(matches!(&error, GrammarError::Unsupported(_)), "{schema}: {error:?}");
        assert!(error.to_string().contains(word), "{schema}: {error}");
    }
    assert!(matches!(refuse(json!("type")), GrammarError::NoSchema(_)));
    assert!(matches!(refuse(json!(false)), GrammarError::NoSchema(_)));
    assert!(grammars.json_schema(&json!(true)).is_ok());
    assert!(matches!(grammars.regex("(").unwrap_err(), GrammarError::Unsupported(_)));
    assert!(matches!(grammars.lark("stat: \"a\"").unwrap_err(), GrammarError::Unsupported(_)));
    assert_eq!(grammars.choice::<&str>(&[]).unwrap_err(), GrammarError::NoChoice);
    assert_eq!(grammars.choice(&["a", ""]).unwrap_err(), GrammarError::NoChoice);
}

#[test]
fn hostile_grammars_cost_no_more_than_others() {
    let tokenizer = tokenizer("reasoner");
    let grammars = grammars(&tokenizer);
    // too large or too deep to look at
    let deep = (0..100).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
    assert_eq!(grammars.json_schema(&deep).unwrap_err(), GrammarError::TooDeep);
    let names: Vec<String> = (0..MAX_BYTES / 8).map(|i| format!("{i:08}")).collect();
    assert!(matches!(grammars.json_schema(&json!({"enum": names})).unwrap_err(), GrammarError::TooLarge { .. }));
    assert!(matches!(grammars.regex(&"a".repeat(MAX_BYTES + 1)).unwrap_err(), GrammarError::TooLarge { .. }));
    // small to write, large to build: an error, or a grammar whose first masks are there (each within its own bounds)
    let wide: Vec<Value> =
        (0..400).map(|i| json!({"type": "object", "properties": {format!("k{i}"): {"type": "string"}}})).collect();
    let doubling = |n: usize| {
        let mut defs = serde_json::Map::new();
        for i in 0..n {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            defs.insert(
                format!("d{i}"),
                json!({"type": "object", "properties": {"a": next, "b": next}, "required": ["a", "b"]}),
            );
        }
        defs.insert(format!("d{n}"), json!({"type": "null"}));
        json!({"$defs": defs, "$ref": "#/$defs/d0"})
    };
    for schema in [
        json!({"type": "array", "minItems": 1_000_000_000, "items": {"type": "integer"}}),
        json!({"type": "array", "maxItems": 4_000_000_000u64, "items": {"type": "integer"}}),
        json!({"type": "string", "minLength": 2_000_000_000}),
        json!({"type": "string", "maxLength": 2_000_000_000}),
        json!({"type": "string", "pattern": "^((a{1,1000}){1,1000}){1,1000}$"}),
        json!({"type": "string", "pattern": "(a|a)*(a|aa)*(b|a)*[^c]{900}c[^d]{900}"}),
        json!({"type": "object", "minProperties": 1_000_000_000}),
        json!({"type": "object", "patternProperties": {"^.*a.{500}$": {"type": "string"}}}),
        json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}),
        json!({"allOf": wide}),
        json!({"anyOf": wide}),
        doubling(40),
        json!({"type": "integer", "multipleOf": 1_000_003, "minimum": -9_000_000_000_000_000i64, "maximum": 9_000_000_000_000_000i64}),
    ] {
        let Ok(mut grammar) = grammars.json_schema(&schema) else { continue };
        for _ in 0..3 {
            let mut logits = vec![0.0f32; tokenizer.vocab_size() + SPARE];
            if grammar.mask(&mut logits).is_err() || grammar.finished() {
                break;
            }
            let id = logits.iter().position(|&x| x == 0.0).unwrap();
            if grammar.commit(id as u32).is_err() {
                break;
            }
        }
    }
}

#[test]
fn grammars_are_made_on_any_thread() {
    let tokenizer = tokenizer("reasoner");
    let grammars = &grammars(&tokenizer);
    let made: Vec<Box<dyn Constraint>> = std::thread::scope(|scope| {
        let one = |text: &'static str| scope.spawn(move || grammars.choice(&[text]).unwrap());
        ["Kim", "Ned"].map(one).into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let said: Vec<String> = made.into_iter().map(|grammar| walk(&tokenizer, grammar, 1)).collect();
    assert_eq!(said, ["Kim", "Ned"]);
}

#[test]
fn a_model_without_end_ids_still_answers() {
    let tokenizer = tokenizer("reasoner");
    let grammars = Grammars::new(&tokenizer, tokenizer.vocab_size() + SPARE, &[]).unwrap();
    assert_eq!(walk(&tokenizer, grammars.choice(&["Kim"]).unwrap(), 1), "Kim");
    let v: Value =
        serde_json::from_str(&walk(&tokenizer, grammars.json_schema(&json!({"enum": [1, 2]})).unwrap(), 1)).unwrap();
    assert!(v == 1 || v == 2);
}
