//! `lethe eval`: what is left of a model's answers when its cache may hold less.

mod grid;
mod progress;

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
enum Command {}

const HELP: &str = "Examples:
  lethe eval --policies all --budgets 48,64,96,128,192,256 --protect on,off --problems 100 --seed 7 --out results
  lethe eval --tasks cards,rooms --policies 'lethe:half_life=16;recency;random' --budgets 25%,50% --out results

A budget is the most slots that a layer may hold beyond the prompt, the interval between rounds included, or a share of \
what `full` held there at the end of the same question. Each policy gets the largest budget of its own that keeps this \
by its own bound, with an interval of max(8, budget / 8) unless it names one; where even its smallest does not, it gets \
that, and its rows say `raised`. With --protect on the prompts of all turns are pinned; with off they compete for as \
many slots in sum. `full` answers every question once.

The folder gets manifest.json (model, options, seeds), journal.jsonl (rows as they come), and at the end results.jsonl \
(the same bytes at any --concurrency) and timings.csv. The same command goes on where it was stopped; with more \
--problems it adds them.";

pub(crate) fn main(args: Args) -> Result<(), Fault> {
    match args.command {
        None => grid::main(&args.grid),
        Some(command) => match command {},
    }
}
