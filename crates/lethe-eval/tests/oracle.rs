//! Foresight against the policies that have none, on right answers said word for word.

use std::sync::Arc;

use lethe_engine::{Core, EngineOptions};
use lethe_eval::gold::Gold;
use lethe_eval::misses::Misses;
use lethe_eval::oracle::Oracle;
use lethe_eval::problems::{Cards, Family, Problem, generate};
use lethe_eval::recite::recite;
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};
use lethe_policy::{Policy, PolicySpec};

fn model() -> Arc<Model<CpuBackend>> {
    let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
    Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu)).unwrap())
}

fn options() -> EngineOptions {
    EngineOptions { kv_memory: 32 << 20, ..EngineOptions::default() }
}

fn gold(model: &Model<CpuBackend>, problem: &Problem) -> Gold {
    let (tokenizer, template) = (model.tokenizer.as_ref().unwrap(), model.chat_template.as_ref().unwrap());
    Gold::new(problem, tokenizer, template, &model.end_ids).unwrap()
}

fn policy(model: &Arc<Model<CpuBackend>>, spec: &str) -> Box<dyn Policy> {
    let context = Core::new(Arc::clone(model), options()).unwrap().context();
    PolicySpec::parse(spec).unwrap().build(&context).unwrap()
}

fn misses(model: &Arc<Model<CpuBackend>>, gold: &Gold, policy: Box<dyn Policy>) -> Misses {
    recite(model, options(), gold, Arc::from(policy)).unwrap()
}

#[test]
fn the_full_cache_misses_nothing() {
    let model = model();
    for family in Family::ALL {
        let gold = gold(&model, &generate(family, 0.4, 2));
        let misses = misses(&model, &gold, policy(&model, "full"));
        assert_eq!((misses.reads, misses.lost), (gold.reads.len(), 0), "{family}");
        assert!(misses.layers.iter().all(|&n| n == 0));
    }
}

#[test]
fn the_oracle_misses_less_on_the_same_budget() {
    let model = model();
    let tight = "recency:budget=24,interval=8";
    let (mut recency, mut oracle) = (0, 0);
    for seed in 0..2 {
        for problem in
            [Cards::at(0.6).people(6).cards(4).moves(20).generate(seed).unwrap(), generate(Family::Rooms, 0.8, seed)]
        {
            let gold = gold(&model, &problem);
            recency += misses(&model, &gold, policy(&model, tight)).lost;
            let seer = Oracle::new(policy(&model, tight), &gold);
            oracle += misses(&model, &gold, Box::new(seer)).lost;
        }
    }
    assert!(recency > 10, "values are read after 24 tokens: {recency}");
    assert!(oracle * 5 < recency, "{oracle} and {recency}");
}

#[test]
fn unprotected_prompts_are_missed() {
    let model = model();
    let gold = gold(&model, &generate(Family::Cards, 0.6, 4));
    let open = misses(&model, &gold, policy(&model, "recency:budget=64,interval=8,protect_prompt=none"));
    let pinned = misses(&model, &gold, policy(&model, "recency:budget=64,interval=8"));
    assert!(open.rate() > pinned.rate(), "{open:?} {pinned:?}");
    assert!(open.mean_rate() >= open.rate(), "what no layer has, each layer lacks");
}

#[test]
fn two_turns_share_one_cache() {
    let model = model();
    let gold = gold(&model, &Cards::two_turn(0.4).moves(6).generate(2).unwrap());
    let misses = misses(&model, &gold, policy(&model, "recency:budget=32,interval=8,protect_prompt=newest"));
    assert_eq!(misses.reads, gold.reads.len());
}
