//! Reads a question from left to right.

use super::SolveError;
use crate::reads::Fact;

/// The longest number read: nothing in a question is larger, and sums of such numbers cannot overflow.
const DIGITS: usize = 4;
/// How much of the text an error quotes, in characters.
const QUOTE: usize = 24;

/// A place in a text.
pub(super) struct Reader<'a> {
    turn: usize,
    text: &'a str,
    at: usize, // bytes, always between two characters
}

impl<'a> Reader<'a> {
    /// At the beginning of the question of a turn.
    pub(super) fn new(turn: usize, text: &'a str) -> Self {
        Reader { turn, text, at: 0 }
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
    pub(super) fn word(&mut self) -> Result<Fact<&'a str>, SolveError> {
        let before = self.at;
        match self.run(|c| c.is_ascii_alphabetic()) {
            "" => self.unreadable("a word"),
            word => Ok(Fact::asked(word, self.turn, before..self.at)),
        }
    }

    /// Goes past a whole number.
    pub(super) fn number(&mut self) -> Result<Fact<i64>, SolveError> {
        let before = self.at;
        let digits = self.run(|c| c.is_ascii_digit());
        match digits.parse() {
            Ok(number) if digits.len() <= DIGITS => Ok(Fact::asked(number, self.turn, before..self.at)),
            _ => {
                self.at = before;
                self.unreadable(&format!("a number of 1 to {DIGITS} digits"))
            }
        }
    }

    /// Numbers with single spaces between them, at least one.
    pub(super) fn numbers(&mut self) -> Result<Vec<Fact<i64>>, SolveError> {
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
