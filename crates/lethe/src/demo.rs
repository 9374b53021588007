//! `lethe demo`: the embedded model thinks through a few generated problems twice, with the full cache and with Lethe.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lethe_engine::{Engine, Event, Finished, Generation, Request, human_bytes};
use lethe_eval::problems::{Cards, Problem};
use lethe_model::{CpuBackend, Message, Model};
use lethe_policy::PolicySpec;

use crate::Fault;
use crate::bars::padded_bar;
use crate::options::{Dtype, EngineArgs};
use crate::terminal::{self, BAD, FAINT, GOOD, STRONG};
use crate::{load, report};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many problems
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    problems: u64,
    /// Seed of the first problem
    #[arg(long, value_name = "N", default_value_t = 2000)]
    seed: u64,
    /// Moves of each problem: one line of thinking each, about 35 tokens
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=40))]
    moves: u16,
    /// The policy beside the full cache
    #[arg(long, value_name = "POLICY", default_value = POLICY)]
    policy: PolicySpec,
    /// Compute threads [default: physical cores this process may use]
    #[arg(short, long, value_name = "N")]
    threads: Option<usize>,
}

/// A budget at which as much stays right as with the full cache (docs/evaluation.md, the demo's setting).
const POLICY: &str = "lethe+:budget=160,interval=16";

/// One run of one problem.
#[derive(Clone, Default)]
struct Side {
    slots: Vec<usize>, // [layers]
    text: String,
    done: Option<Finished>,
    right: bool,
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let engine_args = EngineArgs {
        model: None,
        offline: true,
        threads: args.threads,
        exact: false,
        kv_memory: lethe_engine::MemoryAmount::Bytes(64 << 20),
        kv_dtype: Dtype::F16,
    };
    let model = load::model(&engine_args)?;
    let engine = load::engine(&engine_args, &model)?;
    let policies = [PolicySpec::new("full")?, args.policy.clone()];
    args.policy.build(&engine.context())?; // a policy that cannot be built is said before anything runs
    let mut out = anstream::stdout();
    writeln!(out, "{FAINT}{}{FAINT:#}", load::describe(&engine_args, &model, &engine))?;
    writeln!(out, "The same problem twice: the full cache, then {STRONG}{}{STRONG:#}.\n", args.policy)?;
    let mut sides: Vec<[Side; 2]> = Vec::new();
    for i in 0..args.problems {
        let problem = Cards::at(0.6).moves(args.moves.into()).generate(args.seed.wrapping_add(i))?;
        sides.push(one(&mut out, &engine, &model, &problem, &policies, (i + 1, args.problems))?);
    }
    table(&mut out, &policies, &sides)?;
    Ok(())
}

/// Runs one problem under both policies and shows it.
fn one(
    out: &mut impl Write,
    engine: &Engine,
    model: &Arc<Model<CpuBackend>>,
    problem: &Problem,
    policies: &[PolicySpec; 2],
    (number, of): (u64, u64),
) -> Result<[Side; 2], Fault> {
    let turn = problem.turns.first().ok_or("the problem has no turns")?;
    let (Some(tokenizer), Some(template)) = (&model.tokenizer, &model.chat_template) else {
        return Err("the embedded model lacks its tokenizer or template".into());
    };
    let text = template.render(&[Message::new("user", &turn.question)], true, &serde_json::Map::new())?;
    let prompt = tokenizer.encode(&text, false)?;
    writeln!(out, "{STRONG}Problem {number} of {of}{STRONG:#} · {} tokens of prompt", prompt.len())?;
    for line in wrap(&turn.question, 96) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    let mut sides = [Side::default(), Side::default()];
    let mut picture = Picture::new(terminal::can_redraw(), policies);
    for side in 0..2 {
        let stream = engine.submit(Request {
            policy: policies[side].clone(),
            generation: Generation::default(),
            ..Request::new(prompt.clone())
        })?;
        let mut stream = stream;
        while let Some(event) = stream.next() {
            match event {
                Event::Token { text, .. } | Event::Tail(text) => sides[side].text.push_str(&text),
                Event::Finished(done) => {
                    sides[side].slots = done.kv.final_slots.clone();
                    sides[side].right = problem.check(0, &sides[side].text);
                    sides[side].done = Some(*done);
                }
                Event::Failed(why) => return Err(why.into()),
                Event::Prefill { .. }
                | Event::PromptLogprobs(_)
                | Event::Forgot { .. }
                | Event::Round(_)
                | Event::Levels(_) => {}
            }
            if sides[side].done.is_none() {
                sides[side].slots = stream.slots();
                picture.draw(out, &sides, side, false)?;
            }
        }
        picture.draw(out, &sides, side, side == 1)?;
    }
    for (side, policy) in sides.iter().zip(policies) {
        if let Some(done) = &side.done {
            let (style, verdict) = if side.right { (GOOD, "right") } else { (BAD, "wrong") };
            let answer = side.text.rsplit("</think>").next().unwrap_or_default().trim();
            writeln!(out, "  {style}{verdict}{style:#} {:<6} {answer}", policy.name())?;
            writeln!(out, "         {FAINT}{}{FAINT:#}", report::line(done, 0))?;
        }
    }
    writeln!(out)?;
    Ok(sides)
}

