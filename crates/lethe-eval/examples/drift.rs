//! How far the model's predictions are from those of transformers in float32, every token given those before it.
//!
//! `cargo run --release -p lethe-eval --example drift -- MODEL REF.safetensors [--kv-dtype f16|f32|int8] [--exact]
//! [--compare OUT.json]`, with what `evidence/reference_logits.py` and `evidence/llama_cpp_logits.py` write.

mod common;

use std::time::Instant;

use common::{Fault, open};
use lethe_kv::{Arena, Granularity, KvDtype, KvError, LaneView, Ledger, SeqCache, Storage};
use lethe_model::{CpuBackend, Model, Sequences, Span};
use safetensors::SafeTensors;

const CHUNK: usize = 256;
/// A lead of the best logit that rounding should not overturn.
const CLEAR: f32 = 0.1;

fn main() -> Result<(), Fault> {
    let options = Options::parse()?;
    let reference = Reference::read(&options.reference)?;
    let model = open(&options.model, options.exact)?;
    let start = Instant::now();
    let ours = predictions(&model, &reference.ids, options.kv_dtype)?;
    let speed = ours.len() as f64 / start.elapsed().as_secs_f64();
    let summary = Summary::new(&ours, &reference, speed);
    let theirs = options.compare.as_deref().map(Summary::read).transpose()?;
    let clear = reference.gap.iter().filter(|gap| **gap >= CLEAR).count();
    println!("{} positions, {clear} with a gap of {CLEAR} or more", ours.len());
    println!("perplexity of the reference      {:.4}", perplexity(reference.logprob.iter().copied()));
    println!(
        "                                 {:>12} {:>12}",
        "lethe",
        if theirs.is_some() { "llama.cpp" } else { "" }
    );
    summary.print(theirs.as_ref());
    Ok(())
}

struct Options {
    model: String,
    reference: String,
    kv_dtype: KvDtype,
    exact: bool,
    compare: Option<String>,
}

impl Options {
    fn parse() -> Result<Options, Fault> {
        let usage = "arguments: MODEL REF.safetensors [--kv-dtype f16|f32|int8] [--exact] [--compare OUT.json]";
        let mut places = Vec::new();
        let (mut kv_dtype, mut exact, mut compare) = (KvDtype::F16, false, None);
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--kv-dtype" => match args.next().as_deref() {
                    Some("f16") => kv_dtype = KvDtype::F16,
                    Some("f32") => kv_dtype = KvDtype::F32,
                    Some("int8") => kv_dtype = KvDtype::I8,
                    _ => return Err(usage.into()),
                },
                "--exact" => exact = true,
                "--compare" => compare = Some(args.next().ok_or(usage)?),
                _ => places.push(arg),
            }
        }
        let [model, reference] = places.try_into().map_err(|_| usage)?;
        Ok(Options { model, reference, kv_dtype, exact, compare })
    }
}

/// What transformers predicts after each of the first `ids.len() - 1` ids.
struct Reference {
    ids: Vec<u32>,     // [positions + 1]
    logprob: Vec<f32>, // [positions]
    top: Vec<u32>,     // [positions]
    gap: Vec<f32>,     // [positions]
}

impl Reference {
    fn read(path: &str) -> Result<Reference, Fault> {
        let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
        let file = SafeTensors::deserialize(&bytes)?;
        let words =
            |name: &str| -> Result<Vec<[u8; 4]>, Fault> { Ok(file.tensor(name)?.data().as_chunks().0.to_vec()) };
        let integers = |name| Ok::<_, Fault>(words(name)?.into_iter().map(u32::from_le_bytes).collect());
        let floats = |name| Ok::<_, Fault>(words(name)?.into_iter().map(f32::from_le_bytes).collect());
        Ok(Reference { ids: integers("ids")?, logprob: floats("logprob")?, top: integers("top")?, gap: floats("gap")? })
    }
}

/// What one position predicts.
struct Prediction {
    /// Log-probability of the token that follows.
    logprob: f32,
    /// The likeliest token.
    top: u32,
}

impl Prediction {
    fn new(logits: &[f32], next: u32) -> Prediction {
        let first = (0, f32::NEG_INFINITY);
        let best = logits.iter().enumerate().fold(first, |best, (i, l)| if *l > best.1 { (i, *l) } else { best });
        let sum: f64 = logits.iter().map(|l| f64::from(l - best.1).exp()).sum();
        Prediction { logprob: (f64::from(logits[next as usize] - best.1) - sum.ln()) as f32, top: best.0 as u32 }
    }
}

