//! Requests submitted at once and timed until the last is done: what a full machine gets through.

use std::time::Duration;

use lethe_engine::{EngineOptions, Finished, Generation};

use super::rig::Rig;
use super::row::{Row, Spread};
use super::{Setup, progress::Progress};
use crate::Fault;

/// The requests, and how often they are run.
pub(super) struct Load {
    /// Tokens of each prompt.
    pub(super) prompt: usize,
    /// New tokens of each request.
    pub(super) new: usize,
    /// Runs that are not timed.
    pub(super) warmup: usize,
    /// Runs that are.
    pub(super) repeats: usize,
}

/// One run.
struct Run {
    /// Of all steps: what is drawn between them does not count.
    time: Duration,
    /// Of the steps that read prompts.
    prompt_time: Duration,
    steps: usize,
    kv_peak_bytes: u64,
    ended: Vec<Finished>,
}

/// An engine for them.
///
/// # Errors
/// Requests beyond the model's positions; memory that is too little for any request.
pub(super) fn plan(setup: &Setup, load: &Load) -> Result<Rig, Fault> {
    let (need, limit) = (load.prompt.saturating_add(load.new), setup.model.max_positions);
    if need > limit {
        let (prompt, new) = (load.prompt, load.new);
        return Err(format!("--prompt {prompt} and --gen {new} need {need} positions, the model has {limit}").into());
    }
    Rig::new(&setup.model, EngineOptions { kv_memory: setup.kv_limit, ..setup.options() })
}

/// Measures.
///
/// # Errors
/// A request that is refused or fails.
pub(super) fn run(setup: &Setup, load: &Load, mut rig: Rig, progress: &mut Progress) -> Result<Row, Fault> {
    for i in 0..load.warmup {
        once(setup, load, &mut rig, progress, &format!("warm-up {} of {}", i + 1, load.warmup))?;
    }
    let mut runs = Vec::new();
    for i in 0..load.repeats {
        runs.push(once(setup, load, &mut rig, progress, &format!("repetition {} of {}", i + 1, load.repeats))?);
    }
    progress.clear();
    let speed = |tokens: usize, time: Duration| (setup.batch * tokens) as f64 / time.as_secs_f64();
    let decode = Spread::of(runs.iter().map(|run| speed(load.new, run.time)).collect());
    let prompt = Spread::of(runs.iter().map(|run| speed(load.prompt, run.prompt_time)).collect());
    let kv_peak_bytes = runs.iter().map(|run| run.kv_peak_bytes).max().unwrap_or(0);
    let last = runs.pop().ok_or("nothing was run")?;
    // A step reads the weights once, for however many rows.
    let weights = (last.steps as u64 * setup.step_weights) as f64 / (setup.batch * load.new) as f64;
    let slots = last.ended.iter().map(|done| done.kv.mean_slots).sum::<f64>() / last.ended.len().max(1) as f64;
    Ok(Row {
        prompt: load.prompt,
        context: None,
        new: load.new,
        prompt_tok_s: Some(prompt.median),
        decode,
        timings: ("repeats", load.repeats),
        kv_peak_bytes,
        bytes_per_token: weights + slots * setup.kv.token_bytes() as f64,
        ended: last.ended,
    })
}

fn once(setup: &Setup, load: &Load, rig: &mut Rig, progress: &mut Progress, what: &str) -> Result<Run, Fault> {
    let generation = Generation { max_tokens: Some(load.new), ignore_eos: true, ..Generation::default() };
    for id in 0..setup.batch as u64 {
        rig.submit(id, rig.tokens(id, 0..load.prompt), &setup.spec, generation.clone())?;
    }
    let mut run =
        Run { time: Duration::ZERO, prompt_time: Duration::ZERO, steps: 0, kv_peak_bytes: 0, ended: Vec::new() };
    let (all, mut new) = (setup.batch * load.new, 0);
    while !rig.idle() {
        let step = rig.step()?;
        run.time += step.time;
        if step.prompt > 0 {
            run.prompt_time += step.time;
        }
        run.steps += 1;
        run.kv_peak_bytes = run.kv_peak_bytes.max(step.kv_bytes);
        run.ended.extend(step.ended);
        new += step.tokens;
        progress.show(|| format!("{what}: {new} of {all} new tokens"));
    }
    Ok(run)
}
