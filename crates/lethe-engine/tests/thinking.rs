//! Reasoning budgets: thinking that takes too long is closed, and nothing else changes.

mod common;

use std::sync::Arc;

use common::{CLOSE, NEWLINE, OPEN, VOCAB, options, outcome, problems, reasoner, request, run};
use lethe_engine::{Core, EngineOptions, FinishReason, Request, Sampling, SubmitError, ThinkingBudget};
use lethe_model::{CpuBackend, Model, ThinkTags};

fn budget(model: &Model<CpuBackend>, tokens: usize) -> ThinkingBudget {
    let close = model.tokenizer.as_ref().unwrap().encode("\nMove 5.\n</think>\n\n", false).unwrap();
    ThinkingBudget { tokens: Some(tokens), close, tags: ThinkTags::THINK, starts_inside: false }
}

fn limited(prompt: &[u32], policy: &str, max_tokens: usize, budget: ThinkingBudget) -> Request {
    let mut request = request(prompt, policy, max_tokens);
    request.generation.thinking = Some(budget);
    request
}

#[test]
fn a_spent_budget_forces_the_close_and_sampling_goes_on() {
    let model = reasoner(2);
    let problem = problems().into_iter().find(|p| p.greedy.len() > 150).unwrap();
    let free = run(&model, options(1), vec![request(&problem.prompt, "full", 300)]).remove(0);
    for tokens in [0, 1, 7, 40] {
        let budget = budget(&model, tokens);
        let forced = budget.close.clone();
        let o = run(&model, options(1), vec![limited(&problem.prompt, "full", 300, budget)]).remove(0);
        // the opening tag, so many tokens of thinking, then the forced ones
        let (begin, rest) = o.ids().split_at(1 + tokens);
        assert_eq!(begin, &free.ids()[..1 + tokens]);
        assert!(rest.starts_with(&forced), "budget {tokens}: {rest:?}");
        assert!(rest.len() > forced.len(), "and an answer");
        assert_eq!(o.ids().iter().filter(|&&id| id == CLOSE).count(), 1, "closed once");
        assert_eq!(o.done.as_ref().unwrap().usage.completion_tokens, o.ids().len());
        assert!(o.text.contains("\nMove 5.\n</think>\n\n"), "{}", o.text);
        // what follows is what the model says after exactly this past
        let past: Vec<u32> = [&problem.prompt, begin, &forced].concat();
        let after = run(&model, options(1), vec![request(&past, "full", 300)]).remove(0);
        let n = (300 - begin.len() - forced.len()).min(after.ids().len());
        assert_eq!(&rest[forced.len()..], &after.ids()[..n]);
    }
}

#[test]
fn who_closes_in_time_or_never_thinks_is_left_alone() {
    let model = reasoner(2);
    let problem = problems().into_iter().find(|p| p.right && p.greedy.len() < 120).unwrap();
    let free = run(&model, options(1), vec![request(&problem.prompt, "full", 300)]).remove(0);
    let thinking = free.ids().iter().position(|&id| id == CLOSE).unwrap() - 1;
    let with =
        |budget: ThinkingBudget| run(&model, options(1), vec![limited(&problem.prompt, "full", 300, budget)]).remove(0);
    assert_eq!(with(budget(&model, thinking + 1)).ids(), free.ids());
    assert_ne!(with(budget(&model, thinking)).ids(), free.ids(), "one token earlier it is closed");
    // an answer without thinking: the prompt closes it already
    let past: Vec<u32> = [&problem.prompt[..], &[OPEN, NEWLINE, CLOSE]].concat();
    let free = run(&model, options(1), vec![request(&past, "full", 40)]).remove(0);
    let o = run(&model, options(1), vec![limited(&past, "full", 40, budget(&model, 0))]).remove(0);
    assert_eq!(o.ids(), free.ids());
    // a prompt that leaves it open
    let past: Vec<u32> = [&problem.prompt[..], &[OPEN, NEWLINE]].concat();
    let inside = ThinkingBudget { starts_inside: true, ..budget(&model, 3) };
    let o = run(&model, options(1), vec![limited(&past, "full", 40, inside.clone())]).remove(0);
    assert!(o.ids()[3..].starts_with(&inside.close));
}

