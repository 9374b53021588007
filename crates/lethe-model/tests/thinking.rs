//! Thinking and answer are told apart the same way however the text is cut.

mod common;

use lethe_model::{ChatTemplate, Piece, ThinkTags, ThinkingParser, Tokenizer};

/// Thinking and answer of a text that comes in these pieces.
fn split(tags: Option<ThinkTags>, inside: bool, pieces: &[&str]) -> (String, String) {
    let mut parser = ThinkingParser::new(tags, inside);
    let (mut thinking, mut answer) = (String::new(), String::new());
    let mut out: Vec<Piece> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    out.extend(parser.finish());
    for piece in out {
        match piece {
            Piece::Thinking(text) => {
                assert!(!text.is_empty() && answer.is_empty(), "thinking comes first, in pieces with text");
                thinking.push_str(&text);
            }
            Piece::Answer(text) => {
                assert!(!text.is_empty());
                answer.push_str(&text);
            }
        }
    }
    assert_eq!(parser.finish(), None, "nothing is released twice");
    (thinking, answer)
}

/// (text, begins inside, thinking, answer)
const CASES: &[(&str, bool, &str, &str)] = &[
    ("", false, "", ""),
    ("", true, "", ""),
    ("Hello.", false, "", "Hello."),
    ("<think>\nSo.\n</think>\n\nHello.", false, "So.", "Hello."),
    ("  \n<think>So.</think>Hello.", false, "So.", "Hello."),
    ("So.\n</think>\n\nHello.\n", true, "So.", "Hello.\n"),
    ("\n\nSo.\n\nThen.\n\n\n</think>\n\n\n Hello.", true, "So.\n\nThen.", " Hello."),
    ("<think>\n\n</think>\n\nHello.", false, "", "Hello."),
    ("</think>Hello.", true, "", "Hello."),
    // a tag that is not where a tag belongs is text
    ("I write <think> and </think>.", false, "", "I write <think> and </think>."),
    ("</think>Hello.", false, "", "</think>Hello."),
    ("<think>a</think>b<think>c</think>", false, "a", "b<think>c</think>"),
    ("a <think> b</think>c", true, "a <think> b", "c"),
    // beginnings of tags
    (" \n <thin", false, "", " \n <thin"),
    ("<thinking>no</thinking>", false, "", "<thinking>no</thinking>"),
    ("a </think b\n</thi", true, "a </think b\n</thi", ""),
    ("a <</think>b", true, "a <", "b"),
    ("a </</think>b", true, "a </", "b"),
    ("\n", true, "", ""),
    // never closed
    ("<think>\nSo.\n\n", false, "So.\n\n", ""),
    ("So", true, "So", ""),
    (" \n ", false, "", " \n "),
    // characters of several bytes right beside tags
    ("<think>é\n</think>\nü", false, "é", "ü"),
    ("\u{3000}<think>思</think>答", false, "思", "答"),
];

#[test]
fn any_cut_gives_what_the_whole_text_gives() {
    for &(text, inside, thinking, answer) in CASES {
        let want = (thinking.to_owned(), answer.to_owned());
        let tags = || Some(ThinkTags::THINK);
        assert_eq!(split(tags(), inside, &[text]), want, "{text:?} whole");
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let single: Vec<&str> = ends.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        assert_eq!(split(tags(), inside, &single), want, "{text:?} by characters");
        for &a in &ends {
            for &b in ends.iter().filter(|&&b| b >= a) {
                let cut = [&text[..a], "", &text[a..b], &text[b..]];
                assert_eq!(split(tags(), inside, &cut), want, "{cut:?}");
            }
        }
        assert_eq!(split(None, inside, &[text]), (String::new(), text.to_owned()), "no tags, no thinking");
    }
}

