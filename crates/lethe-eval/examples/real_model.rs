//! A real model on problems that nobody here wrote: right answers with the whole cache, and with a half and a quarter of it.
//!
//! Every problem of the file (`messages`, and `answers` that must be the last boxes, in order) is answered greedily with
//! `full`; then, with the prompt pinned, by `lethe`, `random` and `recency` under the largest budget that never holds
//! more than a half, and a quarter, of the slots that `full` held beyond the prompt, interval and forced recents included.
//! A policy whose smallest budget holds more is marked in its row. All answers have the same limit of tokens.
//!
//! Rows are appended to OUT.jsonl as they come, and a second run of the same model goes on where the first ended; `--table`
//! only prints what is there. The answers of one problem come from one text, so intervals and tests are over problems.
//!
//! `cargo run --release -p lethe-eval --example real_model -- MODEL PROBLEMS.jsonl OUT.jsonl [--table]`

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{Fault, within};
use lethe_engine::{Core, EngineOptions, FinishReason, Generation, Request};
use lethe_eval::batch::{Answer, each_answer};
use lethe_eval::statistics::paired_bootstrap;
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Message, Model};
use lethe_policy::PolicySpec;
use serde_json::{Value, json};

const POLICIES: [&str; 3] = ["lethe:trigger=cap", "random", "recency"];
const SHARES: [usize; 2] = [50, 25];
const MAX_TOKENS: usize = 1200;

#[derive(serde::Deserialize)]
struct Problem {
    id: String,
    messages: Vec<Said>,
    answers: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Said {
    role: String,
    content: String,
}

fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, problems, out, rest @ ..] = args.as_slice() else {
        return Err("give MODEL PROBLEMS.jsonl OUT.jsonl [--table]".into());
    };
    let problems: Vec<Problem> =
        std::fs::read_to_string(problems)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut rows = read(Path::new(out))?;
    if rest.first().is_none_or(|word| word != "--table") {
        let name = Path::new(model).file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(other) = rows.values().find(|row| row["model"] != name.as_str()) {
            return Err(format!("{out} holds rows of {}: name another file", other["model"]).into());
        }
        let model = Arc::new(Model::open(model, CpuBackend::exact(Cpu::new(CpuOptions::default())?))?);
        answer(&model, &name, &problems, Path::new(out), &mut rows)?;
    }
    table(&problems, &rows)
}

/// Rows by problem and policy.
type Rows = BTreeMap<(String, String), Value>;

fn read(path: &Path) -> Result<Rows, Fault> {
    let mut rows = Rows::new();
    if path.exists() {
        let text = std::fs::read_to_string(path)?;
        // A run that was killed may have left half a line.
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        if whole < text.len() {
            std::fs::write(path, &text[..whole])?;
        }
        for line in text[..whole].lines() {
            let row: Value = serde_json::from_str(line)?;
            rows.insert((row["id"].as_str().unwrap_or("").into(), row["run"].as_str().unwrap_or("").into()), row);
        }
    }
    Ok(rows)
}

/// One answer that is wanted.
struct Wanted<'a> {
    problem: &'a Problem,
    run: String,
    policy: PolicySpec,
    /// Whether the policy's bound keeps the share.
    within: bool,
}

/// Answers what is missing: the full cache first, because it sets the budgets, then all policies in one batch.
fn answer(
    model: &Arc<Model<CpuBackend>>,
    name: &str,
    problems: &[Problem],
    out: &Path,
    rows: &mut Rows,
) -> Result<(), Fault> {
    let full = PolicySpec::new("full")?;
    let whole = |problem| Wanted { problem, run: "full".to_owned(), policy: full.clone(), within: true };
    batch(model, name, problems.iter().map(whole).collect(), out, rows)?;
    let context = Core::new(Arc::clone(model), options())?.context();
    let mut wanted = Vec::new();
    for problem in problems {
        let row = &rows[&(problem.id.clone(), "full".to_owned())];
        let number = |key: &str| row[key].as_u64().unwrap_or(0) as usize;
        let (prompt, length) = (number("prompt_tokens"), number("tokens"));
        for share in SHARES {
            for policy in POLICIES {
                let (spec, within) = within(policy, with_budget, prompt, length * share / 100, context)?;
                let run = format!("{} {share} %", policy_name(policy));
                wanted.push(Wanted { problem, run, policy: spec, within });
            }
        }
    }
    batch(model, name, wanted, out, rows)
}

fn options() -> EngineOptions {
    EngineOptions { kv_memory: 2 << 30, max_num_seqs: 48, ..EngineOptions::default() }
}

