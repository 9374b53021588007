//! How far a policy moves the model's predictions: teacher-forced on the full cache's own greedy text.
//!
//! The full cache answers a prompt greedily. Beside it, in the same steps, every policy says the same tokens, and its
//! predictions are compared with the full cache's at each of them. Nobody's errors pile up: the text is the same.

pub mod reference;
mod text;

use std::sync::{Arc, Mutex, PoisonError};

use lethe_engine::{
    Constrained, Core, EngineError, EngineOptions, Event, Failure, Finished, Generation, Request, SubmitError,
};
use lethe_model::{Backend, Model};
use lethe_policy::{PolicyError, PolicySpec};
use serde::Serialize;

use crate::forced::{Directed, Director};
use crate::statistics::{Interval, StatisticsError, mean, paired_bootstrap, quantile};
use text::{Follower, Leader, Text, most_ahead};

/// A prompt to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// Token ids; at least one.
    pub ids: Vec<u32>,
    /// How many of them are the system message.
    pub system_tokens: usize,
}

/// How one policy followed the text of one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    /// KL(full || policy) of every token, nats. `[tokens]`
    pub divergence: Vec<f64>,
    /// Whether the likeliest token was the same. `[tokens]`
    pub agreed: Vec<bool>,
    /// Rounds, summed over layers.
    pub rounds: usize,
    /// Slots that a layer held, mean over steps and layers.
    pub mean_slots: f64,
}

/// How one policy followed all answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// Answers.
    pub answers: usize,
    /// Tokens of all answers.
    pub tokens: usize,
    /// Share of answers in which a round happened.
    pub exercised: f64,
    /// Mean KL(full || policy) of a token, nats; answers weigh alike.
    pub mean: f64,
    /// 95 %, answers resampled.
    pub mean_low: f64,
    /// See `mean_low`.
    pub mean_high: f64,
    /// The 99 % point of the KL over all tokens, nats.
    pub p99: f64,
    /// Share of tokens whose likeliest token is the same; answers weigh alike.
    pub agreement: f64,
    /// 95 %, answers resampled.
    pub agreement_low: f64,
    /// See `agreement_low`.
    pub agreement_high: f64,
    /// Slots that a layer held, mean over steps, layers and answers.
    pub mean_slots: f64,
}

/// Resamples of the intervals.
const RESAMPLES: usize = 10_000;

impl Drift {
    /// Sums up what one policy did. Answers without a token are left out.
    ///
    /// # Errors
    /// [`StatisticsError::Nothing`] without answers.
    pub fn of(followed: &[Followed]) -> Result<Drift, StatisticsError> {
        let followed: Vec<&Followed> = followed.iter().filter(|f| !f.divergence.is_empty()).collect();
        let share = |of: &[bool]| of.iter().filter(|&&yes| yes).count() as f64 / of.len() as f64;
        let means: Vec<f64> = followed.iter().filter_map(|f| mean(&f.divergence)).collect();
        let shares: Vec<f64> = followed.iter().map(|f| share(&f.agreed)).collect();
        let interval = |values: &[f64]| -> Result<(f64, Interval), StatisticsError> {
            let nothing = vec![0.0; values.len()];
            Ok((mean(values).unwrap_or(0.0), paired_bootstrap(values, &nothing, RESAMPLES, 1)?))
        };
        let ((kl, kl_in), (agreement, agreement_in)) = (interval(&means)?, interval(&shares)?);
        let all: Vec<f64> = followed.iter().flat_map(|f| f.divergence.iter().copied()).collect();
        Ok(Drift {
            answers: followed.len(),
            tokens: all.len(),
            exercised: share(&followed.iter().map(|f| f.rounds > 0).collect::<Vec<_>>()),
            mean: kl,
            mean_low: kl_in.low,
            mean_high: kl_in.high,
            p99: quantile(&all, 0.99).unwrap_or(0.0),
            agreement,
            agreement_low: agreement_in.low,
            agreement_high: agreement_in.high,
            mean_slots: mean(&followed.iter().map(|f| f.mean_slots).collect::<Vec<_>>()).unwrap_or(0.0),
        })
    }
}

