//! Numbers with what people write around them: money, percent, degrees, units in words.

use super::dashed::dashed;
use super::expression;
use super::fraction::Fraction;
use super::lexer::{Piece, Token};
use super::units::known_unit;

/// A plain number. What it counts is not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quantity {
    pub(super) value: Fraction,
    pub(super) percent: bool,
}

impl Quantity {
    /// Whether `found` says the same number as this one. Where only one of them is in percent, both readings will do:
    /// 50 % is 50 where percent was asked for, and 0.5.
    pub(super) fn equals(&self, found: &Quantity) -> bool {
        let share = |q: &Quantity| q.value.times(Fraction::whole(100).inverse()?);
        match (self.percent, found.percent) {
            (true, false) => near(self.value, found.value) || share(self).is_some_and(|s| near(s, found.value)),
            (false, true) => near(self.value, found.value) || share(found).is_some_and(|s| near(self.value, s)),
            _ => near(self.value, found.value),
        }
    }
}

/// Equal, or, where one is not a whole number, within a millionth (of the number itself where that is smaller than 1).
fn near(a: Fraction, b: Fraction) -> bool {
    if a == b || (a.as_whole().is_some() && b.as_whole().is_some()) {
        return a == b;
    }
    let (a, b) = (a.value(), b.value());
    (a - b).abs() <= 1e-6 * a.abs().min(1.0)
}

/// Words before a number that change what it says.
const CHANGING: [&str; 25] = [
    "not",
    "no",
    "less",
    "more",
    "least",
    "most",
    "over",
    "under",
    "than",
    "minus",
    "negative",
    "between",
    "plus",
    "twice",
    "thrice",
    "half",
    "third",
    "quarter",
    "double",
    "triple",
    "square",
    "cube",
    "root",
    "times",
    "factorial",
];
/// Words after a number that are no unit; those of amounts may have an `s`.
const NO_UNITS: [&str; 22] = [
    "am",
    "pm",
    "or",
    "and",
    "to",
    "than",
    "dozen",
    "hundred",
    "thousand",
    "million",
    "billion",
    "trillion",
    "squared",
    "cubed",
    "times",
    "plus",
    "minus",
    "factorial",
    "choose",
    "over",
    "divided",
    "multiplied",
];
/// Units of one letter, where an unknown is unlikely.
const LETTER_UNITS: [&str; 8] = ["m", "g", "s", "h", "L", "l", "W", "J"];

/// The number that tokens say, if they say one and nothing else. With `lenient`, a letter behind it may be a unit: `5m` is
/// five metres where a number is expected.
pub(super) fn quantity(pieces: &[Piece], lenient: bool) -> Option<Quantity> {
    let pieces = without_degrees(pieces);
    let lead = pieces.iter().position(|p| !leads(&p.token)).unwrap_or(pieces.len());
    let pieces = &pieces[lead..];
    let ends = |p: &Piece| matches!(p.token, Token::Letters(_) | Token::Text(_) | Token::Sign('%'));
    let end = pieces.iter().position(ends).unwrap_or(pieces.len());
    let (number, unit) = pieces.split_at(end);
    if !number.iter().any(|p| matches!(p.token, Token::Number(_))) {
        return None;
    }
    if dashed(number) {
        return None;
    }
    let value = expression::value(number)?.as_number()?;
    let percent = unit.first().is_some_and(|p| p.token == Token::Sign('%') || is_word(&p.token, "percent"));
    let unit = if percent { &unit[1..] } else { unit };
    unit_or_nothing(unit, lenient).then_some(Quantity { value, percent })
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Letters(text) | Token::Text(text) if text.eq_ignore_ascii_case(word))
}

/// Words that may stand before a number, such as `about`, and what joins them to it.
fn leads(token: &Token) -> bool {
    match token {
        Token::Letters(word) | Token::Text(word) => {
            word.chars().count() > 1
                && expression::unknown(word)
                && !word.split_whitespace().any(|w| CHANGING.contains(&w.to_lowercase().as_str()))
        }
        Token::Sign(':') => true,
        Token::Command(name) => name == "approx",
        _ => false,
    }
}

