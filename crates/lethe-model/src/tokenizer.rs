//! Text to token ids and back, from `tokenizer.json`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::decoder::{DecoderSpec, UnsupportedDecoder};

/// A tokenizer. Whether a beginning token is added is the business of the post-processor in the file.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: BTreeSet<u32>,
    decoder: DecoderSpec,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError::InFile`] around what [`Tokenizer::from_bytes`] says, or around the failure to read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let path = path.as_ref();
        let read = std::fs::read(path).map_err(TokenizerError::Read);
        read.and_then(Self::from_bytes)
            .map_err(|source| TokenizerError::InFile { path: path.to_owned(), source: Box::new(source) })
    }

    /// Reads the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError::Invalid`], or [`TokenizerError::Decoder`] for a decoder that cannot be streamed.
    pub fn from_bytes(json: impl AsRef<[u8]>) -> Result<Self, TokenizerError> {
        check_merges(json.as_ref())?;
        Self::new(tokenizers::Tokenizer::from_bytes(json).map_err(|error| TokenizerError::Invalid(error.to_string()))?)
    }

    /// Makes a tokenizer of the library ready for use.
    pub(crate) fn new(mut inner: tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        // A prompt is never cut or padded behind the back of the one who counts its tokens.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| TokenizerError::Invalid(error.to_string()))?;
        let special = inner.get_added_tokens_decoder();
        let special = special.into_iter().filter(|(_, token)| token.special).map(|(id, _)| id).collect();
        let decoder = DecoderSpec::new(inner.get_decoder())?;
        Ok(Self { inner, special, decoder })
    }

    /// The ids of a text. `add_special` adds the tokens the file wants around a whole sequence, such as a beginning
    /// token; a rendered chat prompt already holds them, so it is encoded without.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] for a text the model of the tokenizer cannot cover.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self.inner.encode_fast(text, add_special);
        Ok(encoding.map_err(|error| TokenizerError::Encode(error.to_string()))?.get_ids().to_vec())
    }

    /// The text of all ids at once; special tokens are left out if `skip_special`. Unknown ids have no text.
    ///
    /// # Errors
    /// [`TokenizerError::Decode`], which the decoders accepted at loading never return.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TokenizerError> {
        self.inner.decode(ids, skip_special).map_err(|error| TokenizerError::Decode(error.to_string()))
    }

    /// The token as the vocabulary writes it (`Ġthe`, `<0x0A>`), not its text.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// What a token adds to a text that has begun, in bytes: a character may take several tokens. Nothing for special tokens
    /// and unknown ids. (The first token of a text may lose a leading space where the decoder cuts one.)
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        let token = self.token(id).filter(|_| !self.is_special(id));
        token.map(|token| self.decoder.bytes(token)).unwrap_or_default()
    }

    /// The id of a token as the vocabulary writes it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Tokens of the vocabulary and added ones. The model may have more rows than that.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether a token is special: control, hidden from the text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// All special ids, ascending.
    pub fn special_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.special.iter().copied()
    }

    pub(crate) fn decoder(&self) -> &DecoderSpec {
        &self.decoder
    }
}

/// Every merge must make a token: the library would not survive one that makes a longer text than any token is.
fn check_merges(json: &[u8]) -> Result<(), TokenizerError> {
    let file: Value = serde_json::from_slice(json).map_err(|error| TokenizerError::Invalid(error.to_string()))?;
    let (Value::Object(vocab), Value::Array(merges)) = (&file["model"]["vocab"], &file["model"]["merges"]) else {
        return Ok(());
    };
    for (index, merge) in merges.iter().enumerate() {
        // older files write a pair as one line
        let whole = match merge {
            Value::String(line) => line.replacen(' ', "", 1),
            pair => [&pair[0], &pair[1]].into_iter().filter_map(Value::as_str).collect(),
        };
        if !vocab.contains_key(&whole) {
            return Err(TokenizerError::BadMerge { index, line: merge.to_string().chars().take(60).collect() });
        }
    }
    Ok(())
}

/// Why a tokenizer cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The error of one file, with its path.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TokenizerError>,
    },
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// The text is no tokenizer.
    #[error("not a valid tokenizer: {0}")]
    Invalid(String),
    /// GGUF metadata of the wrong type.
    #[error(transparent)]
    Gguf(#[from] crate::gguf::GgufError),
    /// GGUF metadata that a tokenizer cannot do without.
    #[error("metadata key `{0}` is missing: the file holds no complete tokenizer; convert the model again")]
    Missing(&'static str),
    /// Lists of GGUF metadata that should be equally long.
    #[error("`tokenizer.ggml.{key}` has {found} entries for {tokens} tokens: the file is damaged")]
    Lengths {
        /// Entries of `tokenizer.ggml.tokens`.
        tokens: usize,
        /// The other list.
        key: &'static str,
        /// Its entries.
        found: usize,
    },
    /// A special token outside the vocabulary.
    #[error("metadata key `{key}` is {id}, the vocabulary has {vocab} tokens: the file is damaged")]
    NoSuchToken {
        /// The key.
        key: String,
        /// The id it gives.
        id: f64,
        /// Tokens there are.
        vocab: usize,
    },
    /// A token of the list that is there twice.
    #[error("token {0:?} is there twice: the file is damaged")]
    Twice(String),
    /// A merge that is not two tokens, or does not make one.
    #[error("merge {index} is {line:?}, not two tokens with a space between that make a third: the file is damaged")]
    BadMerge {
        /// Which merge.
        index: usize,
        /// The text.
        line: String,
    },
    /// A kind of tokenizer that is not read from GGUF.
    #[error("tokenizer model {0:?} is not supported: `gpt2` (byte-level BPE) and `llama` (SentencePiece BPE) are")]
    UnknownModel(String),
    /// A pre-tokenizer whose pattern is not known.
    #[error(
        "pre-tokenizer {name:?} (`tokenizer.ggml.pre`) is not supported, and guessing would give wrong ids: known are {known}"
    )]
    UnknownPre {
        /// Its name.
        name: String,
        /// Those that are known.
        known: String,
    },
    /// Its text cannot be produced token by token.
    #[error(transparent)]
    Decoder(#[from] UnsupportedDecoder),
    /// A text has no ids.
    #[error("the text cannot be encoded: {0}")]
    Encode(String),
    /// Ids have no text.
    #[error("the ids cannot be decoded: {0}")]
    Decode(String),
}
