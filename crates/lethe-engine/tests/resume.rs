//! A kept session that reads a whole new prompt: what it holds is not computed again, and nobody can tell otherwise.

mod common;

use std::sync::Arc;

use common::{Outcome, options, outcome, problems, reasoner, request, run};
use lethe_engine::{Core, Engine, EngineOptions, Event, FinishReason, Generation, Request, SubmitError};
use lethe_model::{CpuBackend, Model};

fn keep(max_tokens: usize) -> Generation {
    Generation { max_tokens: Some(max_tokens), keep: true, ..Generation::default() }
}

/// Runs a first turn and a second one whose prompt is `next(first prompt, first answer)`; returns the second.
fn two_turns(
    model: &Arc<Model<CpuBackend>>,
    options: EngineOptions,
    first: (&[u32], &str, usize),
    next: &[u32],
    max_tokens: usize,
) -> Outcome {
    let (prompt, policy, tokens) = first;
    let mut core = Core::new(Arc::clone(model), options).unwrap();
    let (_, sink) = outcome();
    core.submit(1, Request { generation: keep(tokens), ..request(prompt, policy, 1) }, sink).unwrap();
    while core.step() {}
    let (second, sink) = outcome();
    core.resume(1, next.to_vec(), 0, keep(max_tokens), sink).unwrap();
    while core.step() {
        core.check_integrity().unwrap();
    }
    assert!(core.release(1));
    let (free, total) = core.pages();
    assert_eq!(free, total, "every page is back");
    let second = second.lock().unwrap();
    second.clone()
}

/// Policies, and whether the second prompt may reuse anything.
const POLICIES: [(&str, bool); 10] = [
    ("full", true),
    ("lethe:cap=230,trigger=cap,interval=12,recent_ratio=0.2", true),
    ("lethe:budget=40,trigger=cap,interval=12,prefill=sum", false),
    ("lethe:cap=260,trigger=cap,interval=12,protect_prompt=newest,window=5", true),
    ("lethe:cap=120,trigger=cap,interval=12,protect_prompt=none", true),
    ("lethe:total=2400,interval=12,allocation=hoyer", true),
    ("recency:budget=48,interval=12", true),
    ("random:budget=48,interval=12,protect_prompt=none,seed=9", true),
    ("gkv:budget=48,interval=12", true),
    ("rkv:budget=48,interval=12,protect_prompt=none", true),
];

#[test]
fn a_resumed_turn_equals_a_new_request_bit_for_bit() {
    let model = reasoner(2);
    let problems = problems();
    let (mut reused, mut rounds) = (0, 0);
    for (i, (policy, hits)) in POLICIES.into_iter().enumerate() {
        let (one, two) = (&problems[i * 3], &problems[50 + i * 3]);
        let first = run(&model, options(1), vec![request(&one.prompt, policy, 90)]).remove(0);
        // what a template renders: the past as it was read, an answer without its thinking, a new question
        let tail = &first.ids()[first.ids().len() - 20..];
        let without: Vec<u32> = [&one.prompt, tail, &two.prompt].concat();
        // what a template renders that keeps everything
        let with: Vec<u32> = [&one.prompt, first.ids(), &two.prompt].concat();
        for (what, next, chunk) in [("without thinking", without, 512), ("with thinking", with, 7)] {
            let alone = run(&model, options(1), vec![request(&next, policy, 60)]).remove(0);
            let options = EngineOptions { prefill_chunk: chunk, ..options(2) };
            let second = two_turns(&model, options, (&one.prompt, policy, 90), &next, 60);
            let what = format!("{policy}, {what}, chunk {chunk}");
            assert_eq!(second.ids(), alone.ids(), "{what}");
            assert_eq!(second.rounds, alone.rounds, "{what}");
            let (done, alone) = (second.done.unwrap(), alone.done.unwrap());
            assert_eq!(done.kv, alone.kv, "{what}: the report too");
            assert_eq!(done.usage.prompt_tokens, next.len());
            assert_eq!(alone.usage.cached_tokens, 0);
            let cached = done.usage.cached_tokens;
            assert!(hits == (cached > 0) && cached < next.len(), "{what}: {cached}");
            rounds += second.rounds.len();
            reused += usize::from(cached >= one.prompt.len().min(60));
        }
    }
    assert!(rounds > 50, "{rounds} rounds");
    assert!(reused >= 10, "{reused} turns reused their prompt");
}

