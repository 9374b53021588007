//! How turns end: not before so many tokens, by what, and not by repeating themselves for ever.

mod common;

use common::{CARD, CLOSE, END, NEWLINE, OPEN, Outcome, VOCAB, options, problems, reasoner, request, run};
use lethe_engine::{
    EngineOptions, Failure, FinishReason, RepetitionDetection, Request, Sampling, StoppedBy, ThinkingBudget,
};
use lethe_model::{CpuBackend, Model, ThinkTags};

fn solo(model: &std::sync::Arc<Model<CpuBackend>>, request: Request) -> Outcome {
    run(model, options(1), vec![request]).remove(0)
}

#[test]
fn nothing_stops_a_turn_before_its_fewest_tokens() {
    let model = reasoner(2);
    let problem = problems().into_iter().find(|p| p.right && p.greedy.len() < 80).unwrap();
    let free = solo(&model, request(&problem.prompt, "full", 200));
    let n = free.ids().len();
    assert_eq!(free.done.as_ref().unwrap().stopped_by, Some(StoppedBy::Id(END)));
    let at_least = |min: usize| {
        let mut r = request(&problem.prompt, "full", 200);
        r.generation.min_tokens = min;
        solo(&model, r)
    };
    assert_eq!(at_least(n - 1).ids(), free.ids(), "the end may be the next token");
    for min in [n, n + 30] {
        let o = at_least(min);
        assert!(o.ids().len() >= min && o.ids()[..n - 1] == free.ids()[..n - 1], "{min}: {:?}", o.ids());
        assert!(!o.ids()[..min].contains(&END));
    }
    // ids of the request too
    let mut r = request(&problem.prompt, "full", 200);
    r.generation.stop_ids = vec![NEWLINE];
    assert_eq!(solo(&model, r.clone()).done.unwrap().stopped_by, Some(StoppedBy::Id(NEWLINE)));
    r.generation.min_tokens = 50;
    let o = solo(&model, r);
    assert!(!o.ids()[..50].contains(&NEWLINE) && o.ids().len() > 50);
    // and nothing is left where everything is banned
    let mut r = request(&problem.prompt, "full", 5);
    r.generation.sampling.logit_bias = (0..VOCAB).filter(|&id| id != END).map(|id| (id, f32::NEG_INFINITY)).collect();
    assert_eq!(solo(&model, r.clone()).ids(), [END]);
    r.generation.min_tokens = 1;
    assert_eq!(solo(&model, r).failed, Some(Failure::NothingToSample));
}

#[test]
fn a_stop_string_that_comes_too_early_is_text() {
    let model = reasoner(2);
    let problem = problems().into_iter().find(|p| p.greedy.len() > 150).unwrap();
    let plain = solo(&model, request(&problem.prompt, "full", 150));
    let stopping = |stop: &str, min: usize| {
        let mut r = request(&problem.prompt, "full", 150);
        r.generation.stop = vec!["never".into(), stop.into()];
        r.generation.min_tokens = min;
        solo(&model, r)
    };
    let word = "Card";
    let first = stopping(word, 0);
    assert_eq!(first.text, plain.text[..plain.text.find(word).unwrap()]);
    assert_eq!(first.done.as_ref().unwrap().stopped_by, Some(StoppedBy::Text(word.into())));
    let n = first.ids().len();
    assert_eq!(stopping(word, n - 1).text, first.text);
    let later = stopping(word, n);
    let second = plain.text.match_indices(word).nth(1).unwrap().0;
    assert_eq!(later.text, plain.text[..second], "the second one stops, the first is text");
    assert!(later.ids().len() > n);
    let never = stopping(word, 150);
    assert_eq!((never.text, never.done.unwrap().reason), (plain.text.clone(), FinishReason::Length));
}

fn rules(min: usize, max: usize, count: usize) -> Option<RepetitionDetection> {
    Some(RepetitionDetection { max_pattern_size: max, min_pattern_size: min, min_count: count })
}

