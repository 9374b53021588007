//! `lethe models plan`: from a model's shape alone, what it needs and how much fits.

use std::io::Write;
use std::path::Path;

use lethe_engine::{MemoryAmount, human_bytes};
use lethe_hub::ModelRef;
use lethe_kv::{KvShape, PAGE_SLOTS};
use lethe_model::ggml::Use;
use lethe_model::gguf::GgufTensor;
use lethe_model::{Config, Gguf};
use lethe_policy::{Ask, Context, PolicySpec};

use crate::Fault;
use crate::find::{self, Progress};
use crate::options::Dtype;
use crate::terminal::{FAINT, STRONG};

#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// config.json, a folder with one, a GGUF file, or a name on the hub (of which only config.json is fetched)
    #[arg(value_name = "NAME|config.json")]
    model: String,
    /// Memory for weights and cache together: 16GiB, or a share of what is available here
    #[arg(long, value_name = "SIZE", default_value = "90%")]
    memory: MemoryAmount,
    /// Slots a layer keeps after a round, for the line with a cap
    #[arg(long, value_name = "N", default_value_t = 1024)]
    cap: usize,
    /// Tokens of one request, prompt and answer together
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    context: usize,
    /// How many of them are prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    prompt: usize,
    /// Element type of cached keys and values
    #[arg(long, value_enum, default_value = "f16", value_name = "TYPE")]
    kv_dtype: Dtype,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Make no request to the hub
    #[arg(long)]
    offline: bool,
}

const EXAMPLES: &str = "Examples:
  lethe models plan deepseek-ai/DeepSeek-R1-Distill-Qwen-7B --memory 16GiB
  lethe models plan ./config.json --cap 2048 --context 32768
  lethe models plan Qwen3-0.6B-Q8_0.gguf --json";

/// Weights of one kind and what fits beside them.
struct Row {
    weights: &'static str,
    bytes: u64,
    fits: Option<Fits>,
}

struct Fits {
    pool: u64,
    /// Tokens of one request that keeps everything, as far as the model's positions go.
    tokens_full: usize,
    requests_full: usize,
    requests_cap: usize,
}

pub(crate) fn main(args: &Args) -> Result<(), Fault> {
    if args.prompt >= args.context {
        return Err(
            format!("--prompt {} leaves nothing of --context {} for an answer", args.prompt, args.context).into()
        );
    }
    let (config, exact) = shape(args)?;
    if args.context > config.max_positions {
        return Err(format!("--context {}: the model has {} positions", args.context, config.max_positions).into());
    }
    let kv = KvShape {
        layers: config.n_layers,
        kv_heads: config.n_kv_heads,
        head_dim: config.head_dim,
        dtype: args.kv_dtype.into(),
    };
    let memory = args.memory.resolve(0);
    let slots = capped(args, &config)?;
    let sizes: Vec<(&'static str, u64)> = match exact {
        Some(bytes) => vec![("this file", bytes)],
        None => vec![
            ("f16", weights(&config, 16.0, 16.0)),
            ("q8_0", weights(&config, 8.5, 8.5)),
            ("q4_0", weights(&config, 4.5, 8.5)),
        ],
    };
    let rows: Vec<Row> = sizes
        .into_iter()
        .map(|(weights, bytes)| Row { weights, bytes, fits: fits(memory, bytes, &kv, args, &config, slots) })
        .collect();
    let mut out = anstream::stdout();
    if args.json {
        writeln!(out, "{}", json(args, &config, &kv, memory, slots, &rows))?;
        return Ok(());
    }
    writeln!(
        out,
        "{STRONG}{}{STRONG:#}: {}, {:.2} billion parameters, {} layers, {} heads over {} KV heads of {}, {} positions",
        args.model,
        config.arch.model_type(),
        parameters(&config) as f64 / 1e9,
        config.n_layers,
        config.n_heads,
        config.n_kv_heads,
        config.head_dim,
        config.max_positions,
    )?;
    writeln!(
        out,
        "cache {} per token ({}); a request of {} tokens {} in full, {} at cap {}",
        human_bytes(kv.token_bytes() as u64),
        kv.dtype.name(),
        args.context,
        human_bytes(request_bytes(&kv, args.context)),
        human_bytes(request_bytes(&kv, slots)),
        args.cap,
    )?;
    writeln!(
        out,
        "\n{STRONG}in {:<10} {:>10} {:>10} {:>16} {:>14} {:>14}{STRONG:#}",
        human_bytes(memory),
        "weights",
        "cache",
        "tokens, full",
        "requests, full",
        format!("at cap {}", args.cap)
    )?;
    for row in &rows {
        let name = row.weights;
        let bytes = human_bytes(row.bytes);
        match &row.fits {
            None => writeln!(out, "   {name:<10} {bytes:>10}   does not fit")?,
            Some(f) => writeln!(
                out,
                "   {name:<10} {bytes:>10} {:>10} {:>16} {:>14} {:>14}",
                human_bytes(f.pool),
                f.tokens_full,
                f.requests_full,
                f.requests_cap
            )?,
        }
    }
    writeln!(
        out,
        "{FAINT}Requests of {} tokens, {} of them prompt, admitted by their worst case. Buffers of a step and the \
         tokenizer are not counted: leave some 300 MiB.{FAINT:#}",
        args.context, args.prompt
    )?;
    Ok(())
}

