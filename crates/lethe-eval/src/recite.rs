//! The right answer, said word for word under a policy: what it would have needed is then known to the end, whatever the model
//! would have said.

use std::sync::{Arc, Mutex, PoisonError};

use lethe_engine::{
    Constrained, ConstraintError, Core, EngineError, EngineOptions, Event, Failure, Generation, Request, SubmitError,
};
use lethe_model::{Backend, Model};
use lethe_policy::Policy;

use crate::forced::{Directed, Director, only};
use crate::gold::Gold;
use crate::misses::{Forgotten, Misses};

/// Why a recital did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReciteError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A turn was refused.
    #[error("turn {turn}: {source}")]
    Submit {
        /// Which, from 0.
        turn: usize,
        /// Why.
        source: SubmitError,
    },
    /// A turn failed.
    #[error("turn {turn}: {source}")]
    Failed {
        /// Which, from 0.
        turn: usize,
        /// Why.
        source: Failure,
    },
}

/// Makes the model say the right answer to turn `turn`, for [`Generation::constraint`].
pub fn recital(gold: &Gold, turn: usize) -> Constrained {
    let answer = gold.turns.get(turn).map_or(0..0, |turn| turn.answer.clone());
    let recital = Recital { ids: gold.ids[answer].into(), at: 0 };
    Constrained { grammar: Box::new(Directed(Box::new(recital))), after_thinking: None }
}

#[derive(Clone, Debug)]
struct Recital {
    ids: Arc<[u32]>,
    at: usize,
}

impl Director for Recital {
    fn direct(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        match self.ids.get(self.at) {
            Some(&id) => only(logits, id),
            None => Err(ConstraintError("the right answer is over and nothing ended it".into())),
        }
    }

    fn came(&mut self, _id: u32) {
        self.at += 1;
    }

    fn again(&self) -> Box<dyn Director> {
        Box::new(self.clone())
    }
}

/// Every read of the right answer, and how many came too late under `policy`: all turns in one cache.
///
/// # Errors
/// [`ReciteError`].
pub fn recite<B: Backend>(
    model: &Arc<Model<B>>,
    options: EngineOptions,
    gold: &Gold,
    policy: Arc<dyn Policy>,
) -> Result<Misses, ReciteError> {
    let mut core = Core::new(Arc::clone(model), options)?;
    let shape = &model.config;
    let stage = Arc::new(Mutex::new(Stage { seen: Forgotten::new(shape.n_layers, shape.n_kv_heads), failed: None }));
    for (turn, span) in gold.turns.iter().enumerate() {
        let generation = Generation {
            max_tokens: Some(span.answer.len()),
            keep: turn + 1 < gold.turns.len(),
            constraint: Some(recital(gold, turn)),
            ..Generation::default()
        };
        let prompt = gold.ids[span.prompt.clone()].to_vec();
        let sink = {
            let stage = Arc::clone(&stage);
            move |event: Event| {
                let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
                stage.seen.saw(&event);
                if let Event::Failed(why) = event {
                    stage.failed = Some(why);
                }
            }
        };
        let submitted = match turn {
            0 => {
                let policy = Some(Arc::clone(&policy));
                core.submit(0, Request { custom: policy, trace: true, generation, ..Request::new(prompt) }, sink)
            }
            _ => core.append(0, prompt, generation, sink),
        };
        submitted.map_err(|source| ReciteError::Submit { turn, source })?;
        while core.step() {}
        if let Some(source) = stage.lock().unwrap_or_else(PoisonError::into_inner).failed.take() {
            return Err(ReciteError::Failed { turn, source });
        }
    }
    let stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Misses::count(gold, &gold.ids, &stage.seen))
}

/// What is known of a recital.
struct Stage {
    seen: Forgotten,
    failed: Option<Failure>,
}
