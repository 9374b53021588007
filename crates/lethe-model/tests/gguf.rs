//! GGUF files: the same logits as transformers, the same ids as llama.cpp, and every way in which a file can be wrong.

mod common;
mod forward;

use std::path::PathBuf;

use common::{Golden, fixture, read_golden};
use forward::{backend, exact, levels, logits, worst};
use lethe_kernels::Level;
use lethe_kv::KvDtype;
use lethe_model::{CpuBackend, GenerationConfig, GgmlType, Gguf, GgufWriter, LoadError, Model};

const MODELS: [&str; 5] = ["llama_f32", "llama_blocks", "mistral_f16", "qwen2_k", "qwen3_q8"];

fn path(name: &str) -> PathBuf {
    fixture("gguf").join(format!("{name}.gguf"))
}

fn golden(name: &str) -> Golden {
    read_golden(&fixture("gguf").join(format!("{name}.golden.safetensors")), path(name))
}

fn open(path: impl AsRef<std::path::Path>) -> Result<Model<CpuBackend>, LoadError> {
    Model::open(path, backend(Level::best()))
}

#[test]
fn logits_equal_those_of_transformers_on_the_dequantised_weights() {
    for name in MODELS {
        let golden = golden(name);
        for level in levels() {
            let model = Model::open(path(name), exact(level)).unwrap();
            let whole = logits(&model, &golden.ids, 64, KvDtype::F32, false);
            let worst = worst(&whole, &golden.logits);
            // f16 stands for the types that were converted
            let tolerance = if model.notices.is_empty() { 2e-3 } else { 2e-2 };
            assert!(worst <= tolerance, "{name} at {level}: {worst}");
            for chunk in [1, 7, 33] {
                let parts = logits(&model, &golden.ids, chunk, KvDtype::F32, true);
                assert!(parts == whole, "{name} at {level}: the same bits in chunks of {chunk}");
            }
        }
    }
}

#[test]
fn packed_weights_stay_close_and_give_the_same_bits_in_chunks() {
    for name in ["llama_blocks", "qwen2_k", "qwen3_q8"] {
        let golden = golden(name);
        for level in levels() {
            let model = Model::open(path(name), backend(level)).unwrap();
            let whole = logits(&model, &golden.ids, 64, KvDtype::F32, false);
            let squares = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>();
            let error = squares(&mut whole.iter().zip(&golden.logits).map(|(a, b)| a - b));
            let error = (error / squares(&mut golden.logits.iter().copied())).sqrt();
            assert!(error > 0.0 && error < 0.05, "{name} at {level}: {error}");
            for chunk in [1, 7, 33] {
                let parts = logits(&model, &golden.ids, chunk, KvDtype::F32, true);
                assert!(parts == whole, "{name} at {level}: the same bits in chunks of {chunk}");
            }
        }
    }
}

#[test]
fn packed_weights_leave_their_file() {
    let stored = Model::open(path("qwen3_q8"), exact(Level::best())).unwrap();
    let packed = open(path("qwen3_q8")).unwrap();
    assert_eq!(stored.weight_bytes, packed.weight_bytes);
    assert_eq!(packed.mapped_bytes, 0);
    // all but the norms, which are always copied
    assert!(stored.mapped_bytes > stored.weight_bytes * 9 / 10 && stored.mapped_bytes < stored.weight_bytes);
}

#[test]
fn types_that_are_converted_are_told() {
    let notices = open(path("qwen2_k")).unwrap().notices.join("\n");
    for word in ["Q5_K", "Q3_K", "Q2_K", "f16"] {
        assert!(notices.contains(word), "{word}: {notices}");
    }
    assert!(open(path("qwen3_q8")).unwrap().notices.is_empty());
}

#[test]
fn ids_equal_those_of_llama_cpp_for_every_pre_tokenizer() {
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("gguf/vocab.json")).unwrap()).unwrap();
    let texts = golden["texts"].as_array().unwrap();
    for (pre, ids) in golden["ids"].as_object().unwrap() {
        let tokenizer = vocabulary(&path(&format!("vocab_{pre}")));
        for (text, ids) in texts.iter().zip(ids.as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let expected: Vec<u32> = ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{pre}: {text:?}");
            assert_eq!(tokenizer.decode(&expected, false).unwrap(), text, "{pre}");
        }
    }
}

