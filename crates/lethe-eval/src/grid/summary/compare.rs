//! Differences on the same questions.

use std::collections::BTreeMap;

use super::{Answers, Cell, by_question};
use crate::dataset::samples::sign_flip;
use crate::statistics::{Interval, discordant, holm, mcnemar, paired_bootstrap};

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 10_000;

/// How a policy differs from a baseline on the same questions.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The baseline.
    pub with: String,
    /// Rate of the policy less that of the baseline.
    pub difference: f64,
    /// Its paired bootstrap interval.
    pub interval: Interval,
    /// Answers right only under the policy.
    pub won: usize,
    /// Answers right only under the baseline.
    pub lost: usize,
    /// Two-sided: exact McNemar test; of answers that were drawn, a sign-flip test over questions.
    pub p: f64,
    /// The same, adjusted by Holm over all comparisons of the family.
    pub adjusted: f64,
    /// Whether either side held more than asked on some questions: then they differ in more than the policy.
    pub raised: bool,
}

impl Comparison {
    /// Whether the difference counts, with 5 % for the whole family: never where either side held more than asked.
    pub fn significant(&self) -> bool {
        !self.raised && self.adjusted < 0.05
    }
}

/// Compares the cells of a family with the baselines among `all`, or with `full`.
pub(super) fn compare(
    cells: &mut [Cell],
    all: &[(&str, Answers<'_>)],
    full: &Answers<'_>,
    against: &[String],
    seed: u64,
) {
    let base = |name: &String| match name.as_str() {
        "full" => Some(("full", full)),
        name => all.iter().find(|(policy, _)| *policy == name).map(|(policy, answers)| (*policy, answers)),
    };
    for (cell, (policy, answers)) in cells.iter_mut().zip(all) {
        let bases = against.iter().filter_map(base).filter(|(name, _)| name != policy);
        cell.comparisons = bases.filter_map(|(name, other)| pair(name, answers, other, seed)).collect();
    }
    adjust(cells);
}

/// Adjusts all comparisons together; that of two baselines, told from both sides, is one.
fn adjust(cells: &mut [Cell]) {
    let mut tests: BTreeMap<(String, String), f64> = BTreeMap::new();
    let key = |policy: &str, with: &str| (policy.min(with).to_owned(), policy.max(with).to_owned());
    for cell in cells.iter() {
        tests.extend(cell.comparisons.iter().map(|c| (key(&cell.policy, &c.with), c.p)));
    }
    let adjusted = holm(&tests.values().copied().collect::<Vec<f64>>());
    tests.values_mut().zip(adjusted).for_each(|(p, adjusted)| *p = adjusted);
    for cell in cells {
        for comparison in &mut cell.comparisons {
            comparison.adjusted = tests[&key(&cell.policy, &comparison.with)];
        }
    }
}

/// Over the questions that both answered; `None` where there are none.
fn pair(with: &str, answers: &Answers<'_>, other: &Answers<'_>, seed: u64) -> Option<Comparison> {
    let both = answers.iter().filter_map(|(question, row)| Some((row.all_right, other.get(question)?.all_right)));
    let (mine, theirs): (Vec<bool>, Vec<bool>) = both.unzip();
    let (won, lost) = discordant(&mine, &theirs).ok()?;
    // Samples of one question are no independent evidence: questions are resampled, and change sides, as a whole.
    let both: Answers<'_> =
        answers.iter().filter(|(key, _)| other.contains_key(*key)).map(|(k, row)| (*k, *row)).collect();
    let rates = |of: &Answers<'_>| -> Vec<f64> {
        let right = by_question(&both, |key, _| of.get(key).is_some_and(|row| row.all_right));
        right.iter().map(|samples| samples.iter().filter(|&&r| r).count() as f64 / samples.len() as f64).collect()
    };
    let (mine_by_question, theirs_by_question) = (rates(answers), rates(other));
    let interval = paired_bootstrap(&mine_by_question, &theirs_by_question, RESAMPLES, seed).ok()?;
    let differences: Vec<f64> = mine_by_question.iter().zip(&theirs_by_question).map(|(a, b)| a - b).collect();
    let difference = differences.iter().sum::<f64>() / differences.len() as f64;
    let drawn = both.keys().any(|(_, _, sample)| sample.is_some());
    let p = if drawn { sign_flip(&differences, RESAMPLES, seed) } else { mcnemar(won, lost) };
    let raised = answers.values().chain(other.values()).any(|row| row.raised);
    Some(Comparison { with: with.to_owned(), difference, interval, won, lost, p, adjusted: p, raised })
}
