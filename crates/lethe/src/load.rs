//! A model and an engine for it, from the command line.

use std::path::Path;
use std::sync::Arc;

use lethe_engine::{Engine, EngineOptions, human_bytes};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};

use crate::Fault;
use crate::options::EngineArgs;
use crate::terminal;

/// The model of `args`, or the embedded one.
pub(crate) fn model(args: &EngineArgs) -> Result<Arc<Model<CpuBackend>>, Fault> {
    let cpu = Cpu::new(CpuOptions { threads: args.threads, level: None })?;
    if let Some(text) = cpu.notice() {
        terminal::notice(text);
    }
    let backend = CpuBackend::new(cpu);
    let model = match &args.model {
        Some(dir) => Model::from_dir(dir, backend)?,
        None => Model::from_bytes(lethe_reasoner::FILES, backend)?,
    };
    Ok(Arc::new(model))
}

/// A name for people: the folder's, or the embedded model's.
pub(crate) fn model_name(dir: Option<&Path>) -> String {
    match dir {
        None => lethe_reasoner::NAME.to_owned(),
        Some(dir) => dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned(),
    }
}

/// An engine for one sequence at a time.
pub(crate) fn engine(args: &EngineArgs, model: &Arc<Model<CpuBackend>>) -> Result<Engine, Fault> {
    let options = EngineOptions {
        kv_memory: args.kv_memory.resolve(model.weight_bytes),
        kv_dtype: args.kv_dtype.into(),
        ..EngineOptions::default()
    };
    Ok(Engine::start(Arc::clone(model), options)?)
}

/// What was loaded and what it runs on, in a line.
pub(crate) fn describe(args: &EngineArgs, model: &Model<CpuBackend>, engine: &Engine) -> String {
    let (c, cpu) = (&model.config, model.decoder.backend.cpu());
    format!(
        "{}: {} layers, {} KV heads of {}, weights {} · {} threads, {} · KV pool {} ({} slots per layer, {})",
        model_name(args.model.as_deref()),
        c.n_layers,
        c.n_kv_heads,
        c.head_dim,
        human_bytes(model.weight_bytes),
        cpu.threads(),
        cpu.level(),
        human_bytes(engine.pool_bytes()),
        engine.context().slots_per_layer,
        lethe_kv::KvDtype::from(args.kv_dtype).name(),
    )
}
