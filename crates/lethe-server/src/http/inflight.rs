//! Requests under way, so that a server can wait for the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts requests under way.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    count: AtomicUsize,
    none: Notify,
}

/// Held by a request until its last byte.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Inflight>);

impl Inflight {
    /// Counts one more.
    pub(crate) fn ticket(self: &Arc<Inflight>) -> Ticket {
        self.count.fetch_add(1, Ordering::SeqCst);
        Ticket(Arc::clone(self))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until there is none.
    pub(crate) async fn none(&self) {
        loop {
            let none = self.none.notified();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
