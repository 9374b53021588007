//! Prefix reuse: a kept session reads a whole new prompt and computes only what it does not hold already.
//!
//! Chat templates render the whole conversation anew for each turn, and many leave out the thinking of earlier turns: the
//! new prompt shares a front with what is cached, and then goes its own way. The front may be used as it is where nothing
//! was forgotten in any lane: its K and V are then those that the new prompt would compute, bit for bit.

use std::sync::Arc;

use lethe_model::Backend;
use lethe_policy::{Prefill, ProtectPrompt, Scoring};

use crate::core::Core;
use crate::event::Event;
use crate::request::{Generation, SubmitError};
use crate::sequence::{KvStats, Sequence, Shared, Sink};

/// What a turn makes of its session once it is admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    /// Slots of every lane that stay; the first so many tokens of the prompt.
    pub(crate) hit: usize,
    /// Tokens of the new system message.
    pub(crate) system: u32,
}

impl<B: Backend> Core<B> {
    /// Queues a turn of a kept session whose `prompt` is the whole conversation, not only what is new. The longest front of
    /// it that the session holds complete is not computed again; everything else is as if the prompt had come as a new
    /// request with the session's policy: output, rounds and report are the same bits.
    ///
    /// # Errors
    /// [`SubmitError`]; the session is as before.
    pub fn resume(
        &mut self,
        session: u64,
        prompt: Vec<u32>,
        system_tokens: usize,
        generation: Generation,
        sink: impl FnMut(Event) + Send + Sync + 'static,
    ) -> Result<(), SubmitError> {
        self.enqueue_resumed(session, prompt, system_tokens, generation, Box::new(sink)).map(drop)
    }

    /// [`Core::resume`], for a caller that wants to cancel and watch.
    pub(crate) fn enqueue_resumed(
        &mut self,
        session: u64,
        prompt: Vec<u32>,
        system_tokens: usize,
        generation: Generation,
        sink: Sink,
    ) -> Result<Arc<Shared>, SubmitError> {
        let at = self.kept(session)?;
        if system_tokens > prompt.len() {
            return Err(SubmitError::SystemTooLong { system: system_tokens, prompt: prompt.len() });
        }
        let hit = self.kept[at].hit(&prompt);
        let mut turn = self.turn(prompt, 0, 0, generation)?;
        turn.restart = Some(Restart { hit, system: system_tokens as u32 });
        self.enqueue_kept(at, turn, sink)
    }
}

impl Sequence {
    /// Tokens at the front of `prompt` that need not be computed: they were fed at the same positions, no lane has forgotten
    /// one of them, and the queries whose attention becomes scores are not among them.
    fn hit(&self, prompt: &[u32]) -> usize {
        let same = self.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let pristine = match (&self.cache, &self.stored) {
            (Some(cache), _) => cache.pristine(),
            (None, Some(stored)) => stored.cache.pristine(),
            (None, None) => 0,
        };
        same.min(pristine).min(self.reusable(prompt.len()))
    }

    /// How many tokens at the front of a prompt of `len` may come from elsewhere without changing a score.
    pub(crate) fn reusable(&self, len: usize) -> usize {
        let counting = match self.scoring {
            None => 0,
            Some(Scoring { prefill: Prefill::Window(window), .. }) => window,
            Some(Scoring { prefill: Prefill::Sum, .. }) => return 0,
        };
        // the last token is always computed: its logits choose the first of the answer
        len.saturating_sub(counting.max(self.queries.rows()).max(1))
    }

    /// Cuts an admitted session to the front that the new prompt shares, as if that much of it had just been read.
    pub(crate) fn restart(&mut self, Restart { hit, system }: Restart) {
        let layers = self.states.len();
        let pinned = self.policy.protect_prompt() != ProtectPrompt::None;
        let cache = self.cache.as_mut().expect("only kept sessions restart");
        cache.truncate(hit);
        cache.pin(|_| pinned);
        for layer in 0..layers {
            for lane in 0..cache.shape().kv_heads {
                cache.scores_mut(layer, lane).fill(0.0);
            }
        }
        self.states.fill(self.policy.start());
        self.queries.restart(hit);
        self.stats = KvStats::new(layers);
        self.tokens.truncate(hit);
        self.position = hit as u32;
        self.system = system;
        self.turn.fed = hit;
        self.turn.cached = hit;
    }
}
