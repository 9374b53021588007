//! Many requests in a pool that is too small for them: who runs, who leaves, and that nobody's output knows of it.

mod common;

use std::sync::{Arc, Mutex};

use common::{Outcome, options, outcome, problems, reasoner, request, run};
use lethe_engine::{Core, EngineOptions, FinishReason, Request, SubmitError};
use lethe_model::CpuBackend;

/// Policies that forget and one that does not; the last cuts prompts too.
const POLICIES: [&str; 7] = [
    "full",
    "lethe:cap=160,trigger=cap,interval=12",
    "lethe:total=1200,interval=8",
    "random:budget=48,interval=12,seed=3",
    "gkv:budget=48,interval=12",
    "lethe+:budget=48,interval=12",
    "recency:budget=64,interval=8,protect_prompt=none",
];

/// A request that goes on for exactly `tokens` tokens.
fn long(prompt: &[u32], policy: &str, tokens: usize) -> Request {
    let mut request = request(prompt, policy, tokens);
    request.generation.ignore_eos = true;
    request
}

/// Prompts of which many begin alike.
fn prompts() -> Vec<Vec<u32>> {
    let problems = problems();
    let mut all: Vec<Vec<u32>> = (0..6).map(|i| problems[i * 13 + 2].prompt.clone()).collect();
    let shared = all[5].clone();
    for i in 1..4 {
        let tail = all[i].clone();
        all.push([&shared[..], &tail[..20]].concat());
    }
    all
}

#[test]
fn whoever_has_to_leave_goes_on_with_the_same_bits() {
    let model = reasoner(2);
    let prompts = prompts();
    let policy = |i: usize| if i.is_multiple_of(2) { "full" } else { POLICIES[i % POLICIES.len()] };
    let requests: Vec<_> = (0..9).map(|i| long(&prompts[i % prompts.len()], policy(i), 200 + 20 * (i % 3))).collect();
    let alone: Vec<_> = requests.iter().map(|r| run(&model, options(1), vec![r.clone()]).remove(0)).collect();
    for (park_memory, prefix_cache) in [(1 << 30, false), (0, false), (1 << 16, true)] {
        let small = EngineOptions { kv_memory: 3 << 20, park_memory, prefix_cache, head_room: 16, ..options(9) };
        let mut core = Core::new(Arc::clone(&model), small).unwrap();
        let places: Vec<_> = submit_all(&mut core, &requests);
        while core.step() {
            core.check_integrity().unwrap();
        }
        let load = core.load();
        assert!(load.preemptions > 2, "the pool is too small for all: {load:?}");
        assert_eq!(load.pages_free + load.cached_pages, load.pages_total, "every page is back");
        assert_eq!((load.prefix_hits > 0, load.cached_pages > 0), (prefix_cache, prefix_cache));
        let mut parked = 0;
        for (i, (place, alone)) in places.iter().zip(&alone).enumerate() {
            let one = place.lock().unwrap().clone();
            let what = format!(
                "request {i} ({}), {park_memory} bytes outside, prefix cache {prefix_cache}",
                requests[i].policy
            );
            assert!(one.failed.is_none(), "{what}: {:?}", one.failed);
            assert_eq!((one.ids(), &one.rounds), (alone.ids(), &alone.rounds), "{what}");
            parked += one.done.unwrap().kv.parked as u64;
        }
        assert_eq!(parked, load.preemptions);
        core.clear_prefix_cache();
        assert_eq!(core.pages().0, core.pages().1);
    }
}

fn submit_all(core: &mut Core<CpuBackend>, requests: &[Request]) -> Vec<Arc<Mutex<Outcome>>> {
    let submit = |(i, request): (usize, &Request)| {
        let (place, sink) = outcome();
        core.submit(i as u64, request.clone(), sink).unwrap();
        place
    };
    requests.iter().enumerate().map(submit).collect()
}