/// A request whose model says one thing only, because nearly everything else is banned.
fn stuck(prompt: &[u32]) -> Request {
    let mut r = request(prompt, "full", 200);
    let bans = (0..VOCAB).filter(|id| ![CLOSE, CARD].contains(id)).map(|id| (id, f32::NEG_INFINITY));
    r.generation.sampling = Sampling { logit_bias: bans.chain([(CARD, 50.0)]).collect(), ..Sampling::default() };
    r
}

#[test]
fn an_answer_that_only_repeats_itself_ends() {
    let model = reasoner(1);
    let prompt = &problems()[0].prompt;
    let mut r = stuck(prompt);
    let o = solo(&model, r.clone());
    assert_eq!((o.done.as_ref().unwrap().reason, o.done.as_ref().unwrap().looped), (FinishReason::Length, true));
    r.generation.repetition = rules(1, 8, 4);
    let o = solo(&model, r.clone());
    let done = o.done.unwrap();
    assert_eq!((done.reason, done.token_ids.len(), done.looped), (FinishReason::Repetition, 4, false));
    assert_eq!((done.stopped_by, done.limit), (None, None));
    r.generation.repetition = rules(5, 8, 4);
    assert_eq!(solo(&model, r.clone()).ids().len(), 20, "a pattern of at least five tokens");
    r.generation.min_tokens = 33;
    assert_eq!(solo(&model, r.clone()).ids().len(), 34, "not before the fewest");
    r.generation.max_tokens = Some(33);
    assert_eq!(solo(&model, r).done.unwrap().reason, FinishReason::Length);
}

#[test]
fn inside_thinking_a_repetition_forces_the_close() {
    let model = reasoner(2);
    let close = model.tokenizer.as_ref().unwrap().encode("\nSo.\n</think>\n\n", false).unwrap();
    let budget = |tokens, starts_inside| {
        Some(ThinkingBudget { tokens, close: close.clone(), tags: ThinkTags::THINK, starts_inside })
    };
    let prompt = [&problems()[0].prompt[..], &[OPEN, NEWLINE]].concat();
    let mut r = stuck(&prompt);
    r.generation.repetition = rules(1, 8, 6);
    r.generation.thinking = budget(None, true);
    let o = solo(&model, r.clone());
    // six of the same, the close, and then an answer that is no better: it ends
    let expected = [&[CARD; 6], &close[..], &[CARD; 6]].concat();
    assert_eq!((o.ids(), o.done.as_ref().unwrap().reason), (&expected[..], FinishReason::Repetition));
    // a budget that is spent first closes first, and its words are no repetition
    r.generation.thinking = budget(Some(3), true);
    assert_eq!(solo(&model, r.clone()).ids(), [&[CARD; 3], &close[..], &[CARD; 6]].concat());
    // without tags nothing can be closed
    r.generation.thinking = None;
    assert_eq!(solo(&model, r.clone()).ids(), [CARD; 6]);
    // in the answer, where thinking was never opened, likewise
    r.generation.thinking = budget(None, false);
    assert_eq!(solo(&model, r).ids(), [CARD; 6]);
}

#[test]
fn ordinary_answers_are_no_loops_and_no_repetitions() {
    let model = reasoner(2);
    let problems: Vec<_> = problems().into_iter().filter(|p| p.right && p.greedy.len() < 600).step_by(3).collect();
    let requests = |repetition| -> Vec<Request> {
        let one = |p: &common::Problem| {
            let mut r = request(&p.prompt, "full", 700);
            r.generation.repetition = repetition;
            r.generation.thinking =
                Some(ThinkingBudget { tokens: None, close: vec![CLOSE], tags: ThinkTags::THINK, starts_inside: false });
            r
        };
        problems.iter().map(one).collect()
    };
    let free = run(&model, options(8), requests(None));
    let watched = run(&model, EngineOptions { prefill_chunk: 33, ..options(8) }, requests(rules(1, 60, 5)));
    for (free, watched) in free.iter().zip(&watched) {
        let done = free.done.as_ref().unwrap();
        assert_eq!((done.reason, done.looped), (FinishReason::Stop, false), "{}", free.text);
        assert_eq!(watched.ids(), free.ids());
    }
    assert!(free.iter().any(|o| o.ids().len() > 300), "long ones are among them");
}
