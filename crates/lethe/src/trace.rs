//! `lethe trace`: one run with everything that the cache forgot in it, as a file; `lethe trace view` shows such a file.

mod view;

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lethe_engine::{Engine, Event, Finished, Generation, Request, Stream};
use lethe_eval::gold::Gold;
use lethe_eval::problems::{self, Family, Problem};
use lethe_eval::recite::recital;
use lethe_eval::trace::{Header, Recorder, Task, Trace};
use lethe_model::{CpuBackend, Message, Model};
use lethe_policy::PolicySpec;

use crate::options::{EngineArgs, PolicyArgs, SamplingArgs, TurnArgs};
use crate::prompt::{Prompt, Prompter};
use crate::{Fault, load, report, terminal};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, allow_negative_numbers = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The question, in place of a generated problem
    #[arg(value_name = "QUESTION", conflicts_with_all = ["task", "level", "gold"])]
    question: Option<String>,
    /// A generated problem (cards, two_turn, days, sort, rooms, recipes), drawn by --level and --seed; what it needs is known
    #[arg(long, value_name = "FAMILY")]
    task: Option<Family>,
    /// How hard the problem is, 0 to 1
    #[arg(long, value_name = "L", default_value_t = 0.6, value_parser = level)]
    level: f64,
    /// Make the model say the right answer, to see all that it needs
    #[arg(long, requires = "task")]
    gold: bool,
    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "trace.jsonl")]
    output: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    turn: TurnArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show a trace as a page of its own (HTML), and its charts as SVG
    View(view::Args),
}

const EXAMPLES: &str = "Examples:
  lethe trace --task cards --level 0.6 --seed 7 --policy lethe:budget=128,trigger=cap,interval=16,half_life=16
  lethe trace --task two_turn --seed 3 --policy recency:budget=96 --gold -o gold.jsonl
  lethe trace view trace.jsonl                     writes trace.html: open it in a browser
  lethe trace view trace.jsonl --svg figures       and slots.svg, heatmap.svg for a paper
  lethe trace -m ./Qwen3-0.6B --cap 512 -n 1000 \"How many primes are below 60?\" -o primes.jsonl

Without --policy and --cap, the policy is lethe with a budget of 128 slots beyond the prompt, so that something is forgotten. \
Two-turn problems run as one conversation in one cache. docs/traces.md describes the file.";

/// Small enough for the problems of the embedded model.
const POLICY: &str = "lethe:budget=128,trigger=cap,interval=16,half_life=16,recent_ratio=0.5";

fn level(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(level) if (0.0..=1.0).contains(&level) => Ok(level),
        _ => Err(format!("`{text}` is no level: give a number from 0 to 1, such as 0.6")),
    }
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    match &args.command {
        Some(Command::View(view)) => view::main(view),
        None => record(args),
    }
}

fn record(args: &Args) -> Result<(), Fault> {
    let problem = args.task.map(|family| problems::generate(family, args.level, args.sampling.seed));
    let questions: Vec<&str> = match (&problem, &args.question) {
        (Some(problem), _) => problem.turns.iter().map(|turn| &*turn.question).collect(),
        (None, Some(question)) if !question.trim().is_empty() => vec![question],
        (None, _) => return Err("nothing to trace: give a question, or a problem such as --task cards".into()),
    };
    let spec = match (&args.policy.policy, args.policy.cap) {
        (None, None) => PolicyArgs { policy: Some(PolicySpec::parse(POLICY)?), ..args.policy.clone() }.spec()?,
        _ => args.policy.spec()?,
    };
    writable(&args.output)?;
    let model = load::model(&args.engine)?;
    let engine = load::engine(&args.engine, &model)?;
    let run = Run { args, prompter: Prompter::new(&model, &args.turn)?, engine, model, spec };
    if !args.turn.quiet {
        let sampling = args.sampling.sampling(&run.model.generation);
        terminal::notice(load::describe(&args.engine, &run.model, &run.engine));
        terminal::notice(report::settings(&run.spec, &run.engine, &sampling)?);
    }
    let gold = match problem.as_ref().map(|problem| run.gold(problem)) {
        Some(Err(e)) if args.gold => return Err(format!("--gold: {e}").into()),
        Some(Err(e)) => {
            terminal::notice(format!("what the answer needs is not known: {e}"));
            None
        }
        gold => gold.and_then(Result::ok),
    };
    let trace = run.turns(&questions, problem.as_ref(), gold.as_ref())?;
    save(&trace, &args.output)?;
    if !args.turn.quiet {
        summary(&trace, args)?;
    }
    Ok(())
}

/// One conversation to be traced.
struct Run<'a> {
    args: &'a Args,
    model: Arc<Model<CpuBackend>>,
    prompter: Prompter,
    engine: Engine,
    spec: PolicySpec,
}

