//! What the comparisons share: arguments, the model, files of JSON lines.

use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};

pub(crate) type Fault = Box<dyn std::error::Error>;

/// The model at a path, perhaps with weights as stored.
pub(crate) fn open(path: &str, exact: bool) -> Result<Model<CpuBackend>, Fault> {
    let cpu = Cpu::new(CpuOptions::default())?;
    Ok(Model::open(path, if exact { CpuBackend::exact(cpu) } else { CpuBackend::new(cpu) })?)
}

/// Exactly these arguments.
pub(crate) fn arguments<const N: usize>(usage: &str) -> Result<[String; N], Fault> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| format!("arguments: {usage}").into())
}

/// Every line of a file as a value.
pub(crate) fn lines<T: serde::de::DeserializeOwned>(path: &str) -> Result<Vec<T>, Fault> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let parse = |(at, line)| serde_json::from_str(line).map_err(|e| format!("{path}, line {}: {e}", at + 1).into());
    text.lines().enumerate().map(parse).collect()
}
