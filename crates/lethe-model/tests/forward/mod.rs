//! One sequence through a decoder, for its logits.
#![allow(dead_code)] // each test file uses its part

use lethe_kernels::{Cpu, CpuOptions, Level};
use lethe_kv::{Arena, Granularity, KvDtype, KvError, LaneView, Ledger, SeqCache, Storage};
use lethe_model::{CpuBackend, Model, Sequences, Span};

/// One sequence, no policy.
struct Alone {
    cache: SeqCache,
    from: u32,
    span: Span,
    mass: Vec<f32>,
}

impl Sequences for Alone {
    fn len(&self) -> usize {
        1
    }
    fn span(&self, _seq: usize) -> Span {
        self.span
    }
    fn append(&mut self, kv: &mut dyn Storage, _seq: usize, layer: usize) -> Result<(), KvError> {
        self.cache.append(kv, layer, self.from..self.from + self.span.rows as u32, false)
    }
    fn lane(&self, _seq: usize, layer: usize, kv_head: usize) -> LaneView<'_> {
        self.cache.lane(layer, kv_head)
    }
    fn carry(&self, _seq: usize, _layer: usize, _kv_head: usize, _mass: &mut [f32]) {}
    fn mass(&mut self, _seq: usize, layer: usize, mass: &[f32]) {
        if layer == 0 {
            self.mass = mass.to_vec();
        }
    }
    fn saturated(&mut self, _seq: usize, values: usize) {
        panic!("{values} values saturated");
    }
}

fn cpu(level: Level) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(2), level: Some(level) }).unwrap()
}

/// A backend on two threads, with packed weights.
pub(crate) fn backend(level: Level) -> CpuBackend {
    CpuBackend::new(cpu(level))
}

/// A backend on two threads, with weights as stored.
pub(crate) fn exact(level: Level) -> CpuBackend {
    CpuBackend::exact(cpu(level))
}

/// Logits of all positions, fed in chunks. `[ids][vocab]`
pub(crate) fn logits(
    model: &Model<CpuBackend>,
    ids: &[u32],
    chunk: usize,
    dtype: KvDtype,
    with_mass: bool,
) -> Vec<f32> {
    let shape = model.decoder.kv_shape(dtype);
    let pages = shape.pages_for(ids.len());
    let ledger = Ledger::new(pages);
    let mut arena = Arena::new(pages, shape.head_dim, dtype);
    let cache = SeqCache::new(shape, Granularity::Layer, ledger.reserve(pages).unwrap(), ids.len());
    let mut seq = Alone { cache, from: 0, span: Span { start: 0, rows: 0, mass_from: 0 }, mass: Vec::new() };
    let mut ws = model.decoder.workspace(chunk, chunk);
    let mut all = Vec::new();
    for part in ids.chunks(chunk) {
        seq.span = Span { start: 0, rows: part.len(), mass_from: if with_mass { 0 } else { part.len() } };
        let positions: Vec<u32> = (seq.from..).take(part.len()).collect();
        let rows: Vec<u32> = (0..part.len() as u32).collect();
        model.decoder.forward(&mut ws, &mut arena, &mut seq, part, &positions, &rows).unwrap();
        for i in 0..part.len() {
            all.extend_from_slice(ws.logits(&model.decoder, i));
            assert_eq!(ws.broken(i), None);
        }
        if with_mass {
            // every query spreads a weight of one per head
            let heads = model.config.n_heads as f32;
            let sum: f32 = seq.mass.iter().sum();
            assert!((sum - heads * part.len() as f32).abs() < 1e-3 * heads * part.len() as f32, "{sum}");
        }
        seq.from += part.len() as u32;
    }
    all
}

/// The SIMD levels of this machine.
pub(crate) fn levels() -> impl Iterator<Item = Level> {
    Level::available()
}

/// Largest difference.
pub(crate) fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