fn unit_or_nothing(pieces: &[Piece], lenient: bool) -> bool {
    let Some(first) = pieces.first() else { return true };
    let starts = match &first.token {
        Token::Text(text) => !has_no_unit(text),
        Token::Letters(word) if word.chars().count() == 1 => lenient && LETTER_UNITS.contains(&word.as_str()),
        // Letters could be unknowns, two of them even after a space; `of` is what comes between a share and its whole.
        Token::Letters(word) if !first.spaced || word.chars().count() == 2 => known_unit(word) || word == "of",
        Token::Letters(word) => !has_no_unit(word) && expression::unknown(word),
        _ => false,
    };
    let goes_on = |(at, piece): (usize, &Piece)| match &piece.token {
        Token::Letters(word) | Token::Text(word) => !has_no_unit(word),
        Token::Sign(c) => matches!(c, '/' | '^' | '.' | '{' | '}' | '*' | '(' | ')'),
        Token::Number(power) => {
            let before = |back: usize| at.checked_sub(back).map(|at| &pieces[at].token);
            let caret = Some(&Token::Sign('^'));
            matches!(power.as_str(), "2" | "3") && (before(1) == caret || before(2) == caret)
        }
        Token::Command(_) => false,
    };
    starts && pieces.iter().enumerate().all(goes_on)
}

fn has_no_unit(text: &str) -> bool {
    text.split_whitespace().any(|word| {
        let word = word.to_lowercase();
        NO_UNITS.contains(&word.as_str()) || word.strip_suffix('s').is_some_and(|one| NO_UNITS.contains(&one))
    })
}

/// The tokens without `°`, `^\circ` and `^{\circ}`.
fn without_degrees(pieces: &[Piece]) -> Vec<Piece> {
    let sign = |at: usize, c: char| pieces.get(at).is_some_and(|p| p.token == Token::Sign(c));
    let mut kept = Vec::with_capacity(pieces.len());
    let mut at = 0;
    while at < pieces.len() {
        at += match () {
            () if sign(at, '°') => 1,
            () if sign(at, '^') && sign(at + 1, '°') => 2,
            () if sign(at, '^') && sign(at + 1, '{') && sign(at + 2, '°') && sign(at + 3, '}') => 4,
            () => {
                kept.push(pieces[at].clone());
                1
            }
        };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::lexer::tokens;
    use super::*;

    fn of(text: &str) -> Option<Fraction> {
        quantity(&tokens(text).unwrap(), true).map(|q| q.value)
    }

    #[test]
    fn numbers_and_units() {
        let n = |n| Some(Fraction::whole(n));
        for (text, value) in [
            (r"\$1,200", n(1200)),
            ("18 dollars", n(18)),
            (r"45^\circ", n(45)),
            ("45^{\\circ}C", None), // C may be anything
            ("30°", n(30)),
            (r"12 \text{ cm}^2", n(12)),
            ("12 km/h", n(12)),
            ("12 m/s^2", n(12)),
            ("about 12 miles per hour", n(12)),
            ("Total: 12", n(12)),
            ("5m", n(5)),
            ("-3.0", n(-3)),
            ("3/4 of a cup", Fraction::new(3, 4)),
            (r"2\frac{1}{2} \text{ hours}", Fraction::new(5, 2)),
            ("21st", n(21)),
            ("€5", n(5)),
            ("5km", n(5)),
            ("5hours", n(5)),
            ("5 apples", n(5)),
            ("7 lbs", n(7)),
        ] {
            assert_eq!(of(text), value, "{text}");
        }
    }

    #[test]
    fn no_plain_number() {
        for text in [
            "",
            "none",
            "3 or 4",
            "3x",
            "xy",
            "5 miles 3 feet",
            "2 million",
            "3 PM",
            "not 5",
            "12a5",
            "x",
            "sin 3",
            "5 + x",
            "6xyz",
            "2 ab",
            "5 squared",
            "5 times x",
            "5 dozen",
            "5 hundreds",
            r"5 \text{ trillion}",
            "5 more than x",
            "twice 5",
            "half of 5",
            "square root of 5",
            "3-5 km",
            "about 3–5",
            "30°-60°",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(quantity(&tokens("5m").unwrap(), false), None);
    }

    #[test]
    fn percent_reads_both_ways() {
        let q = |text: &str| quantity(&tokens(text).unwrap(), true).unwrap();
        assert!(q("50").equals(&q(r"50\%")));
        assert!(q("0.5").equals(&q("50 percent")));
        assert!(q("50%").equals(&q("0.5")));
        assert!(q("50%").equals(&q("50%")));
        assert!(!q("50").equals(&q("0.5")));
        assert!(!q("50%").equals(&q("0.5%")));
    }

    #[test]
    fn whole_numbers_are_exact_and_others_near() {
        let n = |num, den| Fraction::new(num, den).unwrap();
        assert!(near(n(1, 3), n(33_333_333, 100_000_000)));
        assert!(!near(n(1, 3), n(33, 100)));
        assert!(!near(n(12_345_678, 1), n(12_345_679, 1)));
        assert!(!near(n(12_345_678, 1), n(24_691_357, 2)));
        assert!(!near(n(1, 10_000_000), n(2, 10_000_000)));
        assert!(!near(n(0, 1), n(1, 10_000_000)));
    }
}
