//! Ids and texts must be those of the tokenizers package for Python (`make_goldens.py` writes them).

mod common;

use lethe_model::{Tokenizer, TokenizerError};
use serde_json::Value;

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_file(common::fixture(format!("tokenizers/{name}.json"))).unwrap()
}

#[test]
fn ids_and_texts_equal_the_goldens() {
    let cases: Vec<Value> =
        serde_json::from_slice(&std::fs::read(common::fixture("tokenizers.json")).unwrap()).unwrap();
    assert!(cases.len() >= 56);
    for case in &cases {
        let name = case["tokenizer"].as_str().unwrap();
        let tokenizer = tokenizer(name);
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text, case["add_special"].as_bool().unwrap()).unwrap(), ids, "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), case["shown"].as_str().unwrap(), "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), case["hidden"].as_str().unwrap(), "{name}: {text:?}");
    }
}

#[test]
fn the_post_processor_decides_about_the_beginning() {
    let llama = tokenizer("byte_fallback");
    let bos = llama.id("<s>").unwrap();
    assert_eq!(llama.encode("a", true).unwrap()[0], bos);
    assert_ne!(llama.encode("a", false).unwrap()[0], bos);
}

#[test]
fn tokens_and_ids_map_both_ways() {
    let tokenizer = tokenizer("reasoner");
    assert_eq!(tokenizer.id("<|im_end|>"), Some(721));
    assert_eq!(tokenizer.token(721).as_deref(), Some("<|im_end|>"));
    assert_eq!((tokenizer.id("no such token"), tokenizer.token(1 << 30)), (None, None));
    assert!(tokenizer.vocab_size() >= 724);
    assert_eq!(tokenizer.special_ids().collect::<Vec<_>>(), [719, 720, 721]);
    assert!(tokenizer.is_special(721) && !tokenizer.is_special(722)); // <think> is text
    assert_eq!(tokenizer.decode(&[721, 722, 1 << 30], true).unwrap(), "<think>");
}

#[test]
fn truncation_and_padding_of_the_file_are_off() {
    let path = common::fixture("tokenizers/byte_level.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = serde_json::json!({"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "!"});
    let tokenizer = Tokenizer::from_bytes(json.to_string()).unwrap();
    assert_eq!(tokenizer.encode("abcdef", false).unwrap().len(), 6);
}

#[test]
fn bad_files_are_named() {
    let path = common::fixture("no-such-tokenizer.json");
    let error = Tokenizer::from_file(&path).unwrap_err().to_string();
    assert!(error.contains("no-such-tokenizer.json"), "{error}");
    for bytes in [&b"{"[..], b"[]", b"{}", &[0xFF]] {
        assert!(matches!(Tokenizer::from_bytes(bytes), Err(TokenizerError::Invalid(_))));
    }
}

#[test]
fn decoders_that_cannot_be_streamed_are_refused() {
    let bytes = std::fs::read(common::fixture("tokenizers/byte_level.json")).unwrap();
    for (decoder, word) in [
        (r#"{"type": "WordPiece", "prefix": "\u0023\u0023", "cleanup": true}"#, "WordPiece"),
        (r#"{"type": "Strip", "content": " ", "start": 0, "stop": 1}"#, "Strip"),
        (r#"{"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"}"#, "Replace"),
        (
            r#"{"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": ""}]}"#,
            "Replace",
        ),
        (r#"{"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]}"#, "ByteFallback"),
    ] {
        let mut json: Value = serde_json::from_slice(&bytes).unwrap();
        json["decoder"] = serde_json::from_str(decoder).unwrap();
        let error = Tokenizer::from_bytes(json.to_string()).unwrap_err();
        assert!(matches!(&error, TokenizerError::Decoder(_)) && error.to_string().contains(word), "{error}");
    }
}

#[test]
fn a_merge_that_makes_no_token_is_an_error() {
    let json = r#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}"#;
    let error = Tokenizer::from_bytes(json).unwrap_err().to_string();
    assert!(error.contains("merge 0") && error.contains("a b"), "{error}");
}
