//! `tokenizer_config.json` and `chat_template.jinja`: the named special tokens and the source of the chat template.

use std::path::Path;

use serde_json::{Map, Value};

use crate::json::{JsonError, Object, describe, parse_object};

/// What the engine needs of `tokenizer_config.json`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenizerConfig {
    /// Named special tokens as text (`bos_token`, `eos_token`, ...), in the order of the file. Templates see them all.
    pub special_tokens: Vec<(String, String)>,
    /// Source of the chat template, if the model has one.
    pub chat_template: Option<String>,
}

const TOKEN_NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl TokenizerConfig {
    /// Reads a model directory. `chat_template.jinja` wins over the key in `tokenizer_config.json`; neither file has to
    /// be there.
    ///
    /// # Errors
    /// [`TokenizerConfigError`] with the path.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Self, TokenizerConfigError> {
        let path = dir.as_ref().join("tokenizer_config.json");
        let mut config = match read_optional(&path)? {
            None => Self::default(),
            Some(json) => Self::from_json(json)
                .map_err(|source| TokenizerConfigError::Json { path: path.display().to_string(), source })?,
        };
        if let Some(template) = read_optional(&dir.as_ref().join("chat_template.jinja"))? {
            config.chat_template = Some(template);
        }
        Ok(config)
    }

    /// Reads the text of a `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`JsonError`] for anything that is no object, or a key of the wrong type.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, JsonError> {
        let map = parse_object(json.as_ref())?;
        let mut special_tokens = Vec::new();
        for (name, value) in &map {
            if TOKEN_NAMES.contains(&name.as_str()) && !value.is_null() {
                // Older files write a token as an object with its flags.
                let text = value.as_str().or_else(|| value.get("content")?.as_str());
                let text = text.ok_or_else(|| JsonError::WrongType {
                    key: name.clone(),
                    expected: "a string or an object with `content`",
                    found: describe(value),
                })?;
                special_tokens.push((name.clone(), text.to_owned()));
            }
        }
        Ok(Self { special_tokens, chat_template: chat_template(&map)? })
    }

    /// The text of a named special token, such as `eos_token`.
    pub fn special_token(&self, name: &str) -> Option<&str> {
        self.special_tokens.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str())
    }
}

/// `chat_template`: a string, or a list of named ones of which `default` is taken, else `tool_use`.
fn chat_template(map: &Map<String, Value>) -> Result<Option<String>, JsonError> {
    let Some(value) = Object::new(map).get("chat_template") else { return Ok(None) };
    let wrong = || JsonError::WrongType {
        key: "chat_template".to_owned(),
        expected: "a string, or a list of {name, template} with a `default` or `tool_use`",
        found: describe(value),
    };
    match value {
        Value::String(template) => Ok(Some(template.clone())),
        Value::Array(list) => {
            let named = |name: &str| list.iter().find(|entry| entry["name"] == name)?["template"].as_str();
            named("default").or_else(|| named("tool_use")).map(|text| Some(text.to_owned())).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

fn read_optional(path: &Path) -> Result<Option<String>, TokenizerConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerConfigError::Read { path: path.display().to_string(), source }),
    }
}

/// Why the tokenizer's config cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerConfigError {
    /// A file is there but cannot be read as text.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: String,
        /// What is wrong.
        source: JsonError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_strings_or_objects() {
        let config = TokenizerConfig::from_json(
            r#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
                "add_bos_token": true, "chat_template": "{{ messages }}"}"#,
        )
        .unwrap();
        assert_eq!(config.special_token("bos_token"), Some("<s>"));
        assert_eq!(config.special_token("eos_token"), Some("</s>"));
        assert_eq!(config.special_token("pad_token"), None);
        assert_eq!(config.special_tokens.len(), 2);
        assert_eq!(config.chat_template.as_deref(), Some("{{ messages }}"));
    }

    #[test]
    fn of_a_list_of_templates_default_is_taken_then_tool_use() {
        let read = |json: &str| TokenizerConfig::from_json(json).map(|config| config.chat_template);
        let both =
            r#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#;
        assert_eq!(read(both).unwrap().as_deref(), Some("d"));
        let tools = r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "tool_use", "template": "t"}]}"#;
        assert_eq!(read(tools).unwrap().as_deref(), Some("t"));
        for wrong in [r#"{"chat_template": [{"name": "rag", "template": "r"}]}"#, r#"{"chat_template": 3}"#] {
            assert!(read(wrong).unwrap_err().to_string().contains("`chat_template`"));
        }
    }

    #[test]
    fn wrong_tokens_are_named() {
        let error = TokenizerConfig::from_json(r#"{"eos_token": 2}"#).unwrap_err().to_string();
        assert!(error.contains("`eos_token`") && error.contains("the number 2"), "{error}");
    }

    #[test]
    fn the_jinja_file_wins_and_no_file_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(TokenizerConfig::from_dir(dir.path()).unwrap(), TokenizerConfig::default());
        std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"chat_template": "old"}"#).unwrap();
        assert_eq!(TokenizerConfig::from_dir(dir.path()).unwrap().chat_template.as_deref(), Some("old"));
        std::fs::write(dir.path().join("chat_template.jinja"), "new").unwrap();
        assert_eq!(TokenizerConfig::from_dir(dir.path()).unwrap().chat_template.as_deref(), Some("new"));
        std::fs::write(dir.path().join("tokenizer_config.json"), "{").unwrap();
        assert!(TokenizerConfig::from_dir(dir.path()).unwrap_err().to_string().contains("tokenizer_config.json"));
        std::fs::write(dir.path().join("tokenizer_config.json"), [0xFF]).unwrap();
        assert!(matches!(TokenizerConfig::from_dir(dir.path()), Err(TokenizerConfigError::Read { .. })));
    }
}
