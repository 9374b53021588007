//! Several turns in one cache, stop strings, cancelling, sharing a small pool.

mod common;

use std::sync::Arc;

use common::{options, outcome, problems, reasoner, request, run};
use lethe_engine::{Core, Engine, EngineOptions, Event, FinishReason, Generation, Request, SubmitError};

fn keep(max_tokens: usize) -> Generation {
    Generation { max_tokens: Some(max_tokens), keep: true, ..Generation::default() }
}

#[test]
fn a_second_turn_goes_on_in_the_same_cache() {
    let model = reasoner(2);
    let problem = &problems()[0];
    let mut core = Core::new(Arc::clone(&model), options(2)).unwrap();
    let (first, sink) = outcome();
    core.submit(7, Request { generation: keep(400), ..request(&problem.prompt, "full", 1) }, sink).unwrap();
    while core.step() {}
    core.check_integrity().unwrap();
    let first = first.lock().unwrap().clone();
    assert_eq!(first.done.as_ref().unwrap().session, Some(7));

    // One prompt of the whole history must give the same second answer: nothing was lost or fed twice.
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let next = tokenizer.encode("\n<|im_start|>user\nSort 5 3 9.<|im_end|>\n<|im_start|>assistant\n", false).unwrap();
    let (second, sink) = outcome();
    core.append(7, next.clone(), keep(60), sink).unwrap();
    while core.step() {}
    let second = second.lock().unwrap().clone();
    let mut whole = problem.prompt.clone();
    whole.extend(first.ids());
    whole.extend(&next);
    let alone = run(&model, options(1), vec![request(&whole, "full", 60)]).remove(0);
    assert_eq!(second.ids(), alone.ids());
    let usage = second.done.unwrap().usage;
    assert_eq!(usage.prompt_tokens, next.len());

    assert!(core.release(7));
    assert!(!core.release(7));
    let (free, total) = core.pages();
    assert_eq!(free, total);
    let (_, sink) = outcome();
    assert!(matches!(core.append(7, next, keep(1), sink), Err(SubmitError::UnknownSession(7))));
}

#[test]
fn protected_prompts_stay_whole_over_turns() {
    let model = reasoner(2);
    let prompt = problems().into_iter().map(|p| p.prompt).max_by_key(Vec::len).unwrap();
    let held = |protect: &str| {
        let policy = format!("lethe:cap=190,trigger=cap,interval=8,recent_ratio=0.2,protect_prompt={protect}");
        let mut core = Core::new(Arc::clone(&model), options(1)).unwrap();
        let (_, sink) = outcome();
        core.submit(1, Request { generation: keep(80), ..request(&prompt, &policy, 1) }, sink).unwrap();
        while core.step() {}
        let (second, sink) = outcome();
        core.append(1, prompt[..60].to_vec(), keep(80), sink).map_err(|e| e.to_string())?;
        while core.step() {
            core.check_integrity().unwrap();
        }
        let done = second.lock().unwrap().done.clone().unwrap();
        Ok::<_, String>(done.kv)
    };
    assert!(prompt.len() > 120 && prompt.len() < 190);
    let refused = held("all").unwrap_err();
    assert!(refused.contains("190"), "{refused}");
    for protect in ["newest", "none"] {
        let kv = held(protect).unwrap();
        assert!(kv.final_slots.iter().all(|&n| n <= 190 + 8), "{protect}: {:?}", kv.final_slots);
        assert!(kv.evicted > 0);
    }
}

#[test]
fn stop_strings_end_the_text_and_stay_in_the_ids() {
    let model = reasoner(2);
    let problem = &problems()[0];
    let plain = run(&model, options(1), vec![request(&problem.prompt, "full", 400)]).remove(0);
    let stop = "</think>";
    let mut stopped = request(&problem.prompt, "full", 400);
    stopped.generation.stop = vec![stop.to_owned(), "never this".to_owned()];
    let stopped = run(&model, options(1), vec![stopped]).remove(0);
    let at = plain.text.find(stop).unwrap();
    assert_eq!(stopped.text, plain.text[..at]);
    assert!(plain.ids().starts_with(stopped.ids()));
    assert!(stopped.ids().len() < plain.ids().len());
    assert_eq!(stopped.done.unwrap().reason, FinishReason::Stop);

    // a stop string over several tokens
    let spans = "Card";
    let text = &plain.text[plain.text.find(spans).unwrap()..][..12];
    let mut request = request(&problem.prompt, "full", 400);
    request.generation.stop = vec![text.to_owned()];
    let o = run(&model, options(1), vec![request]).remove(0);
    assert_eq!(o.text, plain.text[..plain.text.find(text).unwrap()]);
}

