//! Values as Python writes them: `str`, `repr` and `json.dumps`, and the methods of its types. Chat templates print
//! through these.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;
use serde_json::Value as Json;

/// `str(value)`; an undefined value is empty, as Jinja2 prints it.
pub(crate) fn str(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        _ => {
            let mut out = String::new();
            repr(value, &mut out);
            out
        }
    }
}

/// A method of a Python type.
pub(crate) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name, args) {
        (Some(text), "title", []) => Ok(Value::from(title(text))),
        _ => pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// `text.title()`: every run of letters begins with a capital, whatever parts the runs.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        match inside {
            true => titled.extend(character.to_lowercase()),
            false => titled.extend(character.to_uppercase()),
        }
        inside = character.is_alphabetic();
    }
    titled
}

fn repr(value: &Value, out: &mut String) {
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(float) => out.push_str(&float_repr(float)),
            Err(_) => out.push_str(&value.to_string()),
        },
        ValueKind::String => string_repr(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq => {
            out.push('[');
            for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                repr(&item, out);
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                repr(&key, out);
                out.push_str(": ");
                repr(&value.get_item(&key).unwrap_or_default(), out);
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}

/// Single quotes, unless the text has some and no double ones.
fn string_repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// The shortest digits that read back, with Python's exponents: `1e+16`, `5e-05`.
fn float_repr(float: f64) -> String {
    if !float.is_finite() {
        let word = if float.is_nan() { "nan" } else { "inf" };
        return if float < 0.0 { format!("-{word}") } else { word.to_owned() };
    }
    let shortest = format!("{float:?}");
    match shortest.split_once('e') {
        None => shortest,
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            let digits = digits.strip_suffix(".0").unwrap_or(digits);
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

/// The options of `json.dumps` that templates use.
#[derive(Debug, Default)]
pub(crate) struct JsonOptions {
    pub(crate) indent: Option<usize>,
    pub(crate) ensure_ascii: bool,
    pub(crate) sort_keys: bool,
    /// Between items, and between a key and its value.
    pub(crate) separators: Option<(String, String)>,
}

/// `json.dumps(value)`.
pub(crate) fn json_dumps(value: &Value, options: &JsonOptions) -> Result<String, Error> {
    let fail = |why: String| Error::new(ErrorKind::InvalidOperation, format!("tojson: {why}"));
    if value.is_undefined() {
        return Err(fail("the value is undefined".to_owned()));
    }
    let json = serde_json::to_value(value).map_err(|error| fail(error.to_string()))?;
    let default = if options.indent.is_some() { "," } else { ", " };
    let (item, key) = options.separators.as_ref().map_or((default, ": "), |(item, key)| (item, key));
    let mut writer = JsonWriter { options, item, key, depth: 0, out: String::new() };
    writer.value(&json);
    Ok(writer.out)
}

struct JsonWriter<'a> {
    options: &'a JsonOptions,
    item: &'a str,
    key: &'a str,
    depth: usize,
    out: String,
}

impl JsonWriter<'_> {
    fn value(&mut self, value: &Json) {
        match value {
            Json::Null => self.out.push_str("null"),
            Json::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
                Some(float) => self.out.push_str(&float_repr(float)),
                None => self.out.push_str(&number.to_string()),
            },
            Json::String(text) => self.text(text),
            Json::Array(items) => self.items('[', ']', items.iter(), |writer, item| writer.value(item)),
            Json::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                if self.options.sort_keys {
                    entries.sort_by_key(|(name, _)| *name);
                }
                self.items('{', '}', entries.into_iter(), |writer, (name, item)| {
                    writer.text(name);
                    writer.out.push_str(writer.key);
                    writer.value(item);
                });
            }
        }
    }

    fn items<T>(
        &mut self,
        open: char,
        close: char,
        items: impl ExactSizeIterator<Item = T>,
        write: impl Fn(&mut Self, T),
    ) {
        self.out.push(open);
        let empty = items.len() == 0;
        self.depth += 1;
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push_str(self.item);
            }
            self.new_line();
            write(self, item);
        }
        self.depth -= 1;
        if !empty {
            self.new_line();
        }
        self.out.push(close);
    }

    fn new_line(&mut self) {
        if let Some(indent) = self.options.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * self.depth));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.options.ensure_ascii && !matches!(c, ' '..='~')) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;
    use serde_json::json;

    use super::*;

    fn value(json: Json) -> Value {
        Value::from(Serde(json))
    }

    #[test]
    fn values_print_as_in_python() {
        for (json, expected) in [
            (json!(null), "None"),
            (json!(true), "True"),
            (json!("plain 'text'"), "plain 'text'"),
            (json!(["it's", "\"", "'\"", "\n\\\u{1}é"]), r#"["it's", '"', '\'"', '\n\\\x01é']"#),
            (json!({"k": {"n": [1, -2.5, false]}}), "{'k': {'n': [1, -2.5, False]}}"),
            (json!([]), "[]"),
        ] {
            assert_eq!(str(&value(json)), expected);
        }
        assert_eq!(str(&Value::UNDEFINED), "");
    }

    #[test]
    fn floats_print_as_in_python() {
        for (float, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00005, "5e-05"),
            (-1.25e-7, "-1.25e-07"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float_repr(float), expected);
        }
    }

    #[test]
    fn json_is_indented_as_in_python() {
        let options = JsonOptions { indent: Some(2), ..JsonOptions::default() };
        let text = json_dumps(&value(json!({"b": [1, {"c": null}], "a": {}})), &options).unwrap();
        assert_eq!(text, "{\n  \"b\": [\n    1,\n    {\n      \"c\": null\n    }\n  ],\n  \"a\": {}\n}");
        assert!(json_dumps(&Value::UNDEFINED, &options).is_err());
    }

    #[test]
    fn titles_capitalise_every_run_of_letters() {
        assert_eq!(title("they're bill's, x2y ÉCOLE"), "They'Re Bill'S, X2Y École");
    }
}
