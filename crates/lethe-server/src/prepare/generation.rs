//! Fields of generation to what the engine takes.

use std::hash::{BuildHasher, RandomState};

use lethe_engine::{Generation, RepetitionDetection, Sampling};

use crate::error::ApiError;
use crate::prepare::Context;
use crate::protocol::generation::{GenerationFields, RepetitionFields, Stop};

/// Most stop texts of a request.
const MOST_STOPS: usize = 64;
/// Most answers to one prompt.
const MOST_CHOICES: u32 = 128;

/// How to generate, everything but thinking, probabilities and form.
pub(crate) fn generation(
    fields: &GenerationFields,
    max_tokens: Option<u32>,
    context: Context<'_>,
) -> Result<Generation, ApiError> {
    let min_tokens = fields.min_tokens.unwrap_or(0);
    if let Some(most) = max_tokens.filter(|most| min_tokens > *most) {
        let message = format!("`min_tokens` is {min_tokens}, `max_tokens` only {most}");
        return Err(ApiError::invalid("min_tokens", message));
    }
    Ok(Generation {
        sampling: sampling(fields, context)?,
        max_tokens: max_tokens.map(|n| n as usize),
        min_tokens: min_tokens as usize,
        stop: stop(fields)?,
        stop_ids: stop_ids(fields, context)?,
        ignore_eos: fields.ignore_eos.unwrap_or(false),
        repetition: fields.repetition_detection.as_ref().map(repetition).transpose()?.flatten(),
        ..Generation::default()
    })
}

/// Answers to the same prompt.
pub(crate) fn choices(fields: &GenerationFields) -> Result<u32, ApiError> {
    match fields.n.unwrap_or(1) {
        n if (1..=MOST_CHOICES).contains(&n) => Ok(n),
        n => Err(ApiError::invalid("n", format!("`n` is {n}: give a whole number from 1 to {MOST_CHOICES}"))),
    }
}

/// Whether to stream, and whether with the usage.
pub(crate) fn streaming(fields: &GenerationFields) -> (bool, bool) {
    let usage = fields.stream_options.as_ref().and_then(|options| options.include_usage);
    (fields.stream.unwrap_or(false), usage.unwrap_or(false))
}

fn sampling(fields: &GenerationFields, context: Context<'_>) -> Result<Sampling, ApiError> {
    let mut s = Sampling::from_config(&context.served.model.generation);
    let f = fields;
    set(&mut s.temperature, "temperature", f.temperature, 0.0..=100.0)?;
    if f.top_p == Some(0.0) {
        return Err(ApiError::invalid("top_p", "`top_p` is 0: give a number above 0, at most 1"));
    }
    set(&mut s.top_p, "top_p", f.top_p, 0.0..=1.0)?;
    set(&mut s.min_p, "min_p", f.min_p, 0.0..=1.0)?;
    set(&mut s.presence_penalty, "presence_penalty", f.presence_penalty, -2.0..=2.0)?;
    set(&mut s.frequency_penalty, "frequency_penalty", f.frequency_penalty, -2.0..=2.0)?;
    set(&mut s.repetition_penalty, "repetition_penalty", f.repetition_penalty, 0.01..=100.0)?;
    if let Some(k) = f.top_k {
        let bad =
            || ApiError::invalid("top_k", format!("`top_k` is {k}: give a whole number of at least 1, or -1 for all"));
        s.top_k = if k == -1 { 0 } else { usize::try_from(k).map_err(|_| bad())? };
    }
    for (id, bias) in f.logit_bias.iter().flatten() {
        let bad = |what: &str| ApiError::invalid(format!("logit_bias.{id}"), format!("`logit_bias`: {what}"));
        let id: u32 = id.parse().map_err(|_| bad(&format!("`{id}` is no token id")))?;
        if !(-100.0..=100.0).contains(bias) {
            return Err(bad(&format!("{bias} for token {id} is not from -100 to 100")));
        }
        s.logit_bias.push((id, *bias as f32));
    }
    s.seed = f.seed.map_or_else(random, |seed| seed as u64);
    Ok(s)
}

/// A number that nobody can foresee.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

fn set(
    to: &mut f32,
    name: &'static str,
    value: Option<f64>,
    range: std::ops::RangeInclusive<f64>,
) -> Result<(), ApiError> {
    match value {
        None => Ok(()),
        Some(value) if range.contains(&value) => {
            *to = value as f32;
            Ok(())
        }
        Some(value) => {
            let (from, to) = (range.start(), range.end());
            Err(ApiError::invalid(name, format!("`{name}` is {value}: give a number from {from} to {to}")))
        }
    }
}

fn stop(fields: &GenerationFields) -> Result<Vec<String>, ApiError> {
    let stops = match &fields.stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text.clone()],
        Some(Stop::Many(texts)) => texts.clone(),
    };
    if stops.len() > MOST_STOPS {
        return Err(ApiError::invalid("stop", format!("`stop` has {} texts, at most {MOST_STOPS} do", stops.len())));
    }
    if stops.iter().any(String::is_empty) {
        return Err(ApiError::invalid("stop", "`stop` holds an empty text, which would end every answer at once"));
    }
    Ok(stops)
}

fn stop_ids(fields: &GenerationFields, context: Context<'_>) -> Result<Vec<u32>, ApiError> {
    let ids = fields.stop_token_ids.clone().unwrap_or_default();
    if ids.len() > MOST_STOPS {
        let message = format!("`stop_token_ids` has {} ids, at most {MOST_STOPS} do", ids.len());
        return Err(ApiError::invalid("stop_token_ids", message));
    }
    let vocab = context.served.model.decoder.dims.vocab;
    match ids.iter().find(|id| **id as usize >= vocab) {
        None => Ok(ids),
        Some(id) => {
            let message = format!("`stop_token_ids`: {id} is outside the vocabulary, which ends at {}", vocab - 1);
            Err(ApiError::invalid("stop_token_ids", message))
        }
    }
}

fn repetition(fields: &RepetitionFields) -> Result<Option<RepetitionDetection>, ApiError> {
    let RepetitionFields { max_pattern_size: most, min_pattern_size: least, min_count: count } = *fields;
    if most == 0 {
        return Ok(None);
    }
    let bad = |field: &str, what: &str| Err(ApiError::invalid(format!("repetition_detection.{field}"), what));
    if most > 1024 || least > most {
        return bad(
            "min_pattern_size",
            "`repetition_detection`: sizes go up to 1024, and the shortest must not be the longer",
        );
    }
    if !(2..=1024).contains(&count) {
        return bad("min_count", "`repetition_detection.min_count`: give a whole number from 2 to 1024");
    }
    Ok(Some(RepetitionDetection {
        max_pattern_size: most as usize,
        min_pattern_size: (least as usize).max(1),
        min_count: count as usize,
    }))
}