#[test]
fn length_names_its_limit() {
    let model = reasoner(1);
    let prompt = &problems()[0].prompt;
    let done = run(&model, options(1), vec![request(prompt, "full", 3)]).remove(0).done.unwrap();
    assert_eq!((done.reason, done.limit.unwrap().to_string()), (FinishReason::Length, "max_tokens 3".into()));
    // positions: a prompt close to the model's end
    let long: Vec<u32> = prompt.iter().copied().cycle().take(model.max_positions - 4).collect();
    let mut request = request(&long, "recency:budget=64,protect_prompt=none", 1);
    request.generation.max_tokens = None;
    request.generation.ignore_eos = true;
    let done = run(&model, options(1), vec![request]).remove(0).done.unwrap();
    assert_eq!(done.limit.unwrap().to_string(), "the model's 4096 positions");
    assert_eq!(done.token_ids.len(), 4, "positions 4092 to 4095");
}

#[test]
fn a_small_pool_serves_many_in_turn_and_leaks_nothing() {
    let model = reasoner(2);
    let problems = problems();
    let requests: Vec<_> = (0..10)
        .map(|i| request(&problems[i * 9].prompt, "lethe:budget=32,trigger=cap,interval=8,recent_ratio=0.1", 60))
        .collect();
    let small = EngineOptions { kv_memory: 3 << 20, ..options(8) };
    let roomy = run(&model, options(8), requests.clone());
    for (a, b) in run(&model, small, requests).iter().zip(&roomy) {
        assert_eq!(a.ids(), b.ids());
    }
}

#[test]
fn engines_run_streams_and_dropping_one_cancels() {
    let model = reasoner(1);
    let engine = Engine::start(model, options(4)).unwrap();
    let problems = problems();
    let dropped = engine.submit(request(&problems[20].prompt, "full", 900)).unwrap();
    let cancelled = engine.submit(request(&problems[21].prompt, "full", 900)).unwrap();
    let whole = engine.submit(request(&problems[22].prompt, "full", 30)).unwrap();
    drop(dropped);
    cancelled.cancel();
    let mut tokens = 0;
    let mut last = None;
    for event in whole {
        match event {
            Event::Token { .. } => tokens += 1,
            Event::Finished(done) => last = Some(done),
            _ => {}
        }
    }
    assert_eq!(last.unwrap().usage.completion_tokens, tokens);
    let end = cancelled.into_events().pop().unwrap();
    assert!(matches!(end, Event::Finished(done) if done.reason == FinishReason::Cancelled));
    engine.check_integrity().unwrap().unwrap();
    while engine.pages().unwrap().0 < engine.pages().unwrap().1 {
        std::thread::yield_now(); // the dropped one leaves at its next step
    }
}

#[test]
fn a_later_turn_stays_within_what_was_reserved_for_it() {
    // A first prompt shorter than the sinks: the sinks are answer tokens, so the next prompt's pins do not cover them.
    let model = reasoner(1);
    let mut core = Core::new(Arc::clone(&model), options(2)).unwrap();
    let policy = "lethe:cap=460,trigger=cap,interval=1,sinks=200";
    let on = |n: usize| Generation { ignore_eos: true, ..keep(n) };
    let (_, sink) = outcome();
    core.submit(1, Request { generation: on(300), ..request(&[720], policy, 1) }, sink).unwrap();
    while core.step() {}
    let (second, sink) = outcome();
    let (neighbour, other) = outcome();
    core.append(1, vec![5; 240], on(200), sink).unwrap();
    core.submit(2, request(&problems()[0].prompt, "full", 30), other).unwrap();
    while core.step() {
        core.check_integrity().unwrap();
    }
    assert!(second.lock().unwrap().done.is_some(), "{:?}", second.lock().unwrap().failed);
    assert!(neighbour.lock().unwrap().done.is_some());
}

/// A pool that one session fills, and nowhere to park it.
fn crowded(kv_memory: u64) -> EngineOptions {
    EngineOptions { kv_memory, park_memory: 0, park_dir: Some("/nowhere/at/all".into()), ..options(2) }
}

#[test]
fn sessions_make_room_for_requests_and_come_back() {
    let model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let on = |n| Generation { ignore_eos: true, ..keep(n) };
    let second = |options: EngineOptions, others: u64| {
        let mut core = Core::new(Arc::clone(&model), options).unwrap();
        for id in 0..=others {
            let (place, sink) = outcome();
            core.submit(id, Request { generation: on(60), ..request(&prompt, "full", 1) }, sink).unwrap();
            while core.step() {
                core.check_integrity().unwrap();
            }
            assert!(place.lock().unwrap().done.is_some());
        }
        let (place, sink) = outcome();
        core.append(0, vec![5; 3], on(20), sink).unwrap();
        while core.step() {
            core.check_integrity().unwrap();
        }
        let outcome = place.lock().unwrap().clone();
        (outcome.ids().to_vec(), core.load().kept)
    };
    let (roomy, kept) = second(options(2), 3);
    assert_eq!(kept, 4);
    for prefix_cache in [false, true] {
        let small = EngineOptions { kv_memory: 1 << 20, prefix_cache, ..options(2) };
        assert_eq!(
            second(small, 3),
            (roomy.clone(), 4),
            "four sessions in a pool for one, prefix cache {prefix_cache}"
        );
    }
}

