//! How many right answers survive when the cache may hold only a part of what the full cache holds.
//!
//! Takes the embedded model's 100 problems, keeps those that the full cache answers rightly, and asks them again under
//! each policy at 75, 50 and 25 % of the slots that the full cache held beyond the prompt: the most a layer ever holds,
//! interval included, prompt pinned, interval 12. Prints one Markdown table, and one JSON object a row to the file named as argument.
//!
//! `cargo run --release -p lethe-eval --example retention [-- ROWS.jsonl [after-round] [POLICY ...]]`; a policy given by
//! hand gets budget and interval as the others do. With `after-round` the share is the budget itself, what a layer holds
//! after a round, and interval and forced recents come on top.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use lethe_engine::{Core, EngineOptions, Generation, Request};
use lethe_eval::batch::{Answer, answers};
use lethe_eval::statistics::{discordant, mcnemar, wilson};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};
use lethe_policy::{Ask, Context, PolicySpec};

type Fault = Box<dyn std::error::Error>;

const INTERVAL: usize = 12;
/// The second `lethe` was chosen on other seeds (docs/evaluation.md).
const POLICIES: [&str; 4] =
    ["lethe:trigger=cap", "lethe:trigger=cap,half_life=16,recent_ratio=0.6", "recency", "random"];

#[derive(serde::Deserialize)]
struct Problem {
    family: String,
    answer: String,
    prompt_ids: Vec<u32>,
    gold_ids: Vec<u32>,
}

impl Problem {
    fn request(&self, policy: PolicySpec) -> Request {
        // A quarter more than the gold answer: room for another wording, an end for loops.
        let max_tokens = Some(self.gold_ids.len() * 5 / 4 + 16);
        let generation = Generation { max_tokens, ..Generation::default() };
        Request { policy, generation, ..Request::new(self.prompt_ids.clone()) }
    }

    fn right(&self, answer: &Answer) -> bool {
        answer.end.is_ok() && answer.text.rsplit("</think>").next().is_some_and(|text| text.trim() == self.answer)
    }
}

fn main() -> Result<(), Fault> {
    let create = |path: String| std::fs::File::create(&path).map_err(|e| format!("{path}: {e}"));
    let file = std::env::args().nth(1).map(create).transpose()?;
    let cpu = Cpu::new(CpuOptions::default())?;
    let model = Arc::new(Model::from_bytes(lethe_reasoner::FILES, CpuBackend::new(cpu))?);
    let problems: Vec<Problem> =
        lethe_reasoner::PROBLEMS.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let options = || EngineOptions { kv_memory: 512 << 20, max_num_seqs: 16, ..EngineOptions::default() };
    let run = |what: &str, requests: Vec<Request>| {
        let total = requests.len();
        let watched = std::io::stderr().is_terminal();
        let show = |text: String| {
            if watched {
                eprint!("\r{text}\x1b[K")
            }
        };
        let answers = answers(&model, options(), requests, |done| show(format!("{what}: {done} of {total}")));
        show(String::new());
        answers
    };

    let mut given: Vec<String> = std::env::args().skip(2).collect();
    let after_round = given.first().is_some_and(|word| word == "after-round");
    if after_round {
        given.remove(0);
    }
    let policies = if given.is_empty() { POLICIES.map(str::to_owned).to_vec() } else { given };
    let context = Core::new(Arc::clone(&model), options())?.context();
    let full = PolicySpec::new("full")?;
    let all = run("full", problems.iter().map(|p| p.request(full.clone())).collect())?;
    let kept: Vec<(&Problem, usize)> = problems
        .iter()
        .zip(&all)
        .filter(|(p, a)| p.right(a))
        .filter_map(|(p, a)| Some((p, a.end.as_ref().ok()?.usage.completion_tokens)))
        .collect();
    println!("full: {} of {} right; the table is over these.\n", kept.len(), problems.len());
    println!(
        "| policy | nominal | mean held | peak held | rounds in | right | 95 % | cards | rooms | sort | days | lost | over recency | over random |"
    );
    println!("{}|", "|---".repeat(14));

    let mut rows = Vec::new();
    for percent in [75, 50, 25] {
        let mut verdicts: Vec<(&str, Vec<bool>)> = Vec::new();
        for name in &policies {
            let mut requests = Vec::new();
            for (p, length) in &kept {
                let slots = length * percent / 100;
                let spec = if after_round {
                    with_budget(name, slots.max(1))?
                } else {
                    within(name, p.prompt_ids.len(), slots, context)?.0
                };
                requests.push(p.request(spec));
            }
            let found = run(&format!("{name} at {percent} %"), requests)?;
            let right: Vec<bool> = kept.iter().zip(&found).map(|((p, _), a)| p.right(a)).collect();
            rows.push(row(name, percent, &kept, &found, &right));
            verdicts.push((name, right));
        }
        let first = rows.len() - verdicts.len();
        for null in ["recency", "random"] {
            let Some((_, other)) = verdicts.iter().find(|(name, _)| *name == null) else { continue };
            for ((_, right), row) in verdicts.iter().zip(&mut rows[first..]) {
                let (won, lost) = discordant(right, other)?;
                row[format!("over_{null}")] = serde_json::json!({ "won": won, "lost": lost, "p": mcnemar(won, lost) });
            }
        }
        rows[first..].iter().for_each(print_row);
    }
    if let Some(mut file) = file {
        for row in &rows {
            writeln!(file, "{row}")?;
        }
    }
    Ok(())
}

