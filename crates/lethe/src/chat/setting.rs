//! What `/set` changes: how the turns to come are generated.

use std::fmt;
use std::str::FromStr;

use lethe_policy::{meant, nearest};

/// One setting with its value. Whether a value is in range is the engine's to say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Setting {
    Temperature(f32),
    TopP(f32),
    TopK(usize),
    MinP(f32),
    Seed(u64),
    /// `None` is what the model's positions leave.
    MaxTokens(Option<usize>),
    /// `None` is as long as the model wants.
    ReasoningBudget(Option<usize>),
}

/// The keys, in the order in which they are shown.
pub(crate) const KEYS: [&str; 7] = ["temperature", "top_p", "top_k", "min_p", "seed", "max_tokens", "reasoning_budget"];

const NUMBER: &str = "a number";
const COUNT: &str = "a whole number of at least 0";
const COUNT_OR_NONE: &str = "a whole number of at least 0, or `none`";
const SOME_OR_NONE: &str = "a whole number of at least 1, or `none`";

/// A setting that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingError {
    #[error(
        "there is no setting `{key}`{}; there are {}",
        meant(.nearest),
        KEYS.join(", ")
    )]
    Unknown { key: String, nearest: Option<&'static str> },
    #[error("`/set {key}` needs a value: {expected}")]
    NoValue { key: &'static str, expected: &'static str },
    #[error("{key} takes {expected}, not `{value}`")]
    BadValue { key: &'static str, value: String, expected: &'static str },
}

impl Setting {
    /// Reads `KEY VALUE`, also with `=` between them, as the policies have it.
    ///
    /// # Errors
    /// [`SettingError`].
    pub(crate) fn parse(text: &str) -> Result<Setting, SettingError> {
        let (given, value) = text.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((text, ""));
        let value = value.trim().trim_start_matches('=').trim_start();
        let Some(key) = KEYS.into_iter().find(|key| *key == given.replace('-', "_")) else {
            return Err(SettingError::Unknown { key: given.to_owned(), nearest: nearest(given, KEYS) });
        };
        Ok(match key {
            "temperature" => Setting::Temperature(read(key, value, NUMBER)?),
            "top_p" => Setting::TopP(read(key, value, NUMBER)?),
            "top_k" => Setting::TopK(read(key, value, COUNT)?),
            "min_p" => Setting::MinP(read(key, value, NUMBER)?),
            "seed" => Setting::Seed(read(key, value, COUNT)?),
            "max_tokens" => match count_or_none(key, value, SOME_OR_NONE)? {
                Some(0) => return Err(bad(key, value, SOME_OR_NONE)),
                tokens => Setting::MaxTokens(tokens),
            },
            _ => Setting::ReasoningBudget(count_or_none(key, value, COUNT_OR_NONE)?),
        })
    }
}

fn bad(key: &'static str, value: &str, expected: &'static str) -> SettingError {
    match value {
        "" => SettingError::NoValue { key, expected },
        value => SettingError::BadValue { key, value: value.to_owned(), expected },
    }
}

fn read<T: FromStr>(key: &'static str, value: &str, expected: &'static str) -> Result<T, SettingError> {
    value.parse().map_err(|_| bad(key, value, expected))
}

fn count_or_none(key: &'static str, value: &str, expected: &'static str) -> Result<Option<usize>, SettingError> {
    if value == "none" { Ok(None) } else { read(key, value, expected).map(Some) }
}

/// As it would be set.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: &Option<usize>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
        match self {
            Setting::Temperature(x) => write!(f, "temperature {x}"),
            Setting::TopP(x) => write!(f, "top_p {x}"),
            Setting::TopK(n) => write!(f, "top_k {n}"),
            Setting::MinP(x) => write!(f, "min_p {x}"),
            Setting::Seed(n) => write!(f, "seed {n}"),
            Setting::MaxTokens(n) => write!(f, "max_tokens {}", count(n)),
            Setting::ReasoningBudget(n) => write!(f, "reasoning_budget {}", count(n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_shown_alike() {
        for text in [
            "temperature 0.7",
            "top_p 0.95",
            "top_k 20",
            "min_p 0.05",
            "seed 18446744073709551615",
            "max_tokens 100",
            "max_tokens none",
            "reasoning_budget 0",
            "reasoning_budget none",
        ] {
            assert_eq!(Setting::parse(text).unwrap().to_string(), text);
        }
        for text in ["top-k  20", "top_k=20", "top_k = 20"] {
            assert_eq!(Setting::parse(text).unwrap(), Setting::TopK(20), "{text}");
        }
        let shown = |key: &str| Setting::parse(&format!("{key} 1")).unwrap().to_string();
        assert!(KEYS.iter().all(|key| shown(key).starts_with(key)));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let said = |text: &str| Setting::parse(text).unwrap_err().to_string();
        assert!(
            said("temprature 1").contains("`temprature` (did you mean `temperature`?)"),
            "{}",
            said("temprature 1")
        );
        assert!(said("warmth 1").contains("reasoning_budget"));
        assert_eq!(said("top_k -1"), "top_k takes a whole number of at least 0, not `-1`");
        assert_eq!(said("temperature warm"), "temperature takes a number, not `warm`");
        assert_eq!(said("seed"), "`/set seed` needs a value: a whole number of at least 0");
        assert_eq!(said("max_tokens 0"), "max_tokens takes a whole number of at least 1, or `none`, not `0`");
        assert_eq!(said("reasoning_budget soon").matches("`none`").count(), 1);
    }
}
