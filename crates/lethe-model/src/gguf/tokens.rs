//! A `tokenizer.json` as metadata of a GGUF file.

use std::path::Path;

use serde_json::Value;

use super::GgufWriter;
use super::vocabulary::{CONTROL, HF_JSON, Pre, UNKNOWN, USER_DEFINED};
use crate::config::Config;
use crate::end_ids;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::tokenizer_config::TokenizerConfig;
use crate::{GenerationConfig, LoadError, gguf::ConvertError};

const NORMAL: f64 = 1.0;
const UNUSED: f64 = 5.0;
const BYTE: f64 = 6.0;

/// Writes the tokenizer, the special tokens and the chat template of a Hugging Face folder; says what other programs will
/// not understand.
pub(super) fn write_vocabulary(
    w: &mut GgufWriter,
    dir: &Path,
    config: &Config,
    generation: &GenerationConfig,
    named: &TokenizerConfig,
) -> Result<Vec<String>, ConvertError> {
    let path = dir.join("tokenizer.json");
    let mut notices = Vec::new();
    if let Some(template) = &named.chat_template {
        w.text("tokenizer.chat_template", template);
    }
    if !path.exists() {
        w.text("tokenizer.ggml.model", "none");
        write_ids(w, config, generation, |_| None);
        notices.push("the folder has no tokenizer.json: the file takes token ids only".to_owned());
        return Ok(notices);
    }
    let in_file = |source| TokenizerError::InFile { path: path.clone(), source: Box::new(source) };
    let text = std::fs::read_to_string(&path).map_err(|error| in_file(TokenizerError::Read(error)))?;
    let tokenizer = Tokenizer::from_bytes(&text).map_err(in_file)?;
    if tokenizer.vocab_size() > config.vocab_size {
        return Err(LoadError::VocabMismatch { tokenizer: tokenizer.vocab_size(), model: config.vocab_size }.into());
    }
    let json: Value = serde_json::from_str(&text).map_err(|e| in_file(TokenizerError::Invalid(e.to_string())))?;
    let model = &json["model"];
    if model["type"] != "BPE" {
        let found = model["type"].as_str().unwrap_or("of no type").to_owned();
        return Err(in_file(TokenizerError::UnknownModel(found)).into());
    }
    let sentence_piece = model["byte_fallback"] == true;
    write_tokens(w, &json, config.vocab_size, sentence_piece);
    let merges: Vec<String> = model["merges"].as_array().into_iter().flatten().filter_map(merge).collect();
    if sentence_piece {
        w.text("tokenizer.ggml.model", "llama");
        w.flag("tokenizer.ggml.add_space_prefix", begins_with_space(&json));
        write_scores(w, model, &merges, config.vocab_size);
    } else {
        w.text("tokenizer.ggml.model", "gpt2");
        w.texts("tokenizer.ggml.merges", &merges);
    }
    let pre = Pre::of(&json).filter(|_| !sentence_piece);
    match pre {
        Some(pre) => w.text("tokenizer.ggml.pre", pre.name()),
        None if sentence_piece => w.text("tokenizer.ggml.pre", "default"),
        None => notices.push(
            "the way this tokenizer cuts words has no name in GGUF: tokenizer.json goes into the file, which Lethe reads; \
             llama.cpp may cut some texts otherwise"
                .to_owned(),
        ),
    }
    // What the keys cannot say is read from here.
    if pre.is_none() || !json["normalizer"].is_null() {
        w.text(HF_JSON, &text);
    }
    write_ids(w, config, generation, |name| tokenizer.id(named.special_token(name)?));
    let (plain, whole) = (tokenizer.encode("a", false)?, tokenizer.encode("a", true)?);
    w.flag("tokenizer.ggml.add_bos_token", whole.first() != plain.first());
    w.flag("tokenizer.ggml.add_eos_token", whole.last() != plain.last());
    Ok(notices)
}

/// Whether SentencePiece puts a space before a text.
fn begins_with_space(json: &Value) -> bool {
    let normalizer = &json["normalizer"];
    let steps = normalizer["normalizers"].as_array().map_or(std::slice::from_ref(normalizer), Vec::as_slice);
    let metaspace = &json["pre_tokenizer"]["prepend_scheme"];
    steps.iter().any(|step| step["type"] == "Prepend") || metaspace == "always" || metaspace == "first"
}

/// Writes the special ids: those of the named tokens, else those of the configs.
fn write_ids(w: &mut GgufWriter, config: &Config, generation: &GenerationConfig, named: impl Fn(&str) -> Option<u32>) {
    let eos = named("eos_token").or(config.eos.first().copied());
    let mut others = end_ids(config, generation, eos).into_iter().filter(|end| Some(*end) != eos);
    for (key, id) in [
        ("bos", named("bos_token").or(config.bos)),
        ("eos", eos),
        ("unknown", named("unk_token")),
        ("padding", named("pad_token")),
        // a second and third end, where the configs know them
        ("eot", others.next()),
        ("eom", others.next()),
    ] {
        if let Some(id) = id {
            w.size(&format!("tokenizer.ggml.{key}_token_id"), id as usize);
        }
    }
}

/// Every row of the vocabulary has a token: rows beyond the tokenizer are marked as unused.
fn write_tokens(w: &mut GgufWriter, json: &Value, rows: usize, sentence_piece: bool) {
    let mut tokens: Vec<(String, f64)> = (0..rows).map(|id| (format!("[PAD{id}]"), UNUSED)).collect();
    let unknown = json["model"]["unk_token"].as_str();
    for (token, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
        if let Some(slot) = id.as_u64().and_then(|id| tokens.get_mut(id as usize)) {
            let byte = sentence_piece && token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
            let kind = match token.as_str() {
                token if Some(token) == unknown => UNKNOWN,
                _ if byte => BYTE,
                _ => NORMAL,
            };
            *slot = (token.clone(), kind);
        }
    }
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let slot = token["id"].as_u64().and_then(|id| tokens.get_mut(id as usize));
        if let (Some(slot), Some(text)) = (slot, token["content"].as_str()) {
            let special = if Some(text) == unknown { UNKNOWN } else { CONTROL };
            *slot = (text.to_owned(), if token["special"] == true { special } else { USER_DEFINED });
        }
    }
    let texts: Vec<&str> = tokens.iter().map(|(text, _)| text.as_str()).collect();
    let kinds: Vec<i32> = tokens.iter().map(|(_, kind)| *kind as i32).collect();
    w.texts("tokenizer.ggml.tokens", &texts);
    w.sizes("tokenizer.ggml.token_type", &kinds);
}

/// A merge as one line; newer files write a pair.
fn merge(value: &Value) -> Option<String> {
    match value {
        Value::String(line) => Some(line.clone()),
        pair => Some(format!("{} {}", pair[0].as_str()?, pair[1].as_str()?)),
    }
}

/// SentencePiece merges by score: the earlier a token is merged, the better.
fn write_scores(w: &mut GgufWriter, model: &Value, merges: &[String], rows: usize) {
    let mut scores = vec![0.0f32; rows];
    for (rank, merge) in merges.iter().enumerate().rev() {
        let id = model["vocab"][merge.replacen(' ', "", 1)].as_u64();
        if let Some(score) = id.and_then(|id| scores.get_mut(id as usize)) {
            *score = -(rank as f32) - 1.0;
        }
    }
    w.numbers("tokenizer.ggml.scores", &scores);
}
