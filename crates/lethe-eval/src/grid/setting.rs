//! Under what a question is answered.

use std::fmt;
use std::str::FromStr;

use lethe_policy::PolicySpec;
use serde::{Deserialize, Serialize};

use super::{Budget, GridError};

/// Whether the prompt may be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Never: the prompts of all turns are pinned, and the budget counts slots beyond them.
    On,
    /// It competes with everything else, for as many slots as prompts and budget have together.
    Off,
}

impl Protection {
    /// The word for it on the command line and in rows.
    pub fn word(self) -> &'static str {
        match self {
            Protection::On => "on",
            Protection::Off => "off",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Protection {
    type Err = GridError;

    fn from_str(text: &str) -> Result<Protection, GridError> {
        match text.trim() {
            "on" => Ok(Protection::On),
            "off" => Ok(Protection::Off),
            _ => Err(GridError::BadProtection { text: text.to_owned() }),
        }
    }
}

/// A policy, and what it may hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setting {
    /// The policy as asked for, without a budget.
    pub policy: PolicySpec,
    /// What it may hold; `None` for `full`.
    pub limit: Option<(Budget, Protection)>,
}

impl Setting {
    /// The policy that forgets nothing.
    pub(super) fn full() -> Result<Setting, GridError> {
        Ok(Setting { policy: PolicySpec::new(FULL)?, limit: None })
    }

    /// The budget as text, `None` for `full`.
    pub fn budget(&self) -> Option<String> {
        self.limit.map(|(budget, _)| budget.to_string())
    }

    /// Whether the prompt is protected, `None` for `full`.
    pub fn protection(&self) -> Option<Protection> {
        self.limit.map(|(_, protection)| protection)
    }
}

/// For people: `lethe at 48, protection on`.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            None => write!(f, "{}", self.policy),
            Some((budget, protection)) => write!(f, "{} at {budget}, protection {protection}", self.policy),
        }
    }
}

/// The name of the policy that forgets nothing.
pub(super) const FULL: &str = "full";
