//! Log probabilities of answers and prompts: the model's own, whatever else is asked of the choice.

mod common;

use common::{CLOSE, NEWLINE, OPEN, Outcome, options, problems, reasoner, request, run};
use lethe_engine::{EngineOptions, FinishReason, Limit, Request, Sampling, ThinkingBudget, TokenLogprobs};
use lethe_kv::KvDtype;
use lethe_model::ThinkTags;

fn told(prompt: &[u32], policy: &str, max_tokens: usize, top: usize) -> Request {
    let mut request = request(prompt, policy, max_tokens);
    request.generation.logprobs = Some(top);
    request
}

/// Reads a prompt and generates nothing.
fn read(prompt: &[u32], top: usize) -> Request {
    Request { prompt_logprobs: Some(top), ..request(prompt, "full", 0) }
}

fn ids(entries: &[TokenLogprobs]) -> Vec<u32> {
    entries.iter().map(|e| e.id).collect()
}

#[test]
fn a_greedy_answer_is_the_likeliest_and_reading_it_says_the_same() {
    let model = reasoner(2);
    let problem = problems().into_iter().find(|p| p.greedy.len() > 100).unwrap();
    let o = run(&model, options(1), vec![told(&problem.prompt, "full", 400, 5)]).remove(0);
    assert_eq!(ids(&o.logprobs), o.ids());
    for e in &o.logprobs {
        assert_eq!((e.rank, e.top.len(), e.top[0]), (1, 5, (e.id, e.logprob)));
        assert!(e.logprob <= 0.0 && e.top.is_sorted_by(|a, b| a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)));
    }
    // the same rows, computed as a prompt: the same bits
    let whole = [&problem.prompt, o.ids()].concat();
    let read = run(&model, options(1), vec![read(&whole, 5)]).remove(0).prompt_logprobs.unwrap();
    assert_eq!(ids(&read), whole[1..]);
    assert_eq!(read[problem.prompt.len() - 1..], o.logprobs);
    assert!(read.iter().any(|e| e.rank > 100), "what a prompt says may be a surprise");
}

#[test]
fn bias_penalties_and_temperature_are_not_in_them() {
    let model = reasoner(2);
    let problem = &problems()[40];
    let mut odd = told(&problem.prompt, "full", 60, 20);
    odd.generation.sampling = Sampling {
        temperature: 3.0,
        frequency_penalty: 1.0,
        repetition_penalty: 1.3,
        logit_bias: vec![(70, 8.0), (285, f32::NEG_INFINITY)],
        seed: 3,
        ..Sampling::default()
    };
    odd.generation.ignore_eos = true;
    let close = vec![NEWLINE, CLOSE, NEWLINE];
    odd.generation.thinking =
        Some(ThinkingBudget { tokens: Some(20), close: close.clone(), tags: ThinkTags::THINK, starts_inside: false });
    odd.generation.sampling.logit_bias.push((OPEN, 1000.0)); // it thinks at once
    let o = run(&model, options(1), vec![odd]).remove(0);
    assert!(o.ids().windows(3).any(|w| w == close), "forced tokens are among them: {:?}", o.ids());
    assert!(o.logprobs.iter().any(|e| e.rank > 1));
    let whole = [&problem.prompt, o.ids()].concat();
    let read = run(&model, options(1), vec![read(&whole, 20)]).remove(0).prompt_logprobs.unwrap();
    assert_eq!(read[problem.prompt.len() - 1..], o.logprobs);
}

#[test]
fn they_do_not_depend_on_batch_chunk_or_threads_and_change_nothing() {
    let problems = problems();
    // 70 rows for everybody: more than a step has logits for
    let requests = |with: bool| -> Vec<Request> {
        (0..5)
            .map(|i| {
                let policy = ["full", "lethe:cap=150,trigger=cap,interval=12", "recency:budget=48,interval=12"][i % 3];
                let mut r = told(&problems[i * 17].prompt, policy, 40, 3);
                r.prompt_logprobs = Some(2);
                if !with {
                    (r.prompt_logprobs, r.generation.logprobs) = (None, None);
                }
                r
            })
            .collect()
    };
    let model = reasoner(1);
    let alone: Vec<Outcome> = requests(true).into_iter().map(|r| run(&model, options(1), vec![r]).remove(0)).collect();
    let plain = run(&model, options(5), requests(false));
    for (threads, seqs, rows, chunk) in [(2, 5, 512, 512), (3, 5, 70, 7), (2, 3, 12, 1), (1, 2, 40, 33)] {
        let options = EngineOptions { max_batched_tokens: rows, prefill_chunk: chunk, ..options(seqs) };
        for (i, o) in run(&reasoner(threads), options, requests(true)).iter().enumerate() {
            let what = format!("request {i}, {threads} threads, {seqs} at once, {rows} rows, chunk {chunk}");
            assert_eq!((o.ids(), &o.rounds), (alone[i].ids(), &alone[i].rounds), "{what}");
            assert_eq!(o.logprobs, alone[i].logprobs, "{what}");
            assert_eq!(o.prompt_logprobs, alone[i].prompt_logprobs, "{what}");
            assert_eq!(ids(o.prompt_logprobs.as_ref().unwrap()), problems[i * 17].prompt[1..], "{what}");
        }
    }
    for (plain, with) in plain.iter().zip(&alone) {
        assert_eq!((plain.ids(), &plain.rounds), (with.ids(), &with.rounds));
        assert_eq!(plain.done.as_ref().unwrap().kv, with.done.as_ref().unwrap().kv);
        assert!(plain.logprobs.is_empty() && plain.prompt_logprobs.is_none());
    }
}

