//! The decoder against `transformers`: logits of every position of every family and rope type, fed whole, in chunks and
//! token by token.

mod common;
mod forward;

use common::{MODELS, golden};
use forward::{backend, levels, logits, worst};
use lethe_kernels::{Cpu, CpuOptions, Level};
use lethe_kv::KvDtype;
use lethe_model::{CpuBackend, LoadError, Model};

fn load(name: &str, level: Level) -> Model<CpuBackend> {
    Model::from_dir(common::fixture("models").join(name), backend(level)).unwrap()
}

#[test]
fn logits_equal_those_of_transformers() {
    for level in levels() {
        for name in MODELS {
            let golden = golden(name);
            let model = load(name, level);
            let whole = logits(&model, &golden.ids, 64, KvDtype::F32, false);
            let worst = worst(&whole, &golden.logits);
            assert!(worst <= 2e-3, "{name} at {level}: {worst}");
            for chunk in [1, 7, 16, 33] {
                let parts = logits(&model, &golden.ids, chunk, KvDtype::F32, true);
                assert!(parts == whole, "{name} at {level}: the same bits in chunks of {chunk}, mass or not");
            }
        }
    }
}

#[test]
fn smaller_pages_stay_close() {
    for (dtype, bound) in [(KvDtype::F16, 5e-2), (KvDtype::I8, 4e-1)] {
        for name in MODELS {
            let golden = golden(name);
            let small = logits(&load(name, levels().last().unwrap()), &golden.ids, 16, dtype, false);
            let worst = worst(&small, &golden.logits);
            assert!(worst <= bound, "{name}, {}: {worst}", dtype.name());
        }
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
