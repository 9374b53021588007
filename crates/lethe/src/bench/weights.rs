//! How much of the weights a step reads.

use std::path::Path;

use lethe_model::ggml::Use;
use lethe_model::{CpuBackend, Gguf, Model};

use crate::Fault;
use crate::find::find;
use crate::options::EngineArgs;

/// Bytes of weights that every step reads, however many rows it has: all of them, but of an embedding table that is not
/// the output projection too only the rows of its tokens, which do not count.
pub(super) fn of_step(args: &EngineArgs, model: &Model<CpuBackend>) -> Result<u64, Fault> {
    if model.config.tie_word_embeddings {
        return Ok(model.weight_bytes);
    }
    // it was loaded, so it is here
    let file = args.model.as_ref().map(|name| find(name, true)).transpose()?;
    let table = match file.filter(|file| file.is_file()) {
        Some(file) => in_gguf(&file)?,
        None => None,
    };
    // the tensors of a folder are all of one type
    let numbers = |shape: &[usize]| shape.iter().product::<usize>() as u64;
    let all: u64 = model.config.tensors().iter().map(|(_, shape)| numbers(shape)).sum();
    let embedding = numbers(&[model.config.vocab_size, model.config.hidden_size]);
    let mean = || (model.weight_bytes as f64 * embedding as f64 / all.max(1) as f64) as u64;
    Ok(model.weight_bytes.saturating_sub(table.unwrap_or_else(mean)))
}

/// Bytes of the embedding table of a file, as it lies in memory.
fn in_gguf(file: &Path) -> Result<Option<u64>, Fault> {
    let file = Gguf::open(file)?;
    Ok(file.tensors().get("token_embd.weight").map(|table| match table.dtype.usage() {
        Use::Converted => 2 * table.shape.iter().product::<usize>() as u64, // to f16
        _ => table.range.len() as u64,
    }))
}
