//! Measures one choice on the engine's thread, where its tokens are made.

use std::time::Instant;

use lethe_engine::Event;

use crate::metrics::{Measured, reason};

/// Sees the events of one choice as they happen.
pub(crate) struct Clock {
    measured: Measured,
    begun: Instant,
    last: Option<Instant>,
}

impl Clock {
    pub(super) fn new(measured: Measured) -> Clock {
        Clock { measured, begun: Instant::now(), last: None }
    }

    /// Takes note of an event. Never waits for longer than a scrape copies a histogram.
    pub(crate) fn saw(&mut self, event: &Event) {
        let m = &self.measured;
        match event {
            Event::Token { .. } => {
                let now = Instant::now();
                match self.last.replace(now) {
                    None => m.first_token.observe((now - self.begun).as_secs_f64()),
                    Some(last) => m.between_tokens.observe((now - last).as_secs_f64()),
                }
            }
            Event::Round(round) => m.dropped_mass.observe(round.dropped_mass),
            Event::Finished(done) => {
                m.whole.observe(self.begun.elapsed().as_secs_f64());
                m.queued.observe(done.timing.queued.as_secs_f64());
                m.ended.get_or_create(&[("finished_reason", reason(done.reason))]).inc();
            }
            Event::Failed(_) => {
                m.ended.get_or_create(&[("finished_reason", "error")]).inc();
            }
            Event::Prefill { .. }
            | Event::PromptLogprobs(_)
            | Event::Tail(_)
            | Event::Forgot { .. }
            | Event::Levels(_) => {}
        }
    }
}
