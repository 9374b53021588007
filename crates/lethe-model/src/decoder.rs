//! Tokens to text, one token at a time.
//!
//! A decoder of `tokenizer.json` is a chain of steps written for a whole sequence. Here every step is a small state
//! machine that gives out a piece as soon as no later token can change it. What comes out, joined, is what the chain
//! gives for the whole sequence, and no step looks at a token twice, so a token costs its own length.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use tokenizers::DecoderWrapper;

/// The steps of a decoder, as read from the file.
#[derive(Debug, Clone)]
pub(crate) struct DecoderSpec(Arc<[Spec]>);

/// A decoder that cannot be run token by token, or that no supported family uses.
#[derive(Debug, thiserror::Error)]
#[error(
    "the decoder step {0} of the tokenizer cannot be streamed: known are ByteLevel, Replace, ByteFallback, Fuse, Strip and Metaspace"
)]
pub struct UnsupportedDecoder(String);

#[derive(Debug, Clone)]
enum Spec {
    /// Tokens are bytes in the printable alphabet of GPT-2.
    ByteLevel,
    /// `<0xE2>` is a byte; a run of such tokens is one text, or one U+FFFD per byte if it is not UTF-8.
    ByteFallback,
    Replace {
        from: String,
        to: String,
    },
    /// Cuts up to `count` of `content` off the start: of every token, or of the whole text if tokens are fused.
    Strip {
        content: char,
        count: usize,
        fused: bool,
    },
    /// `mark` is a space; those of the first token are dropped unless `keep_first`.
    Metaspace {
        mark: char,
        keep_first: bool,
        fused: bool,
    },
    /// No decoder at all: tokens are words.
    Words,
}

impl DecoderSpec {
    pub(crate) fn new(decoder: Option<&DecoderWrapper>) -> Result<Self, UnsupportedDecoder> {
        let Some(decoder) = decoder else { return Ok(Self([Spec::Words].into())) };
        let mut specs = Vec::new();
        let value = serde_json::to_value(decoder).map_err(|error| UnsupportedDecoder(error.to_string()))?;
        read_step(&value, &mut specs, &mut false)?;
        Ok(Self(specs.into()))
    }

    /// What a token adds to a text that has begun. Bytes, not text: a character may take several tokens.
    pub(crate) fn bytes(&self, token: String) -> Vec<u8> {
        let mut text = token;
        for spec in self.0.iter() {
            text = match spec {
                Spec::ByteLevel => {
                    let mut bytes = Vec::new();
                    append_bytes(&text, &mut bytes);
                    match String::from_utf8(bytes) {
                        Ok(text) => text,
                        Err(part) => return part.into_bytes(),
                    }
                }
                Spec::ByteFallback => match fallback_byte(&text) {
                    Some(byte) if byte.is_ascii() => char::from(byte).into(),
                    Some(byte) => return vec![byte],
                    None => text,
                },
                Spec::Replace { from, to } => text.replace(from, to),
                // fused, it cuts the beginning of the text
                Spec::Strip { fused: true, .. } => text,
                Spec::Strip { content, count, fused: false } => {
                    let cut = text.chars().take(*count).take_while(|c| c == content).count();
                    text.chars().skip(cut).collect()
                }
                Spec::Metaspace { mark, keep_first, fused } => {
                    text.replace(*mark, if *fused && !keep_first { "" } else { " " })
                }
                Spec::Words => format!(" {text}"),
            };
        }
        text.into_bytes()
    }
}

/// Appends the steps of one JSON decoder. `fused` says that what arrives is one text and no longer tokens.
fn read_step(value: &Value, specs: &mut Vec<Spec>, fused: &mut bool) -> Result<(), UnsupportedDecoder> {
    let unsupported = || UnsupportedDecoder(value.to_string());
    let text = |key: &str| value[key].as_str().ok_or_else(unsupported);
    let character = |key: &str| text(key)?.chars().next().ok_or_else(unsupported);
    match text("type")? {
        "Sequence" => {
            for step in value["decoders"].as_array().ok_or_else(unsupported)? {
                read_step(step, specs, fused)?;
            }
        }
        // In fused text its bytes would have to be split first; no tokenizer does that.
        "ByteLevel" if !*fused => {
            specs.push(Spec::ByteLevel);
            *fused = true;
        }
        "ByteFallback" if !*fused => specs.push(Spec::ByteFallback),
        "Fuse" => *fused = true,
        "Replace" => {
            let from = value["pattern"]["String"].as_str().filter(|from| !from.is_empty()).ok_or_else(unsupported)?;
            // Across fused pieces a longer pattern could begin in one and end in the next.
            if *fused && from.chars().count() > 1 {
                return Err(unsupported());
            }
            specs.push(Spec::Replace { from: from.to_owned(), to: text("content")?.to_owned() });
        }
        // Cutting the end needs the end.
        "Strip" if value["stop"] == 0 => {
            let count = value["start"].as_u64().ok_or_else(unsupported)? as usize;
            specs.push(Spec::Strip { content: character("content")?, count, fused: *fused });
        }
        "Metaspace" => {
            let keep_first = value["prepend_scheme"] == "never";
            specs.push(Spec::Metaspace { mark: character("replacement")?, keep_first, fused: *fused });
        }
        _ => return Err(unsupported()),
    }
    Ok(())
}

