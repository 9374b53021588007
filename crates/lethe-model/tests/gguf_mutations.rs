//! Damaged GGUF files, at random: typed errors or models, never a panic, and nothing large is allocated on a header's word.

mod common;

use std::alloc::System;

use common::{Random, fixture};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Far above what any of these files needs (the largest has half a megabyte), far below what a count of 2^60 would ask for.
const MOST: usize = 64 << 20;
const MUTATIONS: usize = 300;

#[test]
fn random_damage_to_headers_is_survived() {
    let mut random = Random(41);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mutated.gguf");
    for name in ["llama_f32", "llama_blocks", "mistral_f16", "qwen2_k", "qwen3_q8", "vocab_qwen2", "vocab_llama-bpe"] {
        let good = std::fs::read(fixture("gguf").join(format!("{name}.gguf"))).unwrap();
        // Behind the last name there are a few numbers more, then weights.
        let header = good.windows(7).rposition(|w| w == b".weight").map_or(good.len(), |at| (at + 64).min(good.len()));
        let (mut loaded, mut refused) = (0, 0);
        for _ in 0..MUTATIONS {
            let mut bytes = good.clone();
            for _ in 0..random.below(3) + 1 {
                damage(&mut bytes, header, &mut random);
            }
            std::fs::write(&path, &bytes).unwrap();
            let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
            let region = Region::new(ALLOCATOR);
            match Model::open(&path, CpuBackend::new(cpu)) {
                Ok(_) => loaded += 1,
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("mutated.gguf"), "{name}: the file is named: {error}");
                }
            }
            let stats = region.change();
            assert!(stats.bytes_allocated < MOST, "{name}: {} bytes allocated", stats.bytes_allocated);
        }
        assert!(refused > MUTATIONS / 4, "{name}: {refused} refused, {loaded} loaded: the damage must matter");
    }
}

/// One thing that can happen to a header.
fn damage(bytes: &mut Vec<u8>, header: usize, random: &mut Random) {
    let header = header.min(bytes.len());
    let at = random.below(header);
    let huge = [u64::MAX, 1 << 60, 1 << 40, 1 << 31, 0];
    match random.below(6) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 if at + 8 <= bytes.len() => bytes[at..at + 8].copy_from_slice(&huge[random.below(huge.len())].to_le_bytes()),
        3 if at + 4 <= bytes.len() => bytes[at..at + 4].copy_from_slice(&(random.next() as u32).to_le_bytes()),
        4 => bytes.truncate(at + 1),
        _ => drop(bytes.splice(at..at, [random.next() as u8])),
    }
}
