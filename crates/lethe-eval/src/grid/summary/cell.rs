//! One policy in one place of the grid.

use super::{Answers, Comparison, by_question};
use crate::dataset::samples::{mean_pass_at_k, pass_at_1};
use crate::grid::Row;
use crate::statistics::{Interval, median, wilson};

/// Resamples of a bootstrap interval.
const RESAMPLES: usize = 10_000;
/// A round on fewer problems than this share means that the policy was hardly tried.
const EXERCISED: f64 = 0.9;

/// What the answers of one policy to the same questions come to.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The policy as asked for.
    pub policy: String,
    /// Answers: one to each question, or several that were drawn.
    pub problems: usize,
    /// Right ones, in every part.
    pub right: usize,
    /// Wilson's interval of that rate; of answers that were drawn, the bootstrap interval by question.
    pub interval: Interval,
    /// Where answers were drawn: how many to a question, and the chance that at least one of them is right.
    pub any: Option<(usize, f64)>,
    /// Share of the parts that are right, where questions have several.
    pub parts: Option<f64>,
    /// Tokens of the prompts and of the answers, mean over questions.
    pub tokens: [f64; 2],
    /// Slots held at the end, prompts included, mean over layers and questions.
    pub slots: f64,
    /// Slots held beyond the prompt over what `full` held there at the end: mean over steps, then over questions.
    pub mean_share: f64,
    /// The same of the most ever held.
    pub peak_share: f64,
    /// Mean over questions of the most bytes held.
    pub peak_bytes: f64,
    /// Mean over questions of the mean over steps of the bytes held.
    pub mean_bytes: f64,
    /// Bytes held when the first token came and after every [`EVERY`](crate::grid::EVERY)th, mean over the answers that got so far;
    /// it ends where fewer than half of them did.
    pub held_bytes: Vec<f64>,
    /// Length of the answers over those of `full`, mean over questions.
    pub inflation: f64,
    /// Share of answers that hit their limit.
    pub cut_off: f64,
    /// Share of answers that loop.
    pub looped: f64,
    /// Share of questions on which something was forgotten.
    pub exercised: f64,
    /// Share of questions on which the policy's smallest budget holds more than asked.
    pub raised: f64,
    /// Median over questions of the first token that differs from that of `full`, where one does.
    pub differs_at: Option<f64>,
    /// Differences to the baselines.
    pub comparisons: Vec<Comparison>,
}

impl Cell {
    pub(super) fn new(policy: &str, answers: &Answers<'_>, full: &Answers<'_>) -> Cell {
        let problems = answers.len();
        let right = answers.values().filter(|row| row.all_right).count();
        let share =
            |is: &dyn Fn(&Row) -> bool| answers.values().filter(|row| is(row)).count() as f64 / problems.max(1) as f64;
        let mean = |of: &dyn Fn(&Row) -> f64| answers.values().map(|row| of(row)).sum::<f64>() / problems.max(1) as f64;
        // over questions on which `full` held something beyond the prompt, or said something
        let over = |of: &dyn Fn(&Row) -> f64, whole: &dyn Fn(&Row) -> f64| {
            let pairs = answers.iter().filter_map(|(question, row)| Some((of(row), whole(full.get(question)?))));
            let ratios: Vec<f64> = pairs.filter(|(_, whole)| *whole > 0.0).map(|(of, whole)| of / whole).collect();
            ratios.iter().sum::<f64>() / ratios.len().max(1) as f64
        };
        let drawn = answers.keys().any(|(_, _, sample)| sample.is_some());
        let outcomes = by_question(answers, |_, row| row.all_right);
        let least = outcomes.iter().map(Vec::len).min().unwrap_or(0);
        let clustered = || pass_at_1(&outcomes, RESAMPLES, 1).ok().map(|(_, interval)| interval);
        let parts = || answers.values().flat_map(|row| &row.right);
        let differs: Vec<f64> = answers.values().filter_map(|row| row.differs_at).map(|at| at as f64).collect();
        Cell {
            policy: policy.to_owned(),
            problems,
            right,
            interval: if drawn { clustered() } else { None }.unwrap_or(wilson(right, problems)),
            any: if drawn { mean_pass_at_k(&outcomes, least).map(|any| (least, any)) } else { None },
            parts: (parts().count() > problems)
                .then(|| parts().filter(|right| **right).count() as f64 / parts().count() as f64),
            tokens: [
                mean(&|row| row.prompt_tokens.iter().sum::<usize>() as f64),
                mean(&|row| row.answer_tokens() as f64),
            ],
            slots: mean(&Row::slots),
            mean_share: over(&Row::mean_beyond_prompt, &Row::beyond_prompt),
            peak_share: over(&Row::peak_beyond_prompt, &Row::beyond_prompt),
            peak_bytes: mean(&|row| row.peak_bytes as f64),
            mean_bytes: mean(&|row| row.mean_bytes as f64),
            held_bytes: held_bytes(answers),
            inflation: over(&|row| row.answer_tokens() as f64, &|row| row.answer_tokens() as f64),
            cut_off: share(&Row::cut_off),
            looped: share(&|row| row.looped),
            exercised: share(&Row::exercised),
            raised: share(&|row| row.raised),
            differs_at: median(&differs),
            comparisons: Vec::new(),
        }
    }

    /// Share of right answers: of those that were drawn, pass@1.
    pub fn rate(&self) -> f64 {
        self.right as f64 / self.problems.max(1) as f64
    }

    /// Whether the policy forgot something often enough for its rate to say something of it.
    pub fn is_exercised(&self) -> bool {
        self.exercised >= EXERCISED
    }
}

fn held_bytes(answers: &Answers<'_>) -> Vec<f64> {
    let at = |reading: usize| {
        let held: Vec<u64> = answers.values().filter_map(|row| row.held_bytes.get(reading).copied()).collect();
        let enough = !held.is_empty() && 2 * held.len() >= answers.len();
        enough.then(|| held.iter().sum::<u64>() as f64 / held.len() as f64)
    };
    (0..).map_while(at).collect()
}
