//! How well a model foretells a text, and what a policy costs it.

use std::sync::{Arc, Mutex, PoisonError};

use lethe_engine::{Constrained, ConstraintError, EngineOptions, Event, Failure, Generation, Request, SubmitError};
use lethe_engine::{Core, EngineError};
use lethe_model::{Backend, Model};
use lethe_policy::PolicySpec;

use crate::forced::{Directed, Director, normaliser, only};
use crate::statistics::{Interval, StatisticsError, paired_bootstrap};

/// A stretch of the text, read by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Tokens foretold: all but the first.
    pub tokens: usize,
    /// Sum of their negative log probabilities, nats.
    pub surprise: f64,
    /// Rounds, summed over layers.
    pub rounds: usize,
}

impl Stretch {
    /// Nats a token.
    fn rate(&self) -> f64 {
        self.surprise / self.tokens.max(1) as f64
    }
}

/// The perplexity of all stretches: e to the mean surprise of a token.
pub fn perplexity(stretches: &[Stretch]) -> f64 {
    let tokens: usize = stretches.iter().map(|s| s.tokens).sum();
    (stretches.iter().map(|s| s.surprise).sum::<f64>() / tokens.max(1) as f64).exp()
}

/// Resamples of the intervals.
const RESAMPLES: usize = 10_000;

/// The 95 % interval of [`perplexity`], stretches resampled: they are of one length to a token, so that they weigh alike.
/// One stretch tells nothing of others, so it has none.
///
/// # Errors
/// [`StatisticsError::Nothing`] without stretches.
pub fn interval(stretches: &[Stretch]) -> Result<Option<Interval>, StatisticsError> {
    let rates: Vec<f64> = stretches.iter().map(Stretch::rate).collect();
    paired(&rates, &vec![0.0; rates.len()])
}

/// The 95 % interval of the perplexity of `first` over that of `second`, both over the same stretches.
///
/// # Errors
/// [`StatisticsError`] without stretches, or where they are not the same.
pub fn ratio_interval(first: &[Stretch], second: &[Stretch]) -> Result<Option<Interval>, StatisticsError> {
    let rates = |of: &[Stretch]| of.iter().map(Stretch::rate).collect::<Vec<f64>>();
    paired(&rates(first), &rates(second))
}

fn paired(first: &[f64], second: &[f64]) -> Result<Option<Interval>, StatisticsError> {
    let Interval { low, high } = paired_bootstrap(first, second, RESAMPLES, 1)?;
    Ok((first.len() > 1).then(|| Interval { low: low.exp(), high: high.exp() }))
}

/// Why a text has no perplexity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PerplexityError {
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Nothing to foretell.
    #[error("the text has {tokens} tokens: at least 2 are needed, one to begin with and one to foretell")]
    TooShort {
        /// Tokens.
        tokens: usize,
    },
    /// No room for a token to foretell.
    #[error("a context of {context} tokens foretells nothing: give at least 2")]
    NoContext {
        /// What was asked for.
        context: usize,
    },
    /// A stretch was refused.
    #[error("stretch {stretch}: {source}")]
    Submit {
        /// Which, from 1.
        stretch: usize,
        /// Why.
        source: SubmitError,
    },
    /// A stretch failed.
    #[error("stretch {stretch}: {source}")]
    Failed {
        /// Which, from 1.
        stretch: usize,
        /// Why.
        source: Failure,
    },
}

/// Cuts a text into the fewest stretches of at most `context` tokens, all of one length to a token. With `begin`, each
/// begins with that token, which counts.
///
/// # Errors
/// [`PerplexityError::TooShort`] or [`PerplexityError::NoContext`].
pub fn stretches(ids: &[u32], begin: Option<u32>, context: usize) -> Result<Vec<Vec<u32>>, PerplexityError> {
    let lead = usize::from(begin.is_some());
    if context < 2 {
        return Err(PerplexityError::NoContext { context });
    }
    if ids.len() + lead < 2 {
        return Err(PerplexityError::TooShort { tokens: ids.len() });
    }
    let count = ids.len().div_ceil(context - lead);
    let cut = |i: usize| i * ids.len() / count;
    let stretch = |i: usize| begin.into_iter().chain(ids[cut(i)..cut(i + 1)].iter().copied()).collect::<Vec<u32>>();
    // A text a token longer than its context leaves stretches that foretell nothing only where the context is 2.
    Ok((0..count).map(stretch).filter(|stretch| stretch.len() > 1).collect())
}

