//! The endpoints that generate.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::http::app::App;
use crate::http::record::Record;
use crate::http::request_id::RequestId;
use crate::http::{body, reply};
use crate::prepare::Context;
use crate::prepare::job::{Endpoint, Job};
use crate::run::answer;
use crate::run::identity::Identity;
use crate::run::stream::Streaming;
use crate::run::submit::submit;
use crate::served::now;

/// `POST /v1/chat/completions`.
pub(crate) async fn chat(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    recorded(&app, request, crate::prepare::chat::job).await
}

/// `POST /v1/completions`.
pub(crate) async fn completion(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    recorded(&app, request, crate::prepare::completion::job).await
}

/// Makes a job of a body.
type Prepare = fn(Context<'_>, &[u8]) -> Result<Job, ApiError>;

async fn recorded(app: &Arc<App>, request: Request, prepare: Prepare) -> Result<Response, ApiError> {
    let id = request.extensions().get().map(|RequestId(id)| id.clone()).unwrap_or_default();
    let mut record = Some(Record::new(&id));
    let answered = generate(app, request, prepare, &mut record).await;
    if let (Err(error), Some(record)) = (&answered, &mut record) {
        record.failed(error);
    }
    answered
}

/// Answers a request. A stream takes the record along.
async fn generate(
    app: &Arc<App>,
    request: Request,
    prepare: Prepare,
    record: &mut Option<Record>,
) -> Result<Response, ApiError> {
    let (served, ticket) = app.admit()?;
    let deadline = app.options.request_timeout.map(|patience| Instant::now() + patience);
    let bytes = body::read(request, app.options.body_limit).await?;
    let job = app.blocking(&served, move |context| prepare(context, &bytes)).await?;
    let Job { endpoint, model, requests, tellings, stream, include_usage, logprobs } = job;
    let prefix = match endpoint {
        Endpoint::Chat => "chatcmpl",
        Endpoint::Completion => "cmpl",
    };
    let identity = Identity {
        id: format!("{prefix}-{:016x}", crate::prepare::generation::random()),
        model,
        created: now(),
        endpoint,
        logprobs,
        risk_mass: app.options.risk_mass,
        tokenizer: Arc::clone(&served.tokenizer),
    };
    let feed = submit(&served, &app.metrics, requests, deadline, endpoint.prompt_field()).await?;
    if stream {
        let record = record.take().unwrap_or_else(|| Record::new(&identity.id));
        let streaming = Streaming::new(feed, tellings, identity, include_usage, record, ticket);
        return Ok(reply::events(streaming.into_body()));
    }
    let told = answer::collect(feed, tellings).await?;
    if let Some(record) = record {
        record.finished(&answer::usage(&told, &identity), told[0].choice.finish_reason());
    }
    // Probabilities of a long text are thousands of tokens to be decoded.
    let tell = move |_: Context<'_>| {
        Ok(match endpoint {
            Endpoint::Chat => answer::chat(told, &identity),
            Endpoint::Completion => answer::completion(told, &identity),
        })
    };
    Ok(reply::json(&app.blocking(&served, tell).await?))
}
