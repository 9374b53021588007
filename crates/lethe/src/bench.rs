//! `lethe bench`: how fast a model decodes under a policy, at given positions or with many requests at once;
//! `lethe bench serve`: how a running server bears load.

mod bandwidth;
mod depth;
mod progress;
mod resident;
mod rig;
mod row;
mod sequences;
mod serve;
mod throughput;
mod weights;

use std::io::Write;
use std::sync::Arc;

use lethe_engine::{EngineOptions, human_bytes};
use lethe_kv::{KvShape, PAGE_SLOTS};
use lethe_model::{CpuBackend, Model};
use lethe_policy::{Context, PolicySpec, ProtectPrompt};

use crate::options::{EngineArgs, PolicyArgs};
use crate::terminal::STRONG;
use crate::{Fault, load, terminal};

use depth::Depths;
use progress::Progress;
use rig::Rig;
use row::Row;
use throughput::Load;

#[derive(clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Time decoding at these positions, one after the other in the same sequences where they ascend
    #[arg(long, value_name = "C,C,...", value_delimiter = ',', value_parser = positive,
          conflicts_with_all = ["new", "warmup", "repeats"])]
    context: Vec<usize>,
    /// Tokens of the prompt, never forgotten [default: 128; with --context no more than it, and all of it under `full`]
    #[arg(long, value_name = "N", value_parser = positive)]
    prompt: Option<usize>,
    /// New tokens of each request
    #[arg(long = "gen", value_name = "N", default_value = "128", value_parser = positive)]
    new: usize,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value = "1", value_parser = batch)]
    batch: usize,
    /// Runs of the requests before those that are timed
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: usize,
    /// Timed runs of the requests
    #[arg(long, value_name = "N", default_value = "3", value_parser = positive)]
    repeats: usize,
    /// Print one JSON object a line instead of the table
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Put load on a running server of the OpenAI API, and time what it streams
    Serve(Box<serve::Args>),
}

const HELP: &str = "Examples:
  lethe bench -m model.gguf --policy full --context 128,4096,8192,16384
  lethe bench -m model.gguf --cap 1024 --context 128,4096,8192,16384 --json
  lethe bench -m model.gguf --cap 512 --batch 16 --gen 1024 --kv-memory 1GiB
  lethe bench serve --concurrency 16 --requests 200

With --context, random tokens are read up to each position as the turns of one sequence: the first prompt stays pinned, \
the policy may forget all others, and its rounds run (protect_prompt is `newest` unless given as none). There, after a \
few tokens, five windows of 32 tokens a sequence are timed. The next position goes on from where that ends, so that \
16384 does not start from zero; a position that is past already begins anew. The KV pool is as large as needed, \
--kv-memory at most; `auto`, which makes its cap of the pool, has all of it.

Without --context, --batch requests are submitted at once and run until all are done, first come, first served where \
--kv-memory does not hold all of them. Decoding is all new tokens over the time from submission until then.

Tokens per second are those of all sequences together: decoding as median, least and most of the windows or repeats; \
prompts over the steps that read some. KV peak is that of all sequences, in pages, before rounds; with --context, while \
decoding is timed. MB/token is what one new token moves: the weights, shared by the batch, and the keys and values that \
its sequence holds; `of reads` is how much of the measured read bandwidth that takes. Sampling is greedy and end tokens \
are ignored.";

/// The policy that forgets nothing.
const FULL: &str = "full";

/// What all rows have in common.
struct Setup {
    model: Arc<Model<CpuBackend>>,
    name: String,
    kv: KvShape,
    spec: PolicySpec,
    /// Sequences at once.
    batch: usize,
    /// Most bytes of the KV pool.
    kv_limit: u64,
    /// Bytes of weights that a step reads.
    step_weights: u64,
}

impl Setup {
    fn new(args: &Args) -> Result<Setup, Fault> {
        let mut spec = args.policy.spec()?;
        if !args.context.is_empty() && spec.name() != FULL && spec.get("protect_prompt").is_none() {
            // positions are fed as later turns: they are to be forgotten like generated tokens
            spec = spec.set("protect_prompt", ProtectPrompt::Newest.word())?;
        }
        let model = load::model(&args.engine)?;
        let setup = Setup {
            name: load::model_name(args.engine.model.as_deref()),
            kv: model.decoder.kv_shape(args.engine.kv_dtype.into()),
            spec,
            batch: args.batch,
            kv_limit: args.engine.kv_memory.resolve(model.mapped_bytes),
            step_weights: weights::of_step(&args.engine, &model)?,
            model,
        };
        setup.spec.build(&setup.context())?; // a policy that cannot be built is said before anything runs
        Ok(setup)
    }

