//! The tokenizer and the named special tokens from the metadata of a GGUF file.
//!
//! GGUF names how a text is cut before merging (`tokenizer.ggml.pre`), not what that is: the patterns are here, as the
//! models' own `tokenizer.json` have them. A name that is not here is an error: guessing would give ids that are nearly
//! right. What no key says, such as that Qwen's tokenizers compose characters first (NFC), is not done, as llama.cpp and
//! transformers do not do it either with such a file.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer as Inner,
};

use super::Gguf;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::tokenizer_config::TokenizerConfig;

/// Kinds of tokens, as `tokenizer.ggml.token_type` numbers them.
pub(super) const UNKNOWN: f64 = 2.0;
pub(super) const CONTROL: f64 = 3.0;
pub(super) const USER_DEFINED: f64 = 4.0;

/// A whole `tokenizer.json`, for tokenizers that the other keys cannot describe.
pub(super) const HF_JSON: &str = "tokenizer.huggingface.json";

/// Control tokens that end a turn wherever they stand in a vocabulary; files name only one or two of them by id.
const END_TOKENS: [&str; 10] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<EOT>",
    "</s>",
    "<｜end▁of▁sentence｜>",
];

/// How a text is cut into words before tokens are merged within each.
pub(super) struct Pre {
    name: &'static str,
    /// Cuts, one after the other.
    cuts: &'static [Cut],
    /// A word that is a token as a whole is that token, whatever the merges say.
    whole_words: bool,
    /// Whether a beginning token is added when the file does not say.
    add_bos: bool,
}

impl Pre {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The pre-tokenizer that a `tokenizer.json` describes.
    pub(super) fn of(json: &Value) -> Option<&'static Pre> {
        let steps = match &json["pre_tokenizer"]["pretokenizers"] {
            Value::Array(steps) => steps.as_slice(),
            _ => std::slice::from_ref(&json["pre_tokenizer"]),
        };
        let outline = |step: &Value| match step["type"].as_str()? {
            "Split" => Some(format!("{} {}", step["behavior"], step["pattern"])),
            "Digits" => Some(format!("digits {}", step["individual_digits"])),
            "ByteLevel" => Some(format!("bytes {} {}", step["add_prefix_space"], step["use_regex"])),
            other => Some(other.to_owned()),
        };
        let outlined = |steps: &[Value]| steps.iter().map(outline).collect::<Option<Vec<_>>>();
        let found = outlined(steps)?;
        let whole_words = json["model"]["ignore_merges"] == true;
        PRES.iter().find(|pre| pre.whole_words == whole_words && outlined(&pre.steps()).as_ref() == Some(&found))
    }

    /// Its steps as `tokenizer.json` writes them.
    fn steps(&self) -> Vec<Value> {
        let mut steps = Vec::new();
        let mut use_regex = false;
        for cut in self.cuts {
            match cut {
                Cut::Pattern(pattern) => steps.push(json!({
                    "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false
                })),
                Cut::Digits => steps.push(json!({ "type": "Digits", "individual_digits": true })),
                Cut::Gpt2 => use_regex = true,
            }
        }
        steps.push(byte_level_step(use_regex));
        steps
    }

    fn named(name: &str) -> Option<&'static Pre> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        PRES.iter().find(|pre| pre.name == name)
    }
}

