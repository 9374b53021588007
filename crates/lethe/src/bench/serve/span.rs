//! Whole numbers from one to another.

use std::fmt;
use std::str::FromStr;

/// From `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) low: usize,
    pub(super) high: usize,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let bad = || format!("`{text}` is neither a whole number nor a range of them, such as 64-512");
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| bad());
        let (low, high) = match text.split_once('-') {
            Some((low, high)) => (number(low)?, number(high)?),
            None => (number(text)?, number(text)?),
        };
        if low > high {
            return Err(format!("`{text}` ends before it begins"));
        }
        Ok(Span { low, high })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high { write!(f, "{}", self.low) } else { write!(f, "{}-{}", self.low, self.high) }
    }
}

/// Reads a span of counts, which begin at one.
pub(super) fn counts(text: &str) -> Result<Span, String> {
    let span: Span = text.parse()?;
    if span.low == 0 { Err(format!("`{text}` begins below 1")) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_numbers_or_ranges() {
        for (text, low, high) in [("7", 7, 7), ("64-512", 64, 512), (" 1 - 2", 1, 2), ("3-3", 3, 3)] {
            assert_eq!(text.parse(), Ok(Span { low, high }), "{text}");
        }
        for bad in ["", "-", "-5", "5-", "a-b", "9-3", "1-2-3", "1.5"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert!(counts("0-3").is_err() && counts("0").is_err() && counts("1-3").is_ok());
        assert_eq!(Span { low: 4, high: 4 }.to_string() + " " + &Span { low: 4, high: 9 }.to_string(), "4 4-9");
    }
}
