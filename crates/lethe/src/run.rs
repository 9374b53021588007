//! `lethe run`: one prompt, one answer.

use std::io::{self, IsTerminal, Read, Write};

use lethe_engine::Request;
use lethe_model::Message;

use crate::Fault;
use crate::options::{EngineArgs, PolicyArgs, SamplingArgs, TurnArgs};
use crate::prompt::{Prompt, Prompter};
use crate::show::{Show, View};
use crate::{load, report, terminal};

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
    #[command(flatten)]
    turn: TurnArgs,
    /// Token ids instead of text; works for a folder without a tokenizer
    #[arg(long, value_name = "ID,ID,...", value_delimiter = ',', conflicts_with_all = ["words", "no_template", "system", "template_arg"])]
    prompt_tokens: Option<Vec<u32>>,
    /// Print one JSON object instead of streaming text
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  lethe run \"Sort 41 7 93 20.\"
  lethe run ./Qwen3-0.6B \"How many primes are below 60?\" --cap 1024 --temperature 0.6
  lethe run -m ./Qwen3-0.6B --policy lethe:cap=1024,half_life=128 --system \"Be brief.\" < question.txt
  lethe run ./Qwen3-0.6B --reasoning-budget 500 --hide-thinking \"How many primes are below 60?\"
  lethe run --prompt-tokens 720,363,198 --max-tokens 20 --json";

pub(crate) fn main(mut args: Args) -> Result<(), Fault> {
    let question = words(&mut args)?;
    let spec = args.policy.spec()?;
    let model = load::model(&args.engine)?;
    let prompter = Prompter::new(&model, &args.turn)?;
    let prompt = match (&args.prompt_tokens, question.as_deref()) {
        (Some(ids), _) => prompter.ids(ids),
        (None, None | Some("")) => return Err("the question is empty".into()),
        (None, Some(question)) if prompter.template().is_none() => prompter.raw(question, true)?,
        (None, Some(question)) => {
            let mut messages = prompter.system();
            messages.push(Message::new("user", question));
            prompter.chat(&messages)?
        }
    };
    let engine = load::engine(&args.engine, &model)?;
    let sampling = args.sampling.sampling(&model.generation);
    let quiet = args.turn.quiet;
    if !quiet {
        args.sampling.warning(&model.generation).into_iter().for_each(terminal::notice);
    }
    if !quiet && !args.json {
        terminal::notice(load::describe(&args.engine, &model, &engine));
        terminal::notice(report::settings(&spec, &engine, &sampling)?);
    }
    let generation = prompter.generation(&prompt, &sampling, false)?;
    let parser = prompter.parser(&prompt);
    let Prompt { ids, system_tokens, .. } = prompt;
    let stream = engine.submit(Request { system_tokens, policy: spec, generation, ..Request::new(ids) })?;
    let view = if args.json { View::Nothing } else { View::streaming(args.turn.hide_thinking) };
    let progress = !quiet && !args.json && io::stderr().is_terminal();
    let mut out = anstream::stdout();
    let said = Show::new(&mut out, parser, view, progress).all(stream, || false)?;
    if args.json {
        writeln!(out, "{}", report::json(&said))?;
        out.flush()?;
    } else {
        report::close(&said.done, 0, quiet);
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
        args.engine.model = Some(words.remove(0));
    }
    if let Some(question) = words.pop() {
        if args.engine.model.is_none() && std::path::Path::new(&question).exists() {
            return Err(format!(
                "`{question}` is a file or folder: give a question after it, or name the model with -m"
            )
            .into());
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