/// Feeds all ids but the last, in chunks.
fn predictions(model: &Model<CpuBackend>, ids: &[u32], dtype: KvDtype) -> Result<Vec<Prediction>, Fault> {
    let (fed, nexts) = (&ids[..ids.len() - 1], &ids[1..]);
    let shape = model.decoder.kv_shape(dtype);
    let pages = shape.pages_for(fed.len());
    let ledger = Ledger::new(pages);
    let mut arena = Arena::new(pages, shape.head_dim, dtype);
    let grant = ledger.reserve(pages)?;
    let cache = SeqCache::new(shape, Granularity::Layer, grant, fed.len());
    let mut seq = Alone { cache, from: 0, rows: 0, saturated: 0 };
    let mut ws = model.decoder.workspace(CHUNK, CHUNK);
    let mut all = Vec::with_capacity(fed.len());
    for (part, nexts) in fed.chunks(CHUNK).zip(nexts.chunks(CHUNK)) {
        seq.rows = part.len();
        let positions: Vec<u32> = (seq.from..).take(part.len()).collect();
        let rows: Vec<u32> = (0..part.len() as u32).collect();
        model.decoder.forward(&mut ws, &mut arena, &mut seq, part, &positions, &rows)?;
        for (i, next) in nexts.iter().enumerate() {
            all.push(Prediction::new(ws.logits(&model.decoder, i), *next));
        }
        seq.from += part.len() as u32;
    }
    if seq.saturated > 0 {
        println!("{} values were too large for the cache", seq.saturated);
    }
    Ok(all)
}

/// One sequence, no policy.
struct Alone {
    cache: SeqCache,
    from: u32,
    rows: usize,
    saturated: usize,
}

impl Sequences for Alone {
    fn len(&self) -> usize {
        1
    }
    fn span(&self, _seq: usize) -> Span {
        Span { start: 0, rows: self.rows, mass_from: self.rows }
    }
    fn append(&mut self, kv: &mut dyn Storage, _seq: usize, layer: usize) -> Result<(), KvError> {
        self.cache.append(kv, layer, self.from..self.from + self.rows as u32, false)
    }
    fn lane(&self, _seq: usize, layer: usize, kv_head: usize) -> LaneView<'_> {
        self.cache.lane(layer, kv_head)
    }
    fn carry(&self, _seq: usize, _layer: usize, _kv_head: usize, _mass: &mut [f32]) {}
    fn mass(&mut self, _seq: usize, _layer: usize, _mass: &[f32]) {}
    fn saturated(&mut self, _seq: usize, values: usize) {
        self.saturated += values;
    }
}

/// How predictions compare with the reference; what `llama_cpp_logits.py` writes has the same keys.
#[derive(serde::Deserialize)]
struct Summary {
    perplexity: f64,
    ratio: f64,
    top1: f64,
    top1_clear: f64,
    max_delta: f64,
    mean_delta: f64,
    tokens_per_second: f64,
}

impl Summary {
    fn new(ours: &[Prediction], reference: &Reference, tokens_per_second: f64) -> Summary {
        let perplexity_here = perplexity(ours.iter().map(|p| p.logprob));
        let same = |i: &usize| ours[*i].top == reference.top[*i];
        let share = |of: Vec<usize>| of.iter().filter(|i| same(i)).count() as f64 / of.len() as f64;
        let deltas = ours.iter().zip(&reference.logprob).map(|(p, r)| f64::from((p.logprob - r).abs()));
        Summary {
            perplexity: perplexity_here,
            ratio: perplexity_here / perplexity(reference.logprob.iter().copied()),
            top1: share((0..ours.len()).collect()),
            top1_clear: share((0..ours.len()).filter(|i| reference.gap[*i] >= CLEAR).collect()),
            max_delta: deltas.clone().fold(0.0, f64::max),
            mean_delta: deltas.sum::<f64>() / ours.len() as f64,
            tokens_per_second,
        }
    }

    fn read(path: &str) -> Result<Summary, Fault> {
        let file = std::fs::File::open(path).map_err(|e| format!("{path}: {e}"))?;
        Ok(serde_json::from_reader(std::io::BufReader::new(file))?)
    }

    fn print(&self, other: Option<&Summary>) {
        let row = |name: &str, value: fn(&Summary) -> String| {
            println!("{name:<32} {:>12} {:>12}", value(self), other.map(value).unwrap_or_default());
        };
        row("perplexity", |s| format!("{:.4}", s.perplexity));
        row("its ratio to the reference", |s| format!("{:.6}", s.ratio));
        row("likeliest token the same", |s| format!("{:.3} %", 100.0 * s.top1));
        row("the same where the gap is clear", |s| format!("{:.3} %", 100.0 * s.top1_clear));
        row("largest |delta log-probability|", |s| format!("{:.5}", s.max_delta));
        row("mean |delta log-probability|", |s| format!("{:.5}", s.mean_delta));
        row("tokens per second", |s| format!("{:.1}", s.tokens_per_second));
    }
}

fn perplexity(logprobs: impl ExactSizeIterator<Item = f32>) -> f64 {
    let count = logprobs.len() as f64;
    (-logprobs.map(f64::from).sum::<f64>() / count).exp()
}
