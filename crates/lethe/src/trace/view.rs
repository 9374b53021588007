//! `lethe trace view`: a trace as a page.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use lethe_eval::trace;

use crate::Fault;

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What `lethe trace` wrote
    file: PathBuf,
    /// The page to write [default: FILE with the ending .html]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write slots.svg and heatmap.svg into this folder too
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

const EXAMPLES: &str = "Examples:
  lethe trace view trace.jsonl
  lethe trace view trace.jsonl -o page.html --svg figures

The page is one file and asks for nothing from the network.";

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let name = args.file.display();
    let file = File::open(&args.file).map_err(|e| format!("{name}: {e}"))?;
    let trace = trace::read(BufReader::new(file)).map_err(|e| format!("{name}: {e}"))?;
    let output = args.output.clone().unwrap_or_else(|| args.file.with_extension("html"));
    let mut out = anstream::stdout();
    save(&output, &trace::page(&trace))?;
    writeln!(out, "{}", output.display())?;
    if let Some(dir) = &args.svg {
        std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        for (name, picture) in [("slots.svg", Some(trace::slots(&trace))), ("heatmap.svg", trace::heatmap(&trace))] {
            let path = dir.join(name);
            match picture {
                Some(picture) => {
                    save(&path, &picture)?;
                    writeln!(out, "{}", path.display())?;
                }
                None => writeln!(out, "no {name}: policy {} keeps no scores", trace.header.policy)?,
            }
        }
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()).into())
}
