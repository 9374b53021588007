//! `lethe run`: one prompt, one answer.

use std::io::{self, IsTerminal, Read, Write};

use lethe_engine::{Event, FinishReason, Finished, Generation, Request, Stream};
use lethe_model::{CpuBackend, Message, Model};

use crate::Fault;
use crate::options::{EngineArgs, PolicyArgs, SamplingArgs};
use crate::terminal::{self, FAINT};
use crate::{load, report};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub(crate) struct Args {
    /// [MODEL] QUESTION: the question, or a model folder and the question; without a question stdin is read
    #[arg(value_name = "[MODEL] QUESTION", num_args = 0..=2)]
    words: Vec<String>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Most new tokens [default: what the model's positions leave]
    #[arg(short = 'n', long, value_name = "N")]
    max_tokens: Option<usize>,
    /// System message
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// End the answer at this text, which is not shown (may be given several times)
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Go on past the model's end token
    #[arg(long)]
    ignore_eos: bool,
    /// Feed the question as it is, without the model's chat template
    #[arg(long)]
    raw: bool,
    /// Token ids instead of text; works for a folder without a tokenizer
    #[arg(long, value_name = "ID,ID,...", value_delimiter = ',', conflicts_with_all = ["words", "raw", "system"])]
    prompt_tokens: Option<Vec<u32>>,
    /// Print one JSON object instead of streaming text
    #[arg(long)]
    json: bool,
    /// No statistics, no notices
    #[arg(short, long)]
    quiet: bool,
}

const EXAMPLES: &str = "Examples:
  lethe run \"Sort 41 7 93 20.\"
  lethe run ./Qwen3-0.6B \"How many primes are below 60?\" --cap 1024 --temperature 0.6
  lethe run -m ./Qwen3-0.6B --policy lethe:cap=1024,half_life=128 --system \"Be brief.\" < question.txt
  lethe run --prompt-tokens 720,363,198 --max-tokens 20 --json";

pub(crate) fn main(mut args: Args) -> Result<(), Fault> {
    let question = words(&mut args)?;
    let spec = args.policy.spec()?;
    let model = load::model(&args.engine)?;
    let (prompt, system_tokens) = match (&args.prompt_tokens, question) {
        (Some(ids), _) => (ids.clone(), 0),
        (None, question) => encode(&model, &args, &question.unwrap_or_default())?,
    };
    let engine = load::engine(&args.engine, &model)?;
    let sampling = args.sampling.sampling(&model.generation);
    if !args.quiet && !args.json {
        terminal::notice(load::describe(&args.engine, &model, &engine));
        terminal::notice(format!("policy {} · {}", resolved(&spec, &engine)?, sampling));
    }
    let stream = engine.submit(Request {
        prompt,
        system_tokens,
        policy: spec,
        generation: Generation {
            sampling,
            max_tokens: args.max_tokens,
            stop: args.stop.clone(),
            ignore_eos: args.ignore_eos,
            ..Generation::default()
        },
    })?;
    let mut text = String::new();
    let done =
        if args.json { collect(stream, &mut text)? } else { show(stream, !args.quiet && io::stderr().is_terminal())? };
    if args.json {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", report::json(&done, &text))?;
        out.flush()?;
    } else if !args.quiet {
        terminal::notice(report::line(&done));
    } else if done.reason == FinishReason::Length {
        // Nothing is cut off silently, not even quietly.
        terminal::notice(report::reason(&done));
    }
    Ok(())
}

/// The question among the positional words, which may begin with a model folder.
fn words(args: &mut Args) -> Result<Option<String>, Fault> {
    if args.prompt_tokens.is_some() {
        return Ok(None);
    }
    let mut words = std::mem::take(&mut args.words);
    if words.len() == 2 {
        if args.engine.model.is_some() {
            return Err("the model is given twice: by --model and before the question".into());
        }
        args.engine.model = Some(words.remove(0).into());
    }
    if let Some(question) = words.pop() {
        if args.engine.model.is_none() && std::path::Path::new(&question).is_dir() {
            return Err(format!("`{question}` is a folder: give a question after it, or name the model with -m").into());
        }
        return Ok(Some(question));
    }
    if io::stdin().is_terminal() {
        return Err("no question: give one as an argument or on stdin (see lethe run --help)".into());
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|e| format!("stdin: {e}"))?;
    Ok(Some(text.trim_end_matches('\n').to_owned()))
}

/// The prompt's ids, and how many of them are the system message.
fn encode(model: &Model<CpuBackend>, args: &Args, question: &str) -> Result<(Vec<u32>, usize), Fault> {
    if question.is_empty() {
        return Err("the question is empty".into());
    }
    let Some(tokenizer) = &model.tokenizer else {
        return Err("this model folder has no tokenizer.json: give ids with --prompt-tokens".into());
    };
    let template = match &model.chat_template {
        Some(t) if !args.raw => t,
        _ if args.system.is_some() => return Err("--system needs a chat template, and none is in use".into()),
        _ => return Ok((tokenizer.encode(question, true)?, 0)),
    };
    let extra = serde_json::Map::new();
    let user = Message::new("user", question);
    let Some(system) = &args.system else {
        return Ok((tokenizer.encode(&template.render(&[user], true, &extra)?, false)?, 0));
    };
    let system = Message::new("system", system);
    let all = template.render(&[system.clone(), user], true, &extra)?;
    let ids = tokenizer.encode(&all, false)?;
    // A template that refuses a lone system message leaves the whole prompt as the newest turn's.
    let head = template.render(&[system], false, &extra).unwrap_or_default();
    let head = tokenizer.encode(&head, false)?;
    let shared = head.iter().zip(&ids).take_while(|(a, b)| a == b).count();
    Ok((ids, shared))
}

/// The policy with what it made of this machine, such as the cap of `auto`.
fn resolved(spec: &lethe_policy::PolicySpec, engine: &lethe_engine::Engine) -> Result<String, Fault> {
    let policy = spec.build(&engine.context())?;
    let options: Vec<String> = policy.options().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    Ok(format!("{} {}", policy.name(), options.join(" ")))
}

fn collect(stream: Stream, text: &mut String) -> Result<Finished, Fault> {
    for event in stream {
        match event {
            Event::Token { text: t, .. } | Event::Tail(t) => text.push_str(&t),
            Event::Finished(done) => return Ok(*done),
            Event::Failed(why) => return Err(why.into()),
            Event::Prefill { .. } | Event::Round(_) => {}
        }
    }
    Err("the engine stopped without an answer".into())
}

/// Streams text, thinking in the background colour.
fn show(stream: Stream, progress: bool) -> Result<Finished, Fault> {
    let mut out = anstream::stdout();
    let mut faint = false;
    for event in stream {
        match event {
            Event::Prefill { done, total } => {
                // A short prompt is read before anyone could see the line.
                if progress && total > 512 {
                    let end = if done < total { "" } else { "\r\x1b[K" };
                    let _ = write!(anstream::stderr(), "\rreading the prompt: {done} of {total} tokens{end}");
                }
            }
            Event::Token { text, .. } | Event::Tail(text) => {
                faint |= text.contains("<think>");
                // Every piece closes its colour: whoever interrupts gets the terminal back as it was.
                if faint && !text.is_empty() {
                    write!(out, "{FAINT}{text}{FAINT:#}")?;
                } else {
                    write!(out, "{text}")?;
                }
                faint &= !text.contains("</think>");
                out.flush()?;
            }
            Event::Round(_) => {}
            Event::Finished(done) => {
                writeln!(out)?;
                out.flush()?;
                return Ok(*done);
            }
            Event::Failed(why) => {
                writeln!(out)?;
                return Err(why.into());
            }
        }
    }
    Err("the engine stopped without an answer".into())
}