#[test]
fn at_random_and_with_cancels_nothing_leaks_and_no_answer_changes() {
    let model = reasoner(2);
    let prompts = prompts();
    let mut state = 5u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % n as u64) as usize
    };
    let mut alone = std::collections::HashMap::new();
    let (mut done, mut cancelled, mut preempted, mut hits) = (0, 0, 0, 0);
    for case in 0..4 {
        let options = EngineOptions {
            kv_memory: 9 << 18,
            max_batched_tokens: 8 + below(120),
            prefill_chunk: 1 + below(100),
            head_room: [0, 20][case / 2],
            prefix_cache: case % 2 == 0,
            park_memory: if case < 2 { 1 << 30 } else { 0 },
            ..options(2 + below(6))
        };
        let mut core = Core::new(Arc::clone(&model), options).unwrap();
        let mut live = Vec::new();
        for step in 0.. {
            if step < 300 && below(12) == 0 {
                let key = (below(prompts.len()), below(POLICIES.len()), 20 + 110 * below(3));
                let (place, sink) = outcome();
                let request = long(&prompts[key.0], POLICIES[key.1], key.2);
                let stop_after = if below(3) == 0 { Some(below(key.2)) } else { None };
                core.submit(live.len() as u64, request, sink).unwrap();
                live.push((key, place, stop_after));
            }
            for (id, (_, place, stop_after)) in live.iter().enumerate() {
                let far = stop_after.is_some_and(|n| place.lock().unwrap().tokens >= n);
                if far && place.lock().unwrap().done.is_none() {
                    core.cancel(id as u64);
                }
            }
            if !core.step() && step >= 300 {
                break;
            }
            core.check_integrity().unwrap();
        }
        let load = core.load();
        preempted += load.preemptions;
        hits += load.prefix_hits;
        assert_eq!(load.pages_free + load.cached_pages, load.pages_total);
        for (key, place, stop_after) in live {
            let one = place.lock().unwrap().clone();
            let whole = alone.entry(key).or_insert_with(|| {
                let request = long(&prompts[key.0], POLICIES[key.1], key.2);
                run(&model, common::options(1), vec![request]).remove(0).ids().to_vec()
            });
            let end = one.done.clone().unwrap_or_else(|| panic!("{key:?} failed: {:?}", one.failed));
            match end.reason {
                FinishReason::Cancelled => {
                    cancelled += 1;
                    assert!(stop_after.is_some() && whole.starts_with(&end.token_ids), "{key:?}");
                }
                _ => {
                    done += 1;
                    assert_eq!(&end.token_ids, whole, "{key:?}");
                }
            }
        }
    }
    assert!(done > 40 && cancelled > 10 && preempted > 10 && hits > 0, "{done} {cancelled} {preempted} {hits}");
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one_and_the_long_one_gets_on() {
    let model = reasoner(1);
    let long_prompt: Vec<u32> = problems()[0].prompt.iter().copied().cycle().take(900).collect();
    let short_prompt = problems()[1].prompt[..40].to_vec();
    let options = EngineOptions { max_batched_tokens: 60, ..options(4) };
    let mut core = Core::new(model, options).unwrap();
    let places = submit_all(
        &mut core,
        &[long(&long_prompt, "full", 5), long(&short_prompt, "full", 5), long(&short_prompt, "full", 5)],
    );
    let mut steps = [0; 3]; // at which each had its first token
    for step in 1..100 {
        core.step();
        for (at, place) in steps.iter_mut().zip(&places).filter(|(at, _)| **at == 0) {
            *at = if place.lock().unwrap().tokens > 0 { step } else { 0 };
        }
    }
    assert_eq!(steps[1], 2, "30 rows of each step are for the short ones, first come first served");
    assert_eq!(steps[2], 3);
    assert!(steps[0] > 3 && steps[0] <= 19, "the long one has half of all rows, and all when it is alone: {steps:?}");
}

#[test]
fn the_queue_has_an_end_and_so_have_positions_and_memory() {
    let model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let limits = EngineOptions { max_queue: 2, max_model_len: Some(200), ..options(1) };
    let mut core = Core::new(Arc::clone(&model), limits).unwrap();
    let mut open = request(&prompt, "full", 1);
    open.generation.max_tokens = None;
    open.generation.ignore_eos = true;
    let (place, sink) = outcome();
    core.submit(0, open.clone(), sink).unwrap();
    core.step(); // it runs now, and two may wait
    for id in 1..3 {
        core.submit(id, request(&prompt, "full", 2), outcome().1).unwrap();
    }
    let full = core.submit(3, request(&prompt, "full", 2), outcome().1).unwrap_err();
    assert!(matches!(full, SubmitError::QueueFull { waiting: 2, limit: 2 }), "{full}");
    while core.step() {}
    let done = place.lock().unwrap().done.clone().unwrap();
    assert_eq!(done.limit.unwrap().to_string(), "the model's 200 positions");
    assert_eq!(done.token_ids.len(), 200 - prompt.len());
    // an open end stops where memory does, a number that cannot be had is refused
    let small = EngineOptions { kv_memory: 1 << 20, ..options(2) };
    let mut core = Core::new(model, small).unwrap();
    let refused = core.submit(0, request(&prompt, "full", 3000), outcome().1).unwrap_err();
    assert!(matches!(refused, SubmitError::RequestTooLarge { .. }), "{refused}");
    let places = submit_all(&mut core, &[open.clone(), open]);
    while core.step() {
        core.check_integrity().unwrap();
    }
    let ends = [0, 1].map(|i| places[i].lock().unwrap().done.clone().unwrap());
    let tokens = ends[0].token_ids.len();
    assert!(tokens > 50 && tokens < 1000, "{tokens}");
    assert_eq!(ends[0].token_ids, ends[1].token_ids);
    assert!(ends[0].limit.unwrap().to_string().contains("--kv-memory"));
}