#[test]
fn max_tokens_and_stop_strings_still_end_the_turn() {
    let model = reasoner(1);
    let problem = problems().into_iter().find(|p| p.greedy.len() > 150).unwrap();
    let o = run(&model, options(1), vec![limited(&problem.prompt, "full", 12, budget(&model, 10))]).remove(0);
    let done = o.done.unwrap();
    assert_eq!((done.reason, done.token_ids.len()), (FinishReason::Length, 12), "in the middle of the close");
    let mut request = limited(&problem.prompt, "full", 300, budget(&model, 10));
    request.generation.stop = vec!["</think>\n\n".into()];
    let o = run(&model, options(1), vec![request]).remove(0);
    assert_eq!(o.done.unwrap().reason, FinishReason::Stop);
    assert!(o.text.ends_with("Move 5.\n"), "{}", o.text);
}

#[test]
fn budgets_do_not_depend_on_batch_chunk_or_policy_and_count_as_output() {
    let model = reasoner(2);
    let problems = problems();
    let requests = || -> Vec<Request> {
        let policies = ["full", "lethe:cap=140,trigger=cap,interval=12", "recency:budget=48,interval=12"];
        (0..6)
            .map(|i| {
                let mut r = limited(&problems[i * 9].prompt, policies[i % 3], 80, budget(&model, 5 * i));
                if i >= 3 {
                    r.generation.sampling = Sampling {
                        temperature: 1.5,
                        frequency_penalty: 0.5,
                        repetition_penalty: 1.1,
                        ..Sampling::default()
                    };
                }
                r
            })
            .collect()
    };
    let alone: Vec<_> = requests().into_iter().map(|r| run(&model, options(1), vec![r]).remove(0)).collect();
    let options = EngineOptions { prefill_chunk: 7, max_batched_tokens: 40, ..options(6) };
    for (o, a) in run(&model, options, requests()).iter().zip(&alone) {
        assert_eq!(o.ids(), a.ids());
        assert_eq!(o.done.as_ref().unwrap().kv, a.done.as_ref().unwrap().kv);
    }
}

#[test]
fn the_closing_text_fits_where_it_comes() {
    let model = reasoner(1);
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let text = |inside, tokens, message| {
        let budget = ThinkingBudget::new(tokenizer, ThinkTags::THINK, inside, tokens, message).unwrap();
        assert_eq!((budget.tokens, budget.starts_inside), (tokens, inside));
        tokenizer.decode(&budget.close, false).unwrap()
    };
    let message = ThinkingBudget::MESSAGE;
    assert_eq!(text(false, Some(5), None), format!("\n{message}\n</think>\n\n"));
    assert_eq!(text(true, None, None), format!("\n{message}\n</think>\n\n"));
    assert_eq!(text(false, Some(0), None), "\n\n</think>\n\n", "nothing was thought: the tags stand alone");
    assert_eq!(text(true, Some(0), None), "\n</think>\n\n", "the prompt has the newline");
    assert_eq!(text(false, Some(5), Some("")), "\n</think>\n\n");
    assert_eq!(text(false, None, Some("So.")), "\nSo.\n</think>\n\n");
}

#[test]
fn budgets_that_cannot_work_are_refused() {
    let mut model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let refuse = |model: &Arc<Model<CpuBackend>>, budget: ThinkingBudget| {
        let mut core = Core::new(Arc::clone(model), options(1)).unwrap();
        let (_, sink) = outcome();
        core.submit(1, limited(&prompt, "full", 5, budget), sink).unwrap_err()
    };
    let good = budget(&model, 5);
    let with = |close: Vec<u32>| ThinkingBudget { close, ..good.clone() };
    assert!(matches!(
        refuse(&model, with(vec![CLOSE, VOCAB])),
        SubmitError::CloseTokenOutOfRange { index: 1, id: VOCAB, .. }
    ));
    let open = refuse(&model, with(vec![NEWLINE])).to_string();
    assert!(open.contains("</think>"), "{open}");
    assert!(matches!(refuse(&model, with(vec![])), SubmitError::CloseWithoutTag { .. }));
    let untagged = ThinkTags { open: "".into(), ..ThinkTags::THINK };
    assert!(matches!(refuse(&model, ThinkingBudget { tags: untagged, ..good.clone() }), SubmitError::EmptyTag));
    Arc::get_mut(&mut model).unwrap().tokenizer = None;
    assert!(matches!(refuse(&model, good.clone()), SubmitError::BudgetNeedsTokenizer));
}
