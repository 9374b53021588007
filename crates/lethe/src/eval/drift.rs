//! `lethe eval drift`: how far policies move the model's predictions on the full cache's own text.

use std::io::Write;
use std::path::{Path, PathBuf};

use lethe_eval::drift::reference::{CLEAR, Distance, Reference};
use lethe_eval::drift::{Drift, Followed, Prompt, follow};
use lethe_eval::grid::{Difficulty, Suite};
use lethe_eval::question::Question;
use lethe_model::ChatPrompt;
use lethe_policy::PolicySpec;

use super::dataset::DatasetArgs;
use super::progress::Count;
use crate::Fault;
use crate::options::{EngineArgs, template_arg};
use crate::terminal::{self, STRONG};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DriftArgs {
    #[command(flatten)]
    engine: EngineArgs,
    /// A policy with its budget, NAME[:key=value,...] (may be given several times)
    #[arg(long, value_name = "POLICY", required_unless_present = "reference")]
    policy: Vec<PolicySpec>,
    /// Families of generated problems: cards, two_turn, days, sort, rooms, recipes, or all
    #[arg(long, value_name = "TASK,...", value_delimiter = ',', default_value = "cards", conflicts_with = "dataset")]
    tasks: Vec<String>,
    /// Problems of each task
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "dataset")]
    problems: usize,
    /// How hard they are, 0 to 1
    #[arg(long, value_name = "L", value_parser = super::grid::level, conflicts_with = "dataset")]
    level: Option<f64>,
    /// Problem i is drawn from seed N * 1000000 + i
    #[arg(long, value_name = "N", default_value_t = 7, conflicts_with = "dataset")]
    seed: u64,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// A variable of the chat template, its value in JSON, such as enable_thinking=false (may be given several times)
    #[arg(long, value_name = "KEY=VALUE", value_parser = template_arg)]
    template_arg: Vec<(String, serde_json::Value)>,
    /// Instead of policies: what another program predicts on a text, as evidence/reference_logits.py writes it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "dataset", "tasks", "problems", "level"])]
    reference: Option<PathBuf>,
    /// Beside it: what evidence/llama_cpp_logits.py found on the same text
    #[arg(long, value_name = "FILE", requires = "reference")]
    compare: Option<PathBuf>,
    /// Print one JSON object a policy
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  lethe eval drift --policy lethe:budget=64 --policy recency:budget=64 --policy random:budget=64
  lethe eval drift -m model.gguf --reference ref.safetensors --kv-dtype f32 --compare llama_cpp.json
  lethe eval drift -m model.gguf --policy lethe:budget=128 --dataset gsm.jsonl --limit 10 --max-tokens 400

The full cache answers greedily; beside it, in the same steps, every policy says the same tokens. KL is KL(full || policy) \
of a token's prediction in nats. Of questions with several turns only the first is asked. Intervals are over answers.";

pub(crate) fn main(args: &DriftArgs) -> Result<(), Fault> {
    if let Some(path) = &args.reference {
        return from_reference(args, path);
    }
    let families = super::grid::families(&args.tasks)?;
    let dataset = args.dataset.questions()?;
    let subject = super::grid::subject(&args.engine)?;
    let questions: Vec<Question> = match dataset {
        Some(questions) => questions,
        None => {
            let suite = |family| {
                let difficulty = args.level.map_or(Difficulty::of(family), Difficulty::level);
                Suite::generated(&subject, family, difficulty, args.problems, args.seed)
            };
            let suites = families.into_iter().map(suite).collect::<Result<Vec<_>, _>>()?;
            suites.into_iter().flat_map(|suite| suite.questions).collect()
        }
    };
    let model = &subject.model;
    let (Some(tokenizer), Some(template)) = (&model.tokenizer, &model.chat_template) else {
        return Err("this model lacks a tokenizer or a chat template, and questions need both".into());
    };
    let extra = args.template_arg.iter().cloned().collect();
    let options = super::grid::options(&args.engine, &subject, args.policy.len() + 1);
    let mut bar = Count::new("answers", questions.len());
    let mut followed: Vec<Vec<Followed>> = vec![Vec::new(); args.policy.len()]; // [policies][answers]
    for (at, question) in questions.iter().enumerate() {
        let (Some(messages), Some(&limit)) = (question.turns.first(), question.max_tokens.first()) else { continue };
        let ChatPrompt { ids, system_tokens, .. } = ChatPrompt::new(template, tokenizer, messages, true, &extra)?;
        let limit = args.dataset.max_tokens.unwrap_or(limit);
        let all = follow(model, &options, &Prompt { ids, system_tokens }, at + 1, &args.policy, limit)?;
        followed.iter_mut().zip(all).for_each(|(to, one)| to.push(one));
        bar.show(at + 1);
    }
    bar.done();
    let drifts = followed.iter().map(|followed| Drift::of(followed)).collect::<Result<Vec<_>, _>>()?;
    let mut out = anstream::stdout();
    if args.json {
        for (policy, drift) in args.policy.iter().zip(&drifts) {
            let mut object = serde_json::to_value(drift)?;
            object["policy"] = policy.to_string().into();
            object["model"] = subject.name.as_str().into();
            writeln!(out, "{object}")?;
        }
        return Ok(());
    }
    print(&mut out, &args.policy, &drifts)
}