/// Why there is no drift to tell.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriftError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A request was refused.
    #[error("prompt {prompt}, {policy}: {source}")]
    Submit {
        /// Which prompt, from 1.
        prompt: usize,
        /// Under which policy.
        policy: String,
        /// Why.
        source: SubmitError,
    },
    /// A request failed.
    #[error("prompt {prompt}, {policy}: {source}")]
    Failed {
        /// Which prompt, from 1.
        prompt: usize,
        /// Under which policy.
        policy: String,
        /// Why.
        source: Failure,
    },
    /// The full cache's policy could not be made.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Answers `prompt`, the `number`th (from 1), with the full cache, at most `max_tokens` tokens, and lets every policy follow.
/// Returns how each did, in their order. The engine of `options` runs all of them at once, so its memory must hold them all.
///
/// # Errors
/// [`DriftError`].
pub fn follow<B: Backend>(
    model: &Arc<Model<B>>,
    options: &EngineOptions,
    prompt: &Prompt,
    number: usize,
    policies: &[PolicySpec],
    max_tokens: usize,
) -> Result<Vec<Followed>, DriftError> {
    let seats = policies.len() + 1;
    let options = EngineOptions {
        max_num_seqs: seats,
        max_batched_tokens: options.max_batched_tokens.max(seats),
        max_queue: options.max_queue.max(seats),
        ..options.clone()
    };
    let mut core = Core::new(Arc::clone(model), options.clone())?;
    let text = Arc::new(Mutex::new(Text::new(policies.len(), most_ahead(&options, prompt.ids.len(), policies.len()))));
    let full = PolicySpec::new("full")?;
    let mut ends = Vec::new();
    for (seat, policy) in std::iter::once(&full).chain(policies).enumerate() {
        let director: Box<dyn Director> = match seat.checked_sub(1) {
            None => Box::new(Leader(Arc::clone(&text))),
            Some(follower) => Box::new(Follower { text: Arc::clone(&text), follower }),
        };
        let grammar = Box::new(Directed(director));
        let generation = Generation {
            max_tokens: Some(max_tokens),
            constraint: Some(Constrained { grammar, after_thinking: None }),
            ..Generation::default()
        };
        let request = Request {
            policy: policy.clone(),
            system_tokens: prompt.system_tokens,
            generation,
            ..Request::new(prompt.ids.clone())
        };
        let end: Arc<Mutex<Option<Result<Finished, Failure>>>> = Arc::default();
        ends.push((policy, Arc::clone(&end)));
        let sink = move |event| {
            let done = match event {
                Event::Finished(done) => Ok(*done),
                Event::Failed(why) => Err(why),
                _ => return,
            };
            *end.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        };
        core.submit(seat as u64, request, sink).map_err(|source| DriftError::Submit {
            prompt: number,
            policy: policy.to_string(),
            source,
        })?;
    }
    while core.step() {}
    let mut finished = Vec::new();
    for (policy, end) in ends {
        let end = end.lock().unwrap_or_else(PoisonError::into_inner).take();
        let end = end.unwrap_or(Err(Failure::Stopped));
        finished.push(end.map_err(|source| DriftError::Failed {
            prompt: number,
            policy: policy.to_string(),
            source,
        })?);
    }
    let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
    for (followed, done) in text.followed.iter_mut().zip(&finished[1..]) {
        followed.rounds = done.kv.rounds.iter().sum();
        followed.mean_slots = done.kv.mean_slots;
    }
    Ok(std::mem::take(&mut text.followed))
}

#[cfg(test)]
mod tests {
    use super::text::MOST_AHEAD;
    use super::*;
    use lethe_kernels::{Cpu, CpuOptions};
    use lethe_model::CpuBackend;

