//! From answers to rows.

use lethe_engine::{FinishReason, Sampling};
use lethe_policy::PolicySpec;

use super::conversation::Conversation;
use super::journal::{Entry, Key};
use super::row::{FAILED, finish};
use super::runner::Outcome;
use super::{Row, Seconds, Setting};
use crate::question::Question;

/// A question in words and in tokens.
pub(super) struct Asked<'a> {
    pub(super) level: Option<f64>,
    pub(super) question: &'a Question,
    pub(super) talk: Conversation,
    /// Which of its answers that are drawn, and how it is.
    pub(super) sample: Option<usize>,
    pub(super) sampling: Sampling,
}

impl Asked<'_> {
    /// What tells the row of a setting from all others.
    pub(super) fn key(&self, setting: &Setting) -> Key {
        Key::new(&self.question.task, &self.question.id, self.sample, setting)
    }

    /// For people.
    pub(super) fn what(&self, spec: &PolicySpec) -> String {
        let sample = self.sample.map_or(String::new(), |sample| format!(", sample {sample},"));
        format!("{} {}{sample} under {spec}", self.question.task, self.question.id)
    }
}

/// The row of a conversation, its setting still open.
pub(super) fn entry(asked: &Asked<'_>, policy: &PolicySpec, outcome: &Outcome, full: Option<&[u32]>) -> Entry {
    let Outcome { turns, failed, .. } = outcome;
    let question = asked.question;
    let ids: Vec<u32> = turns.iter().flat_map(|(_, done)| done.token_ids.iter().copied()).collect();
    let looped = turns.iter().any(|(_, done)| done.looped);
    let (mut right, mut found) = (Vec::new(), Vec::new());
    for turn in 0..question.turns.len() {
        let (text, whole) = match turns.get(turn) {
            Some((text, done)) => (text.as_str(), done.reason == FinishReason::Stop && !done.looped),
            None => ("", false),
        };
        let mut grade = question.grader.grade(turn, text);
        grade.right.iter_mut().for_each(|right| *right &= whole);
        right.append(&mut grade.right);
        found.append(&mut grade.found);
    }
    let mut row = Row {
        task: question.task.clone(),
        id: question.id.clone(),
        sample: asked.sample,
        level: asked.level,
        policy: policy.to_string(),
        budget: None,
        protect: None,
        spec: policy.to_string(),
        raised: false,
        all_right: !right.is_empty() && right.iter().all(|&right| right),
        right,
        found,
        finish: match (failed, turns.last()) {
            (None, Some((_, done))) => finish(done.reason).to_owned(),
            _ => FAILED.to_owned(),
        },
        looped,
        prompt_tokens: turns.iter().map(|(_, done)| done.usage.prompt_tokens).collect(),
        tokens: turns.iter().map(|(_, done)| done.usage.completion_tokens).collect(),
        differs_at: full.and_then(|full| first_difference(full, &ids)),
        peak_slots: Vec::new(),
        peak_total_slots: None,
        mean_slots: 0.0,
        final_slots: Vec::new(),
        peak_bytes: 0,
        mean_bytes: 0,
        held_bytes: outcome.held.clone(),
        rounds: Vec::new(),
        evicted: 0,
        dropped_mass_mean: 0.0,
        dropped_mass_max: 0.0,
        hoyer: Vec::new(),
    };
    let mut seconds = Seconds::default();
    for (_, done) in turns {
        row.set_cache(done);
        seconds.add(done);
    }
    Entry { row, seconds, ids }
}

/// Where two texts part, if they do.
fn first_difference(a: &[u32], b: &[u32]) -> Option<usize> {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    (same < a.len().max(b.len())).then_some(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_part_where_one_goes_on() {
        assert_eq!(first_difference(&[1, 2, 3], &[1, 2, 3]), None);
        assert_eq!(first_difference(&[1, 2, 3], &[1, 9, 3]), Some(1));
        assert_eq!(first_difference(&[1, 2], &[1, 2, 3]), Some(2));
        assert_eq!(first_difference(&[1, 2, 3], &[]), Some(0));
    }
}