impl Run<'_> {
    /// The tokens of the right answer.
    fn gold(&self, problem: &Problem) -> Result<Gold, Fault> {
        let (Some(tokenizer), Some(template)) = (self.model.tokenizer.as_deref(), self.prompter.template()) else {
            return Err("the model has no tokenizer or no chat template in use".into());
        };
        if !self.prompter.system().is_empty() {
            return Err("with a system message, tokens stand elsewhere".into());
        }
        Ok(Gold::new(problem, tokenizer, template, &self.model.end_ids)?)
    }

    fn turns(&self, questions: &[&str], problem: Option<&Problem>, gold: Option<&Gold>) -> Result<Trace, Fault> {
        let tokenizer = self.model.tokenizer.as_deref();
        let mut recorder = Recorder::new(Header {
            lethe_trace: 0,
            model: load::model_name(self.args.engine.model.as_deref()),
            layers: self.model.config.n_layers,
            kv_heads: self.model.config.n_kv_heads,
            policy: self.spec.name().to_owned(),
            options: serde_json::Map::new(),
            task: problem.map(|p| Task { family: p.family, level: p.level, seed: p.seed }),
        });
        let mut messages = self.prompter.system();
        let mut before: Option<Finished> = None;
        for (turn, question) in questions.iter().enumerate() {
            messages.push(Message::new("user", *question));
            let prompt = match &before {
                None if self.prompter.template().is_none() => self.prompter.raw(question, true)?,
                None => self.prompter.chat(&messages)?,
                Some(done) => self.prompter.after_reply(&messages, self.prompter.ended(&done.token_ids))?,
            };
            recorder.prompt(&prompt.ids, tokenizer);
            let sampling = self.args.sampling.sampling(&self.model.generation);
            let mut generation = self.prompter.generation(&prompt, &sampling, turn + 1 < questions.len())?;
            if let Some(gold) = gold {
                // a wrong answer ends a quarter later than the right one
                let most = gold.turns[turn].answer.len() * 5 / 4 + 16;
                generation.max_tokens = generation.max_tokens.or(Some(most));
                generation.constraint = self.args.gold.then(|| recital(gold, turn));
            }
            let stream = self.submit(prompt, before.as_ref().and_then(|done| done.session), generation)?;
            let (done, text) = self.follow(stream, &mut recorder)?;
            recorder.answered(&done, tokenizer, problem.map(|problem| problem.check(turn, &text)));
            messages.push(Message::new("assistant", text));
            before = Some(done);
        }
        Ok(recorder.done(gold))
    }

    fn submit(&self, prompt: Prompt, session: Option<u64>, generation: Generation) -> Result<Stream, Fault> {
        let Prompt { ids, system_tokens, .. } = prompt;
        let policy = self.spec.clone();
        Ok(match session {
            Some(session) => self.engine.append(session, ids, generation)?,
            None => {
                self.engine.submit(Request { system_tokens, policy, generation, trace: true, ..Request::new(ids) })?
            }
        })
    }

    fn follow(&self, stream: Stream, recorder: &mut Recorder) -> Result<(Finished, String), Fault> {
        let mut text = String::new();
        let mut progress = Progress::new(self.args.turn.quiet);
        for event in stream {
            recorder.saw(&event);
            match event {
                Event::Token { text: piece, .. } => {
                    text.push_str(&piece);
                    progress.token();
                }
                Event::Tail(piece) => text.push_str(&piece),
                Event::Finished(done) => {
                    progress.end();
                    return Ok((*done, text));
                }
                Event::Failed(why) => {
                    progress.end();
                    return Err(why.into());
                }
                Event::Prefill { .. }
                | Event::PromptLogprobs(_)
                | Event::Round(_)
                | Event::Forgot { .. }
                | Event::Levels(_) => {}
            }
        }
        Err("the engine stopped without an answer".into())
    }
}

/// Tokens so far, on stderr: redrawn on a terminal, a line now and then elsewhere.
struct Progress {
    tokens: usize,
    quiet: bool,
    redraws: bool,
}

impl Progress {
    fn new(quiet: bool) -> Progress {
        Progress { tokens: 0, quiet, redraws: std::io::stderr().is_terminal() }
    }

    fn token(&mut self) {
        self.tokens += 1;
        match self.redraws {
            _ if self.quiet => {}
            true if self.tokens.is_multiple_of(10) => {
                let _ = write!(anstream::stderr(), "\r\x1b[K{} tokens", self.tokens);
            }
            false if self.tokens.is_multiple_of(500) => terminal::notice(format!("{} tokens", self.tokens)),
            _ => {}
        }
    }

    fn end(&self) {
        if self.redraws && !self.quiet {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}

/// Finds out before the run whether its trace can be written. What is there stays until the run is over.
fn writable(path: &Path) -> Result<(), Fault> {
    let fault = |e: std::io::Error| format!("{}: {e}; name another file with -o", path.display());
    match std::fs::metadata(path) {
        Ok(there) if there.is_file() || there.is_dir() => {
            drop(OpenOptions::new().append(true).open(path).map_err(fault)?)
        }
        Ok(_) => {} // a pipe or a device: opening it might wait, or say something to who listens
        Err(_) => {
            File::create_new(path).and_then(|_| std::fs::remove_file(path)).map_err(fault)?;
        }
    }
    Ok(())
}

fn save(trace: &Trace, path: &Path) -> Result<(), Fault> {
    let fault = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut out = BufWriter::new(File::create(path).map_err(fault)?);
    lethe_eval::trace::write(trace, &mut out).and_then(|()| out.flush()).map_err(fault)?;
    Ok(())
}

fn summary(trace: &Trace, args: &Args) -> Result<(), Fault> {
    let mut out = anstream::stdout();
    let rights: Vec<&str> =
        trace.segments.iter().filter_map(|s| s.right).map(|right| if right { "right" } else { "wrong" }).collect();
    let verdict = if rights.is_empty() { String::new() } else { format!(", {}", rights.join(", ")) };
    let forgotten: usize = trace.rounds.iter().map(|round| round.before - round.after).sum();
    writeln!(
        out,
        "{} tokens{verdict} ({}); {} rounds, {forgotten} slots forgotten",
        trace.tokens(),
        trace.end.reason,
        trace.rounds.len(),
    )?;
    if let Some(reads) = trace.end.reads {
        let layers = trace.header.layers;
        let lost = trace.needs.iter().filter(|need| need.gone.len() == layers).count();
        writeln!(
            out,
            "of {reads} reads while the answer went right, {lost} had no source left in any layer, {} in some",
            trace.needs.len() - lost
        )?;
    }
    writeln!(out, "{}: see it with lethe trace view {}", args.output.display(), args.output.display())?;
    Ok(())
}
