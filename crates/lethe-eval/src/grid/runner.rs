//! Conversations through one engine, many at once.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use lethe_engine::{Core, Event, Failure, FinishReason, Finished, Generation, Request, Sampling, SubmitError};
use lethe_model::CpuBackend;
use lethe_policy::PolicySpec;

use super::conversation::Conversation;
use super::row::EVERY;

/// One conversation to be held under one policy.
pub(super) struct Job<'a> {
    /// What to call it when it is done.
    pub(super) name: usize,
    pub(super) talk: &'a Conversation,
    /// Most new tokens of each turn. `[turns]`
    pub(super) max_tokens: &'a [usize],
    pub(super) policy: PolicySpec,
    pub(super) sampling: &'a Sampling,
}

/// How a conversation went.
#[derive(Default)]
pub(super) struct Outcome {
    /// Text and end of each turn that ended by itself. A turn that was cut off is the last. `[<= turns]`
    pub(super) turns: Vec<(String, Finished)>,
    /// As [`Row::held_bytes`](super::Row::held_bytes).
    pub(super) held: Vec<u64>,
    /// Why it ended otherwise.
    pub(super) failed: Option<Failure>,
}

/// A turn that is over: what was said, the bytes held meanwhile, and how it ended.
struct Over {
    id: u64,
    said: String,
    held: Vec<u64>,
    end: Result<Finished, Failure>,
}

/// A refused request, by the name of its job.
pub(super) struct Refused {
    pub(super) name: usize,
    pub(super) source: SubmitError,
}

/// Holds all conversations, as many at once as the engine may run and as many again in its queue, and hands each over as
/// soon as it is over. Every answer draws its own random numbers, if any, so none depends on its neighbours.
pub(super) fn hold<'a, E: From<Refused>>(
    core: &mut Core<CpuBackend>,
    mut jobs: impl Iterator<Item = Job<'a>>,
    mut done: impl FnMut(usize, Outcome) -> Result<(), E>,
) -> Result<(), E> {
    let (sender, over): (Sender<Over>, Receiver<Over>) = channel();
    let most = 2 * core.context().max_num_seqs;
    let mut open: HashMap<u64, (Job<'_>, Outcome)> = HashMap::new();
    let mut next = 0;
    loop {
        while open.len() < most {
            let Some(job) = jobs.next() else { break };
            let generation = generation(&job, 0);
            let (prompt, system_tokens) = (job.talk.first.clone(), job.talk.system_tokens);
            let sink = sink(next, &sender, prompt.len(), 0);
            let policy = job.policy.clone();
            let request = Request { policy, system_tokens, levels: true, generation, ..Request::new(prompt) };
            core.submit(next, request, sink).map_err(|source| Refused { name: job.name, source })?;
            open.insert(next, (job, Outcome::default()));
            next += 1;
        }
        if open.is_empty() {
            return Ok(());
        }
        core.step();
        for Over { id, said, mut held, end } in over.try_iter() {
            let Some((job, outcome)) = open.get_mut(&id) else { continue };
            outcome.held.append(&mut held);
            match end {
                Ok(finished) => {
                    let (session, goes_on) = (finished.session, finished.reason == FinishReason::Stop);
                    outcome.turns.push((said, finished));
                    let turn = outcome.turns.len();
                    if let (Some(prompt), true) = (job.talk.later.get(turn - 1), goes_on) {
                        let prompts = job.talk.first.len() + job.talk.later[..turn].iter().map(Vec::len).sum::<usize>();
                        let sink = sink(id, &sender, prompts, outcome.held.len());
                        core.append(id, prompt.clone(), generation(job, turn), sink)
                            .map_err(|source| Refused { name: job.name, source })?;
                        continue;
                    }
                    session.map(|session| core.release(session));
                }
                Err(failure) => outcome.failed = Some(failure),
            }
            if let Some((job, outcome)) = open.remove(&id) {
                done(job.name, outcome)?;
            }
        }
    }
}

fn generation(job: &Job<'_>, turn: usize) -> Generation {
    Generation {
        sampling: job.sampling.clone(),
        max_tokens: job.max_tokens.get(turn).copied(),
        keep: turn < job.talk.later.len(),
        ..Generation::default()
    }
}

/// Gathers the text of a turn and the bytes held, and sends them with its end. The prompts up to and with that of this turn have
/// `prompts` tokens, and `before` readings were taken in earlier turns.
fn sink(id: u64, over: &Sender<Over>, prompts: usize, before: usize) -> impl FnMut(Event) + Send + Sync + 'static {
    let (over, mut said, mut held) = (over.clone(), String::new(), Vec::new());
    move |event| {
        let end = match event {
            Event::Levels(levels) => {
                let Some(generated) = (levels.position as usize).checked_sub(prompts) else { return };
                if generated >= EVERY * (before + held.len()) {
                    held.push(levels.bytes);
                }
                return;
            }
            Event::Token { text, .. } | Event::Tail(text) => return said.push_str(&text),
            Event::Finished(done) => Ok(*done),
            Event::Failed(why) => Err(why),
            Event::Prefill { .. } | Event::PromptLogprobs(_) | Event::Forgot { .. } | Event::Round(_) => return,
        };
        // nobody listens any more only where the run was given up
        let (said, held) = (std::mem::take(&mut said), std::mem::take(&mut held));
        let _ = over.send(Over { id, said, held, end });
    }
}
