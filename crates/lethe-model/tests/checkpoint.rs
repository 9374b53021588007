//! Safetensors: what is read, and every way in which a file or an index can be wrong.

use std::path::Path;

use lethe_model::{Checkpoint, CheckpointError, Dtype};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

/// A file with this header in front of `data` bytes.
fn file(header: impl AsRef<[u8]>, data: usize) -> Vec<u8> {
    let header = header.as_ref();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend((0..data).map(|i| i as u8));
    bytes
}

fn tensor(dtype: &str, shape: &[usize], start: usize, end: usize) -> Value {
    json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]})
}

/// A directory with these bytes as `model.safetensors`.
fn single(bytes: &[u8]) -> TempDir {
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    dir
}

fn open(header: Value, data: usize) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(single(&file(header.to_string(), data)).path())
}

/// Two shards, `a.safetensors` with `x` and `b.safetensors` with `y`, and an index.
fn sharded(weight_map: Value) -> TempDir {
    let dir = tempdir().unwrap();
    for (shard, name) in [("a.safetensors", "x"), ("b.safetensors", "y")] {
        let header = json!({name: tensor("F16", &[2], 0, 4), "other": tensor("F16", &[1], 4, 6)});
        std::fs::write(dir.path().join(shard), file(header.to_string(), 6)).unwrap();
    }
    write_index(dir.path(), &json!({"metadata": {}, "weight_map": weight_map}).to_string());
    dir
}

fn write_index(dir: &Path, text: &str) {
    std::fs::write(dir.join("model.safetensors.index.json"), text).unwrap();
}

