//! What a turn cost, for people and for programs.

use lethe_engine::{FinishReason, Finished, KvReport, human_bytes};
use serde_json::json;

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
    }
}

/// The statistics line.
pub(crate) fn line(done: &Finished) -> String {
    let speed = decode_speed(done).map(|s| format!(" at {s:.1} tok/s")).unwrap_or_default();
    let kv = &done.kv;
    // the last token is sampled and not yet fed
    let seen = (done.usage.prompt_tokens + done.usage.completion_tokens).saturating_sub(1);
    format!(
        "{} + {} tokens{speed} · {} · {} · slots per layer {:.0} of {seen} (peak {}) · {} rounds, {} forgotten · KV peak {}",
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
pub(crate) fn json(done: &Finished, text: &str) -> serde_json::Value {
    let mut object = json!({
        "token_ids": done.token_ids,
        "text": text,
        "finish_reason": done.reason,
        "usage": done.usage,
        "kv": done.kv,
    });
    if let Some(limit) = done.limit {
        object["limit"] = limit.to_string().into();
    }
    object
}
