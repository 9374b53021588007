//! `lethe trace view`: a trace as a page.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use lethe_eval::trace;

use crate::{Fault, terminal};

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
    let output = args.output.clone().unwrap_or_else(|| args.file.with_extension("html"));
    let figures: Option<[PathBuf; 2]> = args.svg.as_ref().map(|dir| FIGURES.map(|name| dir.join(name)));
    apart(&args.file, &output, "name another page with -o")?;
    for figure in figures.iter().flatten() {
        apart(&args.file, figure, "name another folder with --svg")?;
    }
    let file = File::open(&args.file).map_err(|e| format!("{name}: {e}"))?;
    let trace = trace::read(BufReader::new(file)).map_err(|e| format!("{name}: {e}"))?;
    let mut out = anstream::stdout();
    save(&output, &trace::page(&trace))?;
    writeln!(out, "{}", output.display())?;
    if let (Some(dir), Some(figures)) = (&args.svg, figures) {
        std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let pictures = [Some(trace::slots(&trace)), trace::heatmap(&trace)];
        for ((path, picture), name) in figures.iter().zip(pictures).zip(FIGURES) {
            match picture {
                Some(picture) => {
                    save(path, &picture)?;
                    writeln!(out, "{}", path.display())?;
                }
                None => {
                    let policy = terminal::harmless(&trace.header.policy);
                    writeln!(out, "no {name}: policy {policy} keeps no scores")?;
                }
            }
        }
    }
    Ok(())
}

/// The charts as files.
const FIGURES: [&str; 2] = ["slots.svg", "heatmap.svg"];

/// Refuses to write over the trace itself.
fn apart(trace: &Path, written: &Path, otherwise: &str) -> Result<(), Fault> {
    match (trace.canonicalize(), written.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => Err(format!("{} is the trace itself: {otherwise}", written.display()).into()),
        _ => Ok(()), // what is not there yet is no trace
    }
}

fn save(path: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()).into())
}
