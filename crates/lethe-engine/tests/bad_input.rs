//! Requests that are wrong are refused with the reason, and nothing is left behind.

mod common;

use common::{VOCAB, options, outcome, problems, reasoner, request, run};
use lethe_engine::{
    Core, EngineError, EngineOptions, Failure, Generation, RepetitionDetection, Request, Sampling, SubmitError,
};
use lethe_kernels::{Cpu, CpuOptions};
use lethe_kv::KvDtype;
use lethe_model::{CpuBackend, Model};

#[test]
fn every_bad_request_is_refused_by_name() {
    let model = reasoner(1);
    let mut core = Core::new(model, options(2)).unwrap();
    let good = problems()[0].prompt.clone();
    let mut refuse = |r: Request| {
        let (_, sink) = outcome();
        let e = core.submit(1, r, sink).unwrap_err();
        assert!(core.idle(), "nothing was queued");
        core.check_integrity().unwrap();
        e
    };
    let with = |generation: Generation| Request { generation, ..request(&good, "full", 5) };
    assert!(matches!(refuse(request(&[], "full", 5)), SubmitError::EmptyPrompt));
    assert!(matches!(
        refuse(request(&[1, 2, VOCAB], "full", 5)),
        SubmitError::TokenOutOfRange { index: 2, id: VOCAB, vocab: 800 }
    ));
    assert!(matches!(
        refuse(with(Generation { logprobs: Some(21), ..Generation::default() })),
        SubmitError::TooManyLogprobs { asked: 21 }
    ));
    assert!(matches!(
        refuse(Request { prompt_logprobs: Some(99), ..request(&good, "full", 5) }),
        SubmitError::TooManyLogprobs { asked: 99 }
    ));
    assert!(matches!(
        refuse(with(Generation { min_tokens: 6, max_tokens: Some(5), ..Generation::default() })),
        SubmitError::MinOverMax { min: 6, max: 5 }
    ));
    let rules = RepetitionDetection { max_pattern_size: 4, min_pattern_size: 1, min_count: 1 };
    let refused = refuse(with(Generation { repetition: Some(rules), ..Generation::default() })).to_string();
    assert!(refused.contains("min_count = 1") && refused.contains("at least 2"), "{refused}");
    let long = vec![5; 4096];
    assert!(matches!(refuse(request(&long, "full", 5)), SubmitError::PromptTooLong { needed: 4097, limit: 4096 }));
    let longer = vec![5; 4097]; // without an answer one more token fits
    assert!(matches!(refuse(request(&longer, "full", 0)), SubmitError::PromptTooLong { needed: 4097, limit: 4096 }));
    assert!(matches!(
        refuse(Request { system_tokens: 99_999, ..request(&good, "full", 5) }),
        SubmitError::SystemTooLong { .. }
    ));
    assert!(matches!(
        refuse(with(Generation { stop: vec![String::new()], ..Generation::default() })),
        SubmitError::EmptyStop
    ));
    let hot = Sampling { temperature: f32::NAN, ..Sampling::default() };
    assert!(matches!(refuse(with(Generation { sampling: hot, ..Generation::default() })), SubmitError::Sampling(_)));
    let small = refuse(request(&good, "lethe:cap=20,trigger=cap", 50)).to_string();
    assert!(small.contains("20") && small.contains(&good.len().to_string()), "both numbers: {small}");
    let clash = refuse(request(&good, "lethe:cap=200,budget=100", 50)).to_string();
    assert!(clash.contains("cap") && clash.contains("budget"), "{clash}");
    assert!(refuse(request(&good, "recency", 50)).to_string().contains("budget"));
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let model = reasoner(1);
    let prompt = problems()[0].prompt.clone();
    let tiny = EngineOptions { kv_memory: 1 << 20, ..options(1) };
    let mut core = Core::new(model, tiny).unwrap();
    let (_, sink) = outcome();
    match core.submit(1, request(&prompt, "full", 4000), sink).unwrap_err() {
        SubmitError::RequestTooLarge { needed, limit } => assert!(needed > limit && limit <= 1 << 20),
        other => panic!("{other}"),
    }
    // the same request forgets, and fits
    let (place, sink) = outcome();
    core.submit(2, request(&prompt, "recency:budget=16,interval=8", 4000), sink).unwrap();
    for _ in 0..200 {
        core.step();
    }
    core.check_integrity().unwrap();
    drop(core);
    assert!(place.lock().unwrap().failed.is_none());
}

#[test]
fn engines_of_no_size_are_refused() {
    let model = reasoner(1);
    let none = EngineOptions { kv_memory: 100, ..options(1) };
    assert!(matches!(Core::new(model.clone(), none), Err(EngineError::PoolTooSmall { needed: 12, .. })));
    let none = EngineOptions { max_num_seqs: 0, ..options(1) };
    assert!(matches!(Core::new(model.clone(), none), Err(EngineError::BadLimit(_))));
    let none = EngineOptions { max_batched_tokens: 1, ..options(2) };
    assert!(matches!(Core::new(model.clone(), none), Err(EngineError::BadLimit(_))));
    let none = EngineOptions { max_queue: 0, ..options(1) };
    assert!(matches!(Core::new(model.clone(), none), Err(EngineError::BadLimit(_))));
    let long = EngineOptions { max_model_len: Some(4097), ..options(1) };
    assert!(matches!(Core::new(model, long), Err(EngineError::TooLong { asked: 4097, limit: 4096 })));
}

/// The embedded model with one weight of layer 3 so large that its output overflows.
fn overflowing_model() -> Model<CpuBackend> {
    let files = lethe_reasoner::FILES;
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("config.json", files.config),
        ("tokenizer.json", files.tokenizer),
        ("tokenizer_config.json", files.tokenizer_config),
    ] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let tensors = safetensors::SafeTensors::deserialize(files.weights).unwrap();
    let name = "model.layers.3.mlp.down_proj.weight";
    let huge: Vec<u8> = std::iter::repeat_n(3e38f32.to_le_bytes(), 256 * 640).flatten().collect();
    let views: Vec<_> = tensors
        .tensors()
        .into_iter()
        .map(|(n, view)| {
            if n == name {
                let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![256, 640], &huge);
                (n, view.unwrap())
            } else {
                (n, view)
            }
        })
        .collect();
    safetensors::serialize_to_file(views, None, &dir.path().join("model.safetensors")).unwrap();
    let cpu = Cpu::new(CpuOptions { threads: Some(1), level: None }).unwrap();
    Model::from_dir(dir.path(), CpuBackend::new(cpu)).unwrap()
}

#[test]
fn logits_that_are_not_finite_end_that_request_and_name_the_layer() {
    let model = std::sync::Arc::new(overflowing_model());
    let prompt = &problems()[0].prompt;
    let position = prompt.len() as u32 - 1;
    for kv_dtype in [KvDtype::F32, KvDtype::F16, KvDtype::I8] {
        let options = EngineOptions { kv_dtype, ..options(1) };
        let o = run(&model, options.clone(), vec![request(prompt, "full", 5)]).remove(0);
        assert_eq!(o.failed, Some(Failure::NonFinite { position, layer: 3 }), "{kv_dtype:?}");
        // whoever wants to know of every token hears of the first
        let reads = Request { prompt_logprobs: Some(0), ..request(prompt, "full", 5) };
        let o = run(&model, options, vec![reads]).remove(0);
        assert_eq!(o.failed, Some(Failure::NonFinite { position: 0, layer: 3 }), "{kv_dtype:?}");
        assert!(o.prompt_logprobs.is_none());
    }
}
