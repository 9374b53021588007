//! What the integration tests share: fixtures, goldens and a seeded generator.
#![allow(dead_code)] // each test file uses its part

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

/// The fixture directories under `fixtures/models`.
pub(crate) const MODELS: [&str; 8] = [
    "llama_default",
    "llama_linear_biased",
    "llama_llama3_sharded",
    "llama_yarn_mscale_bf16",
    "mistral_mqa_head_dim",
    "qwen2_bias_tied",
    "qwen2_yarn",
    "qwen3_qk_norm",
];

/// A file or directory under `tests/fixtures`.
pub(crate) fn fixture(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// The logits transformers computes in float32 for a model on disk (see `make_goldens.py`).
pub(crate) struct Golden {
    /// The model directory.
    pub(crate) dir: PathBuf,
    /// The prompt.
    pub(crate) ids: Vec<u32>, // [64]
    /// Logits of every position.
    pub(crate) logits: Vec<f32>, // [64][vocab]
    /// Width of a row of `logits`.
    pub(crate) vocab: usize,
}

/// Reads `golden.safetensors` of a fixture model.
pub(crate) fn golden(model: &str) -> Golden {
    let dir = fixture("models").join(model);
    read_golden(&dir.join("golden.safetensors"), dir.clone())
}

/// Reads the goldens of the model at `model`.
pub(crate) fn read_golden(path: &Path, model: PathBuf) -> Golden {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (ids, logits) = (file.tensor("input_ids").unwrap(), file.tensor("logits").unwrap());
    assert_eq!((ids.dtype(), logits.dtype()), (Dtype::I64, Dtype::F32));
    assert_eq!(ids.shape(), &logits.shape()[..1]);
    let id = |bytes: &[u8]| u32::try_from(i64::from_le_bytes(bytes.try_into().unwrap())).unwrap();
    let logit = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    Golden {
        ids: ids.data().chunks_exact(8).map(id).collect(),
        logits: logits.data().chunks_exact(4).map(logit).collect(),
        vocab: logits.shape()[1],
        dir: model,
    }
}

/// splitmix64: the same numbers on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
