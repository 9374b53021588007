//! Decoding timed at given positions: what is possible, and how much memory it takes.

use lethe_engine::{EngineOptions, human_bytes};
use lethe_policy::{Ask, ProtectPrompt};

use super::Setup;
use super::progress::Progress;
use super::rig::Rig;
use super::row::Row;
use super::sequences::{Sequences, TIMED};
use crate::Fault;

/// Tokens of a prompt that a pruning policy is given by default.
const PROMPT: usize = 128;

/// What is to be measured, known to be possible.
pub(super) struct Depths {
    /// Each with the tokens of the prompt of sequences that begin on the way to it.
    contexts: Vec<(usize, usize)>,
    /// Most tokens of a turn while feeding.
    chunk: usize,
    rig: Rig,
}

impl Depths {
    /// # Errors
    /// Positions that the model, the memory or the policy do not allow.
    pub(super) fn plan(setup: &Setup, contexts: &[usize], prompt: Option<usize>) -> Result<Depths, Fault> {
        let prompt_for = |context: usize| prompt.unwrap_or(if setup.prunes() { context.min(PROMPT) } else { context });
        let contexts: Vec<_> = contexts.iter().map(|&context| (context, prompt_for(context))).collect();
        for &(context, prompt) in &contexts {
            check(context, prompt, setup.model.max_positions)?;
        }
        let end = contexts.iter().map(|(context, _)| context + TIMED).max().unwrap_or(0);
        let prompt = contexts.iter().map(|&(_, prompt)| prompt).max().unwrap_or(0);
        let (chunk, pages) = if setup.prunes() { chunk(setup, prompt, end)? } else { (end, setup.kv.pages_for(end)) };
        let need = (setup.batch * pages * setup.kv.page_charge()) as u64;
        // `auto` makes its cap of the whole pool; others are given what they need of it.
        let auto = setup.spec.name() == "auto";
        if need > setup.kv_limit && !auto {
            return Err(format!(
                "--batch {} up to position {end} may take {} of KV memory, and --kv-memory gives {}: raise it, or ask \
                 for less",
                setup.batch,
                human_bytes(need),
                human_bytes(setup.kv_limit)
            )
            .into());
        }
        let kv_memory = if auto { setup.kv_limit } else { need };
        let rig = Rig::new(&setup.model, EngineOptions { kv_memory, ..setup.options() })?;
        Ok(Depths { contexts, chunk, rig })
    }

    /// Measures, and hands every row to `done` as soon as it is there.
    ///
    /// # Errors
    /// A sequence that fails, and those of `done`.
    pub(super) fn run(
        self,
        setup: &Setup,
        progress: &mut Progress,
        done: &mut dyn FnMut(Row) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut sequences = Sequences::new(setup, self.rig, self.chunk);
        for (context, prompt) in self.contexts {
            let row = sequences.measure(context, prompt, progress)?;
            // without rounds there is no difference between prompt and answer
            let prompt = if setup.prunes() { row.prompt } else { prompt };
            done(Row { prompt, ..row })?;
        }
        Ok(())
    }
}

/// # Errors
/// A position that cannot be fed to, or not be timed at.
fn check(context: usize, prompt: usize, limit: usize) -> Result<(), Fault> {
    if prompt > context {
        return Err(format!("--prompt {prompt} is longer than --context {context}, which counts it").into());
    }
    let last = context.saturating_add(TIMED);
    if last > limit {
        let most = limit.saturating_sub(TIMED);
        return Err(format!(
            "--context {context}: timing goes on to position {last}, the model has {limit}: ask for {most} at most"
        )
        .into());
    }
    Ok(())
}

/// Most tokens of a turn while feeding up to `end`, and pages of one sequence. A turn's prompt is pinned until the next
/// turn, so it must fit under the cap beside the first prompt; and it is no longer than the interval, so that rounds
/// come between.
///
/// # Errors
/// A cap that does not hold the first prompt and a few tokens.
fn chunk(setup: &Setup, prompt: usize, end: usize) -> Result<(usize, usize), Fault> {
    let policy = setup.spec.build(&setup.context())?;
    if policy.protect_prompt() == ProtectPrompt::All {
        let why = "--context feeds a sequence in turns, all of which protect_prompt=all would pin: use newest or none";
        return Err(why.into());
    }
    let interval = policy.options().into_iter().find(|(key, _)| *key == "interval");
    let interval = interval.and_then(|(_, value)| value.parse().ok()).unwrap_or(128usize);
    let mut chunk = interval.clamp(2, 128);
    loop {
        let pinned = if policy.protect_prompt() == ProtectPrompt::None { 0 } else { prompt + chunk };
        let ask = Ask {
            layers: setup.kv.layers,
            present: 1,
            pinned,
            unpinned_sinks: usize::MAX,
            max_tokens: end,
            ..Ask::default()
        };
        match policy.bound(&ask) {
            Ok(bound) => {
                // A turn's feed comes on top of what was held before it, and of the first prompt nothing goes before its
                // round. Admission counts every layer as long as the longest.
                let slots = bound.per_layer.max(prompt).saturating_add(chunk + 2);
                return Ok((chunk, setup.kv.pages_for(slots.min(end))));
            }
            Err(_) if chunk > 2 => chunk = (chunk / 2).max(2),
            Err(e) => return Err(format!("{e}, or give a --prompt of less than {prompt} tokens").into()),
        }
    }
}
