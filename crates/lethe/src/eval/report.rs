//! `lethe eval report`: summary and report of a folder of results, made anew.

use std::path::{Path, PathBuf};

use lethe_eval::grid::{BASELINES, Summary};

use crate::{Fault, terminal};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReportArgs {
    /// Folder that `lethe eval --out` filled
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    against: Against,
}

const EXAMPLES: &str = "Examples:
  lethe eval report results
  lethe eval report results --against 'lethe:half_life=16' --against recency

It writes summary.md and report.html of the folder anew from its results.jsonl, and runs nothing.";

/// What policies are compared with.
#[derive(clap::Args)]
pub(super) struct Against {
    /// A policy of the run, as it was asked for, that the others are compared with (may be given several times)
    /// [default: full, recency and random, where they are]
    #[arg(long, value_name = "POLICY")]
    against: Vec<String>,
}

impl Against {
    /// The names, checked against the policies of a run where the user gave them.
    pub(super) fn names(&self, policies: &[String]) -> Result<Vec<String>, Fault> {
        if self.against.is_empty() {
            return Ok(BASELINES.map(str::to_owned).to_vec());
        }
        let there = |name: &String| name == "full" || policies.contains(name);
        match self.against.iter().find(|name| !there(name)) {
            None => Ok(self.against.clone()),
            Some(name) => {
                Err(format!("--against {name}: not in this run; it has full, {}", policies.join(", ")).into())
            }
        }
    }
}

pub(crate) fn main(args: &ReportArgs) -> Result<(), Fault> {
    write(&args.folder, &args.against)
}

/// Writes summary and report beside the results, and says where they are.
pub(super) fn write(folder: &Path, against: &Against) -> Result<(), Fault> {
    let policies = Summary::policies_of(folder)?;
    let [summary, report] = Summary::of_folder(folder, &against.names(&policies)?)?.save(folder)?;
    terminal::notice(format!("{} and {}", summary.display(), report.display()));
    Ok(())
}
