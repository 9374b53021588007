//! `lethe policies`: every policy with its keys, defaults and cost.

use std::io::Write;

use lethe_policy::registry;

use crate::Fault;
use crate::terminal::{FAINT, STRONG};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this policy
    name: Option<String>,
    /// Print one JSON array instead
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let chosen: Vec<_> = registry().into_iter().filter(|p| args.name.as_deref().is_none_or(|n| n == p.name)).collect();
    if let (true, Some(name)) = (chosen.is_empty(), &args.name) {
        // the registry's own error lists what there is
        name.parse::<lethe_policy::PolicySpec>()?;
        return Err(format!("unknown policy `{name}`").into());
    }
    let mut out = anstream::stdout();
    if args.json {
        let all: Vec<_> = chosen
            .iter()
            .map(|p| {
                let options: Vec<_> = p
                    .options
                    .iter()
                    .map(|o| {
                        serde_json::json!({
                            "key": o.key, "default": o.default, "values": o.kind.to_string(), "help": o.help
                        })
                    })
                    .collect();
                serde_json::json!({ "name": p.name, "summary": p.summary, "cost": p.cost, "options": options })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    for p in chosen {
        writeln!(out, "{STRONG}{}{STRONG:#}  {}", p.name, p.summary)?;
        writeln!(out, "    {FAINT}cost: {}{FAINT:#}", p.cost)?;
        for o in p.options {
            let default = o.default.map(|d| format!(" [default: {d}]")).unwrap_or_default();
            writeln!(out, "    {:<16} {}: {}{default}", o.key, o.help, o.kind)?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{FAINT}Use: lethe run --policy NAME:key=value,key=value \"...\"{FAINT:#}")?;
    Ok(())
}