/// Answers those that have no row yet, and writes each row when it is there.
fn batch(
    model: &Arc<Model<CpuBackend>>,
    name: &str,
    wanted: Vec<Wanted>,
    out: &Path,
    rows: &mut Rows,
) -> Result<(), Fault> {
    let missing: Vec<Wanted> =
        wanted.into_iter().filter(|w| !rows.contains_key(&(w.problem.id.clone(), w.run.clone()))).collect();
    let mut requests = Vec::new();
    for w in &missing {
        let generation = Generation { max_tokens: Some(MAX_TOKENS), ..Generation::default() };
        requests.push(Request { policy: w.policy.clone(), generation, ..Request::new(prompt(model, w.problem)?) });
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(out)?;
    let (start, mut tokens, mut done) = (std::time::Instant::now(), 0, 0);
    let mut failed = None;
    each_answer(model, options(), requests, |index, answer| {
        let w = &missing[index];
        let mut keep = || -> Result<(), Fault> {
            let mut row = row(w.problem, &w.run, &answer)?;
            row["model"] = name.into();
            row["within_share"] = w.within.into();
            tokens += row["tokens"].as_u64().unwrap_or(0);
            writeln!(file, "{row}")?;
            rows.insert((w.problem.id.clone(), w.run.clone()), row);
            Ok(())
        };
        failed = keep().err().or(failed.take());
        done += 1;
        let rate = tokens as f64 / start.elapsed().as_secs_f64();
        eprintln!("{done} of {} answered, {rate:.1} tokens a second", missing.len());
    })?;
    failed.map_or(Ok(()), Err)
}

fn policy_name(policy: &str) -> &str {
    policy.split(':').next().unwrap_or(policy)
}

fn prompt(model: &Model<CpuBackend>, problem: &Problem) -> Result<Vec<u32>, Fault> {
    let (Some(tokenizer), Some(template)) = (&model.tokenizer, &model.chat_template) else {
        return Err("the model needs a tokenizer and a chat template".into());
    };
    let messages: Vec<Message> =
        problem.messages.iter().map(|said| Message::new(said.role.as_str(), said.content.as_str())).collect();
    Ok(tokenizer.encode(&template.render(&messages, true, &serde_json::Map::new())?, false)?)
}

fn with_budget(policy: &str, budget: usize) -> Result<PolicySpec, Fault> {
    Ok(PolicySpec::parse(policy)?.set("budget", budget)?.set("interval", (budget / 8).max(8))?)
}

fn row(problem: &Problem, run: &str, answer: &Answer) -> Result<Value, Fault> {
    let done = answer.end.as_ref().map_err(|failure| format!("{} {run}: {failure}", problem.id))?;
    let boxes = boxes(&answer.text);
    let last = &boxes[boxes.len().saturating_sub(problem.answers.len())..];
    let right = problem.answers.iter().enumerate().map(|(i, a)| last.get(i).is_some_and(|b| same(a, b)));
    let right: Vec<bool> = right.collect();
    Ok(json!({
        "id": problem.id, "run": run, "right": right, "all_right": right.iter().all(|r| *r),
        "boxes": last, "finished": done.reason == FinishReason::Stop,
        "prompt_tokens": done.usage.prompt_tokens, "tokens": done.usage.completion_tokens,
        "kv": done.kv, "text": answer.text,
    }))
}

/// What the `\boxed{...}` of a text hold, in order.
fn boxes(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, open) in text.match_indices("\\boxed{") {
        let inner = &text[at + open.len()..];
        let mut depth = 1;
        let end = inner.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        found.extend(end.map(|(end, _)| &inner[..end]));
    }
    found
}

/// The same number, whatever unit or sign of money stands around it; anything but one plain number is compared as text.
fn same(answer: &str, found: &str) -> bool {
    let number = |text: &str| {
        let plain: String = text.chars().filter(|c| !matches!(c, ',' | '$' | ' ' | '\\')).collect();
        let start = plain.find(|c: char| c.is_ascii_digit() || c == '-')?;
        let end = plain.rfind(|c: char| c.is_ascii_digit())? + 1;
        let around = plain[..start].chars().chain(plain[end..].chars());
        let words = around.clone().all(|c| c.is_alphabetic() || matches!(c, '{' | '}' | '.' | '%' | '€' | '£'));
        plain[start..end].parse::<f64>().ok().filter(|_| words)
    };
    match (number(answer), number(found)) {
        (Some(a), Some(b)) => (a - b).abs() < 1e-6,
        _ => answer.trim() == found.trim(),
    }
}

