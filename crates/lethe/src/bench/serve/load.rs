//! Many requests: sent at their pace, each on a thread of its own, heard of as they end.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use super::client::{Client, Order};
use super::draws::Draws;
use super::outcome::{End, Failure, Outcome};
use super::pace::{self, Pace};

/// A thread reads one stream; TLS is the deepest that it goes.
const STACK: usize = 1 << 20;

/// What a run brought.
pub(super) struct Run {
    /// In the order of the plan.
    pub(super) outcomes: Vec<Outcome>,
    /// From the first request's due time to the last one's end.
    pub(super) duration: Duration,
    /// Most requests under way at once.
    pub(super) peak: usize,
}

/// How far a run is.
pub(super) struct Progress {
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) running: usize,
    /// Chunks with text so far.
    pub(super) chunks: u64,
    pub(super) elapsed: Duration,
}

/// Counted by all threads.
#[derive(Default)]
struct Live {
    running: AtomicUsize,
    peak: AtomicUsize,
    chunks: AtomicU64,
}

impl Live {
    /// Runs one request and tells of its end.
    fn run(&self, client: &Client, order: Order, begun: Instant, due: Instant, to: &Sender<Outcome>) {
        let running = 1 + self.running.fetch_add(1, Ordering::Relaxed);
        self.peak.fetch_max(running, Ordering::Relaxed);
        let outcome = client.run(order, begun, due, || {
            self.chunks.fetch_add(1, Ordering::Relaxed);
        });
        self.running.fetch_sub(1, Ordering::Relaxed);
        // nobody listens any more only when the program ends
        let _ = to.send(outcome);
    }
}

/// Sends all orders at their pace; `tell` hears how far it is, several times a second.
///
/// # Errors
/// When the machine gives no thread for a request of a closed loop, or for the clock of an open one.
pub(super) fn run(
    client: &Client,
    orders: Vec<Order>,
    pace: Pace,
    draws: Draws,
    mut tell: impl FnMut(&Progress),
) -> io::Result<Run> {
    let n = orders.len();
    let live = Live::default();
    let (to, from) = mpsc::channel();
    let begun = Instant::now();
    thread::scope(|scope| -> io::Result<Run> {
        match pace {
            Pace::Closed { concurrency } => closed(scope, client, orders, concurrency.min(n), begun, &live, &to)?,
            Pace::Poisson { rate } => {
                let arrivals = pace::arrivals(draws, rate, n);
                let (live, to) = (&live, to.clone());
                spawn(scope, move |scope| open(scope, client, orders, &arrivals, begun, live, &to))?;
            }
            Pace::Burst => open(scope, client, orders, &vec![Duration::ZERO; n], begun, &live, &to),
        }
        drop(to);
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(n);
        let mut failed = 0;
        loop {
            match from.recv_timeout(Duration::from_millis(200)) {
                Ok(outcome) => {
                    failed += usize::from(matches!(outcome.end, End::Failed(_)));
                    outcomes.push(outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            tell(&Progress {
                done: outcomes.len(),
                failed,
                running: live.running.load(Ordering::Relaxed),
                chunks: live.chunks.load(Ordering::Relaxed),
                elapsed: begun.elapsed(),
            });
        }
        outcomes.sort_by_key(|outcome| outcome.index);
        let duration = outcomes.iter().map(|outcome| outcome.due + outcome.total).max().unwrap_or_default();
        Ok(Run { outcomes, duration, peak: live.peak.load(Ordering::Relaxed) })
    })
}

/// A thread with a small stack.
fn spawn<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    work: impl FnOnce(&'scope Scope<'scope, 'env>) + Send + 'scope,
) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || work(scope)).map(drop)
}

/// Threads that take the next order whenever one is over.
fn closed<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    client: &'env Client,
    orders: Vec<Order>,
    concurrency: usize,
    begun: Instant,
    live: &'env Live,
    to: &Sender<Outcome>,
) -> io::Result<()> {
    let waiting = Arc::new(Mutex::new(orders.into_iter()));
    let next = |waiting: &Mutex<IntoIter<Order>>| waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    for _ in 0..concurrency {
        let (waiting_too, to) = (waiting.clone(), to.clone());
        let started = spawn(scope, move |_| {
            while let Some(order) = next(&waiting_too) {
                live.run(client, order, begun, Instant::now(), &to);
            }
        });
        if started.is_err() {
            while next(&waiting).is_some() {} // those that did start have nothing more to do
            return started;
        }
    }
    Ok(())
}

/// A thread for every order, when it is due.
fn open<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    client: &'env Client,
    orders: Vec<Order>,
    arrivals: &[Duration],
    begun: Instant,
    live: &'env Live,
    to: &Sender<Outcome>,
) {
    for (order, at) in orders.into_iter().zip(arrivals) {
        let due = begun + *at;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (index, sender) = (order.index, to.clone());
        if let Err(error) = spawn(scope, move |_| live.run(client, order, begun, due, &sender)) {
            let reason = format!("no thread for another request ({error})");
            let end = End::Failed(Failure::Client(reason));
            let _ = to.send(Outcome { end, ..Outcome::new(index, *at) });
        }
    }
}
