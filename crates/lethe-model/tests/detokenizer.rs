//! The incremental text against the decoding of all ids at once, for every kind of decoder.

mod common;

use std::sync::Arc;

use common::Random;
use lethe_model::{Detokenizer, Tokenizer};
use serde_json::Value;

/// All fixture tokenizers, and further decoders over their vocabularies.
fn tokenizers() -> Vec<(String, Arc<Tokenizer>)> {
    let read = |name: &str| std::fs::read(common::fixture(format!("tokenizers/{name}.json"))).unwrap();
    let with_decoder = |name: &str, decoder: Value| {
        let mut json: Value = serde_json::from_slice(&read(name)).unwrap();
        json["decoder"] = decoder;
        json.to_string()
    };
    let metaspace = serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
    let never = serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"});
    let sequence = |steps: &[Value]| serde_json::json!({"type": "Sequence", "decoders": steps});
    let fallback = serde_json::json!({"type": "ByteFallback"});
    let fuse = serde_json::json!({"type": "Fuse"});
    let strip = |count: usize| serde_json::json!({"type": "Strip", "content": "▁", "start": count, "stop": 0});
    let mut all: Vec<(String, Tokenizer)> = ["reasoner", "byte_level", "byte_fallback", "metaspace"]
        .map(|name| (name.to_owned(), Tokenizer::from_bytes(read(name)).unwrap()))
        .into();
    for (label, base, decoder) in [
        ("bytes, then metaspace", "byte_fallback", sequence(&[fallback.clone(), metaspace.clone()])),
        ("metaspace that keeps the first", "metaspace", never),
        ("strip of every token", "metaspace", strip(2)),
        ("strip of the whole", "byte_fallback", sequence(&[fallback.clone(), fuse.clone(), strip(3)])),
        ("metaspace of the whole", "metaspace", sequence(&[fuse, metaspace])),
        ("bytes alone", "byte_fallback", fallback),
        ("no decoder", "byte_level", Value::Null),
    ] {
        all.push((label.to_owned(), Tokenizer::from_bytes(with_decoder(base, decoder)).unwrap()));
    }
    all.into_iter().map(|(label, tokenizer)| (label, Arc::new(tokenizer))).collect()
}

/// The text before the first stop string to be complete, the longest one if several are, and which it was.
fn cut<'a>(text: &'a str, stops: &[String]) -> (&'a str, Option<usize>) {
    let ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
    for end in ends {
        let complete = |(index, stop): (usize, &String)| {
            (!stop.is_empty() && text[..end].ends_with(stop.as_str())).then_some((stop.len(), index))
        };
        let found = stops.iter().enumerate().filter_map(complete);
        if let Some((length, index)) = found.reduce(|a, b| if b.0 > a.0 { b } else { a }) {
            return (&text[..end - length], Some(index));
        }
    }
    (text, None)
}

/// Pieces as they came, and the stop.
fn stream(tokenizer: &Arc<Tokenizer>, ids: &[u32], stops: &[String], skip: bool) -> (Vec<String>, Option<usize>) {
    let mut detokenizer = Detokenizer::new(Arc::clone(tokenizer), stops.to_vec(), skip);
    let mut pieces: Vec<String> = ids.iter().map(|id| detokenizer.push(*id)).collect();
    pieces.push(detokenizer.finish());
    (pieces, detokenizer.stopped())
}

fn random_ids(tokenizer: &Tokenizer, random: &mut Random) -> Vec<u32> {
    let vocab = tokenizer.vocab_size() + 3; // some ids have no token
    let narrow = 3 + random.below(vocab - 3); // few ids, so that stop strings and byte runs come up
    let from = random.below(vocab - narrow + 1);
    (0..random.below(40))
        .map(|_| (if random.below(4) == 0 { random.below(vocab) } else { from + random.below(narrow) }) as u32)
        .collect()
}

/// Strings made of parts of the text, so that many are found, nearly found or overlap.
fn random_stops(text: &str, random: &mut Random) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    (0..random.below(4))
        .map(|_| {
            if chars.is_empty() || random.below(8) == 0 {
                return ["", "\u{FFFD}", "zz", " "][random.below(4)].to_owned();
            }
            let start = random.below(chars.len());
            let length = 1 + random.below(6);
            let mut stop: String = chars[start..].iter().take(length).collect();
            if random.below(3) == 0 {
                stop.push(chars[random.below(chars.len())]);
            }
            stop
        })
        .collect()
}