/// How far the model is from another program.
fn from_reference(args: &DriftArgs, path: &Path) -> Result<(), Fault> {
    let reference = Reference::read(path)?;
    let theirs = args.compare.as_deref().map(Distance::read).transpose()?;
    let subject = super::grid::subject(&args.engine)?;
    let options = super::grid::options(&args.engine, &subject, 1);
    let (ours, saturated) = Distance::measure(&subject.model, options, &reference)?;
    if saturated > 0 {
        terminal::notice(format!("{saturated} values were too large for the cache"));
    }
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{}", in_json(&ours, theirs.as_ref())?)?;
        return Ok(());
    }
    let (positions, clear) = (reference.logprob.len(), reference.clear());
    writeln!(out, "{positions} positions, {clear} with a gap of {CLEAR} or more")?;
    writeln!(out, "perplexity of the reference      {:.4}", reference.perplexity())?;
    writeln!(out, "{STRONG}{:<32} {:>12} {:>12}{STRONG:#}", "", "lethe", theirs.map_or("", |_| "llama.cpp"))?;
    let mut row = |name: &str, value: fn(&Distance) -> String| {
        writeln!(out, "{name:<32} {:>12} {:>12}", value(&ours), theirs.as_ref().map(value).unwrap_or_default())
    };
    row("perplexity", |d| format!("{:.4}", d.perplexity))?;
    row("its ratio to the reference", |d| format!("{:.6}", d.ratio))?;
    row("likeliest token the same", |d| format!("{:.3} %", 100.0 * d.top1))?;
    row("the same where the gap is clear", |d| format!("{:.3} %", 100.0 * d.top1_clear))?;
    row("largest |delta log-probability|", |d| format!("{:.5}", d.max_delta))?;
    row("mean |delta log-probability|", |d| format!("{:.5}", d.mean_delta))?;
    Ok(())
}

/// Our distances, and those of the other program under `compare`.
fn in_json(ours: &Distance, theirs: Option<&Distance>) -> Result<serde_json::Value, Fault> {
    let mut object = serde_json::to_value(ours)?;
    if let Some(theirs) = theirs {
        object["compare"] = serde_json::to_value(theirs)?;
    }
    Ok(object)
}

fn print(out: &mut impl Write, policies: &[PolicySpec], drifts: &[Drift]) -> Result<(), Fault> {
    if let Some(drift) = drifts.first() {
        writeln!(out, "{} answers of the full cache, {} tokens", drift.answers, drift.tokens)?;
    }
    writeln!(
        out,
        "{STRONG}{:<40} {:>9} {:>20} {:>9} {:>9} {:>17} {:>7}{STRONG:#}",
        "", "mean KL", "95 %", "p99 KL", "top-1", "95 %", "slots"
    )?;
    for (policy, drift) in policies.iter().zip(drifts) {
        writeln!(
            out,
            "{:<40} {:>9.5} {:>20} {:>9.4} {:>7.2} % {:>17} {:>7.0}",
            policy.to_string(),
            drift.mean,
            format!("[{:.5}, {:.5}]", drift.mean_low, drift.mean_high),
            drift.p99,
            100.0 * drift.agreement,
            format!("[{:.2}, {:.2}]", 100.0 * drift.agreement_low, 100.0 * drift.agreement_high),
            drift.mean_slots,
        )?;
    }
    for (policy, drift) in
        policies.iter().zip(drifts).filter(|(policy, d)| d.exercised < 0.9 && policy.name() != "full")
    {
        terminal::notice(format!(
            "not exercised: {policy} had a round in {:.0} % of the answers; give it a smaller budget",
            100.0 * drift.exercised
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_each_policy() {
        let followed =
            Followed { divergence: vec![0.25; 4], agreed: vec![true, true, true, false], rounds: 1, mean_slots: 31.6 };
        let drift = Drift::of(&[followed]).unwrap();
        let mut out = Vec::new();
        print(&mut out, &[PolicySpec::parse("recency:budget=64").unwrap()], &[drift]).unwrap();
        let text = String::from_utf8(out).unwrap();
        for word in ["1 answers", "4 tokens", "recency:budget=64", "0.25000", "[0.25000, 0.25000]", "75.00 %", "32"] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn json_has_the_other_program_too() {
        let of = |perplexity| Distance {
            perplexity,
            ratio: 1.0,
            top1: 1.0,
            top1_clear: 1.0,
            max_delta: 0.0,
            mean_delta: 0.0,
        };
        let alone = in_json(&of(2.0), None).unwrap();
        assert!(alone["perplexity"] == 2.0 && alone.get("compare").is_none(), "{alone}");
        let both = in_json(&of(2.0), Some(&of(3.0))).unwrap();
        assert!(both["perplexity"] == 2.0 && both["compare"]["perplexity"] == 3.0, "{both}");
    }
}
