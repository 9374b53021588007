//! From the bytes of a body to typed fields; an error names the field.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::PartialSchema;

use crate::error::ApiError;
use crate::protocol::unsupported;

/// A set of fields that is read together. Several sets may share one body.
pub(crate) trait Fields: DeserializeOwned + PartialSchema {
    /// Names of the fields.
    fn keys() -> &'static [String];
}

/// The names in a schema: what [`Fields::keys`] gives.
pub(crate) fn keys_of<T: PartialSchema>() -> Vec<String> {
    let schema = serde_json::to_value(T::schema()).unwrap_or_default();
    schema["properties"].as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

/// [`Fields`] for a type whose schema has the names.
macro_rules! fields {
    ($type:ty) => {
        impl crate::protocol::body::Fields for $type {
            fn keys() -> &'static [String] {
                static KEYS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
                KEYS.get_or_init(crate::protocol::body::keys_of::<$type>)
            }
        }
    };
}
pub(crate) use fields;

/// The object that a body holds.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(ApiError::bad_body("the body should be a JSON object")),
        Err(e) => Err(ApiError::bad_body(format!("the body is not valid JSON: {e}"))),
    }
}

/// Takes the fields of `T` out of a body and reads them.
pub(crate) fn take<T: Fields>(map: &mut Map<String, Value>) -> Result<T, ApiError> {
    let mine = T::keys().iter().filter_map(|key| map.remove(key).map(|value| (key.clone(), value))).collect();
    serde_path_to_error::deserialize(Value::Object(mine)).map_err(|e| {
        let path = e.path().to_string();
        describe(&path, &e.into_inner().to_string())
    })
}

/// Refuses what was left in a body after all its fields were taken, harmless fields apart.
pub(crate) fn finish(map: Map<String, Value>, known: &[&[String]]) -> Result<(), ApiError> {
    for (key, value) in map {
        if unsupported::harmless(&key, &value) {
            continue;
        }
        if let Some(hint) = unsupported::hint(&key) {
            if value.is_null() {
                continue;
            }
            let hint = if hint.is_empty() { String::new() } else { format!(": {hint}") };
            return Err(ApiError::invalid(&key, format!("`{key}` is not supported{hint}")).coded("unsupported"));
        }
        let names = known.iter().flat_map(|names| names.iter());
        let nearest = names
            .map(|name| (strsim::damerau_levenshtein(name, &key), name))
            .min()
            .filter(|(distance, name)| *distance <= name.len().div_ceil(4));
        let meant = nearest.map(|(_, name)| format!(" (did you mean `{name}`?)")).unwrap_or_default();
        return Err(ApiError::invalid(&key, format!("unknown field `{key}`{meant}")).coded("unknown_field"));
    }
    Ok(())
}

/// An error of serde in words of the API.
fn describe(path: &str, said: &str) -> ApiError {
    let mut param = if path == "." { String::new() } else { path.to_owned() };
    // serde names a missing or unknown field in its text
    for what in ["missing field `", "unknown field `"] {
        if let Some(name) = said.strip_prefix(what).and_then(|rest| rest.split('`').next())
            && param.rsplit('.').next() != Some(name)
        {
            let dot = if param.is_empty() { "" } else { "." };
            param = format!("{param}{dot}{name}");
        }
    }
    let said = plain(said);
    let message = if param.is_empty() { said } else { format!("`{param}`: {said}") };
    ApiError::invalid(param, message)
}

/// Types of JSON in place of types of Rust.
fn plain(said: &str) -> String {
    let (found, expected) = match said.rsplit_once(", expected ") {
        Some((found, expected)) if said.starts_with("invalid") => (found, expected),
        _ => return said.to_owned(),
    };
    let found = found.replace(": sequence", ": a list").replace(": map", ": an object");
    let expected = match expected {
        "f64" | "f32" => "a number",
        "u8" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "i32" | "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "an object",
        struct_ if struct_.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::chat::ChatRequest;

    fn error(json: &str) -> ApiError {
        ChatRequest::parse(json.as_bytes()).unwrap_err()
    }

    #[test]
    fn errors_name_the_field() {
        for (json, param, words) in [
            ("{", "", "JSON"),
            ("[]", "", "object"),
            (r#"{"messages": "hi"}"#, "messages", "a list"),
            (r#"{}"#, "messages", "missing"),
            (r#"{"messages": [{"role": "user", "content": 3}]}"#, "messages[0].content", "a string or a list"),
            (r#"{"messages": [{"role": "wizard", "content": ""}]}"#, "messages[0].role", "wizard"),
            (r#"{"messages": [{"content": ""}]}"#, "messages[0].role", "missing"),
            (r#"{"messages": [{"role": "user", "content": "", "colour": 1}]}"#, "messages[0].colour", "unknown"),
            (r#"{"messages": [], "temperature": "hot"}"#, "temperature", "a number"),
            (r#"{"messages": [], "n": -1}"#, "n", "at least 0"),
            (r#"{"messages": [], "stream_options": {"usage": true}}"#, "stream_options.usage", "unknown"),
            (r#"{"messages": [], "temprature": 1}"#, "temprature", "did you mean `temperature`"),
            (r#"{"messages": [], "functions": []}"#, "functions", "tools"),
            (r#"{"messages": [], "modalities": ["audio"]}"#, "modalities", "not supported"),
        ] {
            let e = error(json);
            assert_eq!(e.status, 400);
            assert_eq!(e.param.clone().unwrap_or_default(), param, "{json}: {e:?}");
            assert!(e.message.contains(words), "{json}: {}", e.message);
        }
    }

    #[test]
    fn harmless_fields_and_nulls_pass() {
        let json = r#"{"messages": [], "user": "me", "metadata": {"a": "b"}, "store": false, "service_tier": "auto",
            "functions": null, "temperature": null, "modalities": ["text"], "skip_special_tokens": true}"#;
        ChatRequest::parse(json.as_bytes()).unwrap();
    }
}