#[test]
fn elastic_requests_give_way_before_anybody_has_to_leave() {
    let model = reasoner(2);
    let prompt = problems()[0].prompt.clone();
    let policy = "lethe:cap=400,trigger=cap,interval=16,recent_ratio=0.1";
    let requests = |elastic| {
        let one = |i: usize| Request { elastic: elastic && i > 0, ..long(&prompt[i..], policy, 240) };
        (0..5).map(one).collect::<Vec<_>>()
    };
    let small = || EngineOptions { kv_memory: 3 << 20, head_room: 16, ..options(5) };
    let go = |elastic| {
        let mut core = Core::new(Arc::clone(&model), small()).unwrap();
        let places = submit_all(&mut core, &requests(elastic));
        while core.step() {
            core.check_integrity().unwrap();
        }
        let ends: Vec<_> = places.iter().map(|p| p.lock().unwrap().done.clone().unwrap()).collect();
        (core.load().preemptions, ends)
    };
    let ((stiff, before), (soft, after)) = (go(false), go(true));
    assert!(stiff > 0 && soft < stiff, "{stiff} leave without, {soft} with");
    assert!(before.iter().all(|d| d.kv.tightened == 0));
    assert!(after[1..].iter().any(|d| d.kv.tightened > 0));
    assert_eq!(after[0].kv.tightened, 0);
    assert_eq!(after[0].token_ids, before[0].token_ids, "who is not elastic does not notice");
    let mut core = Core::new(model, small()).unwrap();
    let full = Request { elastic: true, ..long(&prompt, "full", 5) };
    assert!(core.submit(0, full, outcome().1).unwrap_err().to_string().contains("elastic"));
}

#[test]
fn a_prefix_hit_changes_no_bit_under_any_policy() {
    let model = reasoner(2);
    let prompts = prompts().split_off(5); // three of them begin as the first does
    let policies = POLICIES.iter().copied().chain([
        "lethe:budget=40,trigger=cap,interval=12,prefill=sum",
        "lethe:budget=40,trigger=cap,interval=12,window=5,protect_prompt=newest",
    ]);
    for policy in policies {
        let requests: Vec<_> = prompts.iter().map(|p| long(p, policy, 40)).collect();
        let plain = run(&model, options(5), requests.clone());
        let with = EngineOptions { prefix_cache: true, ..options(2) };
        let mut core = Core::new(Arc::clone(&model), with).unwrap();
        for again in 0..2 {
            let places = submit_all(&mut core, &requests);
            while core.step() {
                core.check_integrity().unwrap();
            }
            for ((place, plain), prompt) in places.iter().zip(&plain).zip(&prompts) {
                let one = place.lock().unwrap().clone();
                assert_eq!((one.ids(), &one.rounds), (plain.ids(), &plain.rounds), "{policy}");
                let (one, plain) = (one.done.unwrap(), plain.done.clone().unwrap());
                assert_eq!(one.kv.mean_slots, plain.kv.mean_slots, "{policy}");
                let window = if policy.contains("window=5") {
                    5
                } else if policy.starts_with("lethe") || policy.starts_with("gkv") {
                    32
                } else {
                    1
                };
                let never = policy.contains("prefill=sum") || policy.contains("protect_prompt=none");
                let most = if never { 0 } else { (prompt.len() - window) / 16 * 16 };
                assert!(one.usage.cached_tokens <= most, "{policy}");
                assert!(again == 0 || one.usage.cached_tokens == most, "{policy}: {:?} of {most}", one.usage);
            }
        }
        let never = policy.contains("prefill=sum") || policy.contains("protect_prompt=none");
        assert_eq!(core.load().prefix_hits == 0, never);
    }
}
