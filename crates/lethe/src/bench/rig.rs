//! An engine stepped by hand, with a watch on every step.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lethe_engine::{Core, EngineOptions, Event, Failure, Finished, Generation, Request};
use lethe_kv::{KvShape, PAGE_SLOTS};
use lethe_model::{CpuBackend, Model};
use lethe_policy::PolicySpec;

use crate::Fault;

/// What one step did.
pub(super) struct Step {
    pub(super) time: Duration,
    /// Tokens of prompts that it read.
    pub(super) prompt: usize,
    /// Tokens that it generated.
    pub(super) tokens: usize,
    /// Bytes of K and V that all sequences together held in it, in whole pages, before anything was forgotten.
    pub(super) kv_bytes: u64,
    /// The turns that ended in it.
    pub(super) ended: Vec<Finished>,
}

/// What the sequences told during a step.
#[derive(Default)]
struct Seen {
    prompt: usize,
    tokens: usize,
    freed: usize, // pages that were held and no longer are
    ended: Vec<Finished>,
    failed: Option<Failure>,
}

/// An engine without its thread.
pub(super) struct Rig {
    core: Core<CpuBackend>,
    shape: KvShape,
    vocab: usize,
    seen: Arc<Mutex<Seen>>,
}

impl Rig {
    pub(super) fn new(model: &Arc<Model<CpuBackend>>, options: EngineOptions) -> Result<Rig, Fault> {
        let shape = model.decoder.kv_shape(options.kv_dtype);
        let core = Core::new(Arc::clone(model), options)?;
        Ok(Rig { core, shape, vocab: model.decoder.dims.vocab, seen: Arc::default() })
    }

    /// Queues a new sequence, the whole prompt of it a system message: later turns leave it pinned.
    pub(super) fn submit(
        &mut self,
        id: u64,
        prompt: Vec<u32>,
        policy: &PolicySpec,
        generation: Generation,
    ) -> Result<(), Fault> {
        let request =
            Request { system_tokens: prompt.len(), policy: policy.clone(), generation, ..Request::new(prompt) };
        let sink = self.sink();
        Ok(self.core.submit(id, request, sink)?)
    }

    /// Queues a further turn of a kept sequence.
    pub(super) fn append(&mut self, id: u64, prompt: Vec<u32>, generation: Generation) -> Result<(), Fault> {
        let sink = self.sink();
        Ok(self.core.append(id, prompt, generation, sink)?)
    }

    pub(super) fn release(&mut self, id: u64) {
        self.core.release(id);
    }

    pub(super) fn idle(&self) -> bool {
        self.core.idle()
    }

    /// One step of the engine.
    ///
    /// # Errors
    /// The failure of any sequence: what is measured after it would mean nothing.
    pub(super) fn step(&mut self) -> Result<Step, Fault> {
        let began = Instant::now();
        self.core.step();
        let time = began.elapsed();
        let Seen { prompt, tokens, freed, ended, failed } = std::mem::take(&mut *lock(&self.seen));
        if let Some(why) = failed {
            return Err(why.into());
        }
        let (free, total) = self.core.pages();
        let kv_bytes = ((total - free + freed) * self.shape.page_bytes()) as u64;
        Ok(Step { time, prompt, tokens, kv_bytes, ended })
    }

    /// The tokens at these positions of sequence `seed`: they look random, and are the same on every machine.
    pub(super) fn tokens(&self, seed: u64, positions: Range<usize>) -> Vec<u32> {
        let token = |at: usize| (mix(mix(seed).wrapping_add(at as u64)) % self.vocab as u64) as u32;
        positions.map(token).collect()
    }

    fn sink(&self) -> impl FnMut(Event) + Send + Sync + 'static {
        let (seen, shape) = (Arc::clone(&self.seen), self.shape);
        let pages = move |slots: usize| shape.kv_heads * slots.div_ceil(PAGE_SLOTS);
        let mut read = 0;
        move |event| {
            let mut seen = lock(&seen);
            match event {
                Event::Prefill { done, .. } => {
                    seen.prompt += done - read;
                    read = done;
                }
                Event::Token { .. } => seen.tokens += 1,
                Event::PromptLogprobs(_) | Event::Forgot { .. } | Event::Tail(_) | Event::Levels(_) => {}
                Event::Round(round) => seen.freed += pages(round.before) - pages(round.after),
                Event::Finished(done) => {
                    if done.session.is_none() {
                        seen.freed += done.kv.final_slots.iter().map(|&slots| pages(slots)).sum::<usize>();
                    }
                    seen.ended.push(*done);
                }
                Event::Failed(why) => seen.failed = Some(why),
            }
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// splitmix64.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
