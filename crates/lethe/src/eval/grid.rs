//! The grid: every policy on every question at every budget.

use std::path::PathBuf;

use lethe_engine::EngineOptions;
use lethe_eval::grid::{Grid, Subject, Suite};
use lethe_eval::problems::Family;
use lethe_reasoner::FILES;

use super::progress::Bar;
use crate::options::{EngineArgs, template_arg};
use crate::{Fault, find, load, terminal};

#[derive(clap::Args)]
pub(crate) struct GridArgs {
    #[command(flatten)]
    engine: EngineArgs,
    /// Families of generated problems: cards, two_turn, days, sort, rooms, or all
    #[arg(long, value_name = "TASK,...", value_delimiter = ',', default_value = "all")]
    tasks: Vec<String>,
    /// Policies, NAME[:key=value,...], separated by `;` (may be given several times), or all; `lethe policies` lists them
    #[arg(long, value_name = "POLICY;...", default_value = "all")]
    policies: Vec<String>,
    /// Slots beyond the prompt, or shares of what full holds there
    #[arg(long, value_name = "N,N%,...", default_value = "25%,50%")]
    budgets: String,
    /// Whether prompts may never be forgotten: on, off, or on,off for both
    #[arg(long, value_name = "ON,OFF", default_value = "on,off")]
    protect: String,
    /// Problems of each task
    #[arg(long, value_name = "N", default_value_t = 100)]
    problems: usize,
    /// How hard they are, 0 to 1 [default: for each task where right answers come nearest to 400 to 900 tokens]
    #[arg(long, value_name = "L", value_parser = level)]
    level: Option<f64>,
    /// Problem i is drawn from seed N * 1000000 + i
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// Most answers at once; the results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = concurrency)]
    concurrency: usize,
    /// A variable of the chat template, its value in JSON, such as enable_thinking=false (may be given several times)
    #[arg(long, value_name = "KEY=VALUE", value_parser = template_arg)]
    template_arg: Vec<(String, serde_json::Value)>,
    /// Folder for the results
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
}

fn level(text: &str) -> Result<f64, String> {
    let level = text.parse().map_err(|_| "expected a number from 0 to 1")?;
    if (0.0..=1.0).contains(&level) { Ok(level) } else { Err("expected a number from 0 to 1".to_owned()) }
}

fn concurrency(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=1024).contains(n))
        .ok_or_else(|| "expected a whole number from 1 to 1024".to_owned())
}

pub(crate) fn main(args: &GridArgs) -> Result<(), Fault> {
    let out = args.out.as_deref().ok_or("name a folder for the results: --out DIR")?;
    let families = families(&args.tasks)?;
    // what is wrong with the words is said before a model is loaded
    let grid =
        Grid::new(Vec::new()).policies(&args.policies.join(";"))?.budgets(&args.budgets)?.protect(&args.protect)?;
    let subject = subject(&args.engine)?;
    let suites = families
        .into_iter()
        .map(|family| Suite::generated(&subject, family, args.level, args.problems, args.seed))
        .collect::<Result<_, _>>()?;
    let grid = Grid {
        suites,
        seed: args.seed,
        template_args: args.template_arg.iter().cloned().collect(),
        engine: options(&args.engine, &subject, args.concurrency),
        ..grid
    };
    let mut bar = Bar::new();
    let rows = grid.run(&subject, out, |at| bar.show(at))?;
    bar.done();
    terminal::notice(format!("{} rows in {}", rows.len(), out.join("results.jsonl").display()));
    Ok(())
}

/// The families named, in the order of the tables.
fn families(names: &[String]) -> Result<Vec<Family>, Fault> {
    let mut named = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match name {
            "all" => named.extend(Family::ALL),
            name => named.push(Family::parse(&name.replace('-', "_"))?),
        }
    }
    Ok(Family::ALL.into_iter().filter(|family| named.contains(family)).collect())
}

/// The model of `args` with the hash of its weights.
pub(super) fn subject(args: &EngineArgs) -> Result<Subject, Fault> {
    let model = load::model(args)?;
    let sha256 = match &args.model {
        Some(name) => Subject::hash(&find::find(name, true)?)?,
        None => Subject::hash_bytes(FILES.weights),
    };
    Ok(Subject { model, name: load::model_name(args.model.as_deref()), sha256, exact: args.exact })
}

/// An engine for so many answers at once.
pub(super) fn options(args: &EngineArgs, subject: &Subject, concurrency: usize) -> EngineOptions {
    let defaults = EngineOptions::default();
    EngineOptions {
        kv_memory: args.kv_memory.resolve(subject.model.mapped_bytes),
        kv_dtype: args.kv_dtype.into(),
        max_num_seqs: concurrency,
        max_batched_tokens: defaults.max_batched_tokens.max(2 * concurrency),
        max_queue: defaults.max_queue.max(4 * concurrency),
        ..defaults
    }
}
