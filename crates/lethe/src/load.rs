//! A model and an engine for it, from the command line.

use std::path::Path;
use std::sync::Arc;

use lethe_engine::{Engine, EngineOptions, human_bytes};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_model::{CpuBackend, Model};

use crate::Fault;
use crate::find::find;
use crate::options::EngineArgs;
use crate::terminal;

/// The model of `args`, or the embedded one.
pub(crate) fn model(args: &EngineArgs) -> Result<Arc<Model<CpuBackend>>, Fault> {
    let path = args.model.as_ref().map(|name| find(name, args.offline)).transpose()?;
    let cpu = Cpu::new(CpuOptions { threads: args.threads, level: None })?;
    if let Some(text) = cpu.notice() {
        terminal::notice(text);
    }
    let backend = if args.exact { CpuBackend::exact(cpu) } else { CpuBackend::new(cpu) };
    let model = match path {
        Some(path) => Model::open(path, backend)?,
        None => Model::from_bytes(lethe_reasoner::FILES, backend)?,
    };
    model.notices.iter().for_each(terminal::notice);
    Ok(Arc::new(model))
}

/// A name for people: that of the file or folder, or the embedded model's.
pub(crate) fn model_name(model: Option<&str>) -> String {
    match model {
        None => lethe_reasoner::NAME.to_owned(),
        Some(name) => Path::new(name).file_name().map_or(name.into(), |file| file.to_string_lossy()).into_owned(),
    }
}

/// An engine for one sequence at a time.
pub(crate) fn engine(args: &EngineArgs, model: &Arc<Model<CpuBackend>>) -> Result<Engine, Fault> {
    let options = EngineOptions {
        kv_memory: args.kv_memory.resolve(model.mapped_bytes),
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
