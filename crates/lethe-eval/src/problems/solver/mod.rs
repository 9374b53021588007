//! Solves problems from the text of their questions and nothing else.
//!
//! The generators know what they meant; the solver reads what they wrote. It shares no code with them, so each checks
//! the other, and it takes the questions of any other generator of the same grammar.

mod cards;
mod days;
mod reader;
mod recipes;
mod rooms;
mod sort;

use super::{Family, Problem, Turn};
use crate::reads::{Pen, Read};
use reader::Reader;

/// Why a question has no solution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// The text departs from the grammar of its family.
    #[error("cannot read the question at byte {at}: expected {expected}, found {found:?}")]
    Unreadable {
        /// Where, in bytes of the question.
        at: usize,
        /// What the grammar wants there.
        expected: String,
        /// The text there, cut after some characters.
        found: String,
    },
    /// The text reads well but does not make sense.
    #[error("the question has no solution: {why}")]
    Senseless {
        /// What is wrong with it.
        why: String,
    },
}

/// Where a problem departs from what its questions imply. Turns count from 0, lines from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A question has no solution.
    #[error("turn {turn}: {source}")]
    Question {
        /// The turn.
        turn: usize,
        /// Why not.
        source: SolveError,
    },
    /// The first wrong line of a chain of thought; a missing line is empty.
    #[error("turn {turn}, line {line} of the thinking: expected {expected:?}, found {found:?}")]
    Thinking {
        /// The turn.
        turn: usize,
        /// The line.
        line: usize,
        /// The line that follows from the question.
        expected: String,
        /// The line there.
        found: String,
    },
    /// The chain of thought is right, the answer is not.
    #[error("turn {turn}: expected the answer {expected:?}, found {found:?}")]
    Answer {
        /// The turn.
        turn: usize,
        /// The answer that follows from the question.
        expected: String,
        /// The answer there.
        found: String,
    },
}

/// The turns, each with the thinking and the answer that its question and the ones before it imply.
///
/// # Errors
/// [`VerifyError::Question`] for the first question that cannot be read or makes no sense.
pub fn solve(family: Family, questions: &[&str]) -> Result<Vec<Turn>, VerifyError> {
    Ok(solve_and_note(family, questions)?.into_iter().map(|(turn, _)| turn).collect())
}

/// [`solve`], with what each reply reads.
pub(crate) fn solve_and_note(family: Family, questions: &[&str]) -> Result<Vec<(Turn, Vec<Read>)>, VerifyError> {
    let mut table = cards::Table::default();
    let mut turns = Vec::with_capacity(questions.len());
    for (turn, &question) in questions.iter().enumerate() {
        let (reader, mut pen) = (Reader::new(turn, question), Pen::new(turn));
        let solved = match family {
            Family::Cards | Family::TwoTurn => table.play(reader, turn, &mut pen),
            Family::Days => days::solve(reader, &mut pen),
            Family::Sort => sort::solve(reader, &mut pen),
            Family::Rooms => rooms::solve(reader, &mut pen),
            Family::Recipes => recipes::solve(reader, &mut pen),
        };
        solved.map_err(|source| VerifyError::Question { turn, source })?;
        turns.push(pen.done(question));
    }
    Ok(turns)
}

/// Checks every line of a problem's thinking, and its answers, against its questions. To find where a model's own
/// chain of thought goes wrong, put it in the place of the right one.
///
/// # Errors
/// The first departure.
pub fn verify(problem: &Problem) -> Result<(), VerifyError> {
    let questions: Vec<&str> = problem.turns.iter().map(|turn| turn.question.as_str()).collect();
    for (turn, (right, given)) in solve(problem.family, &questions)?.into_iter().zip(&problem.turns).enumerate() {
        let (mut expected, mut found) = (right.thinking.split('\n'), given.thinking.split('\n'));
        for line in 1.. {
            match (expected.next(), found.next()) {
                (None, None) => break,
                (a, b) if a == b => {}
                (a, b) => {
                    let [expected, found] = [a, b].map(|line| line.unwrap_or_default().to_owned());
                    return Err(VerifyError::Thinking { turn, line, expected, found });
                }
            }
        }
        if right.answer != given.answer {
            return Err(VerifyError::Answer { turn, expected: right.answer, found: given.answer.clone() });
        }
    }
    Ok(())
}

/// Shorthand for [`SolveError::Senseless`].
fn senseless<T>(why: String) -> Result<T, SolveError> {
    Err(SolveError::Senseless { why })
}

/// Writes things with something between them.
fn between<T>(pen: &mut Pen, separator: &str, things: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Pen, T)) {
    for (i, thing) in things.into_iter().enumerate() {
        if i > 0 {
            pen.put(separator);
        }
        write(pen, thing);
    }
}