#[track_caller]
fn refused(result: Result<Checkpoint, CheckpointError>, words: &[&str]) {
    let error = result.unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn views_are_where_the_tensors_lie() {
    let header = json!({"__metadata__": {"format": "pt"}, "b": tensor("F32", &[2, 1], 6, 14),
        "a": tensor("BF16", &[3], 0, 6), "c": tensor("F16", &[0], 14, 14)});
    let weights = open(header, 14).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(weights.contains("a") && !weights.contains("__metadata__"));
    let a = weights.tensor("a").unwrap();
    assert_eq!((a.dtype, a.shape.as_slice(), a.bytes()), (Dtype::Bf16, &[3][..], &[0, 1, 2, 3, 4, 5][..]));
    let b = weights.tensor("b").unwrap();
    assert_eq!((b.dtype, b.shape.as_slice(), b.bytes()[0]), (Dtype::F32, &[2, 1][..], 6));
    assert!(weights.tensor("c").unwrap().bytes().is_empty());
    drop(weights);
    assert_eq!(b.bytes().len(), 8); // a view keeps its file
}

#[test]
fn embedded_weights_are_read_like_a_file() {
    let whole = file(json!({"a": tensor("F32", &[1], 0, 4)}).to_string(), 4).leak();
    assert_eq!(Checkpoint::from_static(whole).unwrap().tensor("a").unwrap().bytes(), [0, 1, 2, 3]);
    refused(Checkpoint::from_static(&whole[..whole.len() - 1]), &["(embedded weights) is truncated"]);
}

#[test]
fn shards_are_followed_and_unlisted_tensors_left_out() {
    let dir = sharded(json!({"x": "a.safetensors", "y": "b.safetensors"}));
    let weights = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(weights.names().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(weights.tensor("y").unwrap().bytes(), [0, 1, 2, 3]);
}

#[test]
fn missing_tensors_come_with_the_nearest_names() {
    let header = json!({"model.layers.0.mlp.up_proj.weight": tensor("F16", &[1], 0, 2),
        "model.layers.0.mlp.down_proj.weight": tensor("F16", &[1], 2, 4), "lm_head.weight": tensor("F16", &[1], 4, 6),
        "model.norm.weight": tensor("F16", &[1], 6, 8)});
    let weights = open(header, 8).unwrap();
    let error = weights.tensor("layers.0.mlp.up_proj.weight").unwrap_err();
    let CheckpointError::MissingTensor { name, nearest } = &error else { panic!("{error}") };
    assert_eq!(name, "layers.0.mlp.up_proj.weight");
    assert_eq!(nearest[0], "model.layers.0.mlp.up_proj.weight");
    assert_eq!(nearest.len(), 3);
    assert!(error.to_string().contains("model.layers.0.mlp.up_proj.weight"));
}

#[test]
fn other_types_and_shapes_are_named_when_asked_for() {
    let header = json!({"w": tensor("F8_E4M3", &[4], 0, 4), "i": tensor("I64", &[1], 4, 12), "f": tensor("F32", &[2, 1], 12, 20)});
    let weights = open(header, 20).unwrap();
    for (name, dtype) in [("w", "F8_E4M3"), ("i", "I64")] {
        let error = weights.tensor(name).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(dtype) && error.contains("BF16"), "{error}");
    }
    assert!(weights.tensor_of_shape("f", &[2, 1]).is_ok());
    let error = weights.tensor_of_shape("f", &[1, 2]).unwrap_err().to_string();
    assert!(error.contains("tensor f") && error.contains("[2, 1]") && error.contains("[1, 2]"), "{error}");
}

#[test]
fn truncated_files_say_how_much_is_missing() {
    let whole = file(json!({"a": tensor("F32", &[4], 0, 16)}).to_string(), 16);
    assert!(Checkpoint::open(single(&whole).path()).is_ok());
    for length in (1..whole.len()).rev() {
        let error = Checkpoint::open(single(&whole[..length]).path()).unwrap_err();
        assert!(
            matches!(error, CheckpointError::Truncated { needed, found, .. } if found == length && needed > found),
            "{length}: {error}"
        );
    }
    refused(Checkpoint::open(single(&[]).path()), &["model.safetensors"]);
}

#[test]
fn corrupt_headers_are_refused() {
    let corrupt = |bytes: &[u8], words: &[&str]| refused(Checkpoint::open(single(bytes).path()), words);
    corrupt(&u64::MAX.to_le_bytes(), &["corrupt header", "18446744073709551615"]);
    corrupt(&200_000_000u64.to_le_bytes(), &["corrupt header", "200000000"]);
    corrupt(&file("{not json", 0), &["corrupt header"]);
    corrupt(&file("[]", 0), &["corrupt header"]);
    corrupt(&file([0xFF, 0xFF], 0), &["corrupt header"]);
    corrupt(&file(r#"{"a": {"dtype": "F99", "shape": [], "data_offsets": [0, 4]}}"#, 4), &["corrupt header", "F99"]);
    corrupt(&file(r#"{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}"#, 4), &["corrupt header"]);
    corrupt(&file(r#"{"a": {"dtype": "F32", "data_offsets": [0, 4]}}"#, 4), &["corrupt header", "shape"]);
    // Longer than its tensors.
    refused(open(json!({"a": tensor("F32", &[1], 0, 4)}), 5), &["corrupt header", "end at byte"]);
}

#[test]
fn offsets_must_cover_the_data_once() {
    let pair = |first: [usize; 2], second: [usize; 2]| json!({"a": tensor("F32", &[2], first[0], first[1]), "b": tensor("F32", &[2], second[0], second[1])});
    assert!(open(pair([0, 8], [8, 16]), 16).is_ok());
    for offsets in [pair([0, 8], [4, 12]), pair([0, 8], [12, 20]), pair([8, 0], [8, 16])] {
        refused(open(offsets, 20), &["corrupt header", "offset"]);
    }
    refused(open(json!({"a": tensor("F32", &[3], 0, 8)}), 8), &["corrupt header"]);
    refused(open(json!({"a": tensor("F32", &[usize::MAX, 2], 0, 8)}), 8), &["corrupt header"]);
    let far = usize::MAX - 3;
    refused(open(json!({"a": tensor("F32", &[1 << 62], 0, far)}), 8), &["model.safetensors"]);
    // Out of range, but consistent in itself.
    refused(open(json!({"a": tensor("F32", &[1 << 40], 0, 1 << 42)}), 8), &["truncated"]);
    refused(open(json!({"a": tensor("F16", &[1 << 62], 0, 1usize << 63)}), 8), &["corrupt header", "overflow"]);
}

#[test]
fn a_directory_without_weights_says_what_was_looked_for() {
    refused(Checkpoint::open(tempdir().unwrap().path()), &["model.safetensors", "index.json"]);
    refused(Checkpoint::open("/no/such/directory"), &["/no/such/directory"]);
}

#[test]
fn bad_indices_are_refused() {
    let bad = |map: Value, words: &[&str]| refused(Checkpoint::open(sharded(map).path()), words);
    bad(json!({"x": "a.safetensors", "y": "c.safetensors"}), &["c.safetensors is missing"]);
    bad(json!({"x": "b.safetensors"}), &["tensor x", "b.safetensors", "lacks"]);
    bad(json!({"x": 3}), &["weight_map.x", "a string"]);
    bad(json!({"x": null}), &["index.json"]);
    bad(json!([1]), &["`weight_map`", "an object"]);
    for path in [
        "../a.safetensors",
        "/etc/passwd",
        "sub/a.safetensors",
        "..",
        ".",
        "",
        "./a.safetensors",
        "a\\b",
        "a.safetensors/",
    ] {
        bad(json!({"x": path}), &["shard", "same directory", "index.json"]);
    }
    let dir = sharded(json!({}));
    write_index(dir.path(), "{}");
    refused(Checkpoint::open(dir.path()), &["no `weight_map`"]);
    write_index(dir.path(), "{");
    refused(Checkpoint::open(dir.path()), &["index.json", "not valid JSON"]);
}

#[test]
fn one_truncated_shard_is_named() {
    let dir = sharded(json!({"x": "a.safetensors", "y": "b.safetensors"}));
    let path = dir.path().join("b.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    refused(Checkpoint::open(dir.path()), &["b.safetensors is truncated"]);
}
