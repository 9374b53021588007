//! Same request, same greedy bits: alone or in any batch, with any chunk size and thread count, under every policy.

mod common;

use common::{options, outcome, problems, reasoner, request, run};
use lethe_engine::{Core, EngineOptions, Generation, Request, Sampling};
use lethe_kv::KvDtype;

/// Policies that cut these problems hard, and one that never does.
const POLICIES: [&str; 8] = [
    "full",
    "lethe:cap=120,trigger=cap,interval=12",
    "lethe:budget=40,trigger=cap,interval=12,prefill=sum,reference=top_non_sink",
    "lethe:total=700,interval=12,allocation=hoyer",
    "recency:budget=48,interval=12",
    "random:budget=48,interval=12,protect_prompt=none,seed=9",
    "rkv:budget=48,interval=12",
    "lethe+:budget=48,interval=12,reserve=0.1",
];

fn some_requests() -> Vec<Request> {
    let problems = problems();
    (0..16).map(|i| request(&problems[i % 8 * 12 + i / 8 * 3].prompt, POLICIES[i % POLICIES.len()], 90)).collect()
}

#[test]
fn alone_or_in_any_batch_with_any_chunk_and_thread_count() {
    let one = reasoner(1);
    let alone: Vec<_> = some_requests().into_iter().map(|r| run(&one, options(1), vec![r]).remove(0)).collect();
    assert!(alone.iter().any(|o| !o.rounds.is_empty()), "rounds must be part of the test");
    for (threads, seqs, rows, chunk) in
        [(1, 12, 512, 512), (2, 12, 64, 7), (3, 5, 33, 33), (2, 12, 12, 1), (2, 3, 40, 16)]
    {
        let model = if threads == 1 { one.clone() } else { reasoner(threads) };
        let options = EngineOptions { max_batched_tokens: rows, prefill_chunk: chunk, ..options(seqs) };
        for (i, (o, a)) in run(&model, options, some_requests()).iter().zip(&alone).enumerate() {
            let what = format!("request {i}, {threads} threads, {seqs} at once, {rows} rows, chunk {chunk}");
            assert_eq!(o.ids(), a.ids(), "{what}");
            assert_eq!(o.rounds, a.rounds, "{what}: the rounds, with their dropped mass, are the same");
            let (o, a) = (o.done.as_ref().unwrap(), a.done.as_ref().unwrap());
            assert_eq!(o.kv, a.kv, "{what}: the report too");
        }
    }
}

#[test]
fn a_policy_changes_nothing_before_its_first_round() {
    let model = reasoner(2);
    let problem = problems().into_iter().find(|p| p.greedy.len() > 150).unwrap();
    let full = run(&model, options(1), vec![request(&problem.prompt, "full", 150)]).remove(0);
    let cut = run(
        &model,
        options(1),
        vec![request(&problem.prompt, "lethe:budget=60,trigger=cap,interval=12,recent_ratio=0.1", 150)],
    )
    .remove(0);
    let first = cut.rounds.first().expect("it is cut").position as usize;
    let same = full.ids().iter().zip(cut.ids()).take_while(|(a, b)| a == b).count();
    assert!(problem.prompt.len() + same >= first, "{same} ids agree, the first round was at position {first}");
    let late = run(&model, options(1), vec![request(&problem.prompt, "lethe", 150)]).remove(0);
    assert_eq!(late.ids(), full.ids(), "a trigger that is never reached is no policy");
}

#[test]
fn sampled_tokens_depend_on_seed_and_position_only() {
    let model = reasoner(2);
    let problems = problems();
    let sampled = |seed: u64| Request {
        generation: Generation {
            sampling: Sampling { temperature: 6.0, top_k: 40, top_p: 0.95, seed, ..Sampling::default() },
            max_tokens: Some(40),
            ..Generation::default()
        },
        ..request(&problems[10].prompt, "full", 40)
    };
    let alone = run(&model, options(1), vec![sampled(5)]).remove(0);
    let crowd = run(&model, options(4), vec![sampled(6), sampled(5), sampled(5), sampled(7)]);
    assert_eq!(crowd[1].ids(), alone.ids());
    assert_eq!(crowd[2].ids(), alone.ids());
    assert_ne!(crowd[0].ids(), alone.ids());
}

#[test]
fn small_pages_are_deterministic_too() {
    let model = reasoner(2);
    let problem = &problems()[5];
    let policy = "lethe:cap=90,trigger=cap,interval=16";
    for kv_dtype in [KvDtype::F16, KvDtype::I8] {
        let options = |chunk| EngineOptions { kv_dtype, prefill_chunk: chunk, ..options(2) };
        for policy in ["full", policy] {
            let one = || request(&problem.prompt, policy, 60);
            let a = run(&model, options(512), vec![one()]).remove(0);
            let twice = run(&model, options(7), vec![one(), one()]);
            assert_eq!(twice[0].ids(), a.ids(), "{kv_dtype:?}, {policy}");
            assert_eq!(twice[1].ids(), a.ids(), "{kv_dtype:?}, {policy}");
            assert_eq!(a.done.unwrap().kv.saturated, 0);
        }
    }
}

#[test]
fn scores_do_not_depend_on_chunks() {
    // The rounds right after a prompt see only the prompt's mass: their dropped mass is a function of the scores.
    let model = reasoner(2);
    let problem = problems().into_iter().max_by_key(|p| p.prompt.len()).unwrap();
    let cut = |prefill: &str, chunk: usize| {
        let policy = format!("lethe:cap=90,trigger=cap,interval=8,protect_prompt=none,prefill={prefill}");
        let options = EngineOptions { prefill_chunk: chunk, ..options(1) };
        run(&model, options, vec![request(&problem.prompt, &policy, 2)]).remove(0).rounds
    };
    for prefill in ["window", "sum"] {
        let whole = cut(prefill, 512);
        assert_eq!(whole.len(), 6, "one round in each layer, right after the prompt");
        for chunk in [1, 7, 16, 33] {
            assert_eq!(cut(prefill, chunk), whole, "prefill={prefill}, chunk {chunk}");
        }
    }
    assert_ne!(cut("window", 512), cut("sum", 512));
}

#[test]
fn steps_can_be_watched_one_by_one() {
    let model = reasoner(1);
    let mut core = Core::new(model, options(2)).unwrap();
    let (place, sink) = outcome();
    core.submit(1, request(&problems()[0].prompt, "full", 5), sink).unwrap();
    assert!(!core.idle());
    while core.step() {
        core.check_integrity().unwrap();
    }
    assert_eq!(place.lock().unwrap().ids().len(), 5);
}