#[test]
fn ids_equal_those_of_sentencepiece() {
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture("tokenizers/spm.json")).unwrap()).unwrap();
    let tokenizer = vocabulary(&fixture("tokenizers/spm.gguf"));
    for case in golden.as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let expected: Vec<u32> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode(text, false).unwrap(), expected, "{text:?}");
    }
    let with_bos = tokenizer.encode("a", true).unwrap();
    assert_eq!(with_bos[0], 1, "SentencePiece models begin with bos");
}

/// The tokenizer of a file without tensors.
fn vocabulary(path: &std::path::Path) -> lethe_model::Tokenizer {
    lethe_model::gguf::tokenizer(&Gguf::open(path).unwrap()).unwrap().unwrap()
}

/// The metadata of a one-layer model of the Llama architecture.
fn metadata(arch: &str) -> GgufWriter {
    let mut w = GgufWriter::default();
    w.text("general.architecture", arch);
    for (key, value) in [
        ("context_length", 64),
        ("embedding_length", 32),
        ("block_count", 1),
        ("feed_forward_length", 32),
        ("attention.head_count", 2),
    ] {
        w.size(&format!("{arch}.{key}"), value);
    }
    w.number(&format!("{arch}.attention.layer_norm_rms_epsilon"), 1e-5);
    w
}

const NAMES: [&str; 7] = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"];

/// Its tensors, all zero.
fn tensors(w: &mut GgufWriter) {
    w.tensor("token_embd.weight", GgmlType::Q8_0, &[4, 32]);
    for name in NAMES {
        w.tensor(&format!("blk.0.{name}.weight"), GgmlType::Q8_0, &[32, 32]);
    }
    for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
        w.tensor(&format!("{name}.weight"), GgmlType::F32, &[32]);
    }
}

fn bytes(w: &GgufWriter) -> Vec<u8> {
    let mut bytes = Vec::new();
    let sizes: Vec<usize> = std::iter::once(4 * 34).chain([32 * 34; 7]).chain([32 * 4; 3]).collect();
    w.write(&mut bytes, |i, out| out.write_all(&vec![0; sizes.get(i).copied().unwrap_or(0)])).unwrap();
    bytes
}

fn try_bytes(bytes: &[u8]) -> Result<Model<CpuBackend>, LoadError> {
    let file = tempfile::Builder::new().suffix(".gguf").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    open(file.path())
}

#[track_caller]
fn refused(result: Result<Model<CpuBackend>, LoadError>, words: &[&str]) {
    let Err(error) = result else { panic!("a bad file was loaded") };
    let error = error.to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(error.contains(".gguf"), "the file is named: {error}");
}

/// A sound model with something more in its metadata.
fn with(change: impl FnOnce(&mut GgufWriter)) -> Result<Model<CpuBackend>, LoadError> {
    let mut w = metadata("llama");
    change(&mut w);
    tensors(&mut w);
    try_bytes(&bytes(&w))
}

#[test]
fn a_written_file_is_read() {
    let model = with(|w| w.number("general.sampling.temp", 0.6)).unwrap();
    assert_eq!((model.config.n_kv_heads, model.config.vocab_size, model.max_positions), (2, 4, 64));
    assert!(model.config.tie_word_embeddings && model.tokenizer.is_none());
    assert_eq!(model.generation, GenerationConfig { do_sample: true, temperature: 0.6, ..Default::default() });
}

#[test]
fn damaged_headers_are_typed_errors() {
    let mut w = metadata("llama");
    tensors(&mut w);
    let good = bytes(&w);
    let patched = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        try_bytes(&bytes)
    };
    refused(patched(0, b"GGML"), &["not a GGUF file", "GGML"]);
    refused(patched(4, &1u32.to_le_bytes()), &["version 1"]);
    refused(patched(4, &3u32.to_be_bytes()), &["big-endian"]);
    refused(patched(8, &(1u64 << 60).to_le_bytes()), &["1152921504606846976 tensors"]);
    refused(patched(16, &(1u64 << 60).to_le_bytes()), &["1152921504606846976 metadata keys"]);
    refused(patched(24, &(1u64 << 60).to_le_bytes()), &["bytes of a string"]);
    for cut in [3, 10, 30, 200, good.len() - 400] {
        refused(try_bytes(&good[..cut]), &["truncated"]);
    }
    let find = |name: &str| good.windows(name.len()).rposition(|w| w == name.as_bytes()).unwrap() + name.len();
    let norm = find("output_norm.weight"); // then: dimensions, extents, type, offset
    refused(patched(norm, &9u32.to_le_bytes()), &["output_norm.weight", "9 dimensions"]);
    refused(patched(norm + 4, &(1u64 << 62).to_le_bytes()), &["output_norm.weight", "absurdly large"]);
    refused(patched(norm + 12, &999u32.to_le_bytes()), &["output_norm.weight", "999"]);
    refused(patched(norm + 12, &16u32.to_le_bytes()), &["output_norm.weight", "IQ2_XXS"]);
    refused(patched(norm + 16, &(1u64 << 40).to_le_bytes()), &["output_norm.weight", "truncated"]);
    refused(patched(norm + 16, &7u64.to_le_bytes()), &["output_norm.weight", "alignment"]);
    refused(patched(norm + 16, &u64::MAX.to_le_bytes()), &["output_norm.weight", "absurdly large"]);
    let error = open("/no/such/model.gguf").err().unwrap().to_string();
    assert!(error.contains("/no/such/model.gguf"), "{error}");
}