/// One running decoder.
#[derive(Debug)]
pub(crate) struct Decoder {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    spec: Spec,
    /// Bytes that wait for the rest of a character, or for the end of a run.
    held: Vec<u8>,
    /// No piece has passed yet.
    first: bool,
    /// Characters that a fused `Strip` may still cut.
    left: usize,
}

impl Decoder {
    pub(crate) fn new(spec: &DecoderSpec) -> Self {
        let step = |spec: &Spec| {
            let left = if let Spec::Strip { count, .. } = spec { *count } else { 0 };
            Step { spec: spec.clone(), held: Vec::new(), first: true, left }
        };
        Self { steps: spec.0.iter().map(step).collect() }
    }

    /// Takes one token and appends the text it completes.
    pub(crate) fn push(&mut self, token: String, text: &mut String) {
        self.run(0, vec![token], text);
    }

    /// Ends the sequence: what was held comes out, an unfinished character as U+FFFD.
    pub(crate) fn finish(&mut self, text: &mut String) {
        for from in 0..self.steps.len() {
            let rest = self.steps[from].finish();
            self.run(from + 1, rest, text);
        }
    }

    fn run(&mut self, from: usize, mut pieces: Vec<String>, text: &mut String) {
        for step in &mut self.steps[from..] {
            let mut passed = Vec::with_capacity(pieces.len());
            for piece in pieces {
                step.push(piece, &mut passed);
                step.first = false;
            }
            pieces = passed;
        }
        text.extend(pieces);
    }
}

impl Step {
    fn push(&mut self, piece: String, passed: &mut Vec<String>) {
        match &self.spec {
            Spec::ByteLevel => {
                append_bytes(&piece, &mut self.held);
                passed.push(take_characters(&mut self.held));
            }
            Spec::ByteFallback => match fallback_byte(&piece) {
                Some(byte) => self.held.push(byte),
                None => {
                    passed.extend(take_run(&mut self.held));
                    passed.push(piece);
                }
            },
            Spec::Replace { from, to } => passed.push(piece.replace(from, to)),
            Spec::Strip { content, count, fused } => {
                let mut left = if *fused { self.left } else { *count };
                let mut rest = piece.as_str();
                while left > 0 && !rest.is_empty() {
                    match rest.strip_prefix(*content) {
                        Some(cut) => (rest, left) = (cut, left - 1),
                        None => left = 0,
                    }
                }
                self.left = left;
                passed.push(rest.to_owned());
            }
            Spec::Metaspace { mark, keep_first, fused } => {
                let dropped = !keep_first && (self.first || *fused);
                passed.push(piece.replace(*mark, if dropped { "" } else { " " }));
            }
            Spec::Words => passed.push(if self.first { piece } else { format!(" {piece}") }),
        }
    }

    fn finish(&mut self) -> Vec<String> {
        match self.spec {
            Spec::ByteFallback => take_run(&mut self.held).into_iter().collect(),
            _ if self.held.is_empty() => Vec::new(),
            _ => vec![String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()],
        }
    }
}

/// The byte of a token such as `<0x0A>`.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// A run of fallback bytes as text: one piece if it is UTF-8, else one U+FFFD per byte.
fn take_run(held: &mut Vec<u8>) -> Vec<String> {
    if held.is_empty() {
        return Vec::new();
    }
    match String::from_utf8(std::mem::take(held)) {
        Ok(text) => vec![text],
        Err(error) => vec!["\u{FFFD}".to_owned(); error.as_bytes().len()],
    }
}

/// Takes the text of all complete characters, invalid bytes as U+FFFD; at most the three bytes of an unfinished
/// character stay.
fn take_characters(held: &mut Vec<u8>) -> String {
    let unfinished = held.utf8_chunks().last().map_or(0, |chunk| {
        let tail = chunk.invalid();
        let waits = !tail.is_empty() && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
        if waits { tail.len() } else { 0 }
    });
    let tail = held.split_off(held.len() - unfinished);
    String::from_utf8_lossy(&std::mem::replace(held, tail)).into_owned()
}

/// Appends the bytes of a token in GPT-2's alphabet; a token with any other character stands for itself.
fn append_bytes(token: &str, bytes: &mut Vec<u8>) {
    /// Bytes that print keep their character, the others follow from U+0100 on, in order.
    static ALPHABET: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
        let prints = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        let shown = (0..=255).filter(|byte| prints(*byte)).map(|byte| (char::from(byte), byte));
        let hidden = (0..=255).filter(|byte| !prints(*byte));
        shown.chain(('\u{100}'..).zip(hidden)).collect()
    });
    let start = bytes.len();
    for character in token.chars() {
        let Some(byte) = ALPHABET.get(&character) else {
            bytes.truncate(start);
            bytes.extend_from_slice(token.as_bytes());
            return;
        };
        bytes.push(*byte);
    }
}
