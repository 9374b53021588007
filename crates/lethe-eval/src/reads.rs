//! What each piece of a right chain of thought must look up, and where that stands.
//!
//! A read reaches back beyond its own line: a value last written ten moves ago, the line that says how a room was
//! reached. What was said on the same line is at hand, and noting it would drown the rest. Where a text says the same
//! thing in several places, any one of them is enough.

use std::fmt::Display;
use std::ops::Range;

use crate::problems::solver::{self, VerifyError};
use crate::problems::{Problem, Turn};

/// Which side of a turn said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// [`Turn::question`].
    Question,
    /// [`Turn::reply`].
    Reply,
}

/// Where something is said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The turn, from 0.
    pub turn: usize,
    /// Which side of it.
    pub part: Part,
    /// Bytes of that text.
    pub range: Range<usize>,
}

/// A piece of a reply that cannot be written without something said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The piece, in bytes of [`Turn::reply`].
    pub at: Range<usize>,
    /// Where what it needs is said, oldest first; any one of these places is enough. Never empty.
    pub from: Vec<Place>,
}

/// The reads of each turn of a problem, in the order of the text. `[turns][reads]`
///
/// # Errors
/// As [`solver::verify`]: only a right chain of thought is known to need what is noted here.
pub fn reads(problem: &Problem) -> Result<Vec<Vec<Read>>, VerifyError> {
    solver::verify(problem)?;
    let questions: Vec<&str> = problem.turns.iter().map(|turn| turn.question.as_str()).collect();
    Ok(solver::solve_and_note(problem.family, &questions)?.into_iter().map(|(_, reads)| reads).collect())
}

/// A value and everywhere it has been said since it came to hold.
#[derive(Clone, Debug)]
pub(crate) struct Fact<T> {
    pub(crate) value: T,
    places: Vec<Place>,
}

impl<T> Fact<T> {
    /// Something that a question says.
    pub(crate) fn asked(value: T, turn: usize, range: Range<usize>) -> Fact<T> {
        Fact { value, places: vec![Place { turn, part: Part::Question, range }] }
    }
}

/// Writes a reply and notes what it reads.
#[derive(Debug)]
pub(crate) struct Pen {
    turn: usize,
    text: String,
    line: usize, // where the line begins, in bytes of `text`
    answer: usize,
    heeded: Vec<Vec<Place>>, // what the next piece depends on
    reads: Vec<Read>,
}

const OPEN: &str = "<think>\n";
const CLOSE: &str = "\n</think>\n\n";

impl Pen {
    pub(crate) fn new(turn: usize) -> Pen {
        Pen { turn, text: OPEN.to_owned(), line: OPEN.len(), answer: 0, heeded: Vec::new(), reads: Vec::new() }
    }

    /// Begins a line of thinking.
    pub(crate) fn line(&mut self) {
        if self.text.len() > OPEN.len() {
            self.text.push('\n');
        }
        self.line = self.text.len();
    }

    /// Ends the thinking and begins the answer.
    pub(crate) fn answer(&mut self) {
        self.text.push_str(CLOSE);
        self.line = self.text.len();
        self.answer = self.text.len();
    }

    /// Writes what follows from the line itself.
    pub(crate) fn put(&mut self, piece: impl Display) {
        self.piece(&piece);
    }

    /// Writes a value that is new here.
    pub(crate) fn write<T: Display>(&mut self, value: T) -> Fact<T> {
        let place = self.piece(&value);
        Fact { value, places: vec![place] }
    }

    /// Writes a value from memory; it is said here too from now on.
    pub(crate) fn recall<T: Display>(&mut self, fact: &mut Fact<T>) {
        self.heed(fact);
        let place = self.piece(&fact.value);
        fact.places.push(place);
    }

    /// As [`Pen::recall`], for a list of which only the newest copy says what is still on it.
    pub(crate) fn carry<T: Display>(&mut self, fact: &mut Fact<T>) {
        self.recall(fact);
        fact.places.drain(..fact.places.len() - 1);
    }

    /// Notes that the next piece depends on something.
    pub(crate) fn heed<T>(&mut self, fact: &Fact<T>) {
        let here =
            |place: &Place| place.turn == self.turn && place.part == Part::Reply && place.range.start >= self.line;
        if !fact.places.iter().any(here) {
            self.heeded.push(fact.places.clone());
        }
    }

    fn piece(&mut self, piece: &impl Display) -> Place {
        let from = self.text.len();
        self.text.push_str(&piece.to_string());
        let range = from..self.text.len();
        self.reads.extend(self.heeded.drain(..).map(|from| Read { at: range.clone(), from }));
        Place { turn: self.turn, part: Part::Reply, range }
    }

    /// The turn with what it reads.
    pub(crate) fn done(self, question: &str) -> (Turn, Vec<Read>) {
        let thinking = self.text[OPEN.len()..self.answer - CLOSE.len()].to_owned();
        let answer = self.text[self.answer..].to_owned();
        (Turn { question: question.to_owned(), thinking, answer }, self.reads)
    }
}