#[test]
fn alignments_that_no_reader_could_use_are_refused() {
    for alignment in [0, 1, 4, 48, 1 << 21] {
        refused(with(|w| w.size("general.alignment", alignment)), &["general.alignment"]);
    }
}

#[test]
fn what_ends_a_turn_ends_it_whatever_its_type_says() {
    let model = with(|w| {
        w.text("tokenizer.ggml.model", "gpt2");
        w.text("tokenizer.ggml.pre", "gpt-2");
        w.texts("tokenizer.ggml.tokens", &["a", "b", "ab", "<|im_end|>"]);
        w.texts("tokenizer.ggml.merges", &["a b"]);
        w.sizes("tokenizer.ggml.token_type", &[1; 4]);
        w.size("tokenizer.ggml.padding_token_id", 77); // of no use, and no reason to refuse
    })
    .unwrap();
    assert_eq!(model.end_ids, [3]);
    let tokenizer = model.tokenizer.unwrap();
    assert_eq!(tokenizer.encode("ab<|im_end|>", false).unwrap(), [2, 3]);
    assert!(tokenizer.is_special(3), "it is no text");
}

#[test]
fn what_the_graph_does_not_compute_is_refused_by_name() {
    let mut w = metadata("mamba");
    tensors(&mut w);
    refused(try_bytes(&bytes(&w)), &["mamba", "llama"]);
    refused(with(|w| w.size("llama.expert_count", 8)), &["experts", "8"]);
    refused(with(|w| w.size("llama.attention.sliding_window", 16)), &["sliding window", "16"]);
    refused(with(|w| w.number("llama.final_logit_softcapping", 30.0)), &["final_logit_softcapping"]);
    refused(with(|w| w.size("llama.rope.dimension_count", 8)), &["rope.dimension_count"]);
    refused(with(|w| w.text("llama.rope.scaling.type", "longrope")), &["longrope"]);
    refused(with(|w| w.text("llama.rope.scaling.type", "yarn")), &["llama.rope.scaling.factor"]);
}

#[test]
fn tensors_must_be_those_of_the_graph() {
    let mut w = metadata("llama");
    tensors(&mut w);
    w.tensor("blk.0.ffn_gate.scale", GgmlType::F32, &[0]);
    refused(try_bytes(&bytes(&w)), &["blk.0.ffn_gate.scale"]);
    let mut w = metadata("llama");
    w.tensor("token_embd.weight", GgmlType::Q8_0, &[4, 32]);
    refused(try_bytes(&bytes(&w)), &["blk.0.attn_norm.weight"]);
    let mut w = metadata("llama");
    w.size("llama.attention.key_length", 4);
    tensors(&mut w);
    refused(try_bytes(&bytes(&w)), &["blk.0.attn_q.weight", "32"]);
    let mut w = metadata("llama");
    tensors(&mut w);
    let mut bytes = bytes(&w);
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    refused(try_bytes(&bytes), &["output_norm.weight", "not finite"]);
}

