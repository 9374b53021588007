//! All requests of a job into the engine, or none.

use lethe_engine::{Request, SubmitError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::run::feed::{self, CancelOnDrop, Feed, MOST_WAITING};
use crate::served::Served;

/// Queues the requests and waits until the engine has taken them. `prompt` is the field they came from, for errors.
///
/// # Errors
/// Why one of them was refused; none runs then.
pub(crate) async fn submit(
    served: &Served,
    metrics: &Metrics,
    requests: Vec<Request>,
    deadline: Option<Instant>,
    prompt: &'static str,
) -> Result<Feed, ApiError> {
    let clocks = requests.iter().map(|_| metrics.clock()).collect();
    let (inlets, mut feed) = feed::feed(clocks, deadline, MOST_WAITING, requests.iter().any(|request| request.trace));
    let refused = |e: &SubmitError| {
        metrics.refused();
        ApiError::refused(e, prompt)
    };
    let mut answers = Vec::with_capacity(requests.len());
    for (request, (mut inlet, handle)) in requests.into_iter().zip(inlets) {
        let (reply, answer) = oneshot::channel();
        let taken = move |result: Result<lethe_engine::Handle, SubmitError>| {
            let result = result.map(|running| {
                let _ = handle.set(running.clone());
                CancelOnDrop(running)
            });
            // Whoever does not wait any more drops the handle, and that cancels.
            let _ = reply.send(result);
        };
        served.engine.post(request, taken, move |event| inlet.take(event)).map_err(|e| refused(&e))?;
        answers.push(answer);
    }
    for answer in answers {
        match answer.await {
            Ok(Ok(running)) => feed.follow(running),
            Ok(Err(e)) => return Err(refused(&e)),
            Err(_) => return Err(refused(&SubmitError::Stopped)),
        }
    }
    Ok(feed)
}