enum Cut {
    /// Matches of the pattern, and what is between them.
    Pattern(&'static str),
    /// Every digit of any script.
    Digits,
    /// GPT-2's pattern, built into the byte-level step.
    Gpt2,
}

const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Letters with case, spelled out as DeepSeek's tokenizer does. Escaped are those that composition (NFC) would change.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";

static PRES: [Pre; 6] = [
    Pre { name: "qwen2", cuts: &[Cut::Pattern(QWEN2)], whole_words: false, add_bos: false },
    Pre { name: "deepseek-r1-qwen", cuts: &[Cut::Pattern(QWEN2)], whole_words: false, add_bos: false },
    Pre { name: "llama-bpe", cuts: &[Cut::Pattern(LLAMA3)], whole_words: true, add_bos: true },
    Pre { name: "smollm", cuts: &[Cut::Digits, Cut::Gpt2], whole_words: false, add_bos: false },
    Pre { name: "gpt-2", cuts: &[Cut::Gpt2], whole_words: false, add_bos: false },
    Pre {
        name: "deepseek-llm",
        cuts: &[
            Cut::Pattern(r"[\r\n]"),
            Cut::Pattern(DEEPSEEK_LETTERS),
            Cut::Pattern(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            Cut::Pattern(r"\s+$"),
            Cut::Pattern("[一-龥ࠀ-一가-퟿]+"),
            Cut::Pattern(r"\p{N}+"),
        ],
        whole_words: false,
        add_bos: false,
    },
];

/// The other names that mean the same in llama.cpp.
const ALIASES: [(&str, &str); 2] = [("llama3", "llama-bpe"), ("llama-v3", "llama-bpe")];

/// Bytes of the longest token that SentencePiece merges are derived for; its own limit is 16 characters by default.
const MAX_PIECE: usize = 512;

/// What the metadata says about text.
pub(crate) struct Vocabulary {
    pub(crate) tokenizer: Option<Tokenizer>,
    pub(crate) config: TokenizerConfig,
    /// Ids of control tokens that end a turn, beside those that the metadata names.
    pub(crate) ends: Vec<u32>,
}

impl Vocabulary {
    /// Reads the tokenizer, the special tokens and the chat template. A file without a tokenizer is fine: ids are its
    /// prompts.
    pub(crate) fn read(gguf: &Gguf) -> Result<Vocabulary, TokenizerError> {
        let mut config = TokenizerConfig {
            chat_template: gguf.text("tokenizer.chat_template")?.map(str::to_owned),
            ..TokenizerConfig::default()
        };
        let Some(model) = gguf.text("tokenizer.ggml.model")? else {
            return Ok(Vocabulary { tokenizer: None, config, ends: Vec::new() });
        };
        match model {
            "none" | "no_vocab" => return Ok(Vocabulary { tokenizer: None, config, ends: Vec::new() }),
            "gpt2" | "llama" => {}
            other => return Err(TokenizerError::UnknownModel(other.to_owned())),
        }
        let tokens = gguf.texts("tokenizer.ggml.tokens")?.ok_or(TokenizerError::Missing("tokenizer.ggml.tokens"))?;
        if let Some(twice) = duplicate(&tokens) {
            return Err(TokenizerError::Twice(shorten(twice)));
        }
        let types = gguf.numbers("tokenizer.ggml.token_type")?;
        if let Some(types) = types.as_ref().filter(|types| types.len() != tokens.len()) {
            return Err(TokenizerError::Lengths { tokens: tokens.len(), key: "token_type", found: types.len() });
        }
        let of_type = |kinds: &[f64]| {
            let typed = tokens.iter().zip(types.iter().cloned().flatten()).enumerate();
            typed
                .filter(|(_, (_, kind))| kinds.contains(kind))
                .map(|(id, (token, _))| (id as u32, *token))
                .collect::<Vec<_>>()
        };
        let (mut special, plain) = (of_type(&[CONTROL, UNKNOWN]), of_type(&[USER_DEFINED]));
        // Some files forget to mark what ends a turn. `</s>` may well be text.
        let ends = (0..).zip(&tokens).map(|(id, token)| (id, *token)).filter(|(_, token)| END_TOKENS.contains(token));
        special.extend(ends.filter(|end| end.1.starts_with("<|") && !plain.contains(end)));
        special.sort_unstable();
        special.dedup();
        for (name, key) in [
            ("bos_token", "bos"),
            ("eos_token", "eos"),
            ("unk_token", "unknown"),
            ("pad_token", "padding"),
            ("sep_token", "seperator"), // as the format spells it
        ] {
            let key = format!("tokenizer.ggml.{key}_token_id");
            // A file may say -1 for none; only what begins and ends a text must be right.
            let needed = matches!(name, "bos_token" | "eos_token");
            let Some(id) = gguf.number(&key)?.filter(|id| needed || *id >= 0.0) else { continue };
            match tokens.get(id as usize).filter(|_| id >= 0.0) {
                Some(token) => config.special_tokens.push((name.to_owned(), (*token).to_owned())),
                None if needed => return Err(TokenizerError::NoSuchToken { key, id, vocab: tokens.len() }),
                None => {}
            }
        }
        let ends: Vec<u32> = special.iter().filter(|(_, text)| END_TOKENS.contains(text)).map(|(id, _)| *id).collect();
        if let Some(json) = gguf.text(HF_JSON)? {
            return Ok(Vocabulary { tokenizer: Some(Tokenizer::from_bytes(json)?), config, ends });
        }
        let mut inner = if model == "llama" { sentence_piece(gguf, &tokens)? } else { byte_level(gguf, &tokens)? };
        let added = |tokens: &[(u32, &str)], special: bool| {
            let token = |(_, text): &(u32, &str)| AddedToken::from(*text, special).normalized(false);
            tokens.iter().map(token).collect::<Vec<_>>()
        };
        let invalid = |error: tokenizers::Error| TokenizerError::Invalid(error.to_string());
        inner.add_special_tokens(added(&special, true)).map_err(invalid)?;
        inner.add_tokens(added(&plain, false)).map_err(invalid)?;
        add_around(gguf, &mut inner, &config)?;
        Ok(Vocabulary { tokenizer: Some(Tokenizer::new(inner)?), config, ends })
    }
}

/// A token that is there twice: one of its ids would have no text.
fn duplicate<'a>(tokens: &[&'a str]) -> Option<&'a str> {
    let mut seen = HashSet::with_capacity(tokens.len());
    tokens.iter().find(|token| !seen.insert(**token)).copied()
}