#[test]
fn streamed_text_equals_the_whole() {
    let mut random = Random(7);
    for (label, tokenizer) in tokenizers() {
        let (mut stopped, mut broken) = (0, 0);
        for round in 0..1500 {
            let ids = random_ids(&tokenizer, &mut random);
            let skip = round % 2 == 0;
            let whole = tokenizer.decode(&ids, skip).unwrap();
            let stops = random_stops(&whole, &mut random);
            let (pieces, stop) = stream(&tokenizer, &ids, &stops, skip);
            let (expected, expected_stop) = cut(&whole, &stops);
            assert_eq!((pieces.concat().as_str(), stop), (expected, expected_stop), "{label}: {ids:?} {stops:?}");
            stopped += usize::from(stop.is_some());
            broken += usize::from(whole.contains('\u{FFFD}'));
        }
        // The rounds must have met what they are for.
        assert!(stopped > 100, "{label}: {stopped} stops");
        assert!(
            broken > 0 || label.contains("metaspace") || label.contains("strip of every") || label == "no decoder",
            "{label}"
        );
    }
}

#[test]
fn nothing_shown_is_ever_taken_back() {
    // After every push, what was shown is a beginning of the whole, whatever ids follow.
    let mut random = Random(11);
    for (label, tokenizer) in tokenizers() {
        for _ in 0..100 {
            let ids = random_ids(&tokenizer, &mut random);
            let (pieces, _) = stream(&tokenizer, &ids, &[], true);
            let mut shown = String::new();
            for (end, piece) in pieces.iter().take(ids.len()).enumerate() {
                shown.push_str(piece);
                let mut other = ids[..=end].to_vec();
                other.extend(random_ids(&tokenizer, &mut random));
                let whole = tokenizer.decode(&other, true).unwrap();
                assert!(whole.starts_with(&shown), "{label}: {other:?}: {shown:?} in {whole:?}");
            }
        }
    }
}

#[test]
fn characters_wait_for_their_last_byte_and_no_longer() {
    let tokenizer = Arc::new(Tokenizer::from_file(common::fixture("tokenizers/byte_level.json")).unwrap());
    // The bytes of "a😀é", one token each, as GPT-2's alphabet writes them.
    let ids = ["a", "ð", "Ł", "ĺ", "Ģ", "Ã", "©"].map(|byte| tokenizer.id(byte).unwrap());
    let (pieces, _) = stream(&tokenizer, &ids, &[], true);
    assert_eq!(pieces, ["a", "", "", "", "😀", "", "é", ""]);
    let (pieces, _) = stream(&tokenizer, &ids[..3], &[], true);
    assert_eq!(pieces, ["a", "", "", "\u{FFFD}"]);
}

#[test]
fn special_tokens_are_hidden_but_thinking_is_shown() {
    let tokenizer = Arc::new(Tokenizer::from_file(common::fixture("tokenizers/reasoner.json")).unwrap());
    let ids = tokenizer.encode("<|im_start|><think>7</think><|im_end|>", false).unwrap();
    assert_eq!(stream(&tokenizer, &ids, &[], true).0.concat(), "<think>7</think>");
    assert_eq!(stream(&tokenizer, &ids, &[], false).0.concat(), "<|im_start|><think>7</think><|im_end|>");
}

#[test]
fn stop_strings_span_tokens_and_are_never_shown() {
    let tokenizer = Arc::new(Tokenizer::from_file(common::fixture("tokenizers/reasoner.json")).unwrap());
    let ids = tokenizer.encode("12 + 34 = 46\n\nQuestion: next", false).unwrap();
    let (pieces, stop) = stream(&tokenizer, &ids, &["never".into(), "\n\nQuest".into()], true);
    assert_eq!((pieces.concat().as_str(), stop), ("12 + 34 = 46", Some(1)));
    // What only looked like a stop string comes out in the end.
    let ids = tokenizer.encode("12 + 34 = 46\n\n", false).unwrap();
    let (pieces, stop) = stream(&tokenizer, &ids, &["\n\nQuest".into()], true);
    assert_eq!((pieces.concat().as_str(), stop), ("12 + 34 = 46\n\n", None));
    assert_eq!(pieces.last().unwrap(), "\n\n");
}
