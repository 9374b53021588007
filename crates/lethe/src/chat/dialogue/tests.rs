//! Turns that are stopped or fail, with the embedded model.

use std::cell::Cell;

use clap::Parser;

use super::*;
use crate::load;
use crate::options::{EngineArgs, SamplingArgs, TurnArgs};
use crate::show::{Show, View};

const FIRST: &str = "Sort 41 7 93 20.";
const SECOND: &str = "Sort 5 3 9.";

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    turn: TurnArgs,
    #[arg(long)]
    keep_thinking: bool,
}

fn dialogue(args: &[&str]) -> Dialogue {
    let options = Options::parse_from([&["chat", "--kv-memory", "32MiB"], args].concat());
    let model = load::model(&options.engine).unwrap();
    let prompter = Prompter::new(&model, &options.turn).unwrap();
    let engine = load::engine(&options.engine, &model).unwrap();
    let sampling = options.sampling.sampling(&model.generation);
    Dialogue::new(engine, prompter, PolicySpec::default(), sampling, options.turn.system, options.keep_thinking)
}

fn silently(stream: Stream, parser: ThinkingParser) -> Result<Said, Fault> {
    Show::new(&mut Vec::new(), parser, View::Nothing, false).all(stream, || false)
}

/// Stops the answer after so many events.
fn stopped_after(events: usize) -> impl FnOnce(Stream, ThinkingParser) -> Result<Said, Fault> {
    move |stream, parser| {
        let seen = Cell::new(0);
        Show::new(&mut Vec::new(), parser, View::Nothing, false).all(stream, || {
            seen.set(seen.get() + 1);
            seen.get() > events
        })
    }
}

/// As if it had been stopped before its first token.
fn unanswered(stream: Stream, parser: ThinkingParser) -> Result<Said, Fault> {
    let mut said = silently(stream, parser)?;
    said.done.reason = FinishReason::Cancelled;
    said.done.token_ids.clear();
    said.done.session = None;
    Ok(said)
}

fn fails(_: Stream, _: ThinkingParser) -> Result<Said, Fault> {
    Err("the reader has gone".into())
}

fn contents(d: &Dialogue) -> Vec<String> {
    d.past().messages().into_iter().map(|m| m.content).collect()
}

#[test]
fn a_stopped_answer_stays_in_the_conversation() {
    for stop in [3, 150] {
        let mut d = dialogue(&["--ignore-eos"]);
        let cut = d.ask(FIRST, stopped_after(stop)).unwrap();
        assert_eq!((cut.said.done.reason, cut.kept), (FinishReason::Cancelled, true));
        assert_eq!(contents(&d), [FIRST, &cut.said.answer]);
        d.set(Setting::MaxTokens(Some(60))).unwrap();
        let next = d.ask(SECOND, silently).unwrap().said.done;
        let mut fresh = dialogue(&["--ignore-eos", "-n", "60"]);
        fresh.past.add(Exchange { question: FIRST.into(), answer: cut.said.answer, ids: Vec::new() });
        let same = fresh.ask(SECOND, silently).unwrap().said.done;
        assert_eq!(next.token_ids, same.token_ids, "as if that had been the answer");
        assert_eq!(d.undo().unwrap().question, SECOND);
        assert_eq!(d.undo().unwrap().question, FIRST);
        assert!(d.undo().is_none());
    }
}

#[test]
fn a_stopped_answer_is_gone_on_from_in_the_same_cache_and_text() {
    let mut d = dialogue(&["--ignore-eos", "--keep-thinking"]);
    let cut = d.ask(FIRST, stopped_after(9)).unwrap().said.done;
    let held = d.past().session.unwrap();
    assert_eq!((d.holds_thinking(), held.tokens), (true, cut.usage.prompt_tokens + cut.token_ids.len()));
    d.set(Setting::MaxTokens(Some(8))).unwrap();
    let next = d.ask(SECOND, silently).unwrap();
    assert_eq!((next.before, next.said.done.session), (held.tokens, Some(held.id)));

    let mut d = dialogue(&["--ignore-eos", "--no-template"]);
    let cut = d.ask(FIRST, stopped_after(9)).unwrap().said.done;
    assert!(d.past().ids().ends_with(&cut.token_ids), "the text goes on behind what was said");
    d.set(Setting::MaxTokens(Some(8))).unwrap();
    assert!(d.ask(SECOND, silently).unwrap().said.done.usage.prompt_tokens > cut.token_ids.len());
}

#[test]
fn what_was_not_answered_was_not_asked() {
    for mode in [&[][..], &["--keep-thinking"], &["--no-template"]] {
        let mut d = dialogue(&[&["-n", "20"], mode].concat());
        d.ask(FIRST, silently).unwrap();
        let before = (contents(&d), d.past().ids());
        assert!(!d.ask(SECOND, unanswered).unwrap().kept);
        assert_eq!((contents(&d), d.past().ids()), before);
        assert!(d.past().session.is_none() && !d.holds_thinking());
        assert!(d.ask(SECOND, fails).is_err());
        assert_eq!((contents(&d), d.past().ids()), before);
        assert!(d.retry(unanswered).unwrap().is_some_and(|answered| !answered.kept));
        assert!(d.retry(fails).is_err());
        assert_eq!((contents(&d), d.past().ids()), before, "the answer before stands");
        assert_eq!(d.settings()[4], Setting::Seed(0));
        let next = d.ask(SECOND, silently).unwrap();
        let mut fresh = dialogue(&["-n", "20", mode.last().copied().filter(|m| *m == "--no-template").unwrap_or("-q")]);
        fresh.ask(FIRST, silently).unwrap();
        let same = fresh.ask(SECOND, silently).unwrap();
        assert_eq!(next.said.done.token_ids, same.said.done.token_ids, "{mode:?}");
    }
}

#[test]
fn a_refused_turn_leaves_the_session_as_it_was() {
    let mut d = dialogue(&["-n", "20"]);
    d.ask(FIRST, silently).unwrap();
    let session = d.past().session;
    assert!(session.is_some());
    assert!(d.ask(&"5 ".repeat(4096), silently).is_err(), "too long for the model");
    assert_eq!((d.past().session, contents(&d).len()), (session, 2));
}

#[test]
fn a_command_that_is_refused_changes_nothing() {
    let mut d = dialogue(&["-n", "20", "--temperature", "0.5"]);
    d.ask(FIRST, silently).unwrap();
    let (session, settings) = (d.past().session, d.settings());
    for bad in [Setting::Temperature(-1.0), Setting::Temperature(f32::NAN), Setting::TopP(0.0), Setting::MinP(2.0)] {
        assert!(d.set(bad).is_err(), "{bad}");
    }
    assert_eq!(d.settings(), settings);
    let policy = d.policy().unwrap();
    let clash = "lethe:cap=100,budget=50".parse().unwrap();
    assert!(d.switch(clash).is_err());
    assert_eq!((d.policy().unwrap(), d.past().session), (policy, session));
    assert!(d.load(Path::new("/no/such/file")).is_err());
    assert_eq!((contents(&d).len(), d.past().session), (2, session));
    d.switch("full".parse().unwrap()).unwrap();
    assert_eq!((d.policy().unwrap().trim(), d.past().session), ("policy full", None));
}
