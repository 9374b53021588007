//! Seeded problems of bookkeeping, each with its one right chain of thought.
//!
//! Text and distributions are those that the embedded reasoner was trained on (`training/`); the random stream is our own. A
//! problem is a function of family, level and seed alone, now and in every later version: results name seeds. (The lines of
//! days have changed once, with the second `reasoner-s`: they now say what is compared.)
//!
//! [`generate`] draws sizes by level. Where an exact size is wanted, each family has a builder: [`Cards`], [`Days`],
//! [`Sort`], [`Rooms`], [`Recipes`]. [`solver`] solves problems from their text alone and so checks the generators.

mod cards;
mod days;
mod family;
mod recipes;
mod rooms;
pub mod solver;
mod sort;

use serde::{Deserialize, Serialize};

pub use cards::Cards;
pub use days::Days;
pub use family::Family;
pub use recipes::Recipes;
pub use rooms::Rooms;
pub use sort::Sort;

use crate::rng::Rng;

/// A problem of one or more turns. A later turn builds on the earlier ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// What it asks for.
    pub family: Family,
    /// Difficulty, 0 to 1: the sizes grow with it.
    pub level: f64,
    /// What it was drawn from.
    pub seed: u64,
    /// Questions with their replies; one turn except in [`Family::TwoTurn`].
    pub turns: Vec<Turn>,
}

/// One question and the reply that it should get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// What the user says.
    pub question: String,
    /// The right chain of thought, one step a line.
    pub thinking: String,
    /// The right answer: one line.
    pub answer: String,
}

impl Turn {
    /// The ideal reply as a model writes it: thinking between its marks, then the answer.
    pub fn reply(&self) -> String {
        format!("<think>\n{}\n</think>\n\n{}", self.thinking, self.answer)
    }
}

impl Problem {
    /// Whether `text`, a whole reply to turn `turn`, ends in the right answer: what follows the last `</think>`, without
    /// end-of-turn marks and outer white space, is the answer to the letter. How the model got there does not count;
    /// a reply cut off while thinking is wrong, and so is any reply to a turn that does not exist.
    pub fn check(&self, turn: usize, text: &str) -> bool {
        let said = text.rsplit("</think>").next().unwrap_or(text).replace("<|im_end|>", "");
        self.turns.get(turn).is_some_and(|turn| said.trim() == turn.answer)
    }
}

/// The problem of `family` and `seed` with sizes drawn by `level`, which is taken into 0..=1 (not-a-number as 0).
///
/// The level sets the largest sizes; smaller ones are drawn as well, as in training.
pub fn generate(family: Family, level: f64, seed: u64) -> Problem {
    let level = in_range(level);
    let mut rng = rng(family, seed);
    let turns = match family {
        Family::Cards => Cards::at(level).draw(&mut rng),
        Family::TwoTurn => Cards::two_turn(level).draw(&mut rng),
        Family::Days => Days::at(level).draw(&mut rng),
        Family::Sort => Sort::at(level).draw(&mut rng),
        Family::Rooms => Rooms::at(level).draw(&mut rng),
        Family::Recipes => Recipes::at(level).draw(&mut rng),
    };
    Problem { family, level, seed, turns }
}

/// Why no problem of that kind can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemError {
    /// No family of that name.
    #[error("unknown family `{name}`; known families: {}", Family::ALL.map(Family::name).join(", "))]
    UnknownFamily {
        /// The name given.
        name: String,
    },
    /// A size for which the family has no problems.
    #[error("{family}: {have} {what} asked for; choose {least} to {most}")]
    Size {
        /// The family.
        family: Family,
        /// What is counted.
        what: &'static str,
        /// The size asked for.
        have: usize,
        /// The smallest size there is.
        least: usize,
        /// The largest.
        most: usize,
    },
    /// Drawn again and again, every run left 0 to 99 or went in circles.
    #[error("{family}: {tries} tries gave no run of {moves} moves within 0 to 99; ask for fewer moves")]
    Unlucky {
        /// The family.
        family: Family,
        /// Moves a turn.
        moves: usize,
        /// Draws made.
        tries: usize,
    },
}

/// The stream of a family. The numbers are fixed for ever, the order of the enum is not.
fn rng(family: Family, seed: u64) -> Rng {
    let stream = match family {
        Family::Cards => 1,
        Family::TwoTurn => 2,
        Family::Days => 3,
        Family::Sort => 4,
        Family::Rooms => 5,
        Family::Recipes => 6,
    };
    Rng::stream(seed, stream)
}

/// A level in 0..=1.
fn in_range(level: f64) -> f64 {
    if level.is_nan() { 0.0 } else { level.clamp(0.0, 1.0) }
}

/// `x` to the nearest whole number, halves to the even one: how the training problems were sized.
fn rounded(x: f64) -> usize {
    x.round_ties_even() as usize
}

/// Refuses an exact size outside `least..=most`; a size left to the level passes.
fn fits(
    family: Family,
    what: &'static str,
    size: Option<usize>,
    least: usize,
    most: usize,
) -> Result<(), ProblemError> {
    match size {
        Some(have) if !(least..=most).contains(&have) => Err(ProblemError::Size { family, what, have, least, most }),
        _ => Ok(()),
    }
}

/// Numbers with single spaces between them.
fn spaced(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(" ")
}
