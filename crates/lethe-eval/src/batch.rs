//! Many requests through one engine, greedy, in one thread: the same answers whatever the batch.

use std::sync::{Arc, Mutex};

use lethe_engine::{Core, EngineError, EngineOptions, Event, Failure, Finished, Request, SubmitError};
use lethe_model::{Backend, Model};

/// What came of one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Text of the answer.
    pub text: String,
    /// How it ended.
    pub end: Result<Finished, Failure>,
}

/// A batch that could not be run.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A request was refused.
    #[error("request {index}: {source}")]
    Submit {
        /// Which.
        index: usize,
        /// Why.
        source: SubmitError,
    },
}

/// Runs all requests, as many at once as `options` allow, and returns their answers in order. `progress` hears how many
/// are done.
///
/// # Errors
/// [`BatchError`]; nothing has run then.
pub fn answers<B: Backend>(
    model: &Arc<Model<B>>,
    options: EngineOptions,
    requests: impl IntoIterator<Item = Request>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Answer>, BatchError> {
    let mut found = Vec::new();
    each_answer(model, options, requests, |index, answer| {
        found.push((index, answer));
        progress(found.len());
    })?;
    found.sort_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, answer)| answer).collect())
}

/// As [`answers`], but every answer is handed over with its index as soon as it is there.
///
/// # Errors
/// As [`answers`].
pub fn each_answer<B: Backend>(
    model: &Arc<Model<B>>,
    options: EngineOptions,
    requests: impl IntoIterator<Item = Request>,
    mut done: impl FnMut(usize, Answer),
) -> Result<(), BatchError> {
    let mut core = Core::new(Arc::clone(model), options)?;
    let mut open: Vec<(usize, Arc<Mutex<Place>>)> = Vec::new();
    for (index, request) in requests.into_iter().enumerate() {
        let place = Arc::new(Mutex::new(Place::default()));
        open.push((index, Arc::clone(&place)));
        core.submit(index as u64, request, move |event| {
            if let Ok(mut place) = place.lock() {
                place.take(event);
            }
        })
        .map_err(|source| BatchError::Submit { index, source })?;
    }
    while core.step() {
        open.retain(|(index, place)| {
            let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let Some(end) = place.end.take() else { return true };
            done(*index, Answer { text: std::mem::take(&mut place.text), end });
            false
        });
    }
    for (index, place) in open {
        let mut place = place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let gone = || Err(Failure::Cache("the engine ended before the request did".into()));
        let end = place.end.take().unwrap_or_else(gone);
        done(index, Answer { text: std::mem::take(&mut place.text), end });
    }
    Ok(())
}

#[derive(Default)]
struct Place {
    text: String,
    end: Option<Result<Finished, Failure>>,
}

impl Place {
    fn take(&mut self, event: Event) {
        match event {
            Event::Token { text, .. } | Event::Tail(text) => self.text.push_str(&text),
            Event::Finished(done) => self.end = Some(Ok(*done)),
            Event::Failed(why) => self.end = Some(Err(why)),
            Event::Prefill { .. }
            | Event::PromptLogprobs(_)
            | Event::Forgot { .. }
            | Event::Round(_)
            | Event::Levels(_) => {}
        }
    }
}
