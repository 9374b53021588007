//! What a policy costs in time: idle, beside `full`, and in its rounds.
//! `cargo bench -p lethe-engine --bench overhead -- MODEL [POSITION]`
//!
//! Two engines of the same model stand at the same position and step in turns, so that whatever else the machine does
//! falls on both alike: the ratio of neighbouring steps is what counts, not their times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use lethe_engine::{Core, EngineOptions, Event, Generation, Request};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};
use lethe_policy::PolicySpec;

type Fault = Box<dyn std::error::Error>;

/// Pairs of steps.
const PAIRS: usize = 400;
/// Slots that a layer keeps while rounds are timed, and tokens between them.
const CAP: usize = 1024;
const INTERVAL: usize = 128;
/// Rounds of a layer that are timed.
const ROUNDS: usize = 8;

fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [path, rest @ ..] = args.as_slice() else { return Err("arguments: MODEL [POSITION]".into()) };
    let position = rest.first().map_or(Ok(4096), |text| text.parse())?;
    let model = Arc::new(Model::open(path, CpuBackend::new(Cpu::new(CpuOptions::default())?))?);

    println!("idle at position {position}, {PAIRS} pairs of steps");
    let mut full = Stepped::new(&model, "full", position)?;
    let idle = format!("lethe:cap={},trigger=cap", 2 * position + 4 * PAIRS);
    let mut idle = Stepped::new(&model, &idle, position)?;
    let mut ratios = Vec::new();
    for pair in 0..PAIRS {
        // Who goes first changes, and with it who finds what the other left in the caches.
        let (a, b) = if pair % 2 == 0 {
            let a = full.step();
            (a, idle.step())
        } else {
            let b = idle.step();
            (full.step(), b)
        };
        ratios.push(b / a);
    }
    assert_eq!(idle.rounds.load(Relaxed), 0, "an idle policy has no rounds");
    ratios.sort_by(f64::total_cmp);
    // Order statistics around the median, about 95 % of the time on both sides of it.
    let half_width = (0.98 * (PAIRS as f64).sqrt()) as usize;
    let [low, median, high] = [PAIRS / 2 - half_width, PAIRS / 2, PAIRS / 2 + half_width].map(|i| ratios[i]);
    println!(
        "  lethe over full: {:+.2} % (median; 95 % interval {:+.2} to {:+.2})",
        100.0 * (median - 1.0),
        100.0 * (low - 1.0),
        100.0 * (high - 1.0)
    );
    drop((full, idle));

    println!("rounds: cap {CAP}, interval {INTERVAL}, {ROUNDS} rounds of every layer");
    let policy = format!("lethe:cap={CAP},trigger=cap,interval={INTERVAL},protect_prompt=none");
    let mut pruned = Stepped::new(&model, &policy, CAP + 1)?;
    pruned.rounds.store(0, Relaxed);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * INTERVAL {
        let before = pruned.rounds.load(Relaxed);
        let time = pruned.step();
        if pruned.rounds.load(Relaxed) == before { without.push(time) } else { with.push(time) }
    }
    assert!(!with.is_empty(), "rounds were due");
    without.sort_by(f64::total_cmp);
    let usual = without[without.len() / 2];
    let excess: f64 = with.iter().map(|time| time - usual).sum();
    let whole = usual * (with.len() + without.len()) as f64;
    println!(
        "  {} steps with rounds, {:.2} ms over the usual {:.2} ms each: {:.2} % of decode time",
        with.len(),
        1e3 * excess / with.len() as f64,
        1e3 * usual,
        100.0 * excess / whole
    );
    Ok(())
}

/// One sequence of an engine of its own, stepped by hand.
struct Stepped {
    core: Core<CpuBackend>,
    rounds: Arc<AtomicUsize>,
}

impl Stepped {
    /// Fed up to `position`, a few tokens decoded.
    fn new(model: &Arc<Model<CpuBackend>>, policy: &str, position: usize) -> Result<Stepped, Fault> {
        let mut core = Core::new(Arc::clone(model), EngineOptions { max_num_seqs: 1, ..EngineOptions::default() })?;
        let rounds = Arc::new(AtomicUsize::new(0));
        let (count, decoding) = (Arc::clone(&rounds), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&decoding);
        let generation = Generation { ignore_eos: true, max_tokens: Some(4 * PAIRS), ..Generation::default() };
        let vocab = model.decoder.dims.vocab as u32;
        let request = Request {
            prompt: (0..position as u32).map(|at| at.wrapping_mul(2_654_435_761) % vocab).collect(),
            policy: policy.parse::<PolicySpec>()?,
            generation,
            ..Request::new(Vec::new())
        };
        core.submit(0, request, move |event| match event {
            Event::Round(_) => _ = count.fetch_add(1, Relaxed),
            Event::Token { .. } => _ = seen.fetch_add(1, Relaxed),
            _ => {}
        })?;
        while decoding.load(Relaxed) < 4 {
            core.step();
        }
        Ok(Stepped { core, rounds })
    }

    /// Seconds of a step.
    fn step(&mut self) -> f64 {
        let began = Instant::now();
        self.core.step();
        began.elapsed().as_secs_f64()
    }
}
