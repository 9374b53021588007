//! What was gone when a right answer needed it, and how many answers came out right: policies beside the oracle.
//!
//! `cargo run --release -p lethe-eval --example misses [-- FAMILY LEVEL PROBLEMS BUDGET [POLICY ...]]`; every policy gets the
//! budget, an interval of an eighth of it, and a pinned prompt. Prints a Markdown table: *right* are free answers; *missed* are
//! reads of the right answer, said word for word, of which no layer had the source, and the mean share over layers.

use std::sync::Arc;

use lethe_engine::{Core, EngineOptions, Generation, Request};
use lethe_eval::batch::answers;
use lethe_eval::gold::Gold;
use lethe_eval::oracle::Oracle;
use lethe_eval::problems::{Family, generate};
use lethe_eval::recite::recite;
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};
use lethe_policy::{Policy, PolicySpec};

type Fault = Box<dyn std::error::Error>;

const ORACLE: &str = "oracle";
const POLICIES: [&str; 4] = ["recency", "random", "lethe:trigger=cap,half_life=16,recent_ratio=0.3", ORACLE];

fn main() -> Result<(), Fault> {
    let mut args = std::env::args().skip(1);
    let family: Family = args.next().as_deref().unwrap_or("cards").parse()?;
    let level: f64 = args.next().as_deref().unwrap_or("0.6").parse()?;
    let problems: u64 = args.next().as_deref().unwrap_or("10").parse()?;
    let budget: usize = args.next().as_deref().unwrap_or("64").parse()?;
    let mut policies: Vec<String> = args.collect();
    if policies.is_empty() {
        policies = POLICIES.map(str::to_owned).to_vec();
    }
    let model = Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(Cpu::new(CpuOptions::default())?))?);
    let options = || EngineOptions { kv_memory: 64 << 20, max_num_seqs: 8, ..EngineOptions::default() };
    let context = Core::new(Arc::clone(&model), options())?.context();
    let (Some(tokenizer), Some(template)) = (&model.tokenizer, &model.chat_template) else {
        return Err("the embedded model has a tokenizer and a template".into());
    };
    let drawn: Vec<_> = (0..problems).map(|seed| generate(family, level, seed)).collect();
    let golds: Vec<Gold> =
        drawn.iter().map(|p| Gold::new(p, tokenizer, template, &model.end_ids)).collect::<Result<_, _>>()?;
    println!("| policy | right, first turn | reads | missed in all layers | in a layer |\n|---|---|---|---|---|");
    for name in policies {
        let build = |gold: &Gold| -> Result<Arc<dyn Policy>, Fault> {
            let spec = if name == ORACLE { "recency" } else { &name };
            let spec = PolicySpec::parse(spec)?.set("budget", budget)?.set("interval", (budget / 8).max(8))?;
            let policy = spec.build(&context)?;
            Ok(if name == ORACLE { Arc::new(Oracle::new(policy, gold)) } else { Arc::from(policy) })
        };
        let mut requests = Vec::new();
        let (mut reads, mut lost, mut in_layers) = (0, 0, 0.0);
        for gold in &golds {
            let turn = &gold.turns[0];
            let max_tokens = Some(turn.answer.len() * 5 / 4 + 16);
            let generation = Generation { max_tokens, ..Generation::default() };
            let custom = Some(build(gold)?);
            requests.push(Request { custom, generation, ..Request::new(gold.ids[turn.prompt.clone()].to_vec()) });
            let misses = recite(&model, options(), gold, build(gold)?)?;
            (reads, lost) = (reads + misses.reads, lost + misses.lost);
            in_layers += misses.mean_rate() * misses.reads as f64;
        }
        let found = answers(&model, options(), requests, |_| {})?;
        let right = drawn.iter().zip(&found).filter(|(p, a)| a.end.is_ok() && p.check(0, &a.text)).count();
        let percent = |part: f64| format!("{:.1} %", part / reads.max(1) as f64 * 100.0);
        println!("| {name} | {right}/{problems} | {reads} | {} | {} |", percent(lost as f64), percent(in_layers));
    }
    Ok(())
}
