//! Sort: take the smallest number away, again and again.

use super::{Family, Problem, ProblemError, Turn, fits, in_range, rng, rounded, spaced};
use crate::rng::Rng;

/// Problems of [`Family::Sort`]. A size that is not set is drawn by level, as in training: 3 to 14 numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sort {
    level: f64,
    numbers: Option<usize>,
}

impl Sort {
    /// Problems of a level.
    pub fn at(level: f64) -> Self {
        Sort { level: in_range(level), numbers: None }
    }

    /// Exactly so many numbers, 1 to 100, all different. The chain of thought has a line for each, and each line has
    /// all of them.
    #[must_use]
    pub fn numbers(self, numbers: usize) -> Self {
        Sort { numbers: Some(numbers), ..self }
    }

    /// The problem of `seed`.
    ///
    /// # Errors
    /// [`ProblemError::Size`] for a size out of range.
    pub fn generate(&self, seed: u64) -> Result<Problem, ProblemError> {
        let family = Family::Sort;
        fits(family, "numbers", self.numbers, 1, 100)?;
        Ok(Problem { family, level: self.level, seed, turns: self.draw(&mut rng(family, seed)) })
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> Vec<Turn> {
        let count = self.numbers.unwrap_or_else(|| rng.between(3, 4 + rounded(10.0 * self.level)));
        let numbers = rng.sample(&(0..100).collect::<Vec<usize>>(), count);
        let mut sorted = numbers.clone();
        sorted.sort_unstable();

        let line = |(i, &smallest): (usize, &usize)| {
            let left = spaced(numbers.iter().copied().filter(|&n| n > smallest));
            let left = if left.is_empty() { "none" } else { &left };
            format!("Smallest {smallest}; left {left}; sorted {}.", spaced(sorted[..=i].iter().copied()))
        };
        let lines: Vec<String> = sorted.iter().enumerate().map(line).collect();
        vec![Turn {
            question: format!("Sort {}.", spaced(numbers.iter().copied())),
            thinking: lines.join("\n"),
            answer: format!("{}.", spaced(sorted.iter().copied())),
        }]
    }
}
