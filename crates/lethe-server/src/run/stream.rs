//! The body of an answer that streams.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};

use crate::error::ApiError;
use crate::http::inflight::Ticket;
use crate::http::record::Record;
use crate::prepare::job::Telling;
use crate::run::answer::{self, Told};
use crate::run::chunks::Chunks;
use crate::run::feed::Feed;
use crate::run::identity::Identity;

/// After so long without news a comment is sent, so that nobody between takes the connection for dead.
const PING: Duration = Duration::from_secs(15);
/// As much is written at once, at most, when a client has fallen behind.
const BATCH: usize = 16 << 10;

/// A stream on its way. Dropping it cancels the requests.
pub(crate) struct Streaming {
    feed: Feed,
    told: Vec<Told>,
    open: usize,
    chunks: Chunks,
    identity: Identity,
    record: Record,
    ended: bool,
    _ticket: Ticket,
}

impl Streaming {
    /// Tells what `feed` brings.
    pub(crate) fn new(
        feed: Feed,
        tellings: Vec<Telling>,
        identity: Identity,
        include_usage: bool,
        record: Record,
        ticket: Ticket,
    ) -> Streaming {
        let told: Vec<Told> = tellings.into_iter().map(Told::from).collect();
        let chunks = Chunks::new(identity.clone(), include_usage, told.len());
        Streaming { feed, open: told.len(), told, chunks, identity, record, ended: false, _ticket: ticket }
    }

    /// As a body.
    pub(crate) fn into_body(self) -> Body {
        Body::from_stream(futures_util::stream::unfold(self, Streaming::next))
    }

    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Streaming)> {
        let mut out = String::new();
        while out.is_empty() {
            if self.ended {
                return None;
            }
            match tokio::time::timeout(PING, self.feed.next()).await {
                Err(_) => out.push_str(": still here\n\n"),
                Ok(event) => {
                    if let Err(error) = self.take(event, &mut out) {
                        Chunks::fail(&error, &mut out);
                        self.record.failed(&error);
                        self.ended = true;
                    }
                }
            }
        }
        Some((Ok(Bytes::from(out)), self))
    }

    /// Tells an event and those that wait behind it.
    fn take(
        &mut self,
        event: Result<(usize, lethe_engine::Event), ApiError>,
        out: &mut String,
    ) -> Result<(), ApiError> {
        let mut next = Some(event?);
        while let Some((i, event)) = next {
            self.told[i].choice.take(event)?;
            self.chunks.tell(i, &mut self.told[i], out);
            self.open -= usize::from(self.told[i].choice.done().is_some());
            next = if out.len() < BATCH { self.feed.ready() } else { None };
        }
        if self.open == 0 {
            self.chunks.end(&self.told, out);
            self.record.finished(&answer::usage(&self.told, &self.identity), self.told[0].choice.finish_reason());
            self.ended = true;
        }
        Ok(())
    }
}
