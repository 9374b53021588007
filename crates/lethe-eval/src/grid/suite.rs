//! Questions of one kind.

use super::problem::question;
use super::{GridError, Subject};
use crate::problems::{Family, generate};
use crate::question::Question;

/// The questions of one task.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The task, as every question of it names it.
    pub task: String,
    /// How hard generated problems are, 0 to 1; `None` for questions that nobody generated.
    pub level: Option<f64>,
    /// The questions, no id twice.
    pub questions: Vec<Question>,
}

impl Suite {
    /// `count` generated problems, problem i of seed `seed * 1_000_000 + i`. Without a level, [`default_level`].
    ///
    /// # Errors
    /// [`GridError::NoTemplate`] where the model cannot be asked in words; [`GridError::TooMany`] for more problems than a
    /// seed has; what the tokenizer refuses.
    pub fn generated(
        subject: &Subject,
        family: Family,
        level: Option<f64>,
        count: usize,
        seed: u64,
    ) -> Result<Suite, GridError> {
        const SEEDS: u64 = 1_000_000;
        let Some(first) = seed.checked_mul(SEEDS).filter(|first| first.checked_add(SEEDS).is_some()) else {
            return Err(GridError::BadSeed { seed, most: u64::MAX / SEEDS - 1 });
        };
        if count == 0 || count as u64 > SEEDS {
            return Err(GridError::TooMany { asked: count, most: SEEDS as usize });
        }
        let (tokenizer, _) = subject.speech()?;
        let level = level.unwrap_or(default_level(family));
        let questions = (first..first + count as u64)
            .map(|seed| question(generate(family, level, seed), tokenizer))
            .collect::<Result<_, _>>()?;
        Ok(Suite { task: family.name().to_owned(), level: Some(level), questions })
    }
}

/// The level of a family where right answers of the embedded model, prompt included, come nearest to 400 to 900 tokens.
pub fn default_level(family: Family) -> f64 {
    match family {
        Family::Cards | Family::TwoTurn => 0.6,
        Family::Days | Family::Sort | Family::Rooms => 1.0,
    }
}