/// The live picture: a bar per layer for each side, and the line the model is thinking.
struct Picture<'a> {
    live: bool,
    policies: &'a [PolicySpec; 2],
    lines: usize,
    last: Option<Instant>,
}

const WIDTH: usize = 30;

impl<'a> Picture<'a> {
    fn new(live: bool, policies: &'a [PolicySpec; 2]) -> Picture<'a> {
        Picture { live, policies, lines: 0, last: None }
    }

    /// Redraws at most 30 times a second; without a terminal that can, only the last picture is shown.
    fn draw(&mut self, out: &mut impl Write, sides: &[Side; 2], at: usize, last: bool) -> Result<(), Fault> {
        let soon = self.last.is_some_and(|t| t.elapsed() < Duration::from_millis(33));
        let finished = sides[at].done.is_some();
        if !last && (!self.live || (soon && !finished)) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let mut text = String::new();
        if self.lines > 0 {
            text.push_str(&format!("\x1b[{}A", self.lines));
        }
        let clear = if self.live { "\x1b[K" } else { "" };
        let full = sides.iter().flat_map(|s| &s.slots).copied().max().unwrap_or(1).max(1);
        let layers = sides[at].slots.len();
        let [left, right] = self.policies;
        text.push_str(&format!("  slots    {:<w$}{}{clear}\n", left.name(), right.name(), w = WIDTH + 8));
        for l in 0..layers {
            text.push_str(&format!("  layer {l:<2}"));
            for side in sides {
                match side.slots.get(l) {
                    Some(&n) => text.push_str(&format!(" {} {n:<6}", padded_bar(n, full, WIDTH))),
                    None => text.push_str(&" ".repeat(WIDTH + 8)),
                }
            }
            text.push_str(&format!("{clear}\n"));
        }
        if self.live {
            let line = sides[at].text.trim_end().rsplit('\n').next().unwrap_or_default();
            let line: String = if finished { String::new() } else { line.chars().take(96).collect() };
            text.push_str(&format!("  {FAINT}{line}{FAINT:#}{clear}\n"));
        }
        self.lines = layers + 2;
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }
}

fn table(out: &mut impl Write, policies: &[PolicySpec; 2], sides: &[[Side; 2]]) -> Result<(), Fault> {
    writeln!(
        out,
        "{STRONG}{:<8} {:>7} {:>12} {:>12} {:>12} {:>12} {:>9}{STRONG:#}",
        "", "right", "slots, peak", "slots, end", "KV peak", "KV mean", "tok/s"
    )?;
    for (i, policy) in policies.iter().enumerate() {
        let runs: Vec<&Finished> = sides.iter().filter_map(|s| s[i].done.as_ref()).collect();
        let n = runs.len().max(1) as f64;
        let mean = |f: &dyn Fn(&Finished) -> f64| runs.iter().map(|r| f(r)).sum::<f64>() / n;
        let right = sides.iter().filter(|s| s[i].right).count();
        writeln!(
            out,
            "{:<8} {:>7} {:>12.0} {:>12.0} {:>12} {:>12} {:>9.0}",
            policy.name(),
            format!("{right}/{}", sides.len()),
            mean(&|r| r.kv.peak_total_slots as f64 / r.kv.peak_slots.len().max(1) as f64),
            mean(&|r| report::mean(&r.kv.final_slots)),
            human_bytes(mean(&|r| r.kv.peak_bytes as f64) as u64),
            human_bytes(mean(&|r| r.kv.mean_bytes as f64) as u64),
            mean(&|r| report::decode_speed(r).unwrap_or(0.0)),
        )?;
    }
    writeln!(
        out,
        "\n{FAINT}Slots are the mean over layers. A small synthetic model on generated problems: docs/evaluation.md says \
         how far this carries.\nNext: lethe run --help, lethe policies.{FAINT:#}"
    )?;
    Ok(())
}

/// Breaks a text into lines of at most `width` characters, between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("never empty");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("a bb ccc dddd", 5), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("longerthanfive x", 5), ["longerthanfive", "x"]);
    }

    #[test]
    fn the_picture_degrades_without_a_terminal() {
        let policies = [PolicySpec::new("full").unwrap(), PolicySpec::new("lethe").unwrap()];
        let side = |n| Side { slots: vec![n, n / 2], ..Side::default() };
        let sides = [side(40), side(20)];
        let mut out = Vec::new();
        let mut picture = Picture::new(false, &policies);
        picture.draw(&mut out, &sides, 0, false).unwrap();
        assert!(out.is_empty(), "nothing is redrawn");
        picture.draw(&mut out, &sides, 1, true).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\x1b'), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("40") && text.contains("20"));
    }
}
