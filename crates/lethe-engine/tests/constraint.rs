//! When a grammar binds and what it leaves alone, with the smallest of grammars: so many digits.

mod common;

use std::sync::Arc;

use common::{CARD, CLOSE, END, NEWLINE, OPEN, Outcome, VOCAB, options, problems, reasoner, request, run};
use lethe_engine::{
    AfterThinking, Constrained, Constraint, ConstraintError, Core, EngineOptions, Failure, FinishReason, Request,
    Sampling, StoppedBy, SubmitError, ThinkingBudget,
};
use lethe_model::{CpuBackend, Model, ThinkTags};

/// Exactly so many digits; with `may_end`, fewer will do.
#[derive(Clone, Debug)]
struct Digits {
    tokens: Arc<Vec<Vec<u8>>>, // [vocab]
    left: usize,
    may_end: bool,
    ended: bool,
    /// Breaks when so many digits are left.
    breaks: Option<usize>,
}

impl Digits {
    fn new(model: &Model<CpuBackend>, digits: usize) -> Digits {
        let tokenizer = model.tokenizer.as_ref().unwrap();
        let tokens = (0..VOCAB).map(|id| tokenizer.bytes(id)).collect();
        Digits { tokens: Arc::new(tokens), left: digits, may_end: false, ended: false, breaks: None }
    }

    fn fits(&self, id: u32) -> bool {
        match (id, self.bytes(id)) {
            (END, _) => self.left == 0 || self.may_end,
            (_, bytes) => (1..=self.left).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit),
        }
    }
}

