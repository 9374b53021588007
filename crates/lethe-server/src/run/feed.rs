//! Events on their way from the engine's thread to the connection that waits for them.
//!
//! The engine never waits: events go into an unbounded channel, counted. A client that reads so slowly that
//! [`MOST_WAITING`] events of a choice pile up loses its request, not anybody's step.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use lethe_engine::{Event, Handle};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::metrics::Clock;

/// Most events of a choice that may wait for their client: the tokens of a long answer, some megabytes.
pub(crate) const MOST_WAITING: usize = 1 << 16;

/// How much waits between engine and client.
#[derive(Debug)]
struct Gauge {
    waiting: AtomicUsize,
    most: usize,
    overflowed: AtomicBool,
}

/// The engine's end for one choice.
pub(crate) struct Inlet {
    choice: usize,
    events: UnboundedSender<(usize, Event)>,
    gauge: Arc<Gauge>,
    /// Set when the engine has taken the request, before its first event.
    handle: Arc<OnceLock<Handle>>,
    clock: Clock,
    /// The client hears what the cache does.
    traced: bool,
}

impl Inlet {
    /// Takes an event, on the engine's thread: counts, sends, returns.
    pub(crate) fn take(&mut self, event: Event) {
        self.clock.saw(&event);
        let silent = match event {
            Event::Prefill { .. } | Event::Round(_) | Event::Forgot { .. } => !self.traced,
            Event::Levels(_) => true,
            _ => false,
        };
        if silent || self.gauge.overflowed.load(Ordering::Relaxed) {
            return;
        }
        if self.gauge.waiting.fetch_add(1, Ordering::Relaxed) < self.gauge.most {
            // A client that has gone has cancelled too.
            let _ = self.events.send((self.choice, event));
        } else {
            self.gauge.overflowed.store(true, Ordering::Relaxed);
            if let Some(handle) = self.handle.get() {
                handle.cancel();
            }
        }
    }
}

/// Cancels a request when nobody follows it any more.
#[derive(Debug)]
pub(crate) struct CancelOnDrop(pub(crate) Handle);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The connection's end of all choices.
#[derive(Debug)]
pub(crate) struct Feed {
    events: UnboundedReceiver<(usize, Event)>,
    gauge: Arc<Gauge>,
    /// When patience ends.
    deadline: Option<Instant>,
    running: Vec<CancelOnDrop>,
}

/// The engine's end for one choice, and where its handle goes once the engine has taken it.
pub(crate) type Channel = (Inlet, Arc<OnceLock<Handle>>);

/// Both ends for so many choices, `traced` or not.
pub(crate) fn feed(
    clocks: Vec<Clock>,
    deadline: Option<Instant>,
    most_waiting: usize,
    traced: bool,
) -> (Vec<Channel>, Feed) {
    let (sender, events) = unbounded_channel();
    let most = most_waiting.saturating_mul(clocks.len());
    let gauge = Arc::new(Gauge { waiting: AtomicUsize::new(0), most, overflowed: AtomicBool::new(false) });
    let inlet = |(choice, clock)| {
        let handle = Arc::new(OnceLock::new());
        let (events, gauge) = (sender.clone(), Arc::clone(&gauge));
        (Inlet { choice, events, gauge, handle: Arc::clone(&handle), clock, traced }, handle)
    };
    let inlets = clocks.into_iter().enumerate().map(inlet).collect();
    (inlets, Feed { events, gauge, deadline, running: Vec::new() })
}

impl Feed {
    /// Keeps the handle of a request that runs, to cancel it with the feed.
    pub(crate) fn follow(&mut self, request: CancelOnDrop) {
        self.running.push(request);
    }

    /// The next event, with its choice.
    ///
    /// # Errors
    /// The client was too slow, the time is over, or the engine has stopped.
    pub(crate) async fn next(&mut self) -> Result<(usize, Event), ApiError> {
        let event = match self.deadline {
            None => self.events.recv().await,
            Some(deadline) => match tokio::time::timeout_at(deadline, self.events.recv()).await {
                Ok(event) => event,
                Err(_) => return Err(timed_out()),
            },
        };
        self.taken(event)
    }

    /// An event that is there already.
    pub(crate) fn ready(&mut self) -> Option<(usize, Event)> {
        let event = self.events.try_recv().ok()?;
        self.taken(Some(event)).ok()
    }

    fn taken(&mut self, event: Option<(usize, Event)>) -> Result<(usize, Event), ApiError> {
        match event {
            Some(event) => {
                self.gauge.waiting.fetch_sub(1, Ordering::Relaxed);
                Ok(event)
            }
            None if self.gauge.overflowed.load(Ordering::Relaxed) => {
                let message = "the client read too slowly: too much of the answer was waiting for it";
                Err(ApiError::new(503, "server_error", message).coded("client_too_slow"))
            }
            None => Err(ApiError::unavailable("stopped", "the engine has stopped")),
        }
    }
}

/// A request that took too long.
pub(crate) fn timed_out() -> ApiError {
    let message = "the request took longer than this server allows (--request-timeout)";
    ApiError::new(504, "timeout_error", message).coded("timeout")
}