    #[test]
    fn answers_weigh_alike() {
        let one = Followed { divergence: vec![1.0; 10], agreed: vec![false; 10], rounds: 3, mean_slots: 8.0 };
        let two = Followed { divergence: vec![0.0; 90], agreed: vec![true; 90], rounds: 0, mean_slots: 4.0 };
        let drift = Drift::of(&[one, two, Followed::default()]).unwrap();
        assert_eq!((drift.answers, drift.tokens, drift.mean, drift.agreement), (2, 100, 0.5, 0.5));
        assert_eq!((drift.exercised, drift.p99, drift.mean_slots), (0.5, 1.0, 6.0));
        assert_eq!((drift.mean_low, drift.mean_high), (0.0, 1.0));
        assert!(Drift::of(&[]).is_err());
    }

    fn reasoner() -> Arc<Model<CpuBackend>> {
        let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
        Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu)).unwrap())
    }

    #[test]
    fn full_follows_itself_to_the_bit_and_a_policy_does_not() {
        let model = reasoner();
        let (tokenizer, template) = (model.tokenizer.as_ref().unwrap(), model.chat_template.as_ref().unwrap());
        let question = lethe_model::Message::new("user", "Sort 41 7 93 20 55 12 68 34.");
        let text = template.render(&[question], true, &serde_json::Map::new()).unwrap();
        let prompt = Prompt { ids: tokenizer.encode(&text, false).unwrap(), system_tokens: 0 };
        let policies = ["full", "recency:budget=24,interval=8"].map(|p| PolicySpec::parse(p).unwrap());
        let options = EngineOptions { kv_memory: 64 << 20, ..EngineOptions::default() };
        let followed = follow(&model, &options, &prompt, 1, &policies, 120).unwrap();
        let [full, recency] = &followed[..] else { panic!("{}", followed.len()) };
        assert!(full.divergence.len() > 40, "{}", full.divergence.len());
        assert_eq!(full.divergence.len(), recency.divergence.len());
        assert!(full.divergence.iter().all(|&kl| kl == 0.0) && full.agreed.iter().all(|&a| a));
        assert!(recency.rounds > 0 && recency.mean_slots < full.mean_slots);
        // Before the first round it is full to the bit.
        assert!(recency.divergence[..16].iter().all(|&kl| kl == 0.0));
        assert!(recency.divergence.iter().any(|&kl| kl > 1e-6));
    }

    #[test]
    fn long_prompts_of_many_policies_are_read_while_the_full_cache_speaks() {
        let model = reasoner();
        let (tokenizer, template) = (model.tokenizer.as_ref().unwrap(), model.chat_template.as_ref().unwrap());
        let question = lethe_model::Message::new("user", "Sort 41 7 93 20 55 12 68 34.");
        let text = template.render(&[question], true, &serde_json::Map::new()).unwrap();
        let prompt = Prompt { ids: tokenizer.encode(&text, false).unwrap(), system_tokens: 0 };
        let policies = vec![PolicySpec::new("full").unwrap(); 6];
        // Said over and over, so that reading takes longer than the full cache may be ahead of those that decode.
        let prompt = Prompt { ids: prompt.ids.repeat(6), ..prompt };
        let options = EngineOptions { kv_memory: 64 << 20, max_batched_tokens: 7, ..EngineOptions::default() };
        let followed = follow(&model, &options, &prompt, 1, &policies, 120).unwrap();
        assert!(followed.iter().all(|f| f.divergence.len() > MOST_AHEAD && f.divergence.iter().all(|&kl| kl == 0.0)));
    }

    #[test]
    fn too_little_memory_is_said() {
        let model = reasoner();
        let prompt = Prompt { ids: vec![1; 40], system_tokens: 0 };
        let shape = model.decoder.kv_shape(lethe_kv::KvDtype::F16);
        let kv_memory = (6 * shape.lanes() * shape.page_charge()) as u64;
        let options = EngineOptions { kv_memory, ..EngineOptions::default() };
        let policies = [PolicySpec::new("full").unwrap()];
        let error = follow(&model, &options, &prompt, 3, &policies, 4000).unwrap_err();
        assert!(matches!(error, DriftError::Submit { prompt: 3, .. }), "{error}");
        assert!(error.to_string().contains("prompt 3, full"), "{error}");
    }
}