/// The beginning of a text, for messages.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

fn vocab(tokens: &[&str]) -> Vocab {
    tokens.iter().zip(0..).map(|(token, id)| ((*token).to_owned(), id)).collect()
}

/// A part of a tokenizer from the JSON that `tokenizer.json` would hold.
fn part<T: serde::de::DeserializeOwned>(json: Value) -> Result<T, TokenizerError> {
    serde_json::from_value(json).map_err(|error| TokenizerError::Invalid(error.to_string()))
}

/// Byte-level BPE: GPT-2's alphabet, merges from the file, words by the named pre-tokenizer.
fn byte_level(gguf: &Gguf, tokens: &[&str]) -> Result<Inner, TokenizerError> {
    let name = gguf.text("tokenizer.ggml.pre")?.unwrap_or("default");
    let pre = Pre::named(name).ok_or_else(|| TokenizerError::UnknownPre {
        name: name.to_owned(),
        known: PRES.iter().map(|pre| pre.name).collect::<Vec<_>>().join(", "),
    })?;
    let lines = gguf.texts("tokenizer.ggml.merges")?.ok_or(TokenizerError::Missing("tokenizer.ggml.merges"))?;
    let vocab = vocab(tokens);
    let mut merges: Merges = Vec::with_capacity(lines.len());
    let mut merged = String::new();
    for (index, line) in lines.iter().enumerate() {
        // A token may begin with what looks like the separator, never be empty. All three must be tokens: the library
        // would not survive a merge of others.
        let at = line.char_indices().skip(1).find(|(_, c)| *c == ' ').map(|(at, _)| at);
        let pair = at.map(|at| (&line[..at], &line[at + 1..])).filter(|(left, right)| {
            merged.clear();
            merged.extend([*left, *right]);
            [left, right, &merged.as_str()].into_iter().all(|token| vocab.contains_key(*token))
        });
        let Some((left, right)) = pair else { return Err(TokenizerError::BadMerge { index, line: shorten(line) }) };
        merges.push((left.to_owned(), right.to_owned()));
    }
    let bpe = BPE::builder().vocab_and_merges(vocab, merges).ignore_merges(pre.whole_words).build();
    let bpe = bpe.map_err(|error| TokenizerError::Invalid(error.to_string()))?;
    let mut inner = Inner::new(bpe);
    let steps = pre.steps();
    inner.with_pre_tokenizer(Some(part::<PreTokenizerWrapper>(json!({ "type": "Sequence", "pretokenizers": steps }))?));
    inner.with_decoder(Some(part::<DecoderWrapper>(byte_level_step(false))?));
    Ok(inner)
}

fn byte_level_step(use_regex: bool) -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": use_regex })
}

