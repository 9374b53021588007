//! The decoder against `transformers`: logits of every position of every family and rope type, fed whole, in chunks and
//! token by token.

mod common;

use common::{MODELS, golden};
use lethe_kernels::{Cpu, CpuOptions, Level};
use lethe_kv::{Arena, Granularity, KvDtype, KvError, LaneView, Ledger, SeqCache, Storage};
use lethe_model::{CpuBackend, LoadError, Model, Sequences, Span};

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

fn load(name: &str, level: Level) -> Model<CpuBackend> {
    let cpu = Cpu::new(CpuOptions { threads: Some(2), level: Some(level) }).unwrap();
    Model::from_dir(common::fixture("models").join(name), CpuBackend::new(cpu)).unwrap()
}

/// Logits of all positions, fed in chunks. `[ids][vocab]`
fn logits(model: &Model<CpuBackend>, ids: &[u32], chunk: usize, dtype: KvDtype, with_mass: bool) -> Vec<f32> {
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

fn levels() -> impl Iterator<Item = Level> {
    [Level::Reference, Level::Avx2, Level::Avx512]
        .into_iter()
        .filter(|l| Cpu::new(CpuOptions { threads: Some(1), level: Some(*l) }).is_ok())
}

#[test]
fn logits_equal_those_of_transformers() {
    for level in levels() {
        for name in MODELS {
            let golden = golden(name);
            let model = load(name, level);
            let whole = logits(&model, &golden.ids, 64, KvDtype::F32, false);
            let worst = whole.iter().zip(&golden.logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 2e-3, "{name} at {level}: {worst}");
            for chunk in [1, 7, 16, 33] {
                let parts = logits(&model, &golden.ids, chunk, KvDtype::F32, true);
                assert!(parts == whole, "{name} at {level}: the same bits in chunks of {chunk}, mass or not");
            }
        }
    }
}

#[test]
fn half_precision_pages_stay_close() {
    for name in MODELS {
        let golden = golden(name);
        let half = logits(&load(name, levels().last().unwrap()), &golden.ids, 16, KvDtype::F16, false);
        let worst = half.iter().zip(&golden.logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 5e-2, "{name}: {worst}");
    }
}

/// A copy of a fixture model with something done to it.
fn damaged(name: &str, damage: impl Fn(&std::path::Path)) -> LoadError {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(common::fixture("models").join(name)).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
    }
    damage(dir.path());
    let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
    match Model::from_dir(dir.path(), CpuBackend::new(cpu)) {
        Err(e) => e,
        Ok(_) => panic!("a damaged model was loaded"),
    }
}

#[test]
fn nan_weights_are_named_with_their_place() {
    let e = damaged("llama_default", |dir| {
        let path = dir.join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let at = bytes.len() - 2; // the last element of the tensor stored last
        assert!(at > 8 + header);
        bytes[at..].copy_from_slice(&0x7e00u16.to_le_bytes());
        std::fs::write(path, bytes).unwrap();
    });
    assert!(matches!(&e, LoadError::NonFinite { name, .. } if name == "model.norm.weight"), "{e}");
}

#[test]
fn shapes_that_differ_from_the_config_are_named() {
    let e = damaged("qwen3_qk_norm", |dir| {
        let path = dir.join("config.json");
        let text =
            std::fs::read_to_string(&path).unwrap().replace("\"intermediate_size\": 80", "\"intermediate_size\": 81");
        std::fs::write(path, text).unwrap();
    })
    .to_string();
    assert!(e.contains("mlp.gate_proj.weight") && e.contains("81") && e.contains("80"), "{e}");
}

#[test]
fn a_missing_folder_or_tensor_is_named() {
    let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
    let e = Model::from_dir("/no/such/model", CpuBackend::new(cpu)).err().unwrap().to_string();
    assert!(e.contains("/no/such/model"), "{e}");
    let e = damaged("llama_llama3_sharded", |dir| {
        std::fs::remove_file(dir.join("model-00002-of-00003.safetensors")).unwrap();
    })
    .to_string();
    assert!(e.contains("model-00002-of-00003.safetensors"), "{e}");
    let e = damaged("mistral_mqa_head_dim", |dir| {
        let path = dir.join("config.json");
        let text =
            std::fs::read_to_string(&path).unwrap().replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
        std::fs::write(path, text).unwrap();
    })
    .to_string();
    assert!(e.contains("model.layers.2.input_layernorm.weight"), "{e}");
}