/// The policy with the largest budget under which a layer never holds more than `slots` beyond the pinned prompt, by the
/// policy's own bound: the interval is in it, and so are recents that a policy keeps on top of its budget. Where no budget
/// is small enough, the smallest there is, and false: the table shows what was really held.
fn within(policy: &str, prompt: usize, slots: usize, context: Context) -> Result<(PolicySpec, bool), Fault> {
    let ask = Ask { layers: context.layers, prompt, pinned: prompt, max_tokens: 1 << 20, ..Ask::default() };
    let mut smallest = None;
    for budget in (1..=slots.max(16)).rev() {
        let spec = with_budget(policy, budget)?;
        match spec.build(&context)?.bound(&ask) {
            Ok(bound) if bound.per_layer <= prompt + slots => return Ok((spec, true)),
            Ok(_) => smallest = Some((spec, false)),
            Err(_) => break, // below the policy's floor
        }
    }
    smallest.ok_or_else(|| format!("{policy} has no budget that fits").into())
}

fn with_budget(name: &str, budget: usize) -> Result<PolicySpec, Fault> {
    Ok(PolicySpec::parse(name)?.set("budget", budget)?.set("interval", INTERVAL)?)
}

fn row(name: &str, percent: usize, kept: &[(&Problem, usize)], found: &[Answer], right: &[bool]) -> serde_json::Value {
    let (mut mean_held, mut peak_held, mut exercised) = (0.0, 0.0, 0);
    for ((p, length), answer) in kept.iter().zip(found) {
        if let Ok(done) = &answer.end {
            let layers = done.kv.peak_slots.len() as f64;
            let peak = done.kv.peak_total_slots as f64 / layers;
            mean_held += (done.kv.mean_slots - p.prompt_ids.len() as f64) / *length as f64;
            peak_held += (peak - p.prompt_ids.len() as f64) / *length as f64;
            exercised += usize::from(done.kv.rounds.iter().any(|&r| r > 0));
        }
    }
    let n = kept.len();
    let count = right.iter().filter(|r| **r).count();
    let family = |f: &str| {
        let of = || kept.iter().zip(right).filter(|((p, _), _)| p.family == f);
        format!("{}/{}", of().filter(|(_, r)| **r).count(), of().count())
    };
    let interval = wilson(count, n);
    serde_json::json!({
        "policy": name, "percent": percent, "n": n, "right": count, "wilson95": [interval.low, interval.high],
        "mean_held": mean_held / n as f64, "peak_held": peak_held / n as f64,
        "exercised": exercised as f64 / n as f64,
        "cards": family("cards"), "rooms": family("rooms"), "sort": family("sort"), "days": family("days"),
    })
}

fn print_row(row: &serde_json::Value) {
    let percent = |v: &serde_json::Value| format!("{:.0} %", v.as_f64().unwrap_or(f64::NAN) * 100.0);
    let text = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
    let against = |null: &str| {
        let of = &row[format!("over_{null}")];
        match of["p"].as_f64() {
            Some(p) if text("policy") != null => format!("+{} −{} (p {p:.3})", of["won"], of["lost"]),
            _ => "".to_owned(),
        }
    };
    let (right, n) = (row["right"].as_u64().unwrap_or(0), row["n"].as_u64().unwrap_or(0));
    println!(
        "| {} | {} % | {} | {} | {} | {right}/{n} | {}–{} | {} | {} | {} | {} | {} | {} | {} |",
        text("policy"),
        row["percent"],
        percent(&row["mean_held"]),
        percent(&row["peak_held"]),
        percent(&row["exercised"]),
        percent(&row["wilson95"][0]),
        percent(&row["wilson95"][1]),
        text("cards"),
        text("rooms"),
        text("sort"),
        text("days"),
        n - right,
        against("recency"),
        against("random"),
    );
}