/// BPE as SentencePiece writes it: spaces are `▁`, unknown characters fall back to bytes, and a pair may merge when the
/// result is a token, the better score first.
fn sentence_piece(gguf: &Gguf, tokens: &[&str]) -> Result<Inner, TokenizerError> {
    let scores = gguf.numbers("tokenizer.ggml.scores")?.ok_or(TokenizerError::Missing("tokenizer.ggml.scores"))?;
    if scores.len() != tokens.len() {
        return Err(TokenizerError::Lengths { tokens: tokens.len(), key: "scores", found: scores.len() });
    }
    let scores: Vec<f64> = scores.collect();
    let by_text: HashMap<&str, usize> = tokens.iter().zip(0..).map(|(token, id)| (*token, id)).collect();
    let mut pairs: Vec<(f64, usize, &str, &str)> = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        // No piece is longer; and every split costs the length of its halves.
        for (at, _) in token.char_indices().skip(1).filter(|_| token.len() <= MAX_PIECE) {
            let (left, right) = token.split_at(at);
            if by_text.contains_key(left) && by_text.contains_key(right) {
                pairs.push((scores[id], id, left, right));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let merges = pairs.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect();
    let unknown = gguf.size("tokenizer.ggml.unknown_token_id")?.and_then(|id| tokens.get(id));
    let mut bpe = BPE::builder().vocab_and_merges(vocab(tokens), merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = unknown {
        bpe = bpe.unk_token((*unknown).to_owned());
    }
    let mut inner = Inner::new(bpe.build().map_err(|error| TokenizerError::Invalid(error.to_string()))?);
    let prefix = gguf.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let steps = if prefix { vec![json!({ "type": "Prepend", "prepend": "▁" }), replace] } else { vec![replace] };
    let _ =
        inner.with_normalizer(Some(part::<NormalizerWrapper>(json!({ "type": "Sequence", "normalizers": steps }))?));
    let mut steps = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if prefix {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    inner.with_decoder(Some(part::<DecoderWrapper>(json!({ "type": "Sequence", "decoders": steps }))?));
    Ok(inner)
}

/// The tokens around a whole text that is no chat: beginning and end, as the file asks for.
fn add_around(gguf: &Gguf, inner: &mut Inner, config: &TokenizerConfig) -> Result<(), TokenizerError> {
    let sentence_piece = gguf.text("tokenizer.ggml.model")? == Some("llama");
    let pre = gguf.text("tokenizer.ggml.pre")?.and_then(Pre::named);
    let by_default = sentence_piece || pre.is_some_and(|pre| pre.add_bos);
    let bos = gguf.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(by_default);
    let eos = gguf.flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false);
    let text = |wanted: bool, name: &'static str, key: &'static str| match config.special_token(name) {
        _ if !wanted => Ok(None),
        Some(text) => Ok(Some(text)),
        None => Err(TokenizerError::Missing(key)),
    };
    let bos = text(bos, "bos_token", "tokenizer.ggml.bos_token_id")?;
    let eos = text(eos, "eos_token", "tokenizer.ggml.eos_token_id")?;
    if bos.is_none() && eos.is_none() {
        return Ok(());
    }
    let special = |text: &str| json!({ "SpecialToken": { "id": text, "type_id": 0 } });
    let around = |sequences: &[&str]| {
        let mut pieces: Vec<Value> = bos.into_iter().map(special).collect();
        pieces.extend(sequences.iter().map(|id| json!({ "Sequence": { "id": id, "type_id": 0 } })));
        pieces.extend(eos.into_iter().map(special));
        pieces
    };
    let named: serde_json::Map<String, Value> = bos
        .into_iter()
        .chain(eos)
        .map(|text| {
            let ids = inner.token_to_id(text).map(|id| vec![id]).unwrap_or_default();
            (text.to_owned(), json!({ "id": text, "ids": ids, "tokens": [text] }))
        })
        .collect();
    inner.with_post_processor(Some(part::<PostProcessorWrapper>(json!({
        "type": "TemplateProcessing", "single": around(&["A"]), "pair": around(&["A", "B"]), "special_tokens": named
    }))?));
    Ok(())
}
