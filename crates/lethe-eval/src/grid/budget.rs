//! How many slots a layer may hold beyond the prompt.

use std::fmt;
use std::str::FromStr;

use super::GridError;

/// Slots that a layer may ever hold beyond the prompt, the interval between rounds included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    /// So many.
    Slots(usize),
    /// So many percent of what `full` held beyond the prompt at the end of the same question.
    Percent(usize),
}

impl Budget {
    /// The slots, where `full` held `whole` beyond the prompt. At least one.
    pub fn slots(self, whole: usize) -> usize {
        match self {
            Budget::Slots(slots) => slots,
            Budget::Percent(percent) => (whole * percent / 100).max(1),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Slots(slots) => write!(f, "{slots}"),
            Budget::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for Budget {
    type Err = GridError;

    fn from_str(text: &str) -> Result<Budget, GridError> {
        let bad = || GridError::BadBudget { text: text.to_owned() };
        let (number, budget): (&str, fn(usize) -> Budget) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent, Budget::Percent),
            None => (text, Budget::Slots),
        };
        let number = number.trim().parse().map_err(|_| bad())?;
        match budget(number) {
            Budget::Slots(1..=0x00ff_ffff) | Budget::Percent(1..=100) => Ok(budget(number)),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_read_back() {
        for (text, budget) in [("48", Budget::Slots(48)), ("25%", Budget::Percent(25)), ("100%", Budget::Percent(100))]
        {
            assert_eq!(text.parse::<Budget>().unwrap(), budget);
            assert_eq!(budget.to_string(), text);
        }
        for text in ["", "0", "0%", "101%", "-3", "x", "%", "12.5%", "99999999999"] {
            let said = text.parse::<Budget>().unwrap_err().to_string();
            assert!(said.contains("25%"), "{said}");
        }
    }

    #[test]
    fn a_share_is_of_what_full_held() {
        assert_eq!(Budget::Percent(25).slots(401), 100);
        assert_eq!(Budget::Percent(1).slots(5), 1);
        assert_eq!(Budget::Slots(64).slots(5), 64);
    }
}
