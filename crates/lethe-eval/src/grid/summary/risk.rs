//! What foretells a wrong answer.

use super::Answers;
use crate::grid::{Protection, Row};
use crate::statistics::{Auc, auc};

/// A number of a row by its name.
pub type Predictor = (&'static str, fn(&Row) -> f64);

/// What may foretell one. Means are over layers.
pub const PREDICTORS: [Predictor; 4] = [
    ("dropped mass, mean", |row| row.dropped_mass_mean),
    ("dropped mass, largest", |row| row.dropped_mass_max),
    ("Hoyer", |row| row.hoyer.iter().sum::<f64>() / row.hoyer.len().max(1) as f64),
    ("rounds", |row| row.rounds.iter().sum::<usize>() as f64 / row.rounds.len().max(1) as f64),
];

/// How well each of [`PREDICTORS`] tells wrong answers of one policy from right ones.
#[derive(Clone, Debug)]
pub struct Risk {
    /// The policy as asked for.
    pub policy: String,
    /// The budget as asked for.
    pub budget: String,
    /// Whether prompts were protected.
    pub protect: Protection,
    /// Answers, and wrong ones among them.
    pub answers: usize,
    /// Wrong ones.
    pub wrong: usize,
    /// Whether several answers to each question were drawn: then the intervals below say too little, since answers to one
    /// question are no independent evidence.
    pub drawn: bool,
    /// In the order of [`PREDICTORS`]; `None` where it is the same for all answers, or hardly any is right or wrong.
    pub auc: [Option<Auc>; PREDICTORS.len()],
}

impl Risk {
    pub(super) fn new(policy: &str, budget: &str, protect: Protection, answers: &Answers<'_>) -> Risk {
        let wrong: Vec<bool> = answers.values().map(|row| !row.all_right).collect();
        let auc = PREDICTORS.map(|(_, of)| {
            let values: Vec<f64> = answers.values().map(|row| of(row)).collect();
            let varies = values.iter().any(|value| *value != values[0]);
            if varies { auc(&values, &wrong) } else { None }
        });
        Risk {
            policy: policy.to_owned(),
            budget: budget.to_owned(),
            protect,
            answers: wrong.len(),
            wrong: wrong.iter().filter(|w| **w).count(),
            drawn: answers.keys().any(|(_, _, sample)| sample.is_some()),
            auc,
        }
    }
}
