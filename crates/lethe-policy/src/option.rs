//! The schema of a policy's options, and the values given against it.

use std::fmt;

use crate::error::PolicyError;
use crate::policy::PolicyInfo;
use crate::spec::PolicySpec;

/// One option of a policy: the schema that command line, API and listings share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionSpec {
    /// Its name in `key=value`.
    pub key: &'static str,
    /// The value it has when not given; `None` where it is then absent.
    pub default: Option<&'static str>,
    /// What it does, in one line.
    pub help: &'static str,
    /// Which values it takes.
    pub kind: OptionKind,
}

/// Which values an option takes. Bounds are inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptionKind {
    /// A whole number.
    Count {
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A whole number, or one word instead.
    CountOr {
        /// The least.
        min: usize,
        /// The most.
        max: usize,
        /// The word.
        word: &'static str,
    },
    /// Any 64-bit whole number.
    Seed,
    /// A finite number.
    Number {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl OptionKind {
    /// Whether `value` is one of the values described.
    pub fn accepts(&self, value: &str) -> bool {
        match *self {
            OptionKind::Count { min, max } => value.parse().is_ok_and(|count: usize| (min..=max).contains(&count)),
            OptionKind::CountOr { min, max, word } => value == word || OptionKind::Count { min, max }.accepts(value),
            OptionKind::Seed => value.parse::<u64>().is_ok(),
            // NaN lies in no range
            OptionKind::Number { min, max } => value.parse().is_ok_and(|number: f64| (min..=max).contains(&number)),
            OptionKind::Choice(words) => words.contains(&value),
        }
    }
}

/// Completes the sentence "the option takes ...".
impl fmt::Display for OptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            OptionKind::Count { min, max } => write!(f, "a whole number from {min} to {max}"),
            OptionKind::CountOr { min, max, word } => write!(f, "a whole number from {min} to {max}, or `{word}`"),
            OptionKind::Seed => write!(f, "a whole number from 0 to {}", u64::MAX),
            OptionKind::Number { min, max } => write!(f, "a number from {min} to {max}"),
            OptionKind::Choice(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// The options of one policy as its builder reads them: values given, else defaults.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    info: &'static PolicyInfo,
    spec: &'a PolicySpec,
}

impl<'a> Options<'a> {
    pub(crate) fn new(info: &'static PolicyInfo, spec: &'a PolicySpec) -> Self {
        Options { info, spec }
    }

    /// The policy that is being built.
    pub fn policy(&self) -> &'static str {
        self.info.name
    }

    /// Whether the user gave `key`.
    pub fn given(&self, key: &str) -> bool {
        self.spec.get(key).is_some()
    }

    /// The value of `key`; `None` where it was not given and has no default.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.spec.get(key).or_else(|| self.info.options.iter().find(|option| option.key == key)?.default)
    }

    /// The value of `key` as a number of the type asked for.
    ///
    /// # Errors
    /// [`PolicyError::Missing`] without value and default; [`PolicyError::BadValue`] where it is no such number, as
    /// when the word of a [`OptionKind::CountOr`] was given.
    pub fn number<T: std::str::FromStr>(&self, key: &'static str) -> Result<T, PolicyError> {
        self.optional(key)?.ok_or(PolicyError::Missing { policy: self.policy(), what: "it", needs: key })
    }

    /// As [`Options::number`], `None` where the value is absent.
    ///
    /// # Errors
    /// [`PolicyError::BadValue`] where it is no such number.
    pub fn optional<T: std::str::FromStr>(&self, key: &'static str) -> Result<Option<T>, PolicyError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let bad = |_| PolicyError::BadValue {
            policy: self.policy(),
            key,
            value: value.to_owned(),
            expected: "a number".to_owned(),
        };
        value.parse().map(Some).map_err(bad)
    }

    /// The value of `key` as a word, empty where it is absent.
    pub fn word(&self, key: &str) -> &'a str {
        self.get(key).unwrap_or_default()
    }

    /// # Errors
    /// [`PolicyError::Conflict`] where the user gave both options.
    pub(crate) fn exclusive(
        &self,
        first: &'static str,
        second: &'static str,
        reason: &'static str,
    ) -> Result<(), PolicyError> {
        if self.given(first) && self.given(second) {
            return Err(PolicyError::Conflict { policy: self.policy(), first, second, reason });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_tell_good_values_from_bad() {
        let count = OptionKind::Count { min: 1, max: 9 };
        let number = OptionKind::Number { min: 0.0, max: 1.0 };
        for (kind, good) in [
            (count, ["1", "9"]),
            (OptionKind::CountOr { min: 1, max: 9, word: "cap" }, ["7", "cap"]),
            (OptionKind::Seed, ["0", "18446744073709551615"]),
            (number, ["0.5", "1e-3"]),
            (OptionKind::Choice(&["all", "none"]), ["all", "none"]),
        ] {
            for value in good {
                assert!(kind.accepts(value), "{kind:?} should take {value}");
            }
        }
        for (kind, bad) in [
            (count, ["0", "10", "-3", "2.5", "", "NaN"]),
            (number, ["-0.1", "1.1", "NaN", "inf", "", "x"]),
            (OptionKind::Seed, ["-1", "18446744073709551616", "1.0", "inf", "", "x"]),
            (OptionKind::Choice(&["all"]), ["All", "al", "", "0", "none", " all"]),
        ] {
            for value in bad {
                assert!(!kind.accepts(value), "{kind:?} should refuse {value:?}");
            }
        }
    }

    #[test]
    fn kinds_say_what_they_take() {
        assert_eq!(
            OptionKind::CountOr { min: 1, max: 9, word: "cap" }.to_string(),
            "a whole number from 1 to 9, or `cap`"
        );
        assert_eq!(OptionKind::Number { min: 0.1, max: 1e6 }.to_string(), "a number from 0.1 to 1000000");
        assert_eq!(OptionKind::Choice(&["all", "none"]).to_string(), "one of all, none");
    }
}