#[test]
fn tokenizers_that_are_not_whole_are_refused_by_name() {
    let bpe = |w: &mut GgufWriter| {
        w.text("tokenizer.ggml.model", "gpt2");
        w.text("tokenizer.ggml.pre", "gpt-2");
        w.texts("tokenizer.ggml.tokens", &["a", "b", "ab", "<e>"]);
    };
    refused(with(bpe), &["tokenizer.ggml.merges"]);
    let merged = |w: &mut GgufWriter| {
        bpe(w);
        w.texts("tokenizer.ggml.merges", &["a b"]);
    };
    assert_eq!(with(merged).unwrap().tokenizer.unwrap().encode("ab", false).unwrap(), [2]);
    refused(with(|w| (bpe(w), w.texts("tokenizer.ggml.merges", &["a"])).1), &["merge 0"]);
    refused(with(|w| (bpe(w), w.texts("tokenizer.ggml.merges", &["a q"])).1), &["q"]);
    // a merge into what is no token
    refused(with(|w| (bpe(w), w.texts("tokenizer.ggml.merges", &["b a"])).1), &["merge 0", "b a"]);
    let twice = |w: &mut GgufWriter| {
        w.text("tokenizer.ggml.model", "gpt2");
        w.texts("tokenizer.ggml.tokens", &["a", "b", "a"]);
    };
    refused(with(twice), &["\"a\"", "twice"]);
    refused(with(|w| (merged(w), w.sizes("tokenizer.ggml.token_type", &[1])).1), &["token_type", "4"]);
    refused(with(|w| (merged(w), w.size("tokenizer.ggml.eos_token_id", 9)).1), &["eos_token_id", "9"]);
    refused(with(|w| (merged(w), w.flag("tokenizer.ggml.add_bos_token", true)).1), &["bos_token_id"]);
    refused(with(|w| (merged(w), w.text("tokenizer.chat_template", "{% if %}")).1), &["template"]);
    refused(with(|w| w.text("tokenizer.ggml.model", "bert")), &["bert"]);
    refused(with(|w| w.text("tokenizer.ggml.model", "gpt2")), &["tokenizer.ggml.tokens"]);
    refused(with(|w| w.size("tokenizer.ggml.model", 1)), &["tokenizer.ggml.model", "string"]);
    let unknown = |w: &mut GgufWriter| {
        w.text("tokenizer.ggml.model", "gpt2");
        w.text("tokenizer.ggml.pre", "newest");
        w.texts("tokenizer.ggml.tokens", &["a"]);
        w.texts("tokenizer.ggml.merges", &["a b"]);
    };
    refused(with(unknown), &["newest", "qwen2", "llama-bpe"]);
    let many = |w: &mut GgufWriter| {
        w.text("tokenizer.ggml.model", "gpt2");
        w.text("tokenizer.ggml.pre", "gpt-2");
        w.texts("tokenizer.ggml.tokens", &["a", "b", "c", "d", "e", "ab"]);
        w.texts("tokenizer.ggml.merges", &["a b"]);
    };
    refused(with(many), &["6 tokens", "4"]);
}

#[test]
fn of_several_files_one_must_be_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(path("qwen3_q8"), dir.path().join("a.gguf")).unwrap();
    assert_eq!(open(dir.path()).unwrap().config.n_layers, 2);
    std::fs::copy(path("qwen3_q8"), dir.path().join("b.gguf")).unwrap();
    let error = open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("a.gguf") && error.contains("b.gguf"), "{error}");
}

#[test]
fn a_split_model_is_opened_by_its_first_file() {
    let dir = tempfile::tempdir().unwrap();
    let part = |n: usize| dir.path().join(format!("m-{n:05}-of-00002.gguf"));
    let numbered = |w: &mut GgufWriter, n: usize| {
        w.size("split.no", n);
        w.size("split.count", 2);
        w.size("split.tensors.count", 11);
    };
    let (mut first, mut second) = (metadata("llama"), GgufWriter::default());
    numbered(&mut first, 0);
    first.tensor("token_embd.weight", GgmlType::Q8_0, &[4, 32]);
    numbered(&mut second, 1);
    for name in NAMES {
        second.tensor(&format!("blk.0.{name}.weight"), GgmlType::Q8_0, &[32, 32]);
    }
    for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
        second.tensor(&format!("{name}.weight"), GgmlType::F32, &[32]);
    }
    let mut file = Vec::new();
    first.write(&mut file, |_, out| out.write_all(&[0; 4 * 34])).unwrap();
    std::fs::write(part(1), file).unwrap();
    let error = open(part(1)).err().unwrap().to_string();
    assert!(error.contains("m-00002-of-00002.gguf"), "{error}");
    let mut file = Vec::new();
    let size = |i| if i < 7 { 32 * 34 } else { 32 * 4 };
    second.write(&mut file, |i, out| out.write_all(&vec![0; size(i)])).unwrap();
    std::fs::write(part(2), file).unwrap();
    assert_eq!(open(part(1)).unwrap().config.n_layers, 1);
    assert_eq!(open(dir.path()).unwrap().config.n_layers, 1, "a folder with one split model");
    let error = open(part(2)).err().unwrap().to_string();
    assert!(error.contains("-00001-of-00002"), "{error}");
}