fn table(problems: &[Problem], rows: &Rows) -> Result<(), Fault> {
    let runs: Vec<String> = std::iter::once("full".to_owned())
        .chain(SHARES.iter().flat_map(|share| POLICIES.map(|policy| format!("{} {share} %", policy_name(policy)))))
        .collect();
    // Only problems that every policy has answered: all columns are over the same ones.
    let done: Vec<&Problem> =
        problems.iter().filter(|p| runs.iter().all(|run| rows.contains_key(&(p.id.clone(), run.clone())))).collect();
    println!("{} of {} problems, three answers each.\n", done.len(), problems.len());
    if done.is_empty() {
        println!("No problem has an answer from every run yet: the same command goes on.");
        return Ok(());
    }
    println!(
        "| run | answers right | problems all right | to full | to recency | peak held | mean held | end, layers | rounds a layer | dropped mass, mean / max | Hoyer, layers | KV peak, mean | tokens | cut off |"
    );
    println!("{}|", "|---".repeat(14));
    let of = |run: &str| done.iter().map(|p| &rows[&(p.id.clone(), run.to_owned())]).collect::<Vec<&Value>>();
    let answers = |run: &str| -> Vec<f64> {
        let right = |row: &&Value| row["right"].as_array().into_iter().flatten().filter(|r| **r == true).count() as f64;
        of(run).iter().map(right).collect()
    };
    let full = of("full");
    for run in &runs {
        let (mine, right) = (of(run), answers(run));
        let to = |other: &str| -> Result<String, Fault> {
            if run == other || run == "full" {
                return Ok(String::new());
            }
            let interval = paired_bootstrap(&right, &answers(other), 10_000, 1)?;
            let difference = (right.iter().sum::<f64>() - answers(other).iter().sum::<f64>()) / right.len() as f64;
            Ok(format!("{difference:+.2} [{:+.2}, {:+.2}]", interval.low, interval.high))
        };
        let share = run.split_once(' ').map_or("", |(_, share)| share);
        let (to_full, to_recency) = (to("full")?, to(&format!("recency {share}"))?);
        let mean = |f: &dyn Fn(&Value, &Value) -> f64| {
            mine.iter().zip(&full).map(|(row, full)| f(row, full)).sum::<f64>() / mine.len().max(1) as f64
        };
        let number = |v: &Value| v.as_f64().unwrap_or(0.0);
        let beyond = |held: f64, row: &Value, full: &Value| {
            100.0 * (held - number(&row["prompt_tokens"])) / number(&full["tokens"]).max(1.0)
        };
        let layers = |key: &str, digits: usize| {
            let lists: Vec<Vec<f64>> = mine.iter().map(|row| list(&row["kv"][key])).collect();
            let n = lists.first().map_or(0, Vec::len);
            let means: Vec<f64> =
                (0..n).map(|l| lists.iter().map(|x| x[l]).sum::<f64>() / lists.len() as f64).collect();
            let low = means.iter().copied().fold(f64::INFINITY, f64::min);
            let high = means.iter().copied().fold(0.0, f64::max);
            if n == 0 { "".to_owned() } else { format!("{low:.digits$}–{high:.digits$}") }
        };
        println!(
            "| {run} | {:.0}/{} | {} | {to_full} | {to_recency} | {:.0} % | {:.0} % | {} | {:.1} | {:.3} / {:.3} | {} | {:.1} MiB | {:.0} | {} |",
            right.iter().sum::<f64>(),
            mine.iter().map(|row| row["right"].as_array().map_or(0, Vec::len)).sum::<usize>(),
            mine.iter().filter(|row| row["all_right"] == true).count(),
            mean(&|row, full| beyond(average(&row["kv"]["peak_slots"]), row, full)),
            mean(&|row, full| beyond(number(&row["kv"]["mean_slots"]), row, full)),
            layers("final_slots", 0),
            mean(&|row, _| average(&row["kv"]["rounds"])),
            mean(&|row, _| number(&row["kv"]["dropped_mass"]["mean"])),
            mine.iter().map(|row| number(&row["kv"]["dropped_mass"]["max"])).fold(0.0, f64::max),
            layers("hoyer", 2),
            mean(&|row, _| number(&row["kv"]["peak_bytes"])) / f64::from(1 << 20),
            mean(&|row, _| number(&row["tokens"])),
            mine.iter().filter(|row| row["finished"] != true).count(),
        );
    }
    Ok(())
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

fn average(value: &Value) -> f64 {
    let values = list(value);
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_the_numbers_in_the_boxes() {
        assert_eq!(boxes(r"\boxed{3} and \boxed{\frac{1}{2}} \boxed{open"), ["3", r"\frac{1}{2}"]);
        for (answer, found) in
            [("288", "288"), ("560", r"\$560"), ("1200", "1,200 \\text{ kg}"), ("-3", "-3.0"), ("19", "19.")]
        {
            assert!(same(answer, found), "{answer} {found}");
        }
        for (answer, found) in
            [("288", "28"), ("3", "none"), ("3", "3/4"), ("10", "10^6"), ("12", "12-5"), ("3", "3 or 4")]
        {
            assert!(!same(answer, found), "{answer} {found}");
        }
    }
}
