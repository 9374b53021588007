//! Questions of one kind.

use serde_json::Map;

use super::conversation::Conversation;
use super::problem::{gold_tokens, question};
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
    /// Fewest and most slots that a right answer to them fills, where they were chosen by it.
    pub slots: Option<[usize; 2]>,
    /// The questions, no id twice.
    pub questions: Vec<Question>,
}

/// How hard and how long generated problems are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difficulty {
    /// 0 to 1: the largest sizes; smaller ones are drawn as well.
    pub level: f64,
    /// Fewest and most slots, prompts included, that the right answer fills in a full cache. Other draws are passed over.
    pub slots: Option<[usize; 2]>,
}

impl Difficulty {
    /// Problems of a level, however long.
    pub fn level(level: f64) -> Difficulty {
        Difficulty { level, slots: None }
    }

    /// Long enough to forget: right answers of 400 to 900 slots, at a level where many draws are. Sort is never that long in
    /// the world of the embedded model: there the longest, 12 to 14 numbers.
    pub fn of(family: Family) -> Difficulty {
        match family {
            Family::Cards => Difficulty { level: 0.6, slots: Some([400, 900]) },
            Family::TwoTurn => Difficulty { level: 0.5, slots: Some([400, 900]) },
            Family::Days | Family::Rooms | Family::Recipes => Difficulty { level: 1.0, slots: Some([400, 900]) },
            Family::Sort => Difficulty { level: 1.0, slots: Some([280, 360]) },
        }
    }
}

/// Seeds of problems that one seed of a suite has.
const SEEDS: u64 = 1_000_000;
/// Draws for each problem before its length counts as out of reach; the rarest default takes six.
const DRAWS: usize = 100;

impl Suite {
    /// `count` generated problems: those of seeds `seed * 1_000_000 + i`, from i = 0 on, that have the length asked for.
    ///
    /// # Errors
    /// [`GridError::NoTemplate`] where the model cannot be asked in words; [`GridError::BadSeed`], [`GridError::TooMany`];
    /// [`GridError::TooRare`] where hardly a problem of that level has that length; what the tokenizer refuses.
    pub fn generated(
        subject: &Subject,
        family: Family,
        difficulty: Difficulty,
        count: usize,
        seed: u64,
    ) -> Result<Suite, GridError> {
        let Some(first) = seed.checked_mul(SEEDS).filter(|first| first.checked_add(SEEDS).is_some()) else {
            return Err(GridError::BadSeed { seed, most: u64::MAX / SEEDS - 1 });
        };
        let most = SEEDS as usize / DRAWS;
        if count == 0 || count > most {
            return Err(GridError::TooMany { asked: count, most });
        }
        let (tokenizer, _) = subject.speech()?;
        let Difficulty { level, slots } = difficulty;
        let mut questions = Vec::with_capacity(count);
        for seed in first..first + (count * DRAWS) as u64 {
            let problem = generate(family, level, seed);
            let gold = gold_tokens(&problem, tokenizer)?;
            let question = question(problem, &gold);
            let fits = match slots {
                None => true,
                Some([least, most]) => {
                    let prompts = Conversation::new(subject, &question, &Map::new())?.prompts();
                    (least..=most).contains(&(prompts + gold.iter().sum::<usize>()))
                }
            };
            if fits {
                questions.push(question);
            }
            if questions.len() == count {
                return Ok(Suite { task: family.name().to_owned(), level: Some(level), slots, questions });
            }
        }
        let [least, most] = slots.unwrap_or_default();
        Err(GridError::TooRare { task: family.name().to_owned(), level, least, most, found: questions.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_problems_of_its_default_length() {
        let subject = Subject::embedded().unwrap();
        for family in Family::ALL {
            let suite = Suite::generated(&subject, family, Difficulty::of(family), 3, 7).unwrap();
            let more = Suite::generated(&subject, family, Difficulty::of(family), 4, 7).unwrap();
            let ids = |suite: &Suite| suite.questions.iter().map(|q| q.id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&suite), ids(&more)[..3]);
            assert!(ids(&suite).iter().all(|id| id.starts_with("7000") && id.len() == 7), "{:?}", ids(&suite));
            let most: Vec<usize> = suite.questions.iter().map(|q| q.max_tokens.iter().sum()).collect();
            assert!(most.iter().all(|most| (250..1400).contains(most)), "{family}: {most:?}");
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let subject = Subject::embedded().unwrap();
        let draw = |difficulty, count, seed| {
            Suite::generated(&subject, Family::Sort, difficulty, count, seed).unwrap_err().to_string()
        };
        let long = Difficulty { level: 0.1, slots: Some([900, 999]) };
        assert!(draw(long, 1, 1).contains("900 to 999"), "{}", draw(long, 1, 1));
        assert!(draw(Difficulty::level(0.1), 0, 1).contains("0 problems"));
        assert!(draw(Difficulty::level(0.1), 1, u64::MAX).contains("18446744073708"));
    }
}
