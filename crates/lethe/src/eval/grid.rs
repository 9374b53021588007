//! The grid: every policy on every question at every budget.

use std::path::PathBuf;

use lethe_engine::EngineOptions;
use lethe_eval::grid::{Difficulty, Draws, Grid, Subject, Suite};
use lethe_eval::problems::Family;
use lethe_reasoner::FILES;

use super::dataset::DatasetArgs;
use super::progress::Bar;
use super::report::{self, Against};
use crate::options::{EngineArgs, template_arg};
use crate::{Fault, find, load, terminal};

#[derive(clap::Args)]
pub(crate) struct GridArgs {
    #[command(flatten)]
    engine: EngineArgs,
    /// Families of generated problems: cards, two_turn, days, sort, rooms, recipes, or all
    #[arg(long, value_name = "TASK,...", value_delimiter = ',', default_value = "all", conflicts_with = "dataset")]
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
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "dataset")]
    problems: usize,
    /// How hard they are, 0 to 1 [default: cards .6, two_turn .5, others 1]
    #[arg(long, value_name = "L", value_parser = level, conflicts_with = "dataset")]
    level: Option<f64>,
    /// Only problems whose right answer fills so many slots of a full cache, prompts included
    /// [default: 400-900, sort 200-250; with --level any]
    #[arg(long, value_name = "N-N", value_parser = length, conflicts_with = "dataset")]
    length: Option<[usize; 2]>,
    /// Problem i is drawn from seed N * 1000000 + i; answers that are drawn follow from it too
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Answers drawn to each question under every policy, all with the same random numbers; without it, one greedy answer
    #[arg(long, value_name = "N", value_parser = samples)]
    samples: Option<usize>,
    /// Temperature of the draws [default: 0.6]
    #[arg(long, value_name = "T", requires = "samples", value_parser = temperature)]
    temperature: Option<f32>,
    /// Fewest tokens that reach this probability are drawn from [default: 0.95]
    #[arg(long, value_name = "P", requires = "samples", value_parser = top_p)]
    top_p: Option<f32>,
    /// Most answers at once; the results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = concurrency)]
    concurrency: usize,
    /// A variable of the chat template, its value in JSON, such as enable_thinking=false (may be given several times)
    #[arg(long, value_name = "KEY=VALUE", value_parser = template_arg)]
    template_arg: Vec<(String, serde_json::Value)>,
    #[command(flatten)]
    against: Against,
    /// Folder for the results
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
}

impl GridArgs {
    fn difficulty(&self, family: Family) -> Difficulty {
        let difficulty = self.level.map_or(Difficulty::of(family), Difficulty::level);
        Difficulty { slots: self.length.or(difficulty.slots), ..difficulty }
    }

    fn draws(&self) -> Option<Draws> {
        let usual = Draws::new(self.samples?);
        let temperature = self.temperature.unwrap_or(usual.temperature);
        Some(Draws { temperature, top_p: self.top_p.unwrap_or(usual.top_p), ..usual })
    }
}

pub(super) fn level(text: &str) -> Result<f64, String> {
    let level = text.parse().map_err(|_| "expected a number from 0 to 1")?;
    if (0.0..=1.0).contains(&level) { Ok(level) } else { Err("expected a number from 0 to 1".to_owned()) }
}

fn length(text: &str) -> Result<[usize; 2], String> {
    let parsed = text.split_once('-').and_then(|(least, most)| Some([least.parse().ok()?, most.parse().ok()?]));
    parsed
        .filter(|[least, most]| least <= most)
        .ok_or_else(|| "expected two numbers of slots, such as 400-900".to_owned())
}

fn samples(text: &str) -> Result<usize, String> {
    let samples = text.parse().ok().filter(|n| (1..=1000).contains(n));
    samples.ok_or_else(|| "expected a whole number from 1 to 1000".to_owned())
}

fn temperature(text: &str) -> Result<f32, String> {
    let temperature = text.parse().ok().filter(|t: &f32| *t > 0.0 && *t <= 10.0);
    temperature.ok_or_else(|| "expected a number above 0, 10 at most; greedy answers need no --samples".to_owned())
}

fn top_p(text: &str) -> Result<f32, String> {
    let top_p = text.parse().ok().filter(|p: &f32| *p > 0.0 && *p <= 1.0);
    top_p.ok_or_else(|| "expected a number above 0, 1 at most".to_owned())
}

pub(super) fn concurrency(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=1024).contains(n))
        .ok_or_else(|| "expected a whole number from 1 to 1024".to_owned())
}

pub(crate) fn main(args: &GridArgs) -> Result<(), Fault> {
    let out = args.out.as_deref().ok_or("name a folder for the results: --out DIR")?;
    let families = families(&args.tasks)?;
    let dataset = args.dataset.suites()?;
    // what is wrong with the words is said before a model is loaded
    let grid =
        Grid::new(Vec::new()).policies(&args.policies.join(";"))?.budgets(&args.budgets)?.protect(&args.protect)?;
    args.against.names(&grid.policies.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let subject = subject(&args.engine)?;
    let generated = |family| Suite::generated(&subject, family, args.difficulty(family), args.problems, args.seed);
    let mut suites = match dataset {
        Some(suites) => suites,
        None => families.into_iter().map(generated).collect::<Result<_, _>>()?,
    };
    args.dataset.limit_answers(&mut suites);
    let grid = Grid {
        suites,
        draws: args.draws(),
        seed: args.seed,
        template_args: args.template_arg.iter().cloned().collect(),
        engine: options(&args.engine, &subject, args.concurrency),
        ..grid
    };
    let mut bar = Bar::new();
    let rows = grid.run(&subject, out, |at| bar.show(at))?;
    bar.done();
    terminal::notice(format!("{} rows in {}", rows.len(), out.join("results.jsonl").display()));
    report::write(out, &args.against)
}

/// The families named, in the order of the tables.
pub(super) fn families(names: &[String]) -> Result<Vec<Family>, Fault> {
    let mut named = Vec::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match name {
            "all" => named.extend(Family::ALL),
            name => named.push(Family::parse(&name.replace('-', "_"))?),
        }
    }
    if named.is_empty() {
        let all = Family::ALL.map(|family| family.name()).join(", ");
        return Err(format!("--tasks names no family: give {all}, or all").into());
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