/// The shape, and the bytes of the weights where a file says them.
fn shape(args: &Args) -> Result<(Config, Option<u64>), Fault> {
    let from_path = |path: &Path| -> Result<(Config, Option<u64>), Fault> {
        if path.is_dir() {
            return Ok((Config::from_dir(path)?, None));
        }
        if path.extension().is_some_and(|e| e == "gguf") {
            let file = Gguf::open(path)?;
            let held = |t: &GgufTensor| match t.dtype.usage() {
                Use::Converted => 2 * t.shape.iter().product::<usize>() as u64, // to f16
                _ => t.range.len() as u64,
            };
            return Ok((Config::from_gguf(&file)?, Some(file.tensors().values().map(held).sum())));
        }
        let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok((Config::from_json(text).map_err(|e| format!("{}: {e}", path.display()))?, None))
    };
    match args.model.parse()? {
        ModelRef::Local(path) => from_path(&path),
        ModelRef::Hub(at) => {
            let mut progress = Progress::default();
            let path = find::hub(args.offline)?.config_json(&at, &mut |event| progress.show(&event))?;
            from_path(&path)
        }
    }
}

fn parameters(config: &Config) -> u64 {
    config.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
}

/// Bytes of all weights at so many bits for matrices; the output projection may have others. Vectors are f32.
fn weights(config: &Config, bits: f64, output: f64) -> u64 {
    let out = if config.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
    let bits_of = |(name, shape): &(String, Vec<usize>)| {
        let n = shape.iter().product::<usize>() as f64;
        n * match shape.len() {
            1 => 32.0,
            _ if name == out => output,
            _ => bits,
        }
    };
    (config.tensors().iter().map(bits_of).sum::<f64>() / 8.0) as u64
}

/// Slots of the longest layer that a request may hold under the cap, as admission counts them.
fn capped(args: &Args, config: &Config) -> Result<usize, Fault> {
    let context = Context {
        layers: config.n_layers,
        slots_per_layer: args.context,
        max_num_seqs: 1,
        max_positions: config.max_positions,
    };
    let policy = PolicySpec::new("lethe")?.set("trigger", "cap")?.set("cap", args.cap)?.build(&context)?;
    let ask = Ask {
        layers: config.n_layers,
        prompt: args.prompt,
        pinned: args.prompt,
        max_tokens: args.context - args.prompt,
        ..Ask::default()
    };
    Ok(policy.bound(&ask)?.per_layer)
}

fn request_bytes(kv: &KvShape, slots: usize) -> u64 {
    (kv.pages_for(slots) * kv.page_charge()) as u64
}

fn fits(memory: u64, weights: u64, kv: &KvShape, args: &Args, config: &Config, slots: usize) -> Option<Fits> {
    let pool = memory.checked_sub(weights).filter(|pool| *pool >= request_bytes(kv, PAGE_SLOTS))?;
    let pages = kv.pages_in(pool);
    Some(Fits {
        pool,
        tokens_full: (pages / kv.lanes() * PAGE_SLOTS).min(config.max_positions),
        requests_full: pages / kv.pages_for(args.context),
        requests_cap: pages / kv.pages_for(slots),
    })
}

fn json(args: &Args, config: &Config, kv: &KvShape, memory: u64, slots: usize, rows: &[Row]) -> serde_json::Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "weights": row.weights,
                "weight_bytes": row.bytes,
                "fits": row.fits.is_some(),
                "pool_bytes": row.fits.as_ref().map(|f| f.pool),
                "tokens_full": row.fits.as_ref().map(|f| f.tokens_full),
                "requests_full": row.fits.as_ref().map(|f| f.requests_full),
                "requests_cap": row.fits.as_ref().map(|f| f.requests_cap),
            })
        })
        .collect();
    serde_json::json!({
        "model": args.model,
        "architecture": config.arch.model_type(),
        "parameters": parameters(config),
        "layers": config.n_layers,
        "max_positions": config.max_positions,
        "kv_bytes_per_token": kv.token_bytes(),
        "memory_bytes": memory,
        "context": args.context,
        "cap": args.cap,
        "slots_at_cap": slots,
        "request_bytes_full": request_bytes(kv, args.context),
        "request_bytes_cap": request_bytes(kv, slots),
        "plans": rows,
    })
}
