//! `lethe inspect`: what is in a GGUF file, and whether it runs here.

use std::collections::BTreeMap;
use std::io::Write;

use lethe_engine::human_bytes;
use lethe_model::ggml::Use;
use lethe_model::{Config, GgmlType, Gguf, gguf};

use crate::Fault;
use crate::find::find;
use crate::terminal::{BAD, FAINT, GOOD, STRONG};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A GGUF file, or a name on the hub that stands for one
    #[arg(value_name = "FILE")]
    file: String,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Make no request to the hub
    #[arg(long)]
    offline: bool,
}

const EXAMPLES: &str = "Examples:
  lethe inspect Qwen3-0.6B-Q8_0.gguf
  lethe inspect Qwen/Qwen3-0.6B-GGUF:Q8_0 --tensors
  lethe inspect model.gguf --json | jq .tensors";

/// Tensors of one type.
#[derive(Default)]
struct Total {
    tensors: usize,
    numbers: u64,
    bytes: u64,
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    let file = Gguf::open(find(&args.file, args.offline)?)?;
    let mut types: BTreeMap<GgmlType, Total> = BTreeMap::new();
    for tensor in file.tensors().values() {
        let total = types.entry(tensor.dtype).or_default();
        total.tensors += 1;
        total.numbers += tensor.shape.iter().product::<usize>() as u64;
        total.bytes += tensor.range.len() as u64;
    }
    let runs = runs(&file);
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&json(&file, &types, &runs))?)?;
        return Ok(());
    }
    writeln!(out, "{STRONG}{}{STRONG:#}  {}", file.path().display(), human_bytes(file.bytes()))?;
    for key in file.keys() {
        // names are the file's: nothing in them may reach the terminal as it is
        writeln!(out, "  {:<44} {}", key.escape_debug().to_string(), file.display(key).unwrap_or_default())?;
    }
    writeln!(out, "\n{STRONG}{:<10} {:>8} {:>14} {:>10}  here{STRONG:#}", "type", "tensors", "numbers", "bytes")?;
    for (dtype, total) in &types {
        writeln!(
            out,
            "{:<10} {:>8} {:>14} {:>10}  {}",
            dtype.name(),
            total.tensors,
            total.numbers,
            human_bytes(total.bytes),
            usage(*dtype)
        )?;
    }
    if args.tensors {
        writeln!(out)?;
        for (name, tensor) in file.tensors() {
            let size = human_bytes(tensor.range.len() as u64);
            let (name, shape) = (name.escape_debug().to_string(), format!("{:?}", tensor.shape));
            writeln!(out, "  {name:<36} {:<8} {shape:<20} {size:>10}", tensor.dtype.name())?;
        }
    }
    match runs {
        Ok(what) => writeln!(out, "\n{GOOD}runs{GOOD:#}: {what}")?,
        Err(why) => writeln!(out, "\n{BAD}does not run{BAD:#}: {why}")?,
    }
    writeln!(out, "{FAINT}Extents are [out][in]. Weights are not looked at; loading checks every value.{FAINT:#}")?;
    Ok(())
}

fn usage(dtype: GgmlType) -> &'static str {
    match dtype.usage() {
        Use::Direct(_) => "as it lies",
        Use::Converted => "converted to f16 when loaded",
        Use::Unsupported => "not supported",
    }
}

/// What it is, or why it would be refused: as much of loading as needs no weights.
pub(crate) fn runs(file: &Gguf) -> Result<String, String> {
    let config = Config::from_gguf(file).map_err(|e| e.to_string())?;
    let tokenizer = gguf::tokenizer(file).map_err(|e| e.to_string())?;
    gguf::check_tensors(file, &config).map_err(|e| e.to_string())?;
    Ok(format!(
        "{}, {} layers, {} heads over {} KV heads of {}, {} positions{}",
        config.arch.model_type(),
        config.n_layers,
        config.n_heads,
        config.n_kv_heads,
        config.head_dim,
        config.max_positions,
        if tokenizer.is_some() { "" } else { ", token ids only" }
    ))
}

fn json(file: &Gguf, types: &BTreeMap<GgmlType, Total>, runs: &Result<String, String>) -> serde_json::Value {
    let metadata: serde_json::Map<String, serde_json::Value> =
        file.keys().map(|key| (key.to_owned(), file.display(key).into())).collect();
    let tensors: Vec<_> = file
        .tensors()
        .iter()
        .map(|(name, t)| {
            serde_json::json!({ "name": name, "type": t.dtype.name(), "shape": t.shape, "bytes": t.range.len() })
        })
        .collect();
    let types: serde_json::Map<String, serde_json::Value> = types
        .iter()
        .map(|(dtype, t)| {
            let entry = serde_json::json!({
                "tensors": t.tensors, "numbers": t.numbers, "bytes": t.bytes, "here": usage(*dtype)
            });
            (dtype.name().to_owned(), entry)
        })
        .collect();
    serde_json::json!({
        "path": file.path(),
        "bytes": file.bytes(),
        "runs": runs.is_ok(),
        "what": match runs { Ok(what) | Err(what) => what },
        "types": types,
        "metadata": metadata,
        "tensors": tensors,
    })
}
