//! The embedded model and its problems, for tests.
#![allow(dead_code, unreachable_pub)] // each test uses its own part

use std::sync::{Arc, Mutex};

use lethe_engine::{Core, EngineOptions, Event, Finished, Generation, Request, TokenLogprobs};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_kv::KvDtype;
use lethe_model::{CpuBackend, Model};
use lethe_policy::PolicySpec;

/// Rows of the embedded model's vocabulary, and some of its tokens.
pub const VOCAB: u32 = 800;
pub const OPEN: u32 = 798; // <think>
pub const CLOSE: u32 = 799; // </think>
pub const END: u32 = 797; // <|im_end|>
pub const NEWLINE: u32 = 198;
pub const CARD: u32 = 704; // " Card"

/// The embedded model on so many threads.
pub fn reasoner(threads: usize) -> Arc<Model<CpuBackend>> {
    let cpu = Cpu::new(CpuOptions { threads: Some(threads), level: None }).unwrap();
    Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu)).unwrap())
}

/// A problem of the embedded set.
#[derive(Clone, Debug)]
pub struct Problem {
    pub prompt: Vec<u32>,
    pub greedy: Vec<u32>,
    pub gold: Vec<u32>,
    pub answer: String,
    pub right: bool,
}

/// All problems.
pub fn problems() -> Vec<Problem> {
    let ids = |v: &serde_json::Value| v.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect();
    lethe_reasoner::PROBLEMS
        .lines()
        .map(|line| {
            let v: serde_json::Value = serde_json::from_str(line).unwrap();
            Problem {
                prompt: ids(&v["prompt_ids"]),
                greedy: ids(&v["greedy_ids"]),
                gold: ids(&v["gold_ids"]),
                answer: v["answer"].as_str().unwrap().to_owned(),
                right: v["right"].as_bool().unwrap(),
            }
        })
        .collect()
}

/// A pool that is large enough for `seqs` problems.
pub fn options(seqs: usize) -> EngineOptions {
    EngineOptions { kv_memory: 256 << 20, kv_dtype: KvDtype::F32, max_num_seqs: seqs, ..EngineOptions::default() }
}

/// A greedy request.
pub fn request(prompt: &[u32], policy: &str, max_tokens: usize) -> Request {
    Request {
        policy: PolicySpec::parse(policy).unwrap(),
        generation: Generation { max_tokens: Some(max_tokens), ..Generation::default() },
        ..Request::new(prompt.to_vec())
    }
}

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub text: String,
    pub tokens: usize,
    pub done: Option<Finished>,
    pub failed: Option<lethe_engine::Failure>,
    pub rounds: Vec<lethe_engine::Round>,
    pub logprobs: Vec<TokenLogprobs>,
    pub prompt_logprobs: Option<Vec<TokenLogprobs>>,
}

impl Outcome {
    pub fn ids(&self) -> &[u32] {
        &self.done.as_ref().unwrap_or_else(|| panic!("not finished: {:?}", self.failed)).token_ids
    }
}

/// A place for the events of one request, and the sink that fills it.
pub fn outcome() -> (Arc<Mutex<Outcome>>, impl FnMut(Event) + Send + Sync + 'static) {
    let place = Arc::new(Mutex::new(Outcome::default()));
    let sink = {
        let place = Arc::clone(&place);
        move |event| {
            let mut o = place.lock().unwrap();
            match event {
                Event::Token { text, logprobs, .. } => {
                    o.tokens += 1;
                    o.text.push_str(&text);
                    o.logprobs.extend(logprobs.map(|l| *l));
                }
                Event::Tail(text) => o.text.push_str(&text),
                Event::PromptLogprobs(entries) => {
                    assert!(o.prompt_logprobs.is_none() && o.text.is_empty(), "once, before the first token");
                    o.prompt_logprobs = Some(entries);
                }
                Event::Round(round) => o.rounds.push(round),
                Event::Finished(done) => o.done = Some(*done),
                Event::Failed(why) => o.failed = Some(why),
                Event::Prefill { .. } | Event::Forgot { .. } | Event::Levels(_) => {}
            }
        }
    };
    (place, sink)
}

/// Runs requests in one engine until all are done; checks the books after every so many steps.
pub fn run(model: &Arc<Model<CpuBackend>>, options: EngineOptions, requests: Vec<Request>) -> Vec<Outcome> {
    let mut core = Core::new(Arc::clone(model), options).unwrap();
    let places: Vec<_> = requests
        .into_iter()
        .enumerate()
        .map(|(i, request)| {
            let (place, sink) = outcome();
            core.submit(i as u64, request, sink).unwrap();
            place
        })
        .collect();
    let mut steps = 0;
    while core.step() {
        steps += 1;
        if steps % 50 == 0 {
            core.check_integrity().unwrap();
        }
    }
    core.check_integrity().unwrap();
    let (free, total) = core.pages();
    assert_eq!(free, total, "every page is back");
    places.iter().map(|p| p.lock().unwrap().clone()).collect()
}