#[test]
fn sessions_that_hold_all_memory_and_cannot_leave_are_named_and_nothing_hangs() {
    let model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let mut core = Core::new(model, crowded(1 << 20)).unwrap();
    let (_, sink) = outcome();
    let on = Generation { ignore_eos: true, ..keep(60) };
    core.submit(1, Request { generation: on.clone(), ..request(&prompt, "full", 1) }, sink).unwrap();
    while core.step() {}
    let (late, sink) = outcome();
    core.submit(2, request(&prompt, "full", 60), sink).unwrap();
    let mut steps = 0;
    while core.step() {
        steps += 1;
        assert!(steps < 100, "it waits for ever");
    }
    let why = late.lock().unwrap().failed.as_ref().unwrap().to_string();
    assert!(why.contains("release") && why.contains("park"), "{why}");
    core.check_integrity().unwrap();
    // the session itself is as it was
    let (next, sink) = outcome();
    core.append(1, vec![5; 3], Generation { max_tokens: Some(4), ..on }, sink).unwrap();
    while core.step() {}
    assert_eq!(next.lock().unwrap().ids().len(), 4);
}

#[test]
fn a_turn_that_does_not_fit_leaves_its_session_as_it_was() {
    let model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let mut core = Core::new(model, crowded(2 << 20)).unwrap();
    let turn =
        |n: usize, keep: bool| Generation { max_tokens: Some(n), ignore_eos: true, keep, ..Generation::default() };
    for id in [1, 2] {
        let (_, sink) = outcome();
        core.submit(id, Request { generation: turn(45, true), ..request(&prompt, "full", 1) }, sink).unwrap();
        while core.step() {}
    }
    let ask = |core: &mut Core<lethe_model::CpuBackend>| {
        let (place, sink) = outcome();
        core.append(1, vec![5; 100], turn(20, false), sink).unwrap();
        while core.step() {}
        core.check_integrity().unwrap();
        place.lock().unwrap().clone()
    };
    assert!(ask(&mut core).failed.unwrap().to_string().contains("release"));
    assert!(core.release(2));
    assert_eq!(ask(&mut core).ids().len(), 20);
    assert!(!core.release(1), "it was not to be kept");
}

#[test]
fn whoever_gives_up_while_waiting_hears_of_it_at_once() {
    let model = reasoner(1);
    let engine = Engine::start(model, options(1)).unwrap();
    let problems = problems();
    let mut long = request(&problems[99].prompt, "full", 3000);
    long.generation.ignore_eos = true;
    let running = engine.submit(long).unwrap();
    let waiting = engine.submit(Request { generation: keep(5), ..request(&problems[0].prompt, "full", 1) }).unwrap();
    waiting.cancel();
    match waiting.into_events().pop() {
        Some(Event::Finished(done)) => {
            assert_eq!((done.reason, done.session), (FinishReason::Cancelled, None), "it never had a cache");
        }
        other => panic!("{other:?}"),
    }
    assert!(running.slots().iter().all(|&n| n < 3000), "the other one is still at it");
}

#[test]
fn a_dropped_stream_keeps_no_session_and_a_stopped_engine_ends_streams() {
    let model = reasoner(1);
    let engine = Engine::start(Arc::clone(&model), options(2)).unwrap();
    let prompt = problems()[99].prompt.clone();
    let mut stream = engine.submit(Request { generation: keep(900), ..request(&prompt, "full", 1) }).unwrap();
    stream.next().unwrap();
    drop(stream);
    while engine.pages().unwrap().0 < engine.pages().unwrap().1 {
        std::thread::yield_now();
    }
    let stream = engine.submit(request(&prompt, "full", 3000)).unwrap();
    drop(engine);
    let last = stream.into_events().pop().unwrap();
    assert!(matches!(last, Event::Failed(lethe_engine::Failure::Stopped) | Event::Finished(_)), "{last:?}");
}

#[test]
fn a_prompt_that_was_half_read_is_no_session() {
    let model = reasoner(1);
    let options = EngineOptions { prefill_chunk: 1, ..options(1) };
    let engine = Engine::start(model, options).unwrap();
    let prompt = problems()[0].prompt.clone();
    let mut stream = engine.submit(Request { generation: keep(5), ..request(&prompt, "full", 1) }).unwrap();
    stream.next().unwrap();
    stream.cancel();
    match stream.into_events().pop() {
        Some(Event::Finished(done)) if done.usage.completion_tokens == 0 => assert_eq!(done.session, None),
        Some(Event::Finished(done)) => assert!(done.session.is_some(), "it was faster than the cancel"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn with_plenty_of_memory_auto_is_full() {
    let model = reasoner(1);
    let prompt: Vec<u32> = problems()[0].prompt.iter().copied().cycle().take(model.max_positions - 1).collect();
    let auto = run(&model, options(1), vec![request(&prompt, "auto", 5)]).remove(0);
    assert_eq!(auto.ids().len(), 1, "the last position");
    let kv = auto.done.unwrap().kv;
    assert_eq!((kv.evicted, kv.policy.as_str()), (0, "auto"));
}