    /// Whether a turn may ever forget anything.
    fn prunes(&self) -> bool {
        self.spec.name() != FULL
    }

    fn threads(&self) -> usize {
        self.model.decoder.backend.cpu().threads()
    }

    fn simd(&self) -> String {
        self.model.decoder.backend.cpu().level().to_string()
    }

    /// Everything but the pool's size.
    fn options(&self) -> EngineOptions {
        let defaults = EngineOptions::default();
        EngineOptions {
            kv_dtype: self.kv.dtype,
            max_num_seqs: self.batch,
            // two rows of every sequence go into one step, so that all decode in step
            max_batched_tokens: defaults.max_batched_tokens.max(2 * self.batch),
            ..defaults
        }
    }

    /// What a policy is told when the pool is as large as it may be.
    fn context(&self) -> Context {
        Context {
            layers: self.kv.layers,
            slots_per_layer: self.kv.pages_in(self.kv_limit) / self.kv.lanes() * PAGE_SLOTS,
            max_num_seqs: self.batch,
            max_positions: self.model.max_positions,
        }
    }

    /// What the table is about.
    fn header(&self, bandwidth: f64) -> Result<String, Fault> {
        let c = &self.model.config;
        let policy = self.spec.build(&self.context())?;
        let options: Vec<String> = policy.options().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        Ok(format!(
            "{}: {} layers, {} KV heads of {}, weights {} · KV {}, {} per token\n\
             {} threads, {} · reads {:.1} GB/s\npolicy {} {}",
            self.name,
            c.n_layers,
            c.n_kv_heads,
            c.head_dim,
            human_bytes(self.model.weight_bytes),
            self.kv.dtype.name(),
            human_bytes(self.kv.token_bytes() as u64),
            self.threads(),
            self.simd(),
            bandwidth / 1e9,
            policy.name(),
            options.join(" "),
        ))
    }
}

/// What is measured, ready to run.
enum Plan {
    Depths(Depths),
    Load(Load, Rig),
}

impl Plan {
    fn new(args: &Args, setup: &Setup) -> Result<Plan, Fault> {
        if !args.context.is_empty() {
            return Ok(Plan::Depths(Depths::plan(setup, &args.context, args.prompt)?));
        }
        let (prompt, new) = (args.prompt.unwrap_or(128), args.new);
        let load = Load { prompt, new, warmup: args.warmup, repeats: args.repeats };
        let rig = throughput::plan(setup, &load)?;
        Ok(Plan::Load(load, rig))
    }
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    match &args.command {
        Some(Command::Serve(args)) => serve::main(args),
        None => decode(args),
    }
}

fn decode(args: &Args) -> Result<(), Fault> {
    let setup = Setup::new(args)?;
    let plan = Plan::new(args, &setup)?;
    let bandwidth = bandwidth::read(setup.model.decoder.backend.cpu());
    resident::forget_peak();
    let header = setup.header(bandwidth)?;
    let mut out = anstream::stdout();
    if args.json {
        terminal::notice(header);
    } else {
        writeln!(out, "{header}\n\n{STRONG}{}{STRONG:#}", row::heading())?;
        out.flush()?;
    }
    let mut show = |row: Row| -> Result<(), Fault> {
        if args.json {
            writeln!(out, "{}", row.json(&setup, bandwidth))?;
        } else {
            writeln!(out, "{}", row.line(&setup, bandwidth))?;
        }
        Ok(out.flush()?)
    };
    let mut progress = Progress::new();
    match plan {
        Plan::Depths(depths) => depths.run(&setup, &mut progress, &mut show),
        Plan::Load(load, rig) => show(throughput::run(&setup, &load, rig, &mut progress)?),
    }
}

/// Reads a count of at least one.
fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`{text}` is no whole number of at least 1"))
}

/// Reads a number of sequences: every one has its row of logits, so there is a limit.
fn batch(text: &str) -> Result<usize, String> {
    positive(text)?;
    text.parse()
        .ok()
        .filter(|n| *n <= 1024)
        .ok_or_else(|| format!("{text} sequences at once are too many: 1024 at most"))
}
