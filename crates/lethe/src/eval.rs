//! `lethe eval`: what is left of a model's answers when its cache may hold less.

mod dataset;
mod drift;
mod grid;
mod ppl;
mod progress;
mod report;

use crate::Fault;

#[derive(clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    grid: grid::GridArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// How far policies move the model's predictions on the full cache's own text
    Drift(Box<drift::DriftArgs>),
    /// The perplexity of a text, and what a policy costs it
    Ppl(Box<ppl::PplArgs>),
    /// Write summary and report of a folder of results anew
    Report(report::ReportArgs),
}

const HELP: &str = "Examples:
  lethe eval --policies all --budgets 48,64,96,128,192,256 --protect on,off --problems 100 --seed 7 --out results
  lethe eval --tasks cards,rooms --policies 'lethe:half_life=16;recency;random' --budgets 25%,50% --out results
  lethe eval -m model.gguf --dataset gsm8k.jsonl --limit 100 --policies 'lethe;recency' --budgets 25% --out gsm
  lethe eval -m model.gguf --dataset gsm8k.jsonl --samples 4 --policies 'lethe;recency' --budgets 25% --out drawn
  lethe eval drift --policy lethe:budget=64 --policy recency:budget=64
  lethe eval ppl book.txt --policy lethe:cap=256,trigger=cap
  lethe eval report results --against 'lethe:half_life=16'

A budget is the most slots that a layer may hold beyond the prompt, the interval between rounds included, or a share of \
what `full` held there at the end of the same question. Each policy gets the largest budget of its own that keeps this \
by its own bound, with an interval of max(8, budget / 8) unless it names one; where even its smallest does not, it gets \
that, and its rows say `raised`. With --protect on the prompts of all turns are pinned; with off they compete for as \
many slots in sum. `full` answers every question once.

The folder gets manifest.json (model, options, seeds), journal.jsonl (rows as they come), and at the end results.jsonl \
(the same bytes at any --concurrency), timings.csv, summary.md and report.html. The same command goes on where it was stopped; with more \
--problems it adds them.";

pub(crate) fn main(args: Args) -> Result<(), Fault> {
    match args.command {
        None => grid::main(&args.grid),
        Some(Command::Drift(args)) => drift::main(&args),
        Some(Command::Ppl(args)) => ppl::main(&args),
        Some(Command::Report(args)) => report::main(&args),
    }
}