#[test]
fn wherever_the_new_prompt_leaves_the_old_one_nobody_can_tell() {
    let model = reasoner(2);
    let problems = problems();
    let mut state = 3u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let policies = [
        "lethe:cap=260,trigger=cap,interval=8,window=16",
        "lethe:budget=24,trigger=cap,interval=8,recent_ratio=0.1,protect_prompt=none",
        "random:budget=32,interval=8,protect_prompt=newest",
    ];
    let mut cached = Vec::new();
    for i in 0..12 {
        let (prompt, policy) = (&problems[below(100)].prompt, policies[i % 3]);
        let first = run(&model, options(1), vec![request(prompt, policy, 40)]).remove(0);
        let mut next = [&prompt[..], first.ids()].concat();
        next.truncate(below(next.len()));
        next.extend((0..1 + below(40)).map(|_| below(700) as u32));
        let alone = run(&model, options(1), vec![request(&next, policy, 25)]).remove(0);
        let options = EngineOptions { prefill_chunk: 1 + below(40), ..options(1) };
        let second = two_turns(&model, options, (prompt, policy, 40), &next, 25);
        let (done, alone_done) = (second.done.clone().unwrap(), alone.done.clone().unwrap());
        assert_eq!(second.ids(), alone.ids(), "{policy}, run {i}");
        assert_eq!((done.kv, second.rounds), (alone_done.kv, alone.rounds), "{policy}, run {i}");
        cached.push(done.usage.cached_tokens);
    }
    assert!(cached.iter().filter(|&&n| n > 20).count() >= 4, "{cached:?}");
}

#[test]
fn all_that_is_held_complete_is_reused_but_for_the_window() {
    let model = reasoner(2);
    let problem = &problems()[0];
    let first = run(&model, options(1), vec![request(&problem.prompt, "full", 400)]).remove(0);
    let history: Vec<u32> = [&problem.prompt, first.ids()].concat();
    let cached = |policy: &str, next: &[u32]| {
        let second = two_turns(&model, options(1), (&problem.prompt, policy, 400), next, 5);
        second.done.unwrap().usage.cached_tokens
    };
    // the last token of the answer was never fed
    let fed = history.len() - 1;
    let long: Vec<u32> = [&history[..], &[198; 50]].concat();
    assert_eq!(cached("full", &long), fed);
    assert_eq!(cached("lethe", &long), fed);
    assert_eq!(cached("full", &history[..fed]), fed - 1, "the last token chooses the answer's first");
    assert_eq!(cached("lethe", &history), history.len() - 32);
    assert_eq!(cached("lethe:window=60", &long), long.len() - 60);
    assert_eq!(cached("lethe:prefill=sum", &long), 0);
    let mut other = long.clone();
    other[17] += 1;
    assert_eq!(cached("full", &other), 17);
    // forgotten slots end what may be reused: sinks and pinned slots are still a front
    assert_eq!(cached("recency:budget=16,interval=8", &long), problem.prompt.len());
    assert_eq!(cached("recency:budget=16,interval=8,protect_prompt=none", &long), 4);
}

#[test]
fn a_session_may_be_resumed_and_appended_to_in_any_order() {
    let model = reasoner(2);
    let problems = problems();
    let policy = "lethe:cap=700,trigger=cap,interval=16";
    let mut core = Core::new(Arc::clone(&model), options(2)).unwrap();
    let mut turn = |how: &str, prompt: &[u32]| {
        let (place, sink) = outcome();
        match how {
            "submit" => {
                core.submit(1, Request { generation: keep(50), ..request(prompt, policy, 1) }, sink).unwrap();
            }
            "append" => core.append(1, prompt.to_vec(), keep(50), sink).unwrap(),
            _ => core.resume(1, prompt.to_vec(), 10, keep(50), sink).unwrap(),
        }
        while core.step() {}
        core.check_integrity().unwrap();
        place.lock().unwrap().clone()
    };
    let mut history = problems[0].prompt.clone();
    history.extend(turn("submit", &problems[0].prompt).ids());
    let tail = &problems[60].prompt;
    history.extend(tail);
    let appended = turn("append", tail);
    assert_eq!(appended.done.as_ref().unwrap().usage.cached_tokens, 0);
    history.extend(appended.ids());
    history.extend(tail);
    let resumed = turn("resume", &history);
    let usage = resumed.done.as_ref().unwrap().usage;
    assert_eq!((usage.prompt_tokens, usage.cached_tokens), (history.len(), history.len() - tail.len().max(32) - 1));
    assert_eq!(resumed.ids(), run(&model, options(1), vec![request(&history, policy, 50)]).remove(0).ids());
    // and on from there
    history.extend(resumed.ids());
    history.extend(&tail[..5]);
    let appended = turn("append", &tail[..5]);
    assert_eq!(appended.ids(), run(&model, options(1), vec![request(&history, policy, 50)]).remove(0).ids());
}

