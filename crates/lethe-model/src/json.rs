//! Typed reading of JSON objects written by other programs: an error names the key, what was expected and what was found.

use serde_json::{Map, Value};

/// A JSON text that is not what its reader needs.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The bytes are not JSON.
    #[error("not valid JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The JSON is valid, but its top level is no object.
    #[error("expected a JSON object, found {found}")]
    NotAnObject {
        /// The kind of value found.
        found: String,
    },
    /// A key holds a value of another type.
    #[error("`{key}` should be {expected}, found {found}")]
    WrongType {
        /// The key, with the keys of the objects around it: `rope_scaling.factor`.
        key: String,
        /// What the key should hold.
        expected: &'static str,
        /// The value found, shortened.
        found: String,
    },
}

/// The top-level object of a JSON text.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    match serde_json::from_slice(bytes)? {
        Value::Object(map) => Ok(map),
        other => Err(JsonError::NotAnObject { found: describe(&other) }),
    }
}

/// An object being read. A null counts as an absent key, as it does in Python configs.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    map: &'a Map<String, Value>,
    name: Option<&'a str>,
}

impl<'a> Object<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, name: None }
    }

    /// An object found inside another one, whose key is put before its own keys in errors.
    pub(crate) fn named(map: &'a Map<String, Value>, name: &'a str) -> Self {
        Self { map, name: Some(name) }
    }

    /// The full name of a key of this object.
    pub(crate) fn path(&self, key: &str) -> String {
        match self.name {
            Some(name) => format!("{name}.{key}"),
            None => key.to_owned(),
        }
    }

    /// Whether the key is there, null or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.map.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, JsonError> {
        self.read(key, "a whole number of at least 0", |value| value.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, JsonError> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, JsonError> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&'a str>, JsonError> {
        self.read(key, "a string", Value::as_str)
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, JsonError> {
        self.read(key, "a list of strings", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    pub(crate) fn object(&self, key: &'a str) -> Result<Option<Object<'a>>, JsonError> {
        let map = self.read(key, "an object", Value::as_object)?;
        Ok(map.map(|map| Object::named(map, key)))
    }

    pub(crate) fn token_id(&self, key: &str) -> Result<Option<u32>, JsonError> {
        self.read(key, "a token id", token_id)
    }

    /// One id or a list of ids; none when the key is absent.
    pub(crate) fn token_ids(&self, key: &str) -> Result<Vec<u32>, JsonError> {
        let ids = self.read(key, "a token id or a list of token ids", |value| match value {
            Value::Array(list) => list.iter().map(token_id).collect(),
            single => Some(vec![token_id(single)?]),
        })?;
        Ok(ids.unwrap_or_default())
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &'static str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, JsonError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(JsonError::WrongType { key: self.path(key), expected, found: describe(value) }),
        }
    }
}

fn token_id(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

/// A value in words, at most about forty characters of it.
pub(crate) fn describe(value: &Value) -> String {
    let kind = match value {
        Value::Null => return "null".to_owned(),
        Value::Bool(_) => "the flag",
        Value::Number(_) => "the number",
        Value::String(_) => "the string",
        Value::Array(_) => "the list",
        Value::Object(_) => "the object",
    };
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{kind} {}...", &text[..end]),
        None => format!("{kind} {text}"),
    }
}