impl Constraint for Digits {
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        if self.breaks == Some(self.left) {
            return Err(ConstraintError("out of fuel".into()));
        }
        for (id, logit) in logits.iter_mut().enumerate() {
            if self.ended || !self.fits(id as u32) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn commit(&mut self, id: u32) -> Result<(), ConstraintError> {
        if self.ended || !self.fits(id) {
            return Err(ConstraintError(format!("{id} does not fit")));
        }
        self.ended = id == END;
        self.left -= if self.ended { 0 } else { self.bytes(id).len() };
        Ok(())
    }

    fn finished(&self) -> bool {
        self.ended || self.left == 0
    }

    fn bytes(&self, id: u32) -> &[u8] {
        &self.tokens[id as usize]
    }

    fn boxed(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

fn bound(prompt: &[u32], grammar: Digits, after: Option<bool>) -> Request {
    let mut r = request(prompt, "full", 400);
    let after_thinking = after.map(|starts_inside| AfterThinking { tags: ThinkTags::THINK, starts_inside });
    r.generation.constraint = Some(Constrained { grammar: Box::new(grammar), after_thinking });
    r
}

fn solo(model: &Arc<Model<CpuBackend>>, request: Request) -> Outcome {
    run(model, options(1), vec![request]).remove(0)
}

fn is_digits(text: &str, n: usize) -> bool {
    text.len() == n && text.bytes().all(|b| b.is_ascii_digit())
}

#[test]
fn without_thinking_it_binds_from_the_first_token() {
    let model = reasoner(2);
    let prompt = &problems()[0].prompt;
    for n in [1, 2, 7, 30] {
        let mut r = bound(prompt, Digits::new(&model, n), None);
        r.generation.logprobs = Some(0);
        let o = solo(&model, r);
        let done = o.done.as_ref().unwrap();
        assert!(is_digits(&o.text, n), "{}", o.text);
        assert_eq!((done.reason, &done.stopped_by), (FinishReason::Stop, &None));
        // the likeliest of those that fit, each time
        let mut grammar = Digits::new(&model, n);
        let mut past = prompt.clone();
        for (&id, told) in o.ids().iter().zip(&o.logprobs) {
            let mut alone = request(&past, "full", 1);
            let bans = (0..VOCAB).filter(|&id| !grammar.fits(id)).map(|id| (id, f32::NEG_INFINITY));
            alone.generation.sampling.logit_bias = bans.collect();
            alone.generation.logprobs = Some(0);
            let alone = solo(&model, alone);
            assert_eq!((alone.ids(), &alone.logprobs[0]), (&[id][..], told), "and the model's own probabilities");
            grammar.commit(id).unwrap();
            past.push(id);
        }
    }
}

#[test]
fn an_answer_that_may_end_ends_when_the_model_wants() {
    let model = reasoner(1);
    let prompt = &problems()[0].prompt;
    let grammar = Digits { may_end: true, ..Digits::new(&model, 40) };
    let mut r = bound(prompt, grammar, None);
    r.generation.sampling.logit_bias = vec![(END, 1000.0)];
    let o = solo(&model, r.clone());
    assert_eq!((o.ids(), o.done.as_ref().unwrap().stopped_by.clone()), (&[END][..], Some(StoppedBy::Id(END))));
    // not before the fewest tokens
    r.generation.min_tokens = 4;
    let o = solo(&model, r.clone());
    assert_eq!((o.ids().len(), o.ids()[4]), (5, END));
    assert!(o.text.bytes().all(|b| b.is_ascii_digit()));
    // an end id that ends nothing ends the grammar
    r.generation.ignore_eos = true;
    r.generation.min_tokens = 0;
    let o = solo(&model, r);
    assert_eq!((o.ids(), &o.done.as_ref().unwrap().stopped_by), (&[END][..], &None));
}

#[test]
fn sampled_and_penalised_choices_follow_it_too() {
    let model = reasoner(2);
    let prompt = &problems()[7].prompt;
    for seed in 0..8 {
        let mut r = bound(prompt, Digits::new(&model, 25), None);
        r.generation.sampling = Sampling {
            temperature: 5.0,
            top_p: 0.99,
            top_k: 50,
            frequency_penalty: 1.0,
            repetition_penalty: 1.5,
            logit_bias: vec![(CARD, 1e4), (16, f32::NEG_INFINITY)], // a word, and the digit 1 by itself
            seed,
            ..Sampling::default()
        };
        let o = solo(&model, r);
        assert!(is_digits(&o.text, 25), "{}", o.text);
        assert!(!o.ids().contains(&16));
    }
    // what bans leave may be nothing
    let mut r = bound(prompt, Digits::new(&model, 25), None);
    let grammar = Digits::new(&model, 25);
    r.generation.sampling.logit_bias =
        (0..VOCAB).filter(|&id| grammar.fits(id)).map(|id| (id, f32::NEG_INFINITY)).collect();
    assert_eq!(solo(&model, r).failed, Some(Failure::NothingToSample));
}

#[test]
fn thinking_is_free_and_the_answer_is_not() {
    let model = reasoner(2);
    let problem = problems().into_iter().find(|p| p.right && p.greedy.len() < 150).unwrap();
    let free = solo(&model, request(&problem.prompt, "full", 400));
    let until = free.ids().iter().position(|&id| id == CLOSE).unwrap() + 1;
    let check = |o: &Outcome, thinking: &[u32]| {
        assert_eq!(&o.ids()[..thinking.len()], thinking);
        let answer = o.text.split_once("</think>").unwrap().1;
        assert!(is_digits(answer.trim_start_matches('\n'), 6), "{answer:?}");
        assert_eq!(o.done.as_ref().unwrap().reason, FinishReason::Stop);
    };
    // the model opens thinking by itself
    check(&solo(&model, bound(&problem.prompt, Digits::new(&model, 6), Some(false))), &free.ids()[..until]);
    // the prompt leaves it open
    let inside = [&problem.prompt[..], &free.ids()[..2]].concat();
    check(&solo(&model, bound(&inside, Digits::new(&model, 6), Some(true))), &free.ids()[2..until]);
    // it is closed for the model: the forced tokens are none of the grammar's business
    let mut r = bound(&problem.prompt, Digits::new(&model, 6), Some(false));
    let tokenizer = model.tokenizer.as_ref().unwrap();
    let budget = ThinkingBudget::new(tokenizer, ThinkTags::THINK, false, Some(9), Some("So.")).unwrap();
    let forced = [&free.ids()[..10], &budget.close].concat();
    r.generation.thinking = Some(budget);
    check(&solo(&model, r), &forced);
}

#[test]
fn a_model_that_need_not_think_answers_or_thinks_and_nothing_else() {
    let model = reasoner(1);
    let prompt = &problems()[0].prompt;
    let with = |logit_bias: Vec<(u32, f32)>| {
        let mut r = bound(prompt, Digits::new(&model, 6), Some(false));
        r.generation.sampling.logit_bias = logit_bias;
        r
    };
    // without its tag it answers at once, whatever it would like to say
    assert!(is_digits(&solo(&model, with(vec![(OPEN, -1e4), (NEWLINE, 1e4), (CARD, 1e4)])).text, 6));
    // with it, thinking does not end before it is closed, and what may lie between it and the answer is little
    let o = solo(&model, with(vec![(OPEN, 10.0), (NEWLINE, 500.0), (CLOSE, 1000.0), (END, 2000.0)]));
    assert_eq!(o.ids()[..2], [OPEN, CLOSE], "{}", o.text);
    let (_, answer) = o.text.split_once("</think>").unwrap();
    assert_eq!(&answer[..4], "\n\n\n\n");
    assert!(is_digits(&answer[4..], 6), "{answer:?}");
}

#[test]
fn tags_of_several_tokens_are_opened_and_closed() {
    let model = reasoner(1);
    let prompt = &problems()[0].prompt;
    let tokenizer = model.tokenizer.as_ref().unwrap();
    // an opening tag that begins like an answer, in three tokens
    let open = tokenizer.encode("1<Room", false).unwrap();
    assert!(open.len() == 3 && tokenizer.bytes(open[0]) == b"1", "{open:?}");
    let tags = ThinkTags { open: "1<Room".into(), close: "9 Ca".into() };
    let bound = |logit_bias: Vec<(u32, f32)>, starts_inside| {
        let mut r = bound(prompt, Digits::new(&model, 6), None);
        r.generation.constraint.as_mut().unwrap().after_thinking =
            Some(AfterThinking { tags: tags.clone(), starts_inside });
        r.generation.sampling.logit_bias = logit_bias;
        r.generation.max_tokens = Some(30);
        r
    };
    // "1" may begin either; "<" decides for thinking, another digit for the answer
    let id = |text: &str| tokenizer.id(text).unwrap();
    let o = solo(&model, bound(vec![(open[0], 500.0), (open[1], 1000.0)], false));
    assert!(o.text.starts_with("1<Room"), "{}", o.text);
    let o = solo(&model, bound(vec![(open[0], 500.0), (open[1], f32::NEG_INFINITY)], false));
    assert_eq!(o.text, "111111");
    // " Card" after a 9 would close thinking and begin the answer at once: it may come anywhere but there
    let only = |likelier: u32, other: u32| -> Vec<(u32, f32)> {
        let rest = (0..VOCAB).filter(|&id| id != likelier && id != other).map(|id| (id, f32::NEG_INFINITY));
        rest.chain([(likelier, 100.0)]).collect()
    };
    let mut r = bound(only(id("ĠCard"), id("9")), true);
    r.generation.sampling.frequency_penalty = 150.0; // " Card", "9", and then the 9 is less likely
    assert_eq!(solo(&model, r).text, format!(" Card{}", "9".repeat(29)));
    // in tokens of its own the tag closes
    let mut r = bound(only(id("ĠC"), id("a")), true);
    r.generation.sampling.logit_bias.retain(|&(token, _)| token != id("9"));
    r.generation.sampling.logit_bias.push((id("9"), 250.0));
    r.generation.sampling.frequency_penalty = 300.0; // 9, then " C", then a
    let o = solo(&model, r);
    assert!(o.text.starts_with("9 Ca"), "{}", o.text);
    assert!(is_digits(&o.text["9 Ca".len()..], 6), "{}", o.text);
}

#[test]
fn a_grammar_that_breaks_ends_its_request_alone() {
    let model = reasoner(2);
    let problems = problems();
    let broken = Digits { breaks: Some(10), ..Digits::new(&model, 12) };
    let requests = vec![
        request(&problems[1].prompt, "full", 30),
        bound(&problems[0].prompt, broken, None),
        bound(&problems[2].prompt, Digits::new(&model, 12), None),
    ];
    let alone: Vec<Outcome> = [0, 2].iter().map(|&i: &usize| solo(&model, requests[i].clone())).collect();
    let all = run(&model, options(3), requests);
    assert_eq!(all[1].failed, Some(Failure::Constraint(ConstraintError("out of fuel".into()))));
    assert!(all[1].failed.as_ref().unwrap().to_string().contains("out of fuel"));
    assert!(is_digits(&all[1].text, 2));
    assert_eq!((all[0].ids(), all[2].ids()), (alone[0].ids(), alone[1].ids()));
}

#[test]
fn grammars_do_not_depend_on_batch_chunk_or_policy() {
    let model = reasoner(2);
    let problems = problems();
    let requests = || -> Vec<Request> {
        (0..6)
            .map(|i| {
                let mut r = bound(&problems[i * 9].prompt, Digits::new(&model, 9 + i), [None, Some(false)][i % 2]);
                r.policy =
                    lethe_policy::PolicySpec::parse(["full", "lethe:cap=140,trigger=cap,interval=12"][i / 3]).unwrap();
                if i > 2 {
                    r.generation.sampling = Sampling { temperature: 2.0, seed: 4, ..Sampling::default() };
                }
                r
            })
            .collect()
    };
    let alone: Vec<Outcome> = requests().into_iter().map(|r| solo(&model, r)).collect();
    let options = EngineOptions { prefill_chunk: 7, max_batched_tokens: 40, ..options(6) };
    for (o, a) in run(&model, options, requests()).iter().zip(&alone) {
        assert_eq!(o.ids(), a.ids());
    }
}

#[test]
fn grammars_that_cannot_bind_are_refused() {
    let mut model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let good = bound(&prompt, Digits::new(&model, 6), Some(true));
    let refuse = |model: &Arc<Model<CpuBackend>>, request: Request| {
        let mut core = Core::new(Arc::clone(model), options(1)).unwrap();
        core.submit(1, request, |_| {}).unwrap_err()
    };
    let mut untagged = good.clone();
    let after = untagged.generation.constraint.as_mut().unwrap().after_thinking.as_mut().unwrap();
    after.tags.close = "".into();
    assert!(matches!(refuse(&model, untagged), SubmitError::EmptyTag));
    Arc::get_mut(&mut model).unwrap().tokenizer = None;
    assert!(matches!(refuse(&model, good), SubmitError::ConstraintNeedsTokenizer));
}