#[test]
fn a_refused_resume_leaves_its_session() {
    let model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let nowhere = Some("/nowhere/at/all".into());
    let small = EngineOptions { kv_memory: 2 << 20, park_memory: 0, park_dir: nowhere, ..options(2) };
    let on = |n| Generation { ignore_eos: true, ..keep(n) };
    let mut core = Core::new(Arc::clone(&model), small).unwrap();
    for id in [1, 2] {
        let (_, sink) = outcome();
        core.submit(id, Request { generation: on(45), ..request(&prompt, "full", 1) }, sink).unwrap();
        while core.step() {}
    }
    let before = core.pages();
    let refuse = |core: &mut Core<CpuBackend>, prompt: &[u32], system, generation| {
        let (_, sink) = outcome();
        core.resume(1, prompt.to_vec(), system, generation, sink).unwrap_err()
    };
    assert!(matches!(refuse(&mut core, &[], 0, on(5)), SubmitError::EmptyPrompt));
    assert!(matches!(refuse(&mut core, &prompt, 9999, on(5)), SubmitError::SystemTooLong { .. }));
    assert!(matches!(refuse(&mut core, &prompt, 0, on(4000)), SubmitError::RequestTooLarge { .. }));
    assert!(matches!(refuse(&mut core, &[5; 4096], 0, on(5)), SubmitError::PromptTooLong { .. }));
    let (_, sink) = outcome();
    assert!(matches!(core.resume(9, prompt.clone(), 0, on(5), sink), Err(SubmitError::UnknownSession(9))));
    // the other session holds what this turn would need to begin
    let (late, sink) = outcome();
    let longer = [&prompt[..], &[5; 130]].concat();
    core.resume(1, longer, 0, Generation { keep: false, ..on(20) }, sink).unwrap();
    while core.step() {}
    assert!(late.lock().unwrap().failed.as_ref().unwrap().to_string().contains("release"));
    core.check_integrity().unwrap();
    assert_eq!(core.pages(), before);
    // it is as it was: the whole first turn can still be reused
    let (next, sink) = outcome();
    core.append(1, vec![5; 3], on(4), sink).unwrap();
    while core.step() {}
    let usage = next.lock().unwrap().done.clone().unwrap().usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (3, 4));
    assert!(core.release(2));
    let (next, sink) = outcome();
    core.resume(1, prompt.clone(), 0, on(100), sink).unwrap();
    while core.step() {}
    assert_eq!(next.lock().unwrap().done.as_ref().unwrap().usage.cached_tokens, prompt.len() - 1);
}

#[test]
fn a_session_that_held_more_than_its_new_turn_needs_gives_the_rest_back() {
    let model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let mut core = Core::new(Arc::clone(&model), EngineOptions { kv_memory: 2 << 20, ..options(2) }).unwrap();
    let on = |n| Generation { ignore_eos: true, ..keep(n) };
    let (_, sink) = outcome();
    core.submit(1, Request { generation: on(150), ..request(&prompt, "full", 1) }, sink).unwrap();
    while core.step() {}
    let (_, sink) = outcome();
    core.resume(1, prompt.clone(), 0, on(4), sink).unwrap();
    core.step();
    // beside it there is room for one that did not fit before
    let (other, sink) = outcome();
    core.submit(2, request(&prompt, "full", 90), sink).unwrap();
    while core.step() {
        core.check_integrity().unwrap();
    }
    assert!(other.lock().unwrap().done.is_some(), "{:?}", other.lock().unwrap().failed);
}

#[test]
fn engines_resume_and_a_cancelled_wait_leaves_the_session() {
    let model = reasoner(1);
    let engine = Engine::start(model, options(1)).unwrap();
    let problems = problems();
    let prompt = &problems[0].prompt;
    let first = engine.submit(Request { generation: keep(20), ..request(prompt, "full", 1) }).unwrap();
    let session = first.id();
    let last = first.into_events().pop().unwrap();
    assert!(matches!(last, Event::Finished(done) if done.session == Some(session)));
    let mut long = request(&problems[99].prompt, "full", 3000);
    long.generation.ignore_eos = true;
    let running = engine.submit(long).unwrap();
    let waiting = engine.resume(session, prompt.clone(), 0, keep(5)).unwrap();
    waiting.cancel();
    match waiting.into_events().pop() {
        Some(Event::Finished(done)) => {
            assert_eq!((done.reason, done.session), (FinishReason::Cancelled, Some(session)));
        }
        other => panic!("{other:?}"),
    }
    drop(running);
    match engine.resume(session, prompt.clone(), 0, keep(5)).unwrap().into_events().pop() {
        Some(Event::Finished(done)) => assert_eq!(done.usage.cached_tokens, prompt.len() - 1),
        other => panic!("{other:?}"),
    }
    engine.check_integrity().unwrap().unwrap();
}