#[test]
fn many_prompts_that_are_read_leave_room_for_others() {
    let model = reasoner(2);
    let problems = problems();
    let mut requests: Vec<Request> = (0..6).map(|i| read(&problems[i].prompt, 0)).collect();
    requests.push(request(&problems[50].prompt, "full", 30));
    let all = run(&model, options(7), requests);
    for (o, problem) in all.iter().zip(&problems).take(6) {
        assert_eq!(ids(o.prompt_logprobs.as_ref().unwrap()), problem.prompt[1..]);
        assert!(o.prompt_logprobs.iter().flatten().all(|e| e.top.is_empty()));
    }
    assert_eq!(all[6].ids(), run(&model, options(1), vec![request(&problems[50].prompt, "full", 30)]).remove(0).ids());
}

#[test]
fn what_the_prefix_cache_knows_of_a_prompt_is_read_all_the_same() {
    let model = reasoner(2);
    let prompt = &problems()[0].prompt;
    let alone = run(&model, options(1), vec![read(prompt, 2)]).remove(0);
    let options = EngineOptions { prefix_cache: true, ..options(1) };
    let mut core = lethe_engine::Core::new(std::sync::Arc::clone(&model), options).unwrap();
    let requests = [request(prompt, "full", 5), read(prompt, 2), request(prompt, "full", 5)];
    let warm = requests.map(|request| {
        let (place, sink) = common::outcome();
        core.submit(1, request, sink).unwrap();
        while core.step() {}
        place.lock().unwrap().clone()
    });
    assert_eq!(warm[1].prompt_logprobs, alone.prompt_logprobs);
    let cached = warm.map(|o| o.done.unwrap().usage.cached_tokens);
    assert!(cached[1] == 0 && cached[2] > 0, "{cached:?}");
}

#[test]
fn a_prompt_may_be_read_for_nothing_else() {
    let model = reasoner(1);
    let prompt = &problems()[0].prompt;
    let o = run(&model, options(1), vec![request(prompt, "full", 0)]).remove(0);
    let done = o.done.unwrap();
    assert_eq!((done.reason, done.limit), (FinishReason::Length, Some(Limit::MaxTokens(0))));
    assert_eq!((done.usage.prompt_tokens, done.usage.completion_tokens), (prompt.len(), 0));
    assert!(done.token_ids.is_empty() && o.text.is_empty() && o.prompt_logprobs.is_none());
    assert_eq!(done.kv.final_slots, [prompt.len(); 6]);
    for policy in ["auto", "lethe:cap=200,trigger=cap", "lethe:total=4000", "recency:budget=16,protect_prompt=none"] {
        let o = run(&model, options(1), vec![request(prompt, policy, 0)]).remove(0);
        assert_eq!(o.done.map(|done| done.token_ids), Some(Vec::new()), "{policy}: {:?}", o.failed);
    }
    // one token: nothing to tell, which is told
    let o = run(&model, options(1), vec![read(&prompt[..1], 4)]).remove(0);
    assert_eq!(o.prompt_logprobs, Some(Vec::new()));
    // every position of the model, in small pages
    let long: Vec<u32> = prompt.iter().copied().cycle().take(model.max_positions).collect();
    let options = EngineOptions { kv_dtype: KvDtype::F16, ..options(1) };
    let o = run(&model, options, vec![read(&long, 1)]).remove(0);
    assert_eq!(ids(&o.prompt_logprobs.unwrap()), long[1..]);
}

#[test]
fn a_session_that_was_only_read_goes_on() {
    let model = reasoner(2);
    let problem = &problems()[3];
    let (first, rest) = problem.prompt.split_at(40);
    let mut core = lethe_engine::Core::new(std::sync::Arc::clone(&model), options(1)).unwrap();
    let (_, sink) = common::outcome();
    let mut reads = request(first, "full", 0);
    reads.generation.keep = true;
    core.submit(1, reads, sink).unwrap();
    while core.step() {}
    let (place, sink) = common::outcome();
    core.append(1, rest.to_vec(), request(&[], "full", 50).generation, sink).unwrap();
    while core.step() {}
    core.check_integrity().unwrap();
    let alone = run(&model, options(1), vec![request(&problem.prompt, "full", 50)]).remove(0);
    assert_eq!(place.lock().unwrap().ids(), alone.ids());
}
