//! A Hugging Face folder written as GGUF is the same model.

mod common;
mod forward;

use std::path::Path;

use common::{MODELS, fixture, golden};
use forward::{backend, logits, worst};
use lethe_kernels::Level;
use lethe_kv::KvDtype;
use lethe_model::gguf::{ConvertError, convert};
use lethe_model::{GgmlType, Gguf, Model};

fn written(dir: &Path, dtype: GgmlType, out: &Path) -> lethe_model::gguf::Conversion {
    let mut heard = Vec::new();
    let file = std::fs::File::create(out).unwrap();
    let done = convert(dir, dtype, file, &mut |done, of| heard.push((done, of))).unwrap();
    let (last, of) = *heard.last().unwrap();
    assert!(last == of && heard.len() == of + 1, "progress is told tensor by tensor");
    done
}

#[test]
fn every_family_and_rope_type_survives() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.gguf");
    // one ramp of YaRN that no key of GGUF describes, and weights that f16 cannot hold
    let (told, rest): (Vec<&str>, Vec<&str>) = MODELS.iter().partition(|name| **name == "llama_yarn_mscale_bf16");
    for name in rest {
        let golden = golden(name);
        let done = written(&golden.dir, GgmlType::F16, &out);
        assert_eq!(done.notices.len(), 1, "no tokenizer: {:?}", done.notices);
        let folder = Model::from_dir(&golden.dir, backend(Level::best())).unwrap();
        let file = Model::open(&out, backend(Level::best())).unwrap();
        assert_eq!((&file.config.eos, file.max_positions), (&folder.config.eos, folder.max_positions), "{name}");
        let a = logits(&folder, &golden.ids, 64, KvDtype::F32, false);
        let b = logits(&file, &golden.ids, 64, KvDtype::F32, false);
        // the same weights; Llama's heads are summed in another order
        let worst = worst(&a, &b);
        assert!(worst <= 1e-4, "{name}: {worst}");
    }
    for name in told {
        let error = convert(&golden(name).dir, GgmlType::F16, Vec::new(), &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, ConvertError::NoKey(_)), "{error}");
    }
}

#[test]
fn rows_that_are_no_whole_blocks_become_f16() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.gguf");
    let done = written(&fixture("models/qwen3_qk_norm"), GgmlType::Q8_0, &out);
    assert!(done.notices.iter().any(|notice| notice.contains("blk.0.attn_q.weight") && notice.contains("48")));
    let file = Gguf::open(&out).unwrap();
    assert!(file.tensors().values().all(|tensor| tensor.dtype != GgmlType::Q8_0));
}

#[test]
fn what_cannot_be_written_is_named() {
    let convert = |dir: &Path, dtype: &str| {
        convert(dir, GgmlType::from_name(dtype).unwrap(), Vec::new(), &mut |_, _| {}).unwrap_err().to_string()
    };
    let model = fixture("models/llama_default");
    assert!(convert(&model, "Q6_K").contains("Q6_K"));
    assert!(convert(Path::new("/no/such/folder"), "Q8_0").contains("/no/such/folder"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(model.join("config.json"), dir.path().join("config.json")).unwrap();
    assert!(convert(dir.path(), "Q8_0").contains("safetensors"));
}

#[test]
fn nan_is_not_made_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixture("models/llama_default");
    std::fs::copy(model.join("config.json"), dir.path().join("config.json")).unwrap();
    let mut bytes = std::fs::read(model.join("model.safetensors")).unwrap();
    let end = bytes.len(); // the norm at the end of the file
    bytes[end - 2..].copy_from_slice(&0x7e00u16.to_le_bytes());
    std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    let error = convert(dir.path(), GgmlType::Q8_0, Vec::new(), &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("output_norm.weight") && error.contains("not finite"), "{error}");
}