/// Finds out before anything is read whether every stretch is taken under a policy.
///
/// # Errors
/// [`PerplexityError`]: what [`foretell`] would refuse.
pub fn check<B: Backend>(
    model: &Arc<Model<B>>,
    options: EngineOptions,
    stretches: &[Vec<u32>],
    policy: &PolicySpec,
) -> Result<(), PerplexityError> {
    submitted(model, options, stretches, Some(policy)).map(|_| ())
}

/// Foretells every token of each stretch but the first, given those before it in the stretch. With a policy, the first is
/// the prompt and each of the others a step of decode, so that the policy acts as it does in an answer; without one they are
/// read as a prompt, which predicts the same to the bit with the full cache, and sooner. `progress` hears how many
/// stretches are done.
///
/// # Errors
/// [`PerplexityError`].
pub fn foretell<B: Backend>(
    model: &Arc<Model<B>>,
    options: EngineOptions,
    stretches: &[Vec<u32>],
    policy: Option<&PolicySpec>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Stretch>, PerplexityError> {
    let (mut core, books) = submitted(model, options, stretches, policy)?;
    let mut told = 0;
    while core.step() {
        let done = books.iter().filter(|book| lock(book).end.is_some()).count();
        if done > told {
            told = done;
            progress(done);
        }
    }
    let finished = books.iter().zip(stretches).enumerate().map(|(at, (book, ids))| {
        let book = lock(book);
        let end = book.end.clone().unwrap_or(Err(Failure::Stopped));
        let rounds = end.map_err(|source| PerplexityError::Failed { stretch: at + 1, source })?;
        Ok(Stretch { tokens: ids.len() - 1, surprise: book.surprise, rounds })
    });
    finished.collect()
}

/// What becomes of each stretch, one after the other.
type Books = Vec<Arc<Mutex<Book>>>;

/// An engine that has every stretch in its queue.
fn submitted<B: Backend>(
    model: &Arc<Model<B>>,
    options: EngineOptions,
    stretches: &[Vec<u32>],
    policy: Option<&PolicySpec>,
) -> Result<(Core<B>, Books), PerplexityError> {
    let options = EngineOptions { max_queue: options.max_queue.max(stretches.len()), ..options };
    let mut core = Core::new(Arc::clone(model), options)?;
    let mut books = Vec::new();
    for (at, ids) in stretches.iter().enumerate() {
        let book: Arc<Mutex<Book>> = Arc::default();
        books.push(Arc::clone(&book));
        let request = match policy {
            None => read(ids),
            Some(policy) => spoken(ids, policy, &book),
        };
        core.submit(at as u64, request, move |event| lock(&book).take(event))
            .map_err(|source| PerplexityError::Submit { stretch: at + 1, source })?;
    }
    Ok((core, books))
}

/// A request that reads the stretch as its prompt.
fn read(ids: &[u32]) -> Request {
    let generation = Generation { max_tokens: Some(0), ..Generation::default() };
    Request { policy: full(), generation, prompt_logprobs: Some(0), ..Request::new(ids.to_vec()) }
}

fn full() -> PolicySpec {
    PolicySpec::new("full").expect("full is always registered")
}

/// A request that says the stretch.
fn spoken(ids: &[u32], policy: &PolicySpec, book: &Arc<Mutex<Book>>) -> Request {
    let (prompt, rest) = ids.split_at(1);
    let script = Script { ids: rest.into(), at: 0, book: Arc::clone(book) };
    let grammar = Box::new(Directed(Box::new(script)));
    let generation = Generation {
        max_tokens: Some(rest.len()),
        ignore_eos: true,
        constraint: Some(Constrained { grammar, after_thinking: None }),
        ..Generation::default()
    };
    Request { policy: policy.clone(), generation, ..Request::new(prompt.to_vec()) }
}

/// What has become of a stretch.
#[derive(Debug, Default)]
struct Book {
    surprise: f64,
    end: Option<Result<usize, Failure>>, // rounds
}

impl Book {
    fn take(&mut self, event: Event) {
        match event {
            Event::PromptLogprobs(all) => {
                self.surprise -= all.iter().map(|token| f64::from(token.logprob)).sum::<f64>();
            }
            Event::Finished(done) => self.end = Some(Ok(done.kv.rounds.iter().sum())),
            Event::Failed(why) => self.end = Some(Err(why)),
            Event::Prefill { .. }
            | Event::Token { .. }
            | Event::Tail(_)
            | Event::Forgot { .. }
            | Event::Round(_)
            | Event::Levels(_) => {}
        }
    }
}

fn lock(book: &Mutex<Book>) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tokens to say, and how likely each was.
#[derive(Clone, Debug)]
struct Script {
    ids: Arc<[u32]>,
    at: usize,
    book: Arc<Mutex<Book>>,
}

impl Director for Script {
    fn direct(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        let id = *self.ids.get(self.at).ok_or_else(|| ConstraintError("the text is at its end".into()))?;
        let logit = logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        lock(&self.book).surprise += normaliser(logits) - f64::from(logit);
        only(logits, id)
    }

    fn came(&mut self, _id: u32) {
        self.at += 1;
    }

    fn again(&self) -> Box<dyn Director> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lethe_kernels::{Cpu, CpuOptions};
    use lethe_model::CpuBackend;

    #[test]
    fn stretches_are_even_and_whole() {
        let ids: Vec<u32> = (0..25).collect();
        let lengths =
            |begin, context| stretches(&ids, begin, context).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(lengths(None, 25), [25]);
        assert_eq!(lengths(None, 24), [12, 13]);
        assert_eq!(lengths(None, 10), [8, 8, 9]);
        assert_eq!(lengths(Some(9), 10), [9, 9, 10]);
        assert_eq!(stretches(&ids, None, 10).unwrap().concat(), ids);
        assert!(stretches(&ids, Some(7), 10).unwrap().iter().all(|s| s[0] == 7));
        assert!(matches!(stretches(&ids, None, 1), Err(PerplexityError::NoContext { context: 1 })));
        assert!(matches!(stretches(&ids[..1], None, 8), Err(PerplexityError::TooShort { tokens: 1 })));
        assert_eq!(stretches(&ids[..1], Some(9), 8).unwrap(), [[9, 0]]);
    }

    #[test]
    fn perplexity_and_its_interval() {
        let of = |rates: &[f64]| -> Vec<Stretch> {
            rates.iter().map(|rate| Stretch { tokens: 10, surprise: 10.0 * rate, rounds: 0 }).collect()
        };
        let (low, high) = (of(&[1.0; 20]), of(&[1.5; 20]));
        assert!((perplexity(&low) - 1f64.exp()).abs() < 1e-12);
        let all = interval(&low).unwrap().unwrap();
        assert_eq!((all.low, all.high), (1f64.exp(), 1f64.exp()));
        let ratio = ratio_interval(&high, &low).unwrap().unwrap();
        assert!((ratio.low - 0.5f64.exp()).abs() < 1e-12 && (ratio.high - 0.5f64.exp()).abs() < 1e-12);
        assert_eq!(interval(&low[..1]).unwrap(), None);
        assert!(interval(&[]).is_err());
        assert!(ratio_interval(&low, &high[..3]).is_err());
    }

    #[test]
    fn decode_foretells_what_a_prompt_does_and_a_policy_less() {
        let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
        let model = Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu)).unwrap());
        let problem = crate::problems::generate(crate::problems::Family::Sort, 0.4, 3);
        let text = problem.turns[0].reply();
        let ids = model.tokenizer.as_ref().unwrap().encode(&text, false).unwrap();
        let stretches = stretches(&ids, None, ids.len().div_ceil(2)).unwrap();
        let options = EngineOptions { kv_memory: 64 << 20, max_num_seqs: 2, ..EngineOptions::default() };
        let run = |policy: Option<&str>| {
            let policy = policy.map(|p| PolicySpec::parse(p).unwrap());
            let mut told = Vec::new();
            let found = foretell(&model, options.clone(), &stretches, policy.as_ref(), |done| told.push(done)).unwrap();
            assert_eq!(told.last(), Some(&2));
            found
        };
        let (read, spoken, cut) = (run(None), run(Some("full")), run(Some("recency:budget=12,interval=8")));
        let refused = |policy: &str| {
            check(&model, options.clone(), &stretches, &PolicySpec::parse(policy).unwrap()).map_err(|e| e.to_string())
        };
        assert_eq!(refused("recency:budget=12,interval=8"), Ok(()));
        assert!(refused("recency:budget=2,interval=8").unwrap_err().contains("stretch 1"));
        for (a, b) in read.iter().zip(&spoken) {
            assert_eq!((a.tokens, a.rounds, b.rounds), (b.tokens, 0, 0));
            assert!((a.surprise - b.surprise).abs() < 1e-3, "{} {}", a.surprise, b.surprise);
        }
        assert!(cut.iter().all(|s| s.rounds > 0));
        assert!(perplexity(&cut) > 1.05 * perplexity(&read), "{} {}", perplexity(&cut), perplexity(&read));
    }
}
