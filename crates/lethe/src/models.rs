//! `lethe models`: what is in the cache; `lethe models plan`: what a model needs.

use std::io::Write;

use lethe_engine::human_bytes;
use lethe_hub::Wanted;
use lethe_model::{Config, Gguf};

use crate::Fault;
use crate::terminal::{BAD, FAINT, GOOD, STRONG};
use crate::{find, inspect, plan};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// What a model needs: bytes of weights and cache, how many tokens and requests fit
    Plan(plan::Args),
}

const EXAMPLES: &str = "Examples:
  lethe models                                              what the cache holds
  lethe models plan Qwen/Qwen3-8B --memory 16GiB            what would fit, from config.json alone
  lethe models plan ./config.json --cap 2048 --context 32768";

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    match &args.command {
        Some(Command::Plan(args)) => plan::main(args),
        None => list(args.json),
    }
}

fn list(as_json: bool) -> Result<(), Fault> {
    let hub = find::hub(true)?;
    let mut out = anstream::stdout();
    let mut rows = Vec::new();
    for model in hub.cached()? {
        let ready: Vec<_> = model.revisions.iter().flat_map(|revision| &revision.runnable).collect();
        for entry in &ready {
            let verdict = match &entry.reference.wanted {
                Wanted::Default => Config::from_dir(&entry.path).map(|_| String::new()).map_err(|e| e.to_string()),
                _ => Gguf::open(&entry.path).map_err(|e| e.to_string()).and_then(|file| inspect::runs(&file)),
            };
            rows.push((entry.reference.to_string(), entry.bytes, verdict));
        }
        if ready.is_empty() {
            let why = if model.partial_bytes > 0 { "a download was not finished" } else { "no weights that run" };
            rows.push((model.repo.to_string(), model.bytes + model.partial_bytes, Err(why.to_owned())));
        }
    }
    if as_json {
        let all: Vec<_> = rows
            .iter()
            .map(|(name, bytes, verdict)| {
                serde_json::json!({ "model": name, "bytes": bytes, "runs": verdict.is_ok(), "why": verdict.as_ref().err() })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    if rows.is_empty() {
        writeln!(out, "no models in {}", hub.options().cache.display())?;
        writeln!(out, "{FAINT}Fetch one by running it: lethe run -m Qwen/Qwen3-0.6B-GGUF:Q8_0 \"...\"{FAINT:#}")?;
        return Ok(());
    }
    writeln!(out, "{STRONG}{:<64} {:>10}  here{STRONG:#}", "model", "bytes")?;
    for (name, bytes, verdict) in rows {
        let verdict = match verdict {
            Ok(_) => format!("{GOOD}runs{GOOD:#}"),
            Err(why) => format!("{BAD}no{BAD:#}: {why}"),
        };
        writeln!(out, "{name:<64} {:>10}  {verdict}", human_bytes(bytes))?;
    }
    writeln!(out, "{FAINT}in {}{FAINT:#}", hub.options().cache.display())?;
    Ok(())
}