#[test]
fn random_texts_of_tag_parts_split_the_same_however_they_are_cut() {
    let parts = ["<think>", "</think>", "<", "</", "think", ">", "\n", "\n\n", " ", "a", "é"];
    let mut state = 7u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut both = 0;
    for _ in 0..3000 {
        let text: String = (0..1 + below(12)).map(|_| parts[below(parts.len())]).collect();
        let inside = below(2) == 0;
        let whole = split(Some(ThinkTags::THINK), inside, &[&text]);
        both += usize::from(!whole.0.is_empty() && !whole.1.is_empty());
        let mut pieces = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let at = rest.char_indices().map(|(at, _)| at).nth(1 + below(5)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(at);
            pieces.push(piece);
            rest = after;
        }
        assert_eq!(split(Some(ThinkTags::THINK), inside, &pieces), whole, "{pieces:?}");
        let joined = format!("{}{}", whole.0, whole.1);
        assert!(joined.chars().filter(|c| *c == 'é').count() == text.chars().filter(|c| *c == 'é').count());
    }
    assert!(both > 100, "{both} texts with both parts");
}

#[test]
fn text_is_held_back_only_while_it_may_be_a_tag() {
    let mut parser = ThinkingParser::new(Some(ThinkTags::THINK), false);
    assert!(parser.push("<thi").is_empty() && !parser.inside());
    assert!(parser.push("nk>\n").is_empty() && parser.inside());
    assert_eq!(parser.push("a\n</"), [Piece::Thinking("a".into())]);
    assert_eq!(parser.push("b"), [Piece::Thinking("\n</b".into())]);
    assert!(parser.push("</think>").is_empty() && parser.answering());
    assert_eq!(parser.push("\nc"), [Piece::Answer("c".into())]);
    assert_eq!(parser.push("<"), [Piece::Answer("<".into())]);
}

fn template(name: &str) -> ChatTemplate {
    let source = std::fs::read_to_string(common::fixture(format!("templates/{name}.jinja"))).unwrap();
    ChatTemplate::new(&source, &[]).unwrap()
}

#[test]
fn templates_and_vocabularies_that_know_the_tags_are_found() {
    for (name, known) in [("thinking", true), ("distill", true), ("chatml_tools", false), ("inst", false)] {
        assert_eq!(ThinkTags::of(Some(&template(name)), None).is_some(), known, "{name}");
    }
    for source in ["", "{{ messages[0].content }}", "{% for m in messages %}[{{ m.content | trim }}]{% endfor %}"] {
        assert_eq!(ThinkTags::of(Some(&ChatTemplate::new(source, &[]).unwrap()), None), None, "{source}");
    }
    assert_eq!(ThinkTags::of(None, None), None);
    let vocabulary = |tokens: &str| {
        let json = format!(
            r#"{{"version": "1.0", "added_tokens": [{tokens}], "model": {{"type": "BPE", "vocab": {{"a": 0}}, "merges": []}}}}"#
        );
        Tokenizer::from_bytes(json).unwrap()
    };
    let tag = r#"{"id": 1, "content": "</think>", "special": false, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false}"#;
    assert_eq!(ThinkTags::of(None, Some(&vocabulary(tag))), Some(ThinkTags::THINK));
    assert_eq!(ThinkTags::of(None, Some(&vocabulary(""))), None);
}

#[test]
fn prompts_that_leave_thinking_open_are_told_by_their_end() {
    let prompt = |name: &str, extra: &str| {
        let extra: serde_json::Value = serde_json::from_str(extra).unwrap();
        template(name)
            .render(&[lethe_model::Message::new("user", "<think>")], true, extra.as_object().unwrap())
            .unwrap()
    };
    let open = |text: &str| ThinkTags::THINK.left_open(text);
    assert!(open(&prompt("distill", "{}")));
    assert!(!open(&prompt("thinking", "{}")));
    assert!(!open(&prompt("thinking", r#"{"enable_thinking": false}"#)));
    assert!(open("<think> \n\n") && !open("<think>a") && !open(""));
}
