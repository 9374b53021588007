//! `lethe eval ppl`: the perplexity of a text, and what a policy costs it.

use std::io::Write;
use std::path::{Path, PathBuf};

use lethe_eval::perplexity::{Stretch, check, foretell, interval, perplexity, ratio_interval, stretches};
use lethe_eval::statistics::Interval;
use lethe_policy::PolicySpec;
use serde_json::json;

use super::progress::Count;
use crate::options::EngineArgs;
use crate::terminal::STRONG;
use crate::{Fault, load};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PplArgs {
    /// A text file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    /// The policy to measure beside the full cache, NAME[:key=value,...]
    #[arg(long, value_name = "POLICY")]
    policy: Option<PolicySpec>,
    /// Most tokens that are read together: the text is cut into as few stretches as that allows, all of one length
    #[arg(long, value_name = "N", default_value_t = 512)]
    context: usize,
    /// Only the first N tokens of the text
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Most stretches at once; the numbers do not depend on it
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = super::grid::concurrency)]
    concurrency: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "Examples:
  lethe eval ppl book.txt -m model.gguf
  lethe eval ppl book.txt -m model.gguf --context 2048 --policy lethe:cap=256,trigger=cap

Every token of a stretch but the first is foretold from those before it. With a policy the first token is the prompt and \
each of the others a step of decode, so that the policy forgets as it does in an answer; that is slower than reading. \
Intervals are over stretches.";

pub(crate) fn main(args: &PplArgs) -> Result<(), Fault> {
    let text = read(&args.file)?;
    let subject = super::grid::subject(&args.engine)?;
    let model = &subject.model;
    let tokenizer = model.tokenizer.as_ref().ok_or("this model has no tokenizer, and a text needs one")?;
    let options = super::grid::options(&args.engine, &subject, args.concurrency);
    let mut ids = tokenizer.encode(&text, false)?;
    ids.truncate(args.limit.unwrap_or(usize::MAX));
    // What the model's files want before a text, if anything.
    let begin = tokenizer.encode("", true)?.first().copied();
    let cut = stretches(&ids, begin, args.context)?;
    if let Some(policy) = &args.policy {
        // a policy that no stretch is taken under is told before the full cache has read them all
        check(model, options.clone(), &cut, policy)?;
    }
    let mut bar = Count::new("stretches", cut.len() * (1 + usize::from(args.policy.is_some())));
    let full = foretell(model, options.clone(), &cut, None, |done| bar.show(done))?;
    let policy = match &args.policy {
        None => None,
        Some(policy) => {
            Some((policy, foretell(model, options, &cut, Some(policy), |done| bar.show(cut.len() + done))?))
        }
    };
    bar.done();
    let mut out = anstream::stdout();
    if args.json {
        let mut object =
            json!({"model": subject.name, "tokens": tokens(&full), "stretches": full.len(), "full": row(&full)?});
        if let Some((spec, of)) = &policy {
            object["policy"] = spec.to_string().into();
            object["under_policy"] = row(of)?;
            object["ratio"] =
                json!({"value": perplexity(of) / perplexity(&full), "interval": ends(ratio_interval(of, &full)?)});
        }
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(
        out,
        "{}: {} tokens foretold in {} stretches of {} at most",
        load::model_name(args.engine.model.as_deref()),
        tokens(&full),
        full.len(),
        cut.iter().map(Vec::len).max().unwrap_or(0)
    )?;
    let show = |interval: Option<Interval>| match interval {
        Some(Interval { low, high }) => format!("[{low:.4}, {high:.4}]"),
        None => "one stretch, so no interval".to_owned(),
    };
    writeln!(out, "{STRONG}{:<40} {:>12}  95 %{STRONG:#}", "", "perplexity")?;
    writeln!(out, "{:<40} {:>12.4}  {}", "full", perplexity(&full), show(interval(&full)?))?;
    if let Some((spec, of)) = &policy {
        writeln!(out, "{:<40} {:>12.4}  {}", spec.to_string(), perplexity(of), show(interval(of)?))?;
        let ratio = perplexity(of) / perplexity(&full);
        writeln!(out, "{:<40} {ratio:>12.4}  {}", "ratio", show(ratio_interval(of, &full)?))?;
        let cut = of.iter().filter(|stretch| stretch.rounds > 0).count();
        if 10 * cut < 9 * of.len() {
            writeln!(
                out,
                "not exercised: the policy had a round in {cut} of {} stretches; give a longer --context",
                of.len()
            )?;
        }
    }
    Ok(())
}

/// The text of a file.
fn read(path: &Path) -> Result<String, Fault> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let byte = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        format!("{}, line {line}: byte {byte} of the line is not UTF-8: convert it to UTF-8", path.display()).into()
    })
}

fn tokens(stretches: &[Stretch]) -> usize {
    stretches.iter().map(|s| s.tokens).sum()
}

fn row(stretches: &[Stretch]) -> Result<serde_json::Value, Fault> {
    let exercised = stretches.iter().filter(|s| s.rounds > 0).count();
    Ok(json!({"perplexity": perplexity(stretches), "interval": ends(interval(stretches)?), "exercised": exercised}))
}

fn ends(interval: Option<Interval>) -> Option<[f64; 2]> {
    interval.map(|Interval { low, high }| [low, high])
}
