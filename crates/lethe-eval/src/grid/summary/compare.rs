//! Differences on the same questions.

use std::collections::BTreeMap;

use super::{Answers, Cell};
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
    /// Questions that only the policy answered rightly.
    pub won: usize,
    /// Questions that only the baseline did.
    pub lost: usize,
    /// Exact McNemar test, two-sided.
    pub p: f64,
    /// The same, adjusted by Holm over all comparisons of the family.
    pub adjusted: f64,
}

impl Comparison {
    /// Whether the difference counts, with 5 % for the whole family.
    pub fn significant(&self) -> bool {
        self.adjusted < 0.05
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
    let rates = |right: &[bool]| right.iter().map(|&right| f64::from(u8::from(right))).collect::<Vec<f64>>();
    let interval = paired_bootstrap(&rates(&mine), &rates(&theirs), RESAMPLES, seed).ok()?;
    let (difference, p) = ((won as f64 - lost as f64) / mine.len() as f64, mcnemar(won, lost));
    Some(Comparison { with: with.to_owned(), difference, interval, won, lost, p, adjusted: p })
}
