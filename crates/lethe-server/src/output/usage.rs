//! Usage of a request, summed over its choices.

use lethe_engine::{FinishReason, Finished, KvReport};

use crate::protocol::usage::{DroppedMass, KvUsage, Usage};

/// One choice that ended.
pub(crate) struct Ended<'a> {
    pub(crate) done: &'a Finished,
    pub(crate) reasoning_tokens: usize,
    /// The first of its prompt: counts the prompt's tokens.
    pub(crate) first: bool,
}

/// The sum. `risk` is the dropped mass past which there is a warning.
pub(crate) fn sum<'a>(choices: impl Iterator<Item = Ended<'a>>, risk: f64) -> Usage {
    let mut usage = Usage::default();
    let (mut count, mut dropped) = (0u64, 0.0);
    for Ended { done, reasoning_tokens, first } in choices {
        if first {
            usage.prompt_tokens += done.usage.prompt_tokens as u64;
            usage.prompt_tokens_details.cached_tokens += done.usage.cached_tokens as u64;
        }
        usage.completion_tokens += done.usage.completion_tokens as u64;
        usage.completion_tokens_details.reasoning_tokens += reasoning_tokens as u64;
        add(&mut usage.kv, &done.kv, count, &mut dropped);
        warn(&mut usage.kv.warnings, done, risk);
        count += 1;
    }
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
    usage
}

fn add(kv: &mut KvUsage, report: &KvReport, before: u64, dropped: &mut f64) {
    let rounds = report.rounds.iter().sum::<usize>() as u64;
    kv.policy.clone_from(&report.policy);
    kv.options.clone_from(&report.options);
    kv.peak_slots = kv.peak_slots.max(report.peak_slots.iter().copied().max().unwrap_or(0) as u64);
    kv.mean_slots += (report.mean_slots - kv.mean_slots) / (before + 1) as f64;
    kv.evicted += report.evicted as u64;
    kv.rounds += rounds;
    kv.bytes += report.peak_bytes;
    kv.tightened += report.tightened as u64;
    *dropped += report.dropped_mass.mean * rounds as f64;
    let mean = if kv.rounds == 0 { 0.0 } else { *dropped / kv.rounds as f64 };
    kv.dropped_mass = DroppedMass { mean, max: kv.dropped_mass.max.max(report.dropped_mass.max) };
}

fn warn(warnings: &mut Vec<String>, done: &Finished, risk: f64) {
    let mass = done.kv.dropped_mass.max;
    let mut say = |text: String| {
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    };
    if mass > risk {
        say(format!("a round dropped {:.1} % of the attention mass, more than {:.1} %", 100.0 * mass, 100.0 * risk));
    }
    if done.looped || done.reason == FinishReason::Repetition {
        say("the text went round in a loop".into());
    }
}
