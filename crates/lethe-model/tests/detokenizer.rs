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

/// The text before the first stop string to be complete, the longest one if several are, and which it was. Those that are
/// complete within the first `free` bytes do not count.
fn cut<'a>(text: &'a str, stops: &[String], free: usize) -> (&'a str, Option<usize>) {
    let ends = (free + 1..=text.len()).filter(|end| text.is_char_boundary(*end));
    ends.map(|end| cut_at_end(&text[..end], stops)).find(|(_, stop)| stop.is_some()).unwrap_or((text, None))
}

/// The longest stop string that the text ends with.
fn cut_at_end<'a>(text: &'a str, stops: &[String]) -> (&'a str, Option<usize>) {
    let ends = |(_, stop): &(usize, &String)| !stop.is_empty() && text.ends_with(stop.as_str());
    let found = stops.iter().enumerate().filter(ends).reduce(|a, b| if b.1.len() > a.1.len() { b } else { a });
    found.map_or((text, None), |(index, stop)| (&text[..text.len() - stop.len()], Some(index)))
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
            let (expected, expected_stop) = cut(&whole, &stops, 0);
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
fn stop_strings_wait_for_so_many_tokens() {
    let mut random = Random(5);
    for (label, tokenizer) in tokenizers() {
        let (mut early, mut late) = (0, 0);
        for _ in 0..1500 {
            let ids = random_ids(&tokenizer, &mut random);
            let whole = tokenizer.decode(&ids, true).unwrap();
            let stops = random_stops(&whole, &mut random);
            let tokens = random.below(ids.len() + 2);
            // the text that has come out with those tokens
            let free: usize = {
                let mut plain = Detokenizer::new(Arc::clone(&tokenizer), Vec::<String>::new(), true);
                ids.iter().take(tokens).map(|id| plain.push(*id).len()).sum()
            };
            // what only comes out at the end belongs to the last token
            let free = if tokens >= ids.len() { whole.len() } else { free };
            let mut detokenizer = Detokenizer::new(Arc::clone(&tokenizer), stops.clone(), true).at_least(tokens);
            let mut text: String = ids.iter().map(|id| detokenizer.push(*id)).collect();
            text.push_str(&detokenizer.finish());
            let (expected, stop) = cut(&whole, &stops, free);
            assert_eq!((text.as_str(), detokenizer.stopped()), (expected, stop), "{label}: {ids:?} {stops:?} {tokens}");
            let without = cut(&whole, &stops, 0).1;
            early += usize::from(without.is_some() && stop.is_none());
            late += usize::from(stop.is_some() && tokens > 0);
        }
        assert!(early > 30 && late > 30, "{label}: {early} {late}");
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

#[test]
fn bytes_of_tokens_are_what_they_add_to_a_text() {
    let mut random = Random(13);
    for (label, tokenizer) in tokenizers() {
        // a text that has begun
        let begun = (0..tokenizer.vocab_size() as u32).find(|&id| tokenizer.bytes(id).ends_with(b"a")).unwrap();
        let mut compared = 0;
        let mut check = |ids: &[u32]| {
            let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.bytes(id)).collect();
            let Ok(text) = String::from_utf8(bytes) else { return };
            let before = tokenizer.decode(&[begun], true).unwrap();
            let whole = tokenizer.decode(&[&[begun], ids].concat(), true).unwrap();
            assert_eq!(whole, before + &text, "{label}: {ids:?}");
            compared += 1;
        };
        for id in 0..tokenizer.vocab_size() as u32 + 3 {
            check(&[id]);
        }
        for _ in 0..1500 {
            check(&random_ids(&tokenizer, &mut random));
        }
        assert!(compared > tokenizer.vocab_size() / 2, "{label}: {compared}");
        for id in tokenizer.special_ids() {
            assert!(tokenizer.bytes(id).is_empty());
        }
    }
    // characters over several tokens
    let tokenizer = Tokenizer::from_file(common::fixture("tokenizers/byte_level.json")).unwrap();
    let face = ["ð", "Ł", "ĺ", "Ģ"].map(|byte| tokenizer.bytes(tokenizer.id(byte).unwrap()));
    assert_eq!(face.concat(), "😀".as_bytes());
    let tokenizer = Tokenizer::from_file(common::fixture("tokenizers/byte_fallback.json")).unwrap();
    assert_eq!(tokenizer.bytes(tokenizer.id("<0xE2>").unwrap()), [0xE2]);
    assert_eq!(tokenizer.bytes(tokenizer.id("<0x0A>").unwrap()), b"\n");
}
