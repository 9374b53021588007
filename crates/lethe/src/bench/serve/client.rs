//! One request: sent, read as events, timed, dropped when its moment has come.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::{Response, header};

use crate::remote::{self, Remote};

use super::cancel::Moment;
use super::chunk::Chunk;
use super::outcome::{End, Failure, Outcome};
use super::sse::Events;

/// The end mark of a stream.
const DONE: &str = "[DONE]";

/// Sends requests to one endpoint of a server.
pub(super) struct Client {
    pub(super) remote: Remote,
    /// `/v1/completions` or `/v1/chat/completions`.
    pub(super) path: &'static str,
    /// Most time of a request, from sending it to its end.
    pub(super) timeout: Duration,
}

/// A request that is ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    /// Its place in the plan.
    pub(super) index: usize,
    /// The body in JSON.
    pub(super) body: String,
    /// When it is dropped, if it is.
    pub(super) cancel: Option<Moment>,
}

impl Client {
    /// Sends a request that was `due`, in a run that began at `begun`, and follows it to its end. `on_text` hears of
    /// every chunk with text.
    pub(super) fn run(&self, order: Order, begun: Instant, due: Instant, on_text: impl FnMut()) -> Outcome {
        let mut outcome = Outcome::new(order.index, due.saturating_duration_since(begun));
        outcome.late = due.elapsed();
        let drop_at = match order.cancel {
            Some(Moment::After(time)) => Some(time),
            _ => None,
        };
        // a moment in time is a shorter time limit: it holds wherever the request is
        let limit = drop_at.map_or(self.timeout, |time| time.min(self.timeout)).max(Duration::from_millis(1));
        let end = match self.remote.send(self.path, order.body, limit) {
            Ok(answer) => {
                let last = match order.cancel {
                    Some(Moment::Chunks(n)) => n as u64,
                    _ => u64::MAX,
                };
                let mut reader = Reader { outcome: &mut outcome, due, last, on_text };
                reader.read(answer).unwrap_or_else(End::Failed)
            }
            Err(error) => End::Failed(before_the_answer(error)),
        };
        outcome.end = match end {
            End::Failed(Failure::Timeout(_)) if drop_at.is_some_and(|time| time < self.timeout) => End::Cancelled,
            End::Failed(Failure::Timeout(_)) => End::Failed(Failure::Timeout(self.timeout)),
            end => end,
        };
        if outcome.total.is_zero() {
            outcome.total = due.elapsed();
        }
        outcome
    }
}

/// Reads the answer of one request.
struct Reader<'a, F> {
    outcome: &'a mut Outcome,
    due: Instant,
    /// Chunks with text after which it is dropped.
    last: u64,
    on_text: F,
}

impl<F: FnMut()> Reader<'_, F> {
    fn read(&mut self, mut answer: Response<Body>) -> Result<End, Failure> {
        check(&mut answer)?;
        let mut body = answer.into_body().into_reader();
        let mut events = Events::default();
        let mut buffer = vec![0; 16 << 10];
        let (mut reason, mut completion) = (None, false);
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(within_the_answer(error.into(), self.outcome)),
            };
            let now = self.due.elapsed();
            events.push(&buffer[..n]);
            while let Some(data) = events.pull().map_err(|error| Failure::Malformed(error.to_string()))? {
                if data.trim() == DONE {
                    self.outcome.total = now;
                    if !completion {
                        return Err(Failure::Malformed(format!("{DONE} came, and before it no chunk with `choices`")));
                    }
                    // to the end of the body, so that the connection serves another request; an error there changes nothing
                    while matches!(body.read(&mut buffer), Ok(n) if n > 0) {}
                    return Ok(End::Done { reason, marked: true });
                }
                let chunk = Chunk::read(&data).map_err(|error| bad_chunk(&data, &error))?;
                if let Some(message) = chunk.error(&data) {
                    return Err(Failure::Reported(message));
                }
                completion |= chunk.is_completion();
                if chunk.has_text() {
                    self.outcome.text(now);
                    (self.on_text)();
                    if self.outcome.chunks >= self.last {
                        return Ok(End::Cancelled);
                    }
                }
                if let Some(why) = chunk.finish_reason() {
                    reason = Some(why.to_owned());
                }
                self.outcome.usage = chunk.usage.or(self.outcome.usage.take());
            }
        }
        // some servers leave the mark out, but none the reason
        match reason {
            Some(_) => Ok(End::Done { reason, marked: false }),
            None => {
                Err(Failure::Disconnect(format!("after {} chunks with text, before any reason", self.outcome.chunks)))
            }
        }
    }
}

/// Whether the answer is a stream of events.
fn check(answer: &mut Response<Body>) -> Result<(), Failure> {
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(Failure::Status(status, remote::refusal(answer)));
    }
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("of no type");
    if kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")) {
        return Ok(());
    }
    Err(Failure::NoStream(kind.to_owned()))
}

fn bad_chunk(data: &str, error: &serde_json::Error) -> Failure {
    let shown: String = data.chars().take(80).collect();
    Failure::Malformed(format!("{error} in `{shown}`"))
}

/// What an error means when there is no answer yet.
fn before_the_answer(error: ureq::Error) -> Failure {
    use ureq::Timeout;
    let reason = remote::reason(&error);
    match error {
        ureq::Error::Timeout(Timeout::Global) => Failure::Timeout(Duration::ZERO),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Failure::Disconnect(format!("before the answer began ({reason})")),
            _ => Failure::Connect(reason),
        },
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => Failure::Malformed(reason),
        _ => Failure::Connect(reason),
    }
}

/// What an error means while the answer is read.
fn within_the_answer(error: ureq::Error, outcome: &Outcome) -> Failure {
    let reason = remote::reason(&error);
    match error {
        ureq::Error::Timeout(_) => Failure::Timeout(Duration::ZERO),
        ureq::Error::Protocol(_) => Failure::Malformed(reason),
        _ => Failure::Disconnect(format!("after {} chunks with text ({reason})", outcome.chunks)),
    }
}
