//! What the comparisons share: arguments, the model, files of JSON lines, budgets.

use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};
use lethe_policy::{Ask, Context, PolicySpec};

pub(crate) type Fault = Box<dyn std::error::Error>;

/// The model at a path, perhaps with weights as stored.
#[allow(dead_code)] // not every comparison wants a model
pub(crate) fn open(path: &str, exact: bool) -> Result<Model<CpuBackend>, Fault> {
    let cpu = Cpu::new(CpuOptions::default())?;
    Ok(Model::open(path, if exact { CpuBackend::exact(cpu) } else { CpuBackend::new(cpu) })?)
}

/// Exactly these arguments.
#[allow(dead_code)] // not every comparison has a fixed number
pub(crate) fn arguments<const N: usize>(usage: &str) -> Result<[String; N], Fault> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    given.try_into().map_err(|_| format!("arguments: {usage}").into())
}

/// Every line of a file as a value.
#[allow(dead_code)] // not every comparison reads lines
pub(crate) fn lines<T: serde::de::DeserializeOwned>(path: &str) -> Result<Vec<T>, Fault> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let parse = |(at, line)| serde_json::from_str(line).map_err(|e| format!("{path}, line {}: {e}", at + 1).into());
    text.lines().enumerate().map(parse).collect()
}

/// The policy with the largest budget under which a layer never holds more than `slots` beyond the pinned prompt, by the
/// policy's own bound: the interval is in it, and so are recents that a policy keeps on top of its budget. Where no budget
/// is small enough, the smallest there is, and false: the table shows what was really held.
#[allow(dead_code)] // not every comparison prunes
pub(crate) fn within(
    policy: &str,
    with_budget: impl Fn(&str, usize) -> Result<PolicySpec, Fault>,
    prompt: usize,
    slots: usize,
    context: Context,
) -> Result<(PolicySpec, bool), Fault> {
    let ask = Ask { layers: context.layers, prompt, pinned: prompt, max_tokens: 1 << 20, ..Ask::default() };
    let mut smallest = None;
    for budget in (1..=slots.max(16)).rev() {
        let spec = with_budget(policy, budget)?;
        match spec.build(&context)?.bound(&ask) {
            Ok(bound) if bound.per_layer <= prompt + slots => return Ok((spec, true)),
            Ok(_) => smallest = Some((spec, false)),
            Err(_) => break, // below the policy's floor
        }
    }
    smallest.ok_or_else(|| format!("{policy} has no budget that fits").into())
}
