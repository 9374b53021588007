//! Requests come in: new ones, and further turns of kept sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lethe_model::Backend;

use crate::core::Core;
use crate::event::{Event, Limit};
use crate::prompt_logprobs::Reading;
use crate::queries::QueryWindow;
use crate::request::{Generation, Request, SubmitError};
use crate::sequence::{Sequence, Shared, Sink, Turn};

impl<B: Backend> Core<B> {
    /// Queues a request; its events go to `sink`.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(
        &mut self,
        id: u64,
        request: Request,
        sink: impl FnMut(Event) + Send + Sync + 'static,
    ) -> Result<(), SubmitError> {
        self.enqueue(id, request, Box::new(sink)).map(drop)
    }

    /// What a caller and its sequence share for one turn.
    fn shared(&self) -> Arc<Shared> {
        let slots = (0..self.context.layers).map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Shared { cancelled: AtomicBool::new(false), abandoned: AtomicBool::new(false), slots })
    }

    /// [`Core::submit`], for a caller that wants to cancel and watch.
    pub(crate) fn enqueue(&mut self, id: u64, request: Request, sink: Sink) -> Result<Arc<Shared>, SubmitError> {
        let Request { prompt, system_tokens, policy, custom, elastic, trace, levels, generation, prompt_logprobs } =
            request;
        if system_tokens > prompt.len() {
            return Err(SubmitError::SystemTooLong { system: system_tokens, prompt: prompt.len() });
        }
        let policy = match custom {
            Some(policy) => policy,
            None => Arc::from(policy.build(&self.context)?),
        };
        if elastic && policy.name() == "full" {
            return Err(SubmitError::ElasticFull);
        }
        let open = generation.max_tokens.is_none();
        let mut turn = self.turn(prompt, 0, 0, generation)?;
        turn.reading = Reading::new(prompt_logprobs, turn.feed.len())?;
        let shared = self.shared();
        let layers = self.context.layers;
        let queries = QueryWindow::new(policy.evidence(), self.model.decoder.dims.heads, layers);
        let mut seq = Sequence::new(id, sink, Arc::clone(&shared), policy, layers, system_tokens, turn);
        (seq.queries, seq.elastic, seq.trace, seq.levels) = (queries, elastic, trace, levels || trace);
        self.fit(&mut seq, open)?;
        self.queue(seq)?;
        Ok(shared)
    }

    /// Queues a further turn of a kept session: its cache goes on from where it is.
    ///
    /// # Errors
    /// [`SubmitError`]; the session is as before.
    pub fn append(
        &mut self,
        session: u64,
        prompt: Vec<u32>,
        generation: Generation,
        sink: impl FnMut(Event) + Send + Sync + 'static,
    ) -> Result<(), SubmitError> {
        self.enqueue_turn(session, prompt, generation, Box::new(sink)).map(drop)
    }

    /// [`Core::append`], for a caller that wants to cancel and watch.
    pub(crate) fn enqueue_turn(
        &mut self,
        session: u64,
        prompt: Vec<u32>,
        generation: Generation,
        sink: Sink,
    ) -> Result<Arc<Shared>, SubmitError> {
        let at = self.kept(session)?;
        let old = &self.kept[at];
        // The last token of the answer was sampled and never fed: it comes first now.
        let mut feed = Vec::with_capacity(prompt.len() + 1);
        feed.extend(old.pending);
        let leftover = feed.len();
        feed.extend(prompt);
        let turn = self.turn(feed, leftover, old.position as usize, generation)?;
        self.enqueue_kept(at, turn, sink)
    }

    /// Where among the kept ones a session is.
    pub(crate) fn kept(&self, session: u64) -> Result<usize, SubmitError> {
        self.kept.iter().position(|s| s.id == session).ok_or(SubmitError::UnknownSession(session))
    }

    /// Queues the kept session at `at` for a turn, if that could fit.
    pub(crate) fn enqueue_kept(&mut self, at: usize, turn: Turn, sink: Sink) -> Result<Arc<Shared>, SubmitError> {
        let mut seq = self.kept.remove(at);
        let open = turn.generation.max_tokens.is_none();
        let before = std::mem::replace(&mut seq.turn, turn);
        if let Err(e) = self.fit(&mut seq, open).and_then(|()| self.room_in_queue()) {
            seq.turn = before;
            self.kept.insert(at, seq);
            return Err(e);
        }
        let shared = self.shared();
        seq.sink = sink;
        seq.shared = Arc::clone(&shared);
        self.queue(seq)?;
        Ok(shared)
    }

    /// Refuses a turn that would not fit even alone. One that left the number of tokens `open` gets as many as would.
    fn fit(&self, seq: &mut Sequence, open: bool) -> Result<(), SubmitError> {
        let too_large = match self.could_fit(seq) {
            Err(e) if open && matches!(e, SubmitError::RequestTooLarge { .. }) => e,
            done => return done,
        };
        // `most` tokens do not fit; a bound never falls as tokens are added
        let (mut some, mut most) = (0, seq.turn.max_tokens);
        while some + 1 < most {
            let middle = some + (most - some) / 2;
            seq.turn.max_tokens = middle;
            if self.could_fit(seq).is_ok() { some = middle } else { most = middle }
        }
        seq.turn.max_tokens = some;
        seq.turn.limit = Limit::Memory(some);
        if some == 0 { Err(too_large) } else { Ok(()) }
    }

    /// Refuses when as many wait as may.
    fn room_in_queue(&self) -> Result<(), SubmitError> {
        let waiting = self.waiting.iter().filter(|s| s.turn.admitted.is_none()).count();
        let limit = self.options.max_queue;
        if waiting >= limit { Err(SubmitError::QueueFull { waiting, limit }) } else { Ok(()) }
    }

    fn queue(&mut self, mut seq: Sequence) -> Result<(), SubmitError> {
        self.room_in_queue()?;
        self.arrivals += 1;
        seq.arrival = self.arrivals;
        self.waiting.push_back(seq);
        Ok(())
    }

    /// Gives a request up, or the turn of a session; its last event comes with the next step. Returns whether there was one.
    pub fn cancel(&mut self, id: u64) -> bool {
        let found = self.running.iter().chain(&self.waiting).find(|s| s.id == id);
        found.inspect(|s| s.shared.cancelled.store(true, Ordering::Relaxed)).is_some()
    }

    /// Forgets a kept session and frees its pages. Returns whether there was one.
    pub fn release(&mut self, session: u64) -> bool {
        let before = self.kept.len();
        self.kept.retain(|s| s.id != session);
        self.kept.len() < before
    }
}
