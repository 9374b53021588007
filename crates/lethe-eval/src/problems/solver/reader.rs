//! Reads a question from left to right.

use super::SolveError;

/// The longest number read: nothing in a question is larger, and sums of such numbers cannot overflow.
const DIGITS: usize = 4;
/// How much of the text an error quotes, in characters.
const QUOTE: usize = 24;

/// A place in a text.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize, // bytes, always between two characters
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Reader { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Whether `literal` comes next; if so, goes past it.
    pub(super) fn eat(&mut self, literal: &str) -> bool {
        let there = self.rest().starts_with(literal);
        if there {
            self.at += literal.len();
        }
        there
    }

    /// Goes past `literal`.
    pub(super) fn expect(&mut self, literal: &str) -> Result<(), SolveError> {
        if self.eat(literal) { Ok(()) } else { self.unreadable(&format!("{literal:?}")) }
    }

    /// Goes past a word of ASCII letters.
    pub(super) fn word(&mut self) -> Result<&'a str, SolveError> {
        match self.run(|c| c.is_ascii_alphabetic()) {
            "" => self.unreadable("a word"),
            word => Ok(word),
        }
    }

    /// Goes past a whole number.
    pub(super) fn number(&mut self) -> Result<i64, SolveError> {
        let before = self.at;
        let digits = self.run(|c| c.is_ascii_digit());
        match digits.parse() {
            Ok(number) if digits.len() <= DIGITS => Ok(number),
            _ => {
                self.at = before;
                self.unreadable(&format!("a number of 1 to {DIGITS} digits"))
            }
        }
    }

    /// Numbers with single spaces between them, at least one.
    pub(super) fn numbers(&mut self) -> Result<Vec<i64>, SolveError> {
        let mut numbers = vec![self.number()?];
        while self.eat(" ") {
            numbers.push(self.number()?);
        }
        Ok(numbers)
    }

    /// Makes sure that nothing is left.
    pub(super) fn end(&self) -> Result<(), SolveError> {
        if self.rest().is_empty() { Ok(()) } else { self.unreadable("the end") }
    }

    /// The text from where `earlier` stood up to here.
    pub(super) fn since(&self, earlier: &Reader<'a>) -> &'a str {
        &self.text[earlier.at..self.at]
    }

    /// Goes past all characters of a kind, ASCII ones.
    fn run(&mut self, of_kind: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let run = &rest[..rest.find(|c| !of_kind(c)).unwrap_or(rest.len())];
        self.at += run.len();
        run
    }

    fn unreadable<T>(&self, expected: &str) -> Result<T, SolveError> {
        let found = self.rest().chars().take(QUOTE).collect();
        Err(SolveError::Unreadable { at: self.at, expected: expected.to_owned(), found })
    }
}
