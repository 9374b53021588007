//! What a turn cost, for people and for programs.

use lethe_engine::{Engine, FinishReason, Finished, KvReport, Sampling, human_bytes};
use lethe_policy::PolicySpec;
use serde_json::json;

use crate::show::Said;
use crate::{Fault, terminal};

/// Tokens per second after the first; `None` where there was no time to measure.
pub(crate) fn decode_speed(done: &Finished) -> Option<f64> {
    let seconds = done.timing.decode.as_secs_f64();
    (done.usage.completion_tokens > 1 && seconds > 0.0).then(|| (done.usage.completion_tokens - 1) as f64 / seconds)
}

/// Mean over layers.
pub(crate) fn mean(per_layer: &[usize]) -> f64 {
    per_layer.iter().sum::<usize>() as f64 / per_layer.len().max(1) as f64
}

/// Why it ended, in words: `length` names its limit.
pub(crate) fn reason(done: &Finished) -> String {
    match (done.reason, done.limit) {
        (FinishReason::Length, Some(limit)) => format!("length: reached {limit}"),
        (FinishReason::Length, None) => "length".into(),
        (FinishReason::Stop, _) => "stop".into(),
        (FinishReason::Cancelled, _) => "cancelled".into(),
        (FinishReason::Repetition, _) => "repetition".into(),
    }
}

/// The policy with what it made of this machine, such as the cap of `auto`, and how tokens are chosen.
pub(crate) fn settings(spec: &PolicySpec, engine: &Engine, sampling: &Sampling) -> Result<String, Fault> {
    let policy = spec.build(&engine.context())?;
    let options: Vec<String> = policy.options().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    Ok(format!("policy {} {} · {sampling}", policy.name(), options.join(" ")))
}

/// What is said on stderr when a turn is over; `before` it, the session had fed so many tokens.
pub(crate) fn close(done: &Finished, before: usize, quiet: bool) {
    if !quiet {
        terminal::notice(line(done, before));
    } else if done.reason == FinishReason::Length {
        // Nothing is cut off silently, not even quietly.
        terminal::notice(reason(done));
    }
}

/// The statistics line.
pub(crate) fn line(done: &Finished, before: usize) -> String {
    let speed = decode_speed(done).map(|s| format!(" at {s:.1} tok/s")).unwrap_or_default();
    let kv = &done.kv;
    // the last token is sampled and not yet fed
    let seen = before + done.usage.prompt_tokens + done.usage.completion_tokens.saturating_sub(1);
    let cached = match done.usage.cached_tokens {
        0 => String::new(),
        n => format!(" ({n} cached)"),
    };
    format!(
        "{}{cached} + {} tokens{speed} · {} · {} · slots per layer {:.0} of {seen} (peak {}) · {} rounds, {} forgotten · KV peak {}",
        done.usage.prompt_tokens,
        done.usage.completion_tokens,
        reason(done),
        policy(kv),
        mean(&kv.final_slots),
        kv.peak_slots.iter().max().unwrap_or(&0),
        kv.rounds.iter().sum::<usize>(),
        kv.evicted,
        human_bytes(kv.peak_bytes),
    )
}

fn policy(kv: &KvReport) -> String {
    match kv.options.get("cap") {
        Some(cap) if !cap.is_null() => format!("{} cap {}", kv.policy, cap.to_string().trim_matches('"')),
        _ => kv.policy.clone(),
    }
}

/// The object of `--json`.
pub(crate) fn json(said: &Said) -> serde_json::Value {
    let done = &said.done;
    let mut object = json!({
        "token_ids": done.token_ids,
        "text": said.text,
        "reasoning": said.thinking,
        "finish_reason": done.reason,
        "usage": done.usage,
        "kv": done.kv,
    });
    object["usage"]["reasoning_tokens"] = said.reasoning_tokens.into();
    if let Some(limit) = done.limit {
        object["limit"] = limit.to_string().into();
    }
    object
}
