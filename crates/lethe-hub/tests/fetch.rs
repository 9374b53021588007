//! What is fetched, and where it lies afterwards.

mod common;

use std::fs;
use std::path::Path;

use common::{Bench, COMMIT, blob_id, file_target, git_id, list_target, noise, resolve, sha256, watched};
use lethe_hub::{FoundKind, Hub, HubOptions};

const REPO: &str = "org/name-GGUF";

#[test]
fn only_what_is_needed_is_asked_for_and_then_nothing() {
    let bench = Bench::new();
    let model = noise(1000);
    let files: [(&str, &[u8]); 4] =
        [("README.md", b"read"), ("x-Q4_K_M.gguf", &model), ("x-Q8_0.gguf", b"other"), ("mmproj-F16.gguf", b"eyes")];
    bench.mock.repo(REPO, "main", COMMIT, &files);

    let (found, events) = watched(&bench.hub(), REPO);
    let found = found.unwrap();
    assert_eq!(bench.mock.targets(), [list_target(REPO, "main"), file_target(REPO, "x-Q4_K_M.gguf")]);
    assert_eq!(found.path, bench.path(REPO, &format!("snapshots/{COMMIT}/x-Q4_K_M.gguf")));
    assert_eq!((found.kind, found.files.len()), (FoundKind::File, 1));
    assert_eq!(found.origin.as_ref().unwrap().commit, COMMIT);
    assert_eq!(fs::read(&found.path).unwrap(), model);
    assert_eq!(
        events,
        [
            "Listing",
            "Selected { files: 1, bytes: 1000 }",
            r#"Started { name: "x-Q4_K_M.gguf", size: 1000, resumed_from: 0 }"#,
            r#"Bytes { name: "x-Q4_K_M.gguf", done: 1000, size: 1000 }"#,
            r#"Done { name: "x-Q4_K_M.gguf", size: 1000 }"#,
        ]
    );

    for again in
        [REPO.to_owned(), format!("{REPO}:q4_k_m"), format!("{REPO}:x-Q4_K_M.gguf"), format!("{REPO}@{COMMIT}")]
    {
        let (cached, events) = watched(&bench.hub(), &again);
        assert_eq!(cached.unwrap().path, found.path, "{again}");
        assert!(events.is_empty(), "{events:?}");
    }
    assert!(bench.mock.targets().is_empty());
}

#[cfg(unix)]
#[test]
fn the_layout_is_that_of_huggingface_hub() {
    let bench = Bench::new();
    let (model, config) = (noise(100), b"{}");
    bench.mock.repo(REPO, "refs/pr/7", COMMIT, &[("sub/x-Q4_K_M.gguf", &model), ("config.json", config)]);
    let at = format!("{REPO}@refs/pr/7");
    bench.resolve(&at).unwrap();
    let config_path = bench.hub().config_json(&at.parse().unwrap(), &mut |_| {}).unwrap();

    assert_eq!(fs::read_to_string(bench.path(REPO, "refs/refs/pr/7")).unwrap(), COMMIT);
    let (big, small) = (sha256(&model), git_id(config));
    let link = |name: &str| fs::read_link(bench.path(REPO, &format!("snapshots/{COMMIT}/{name}"))).unwrap();
    assert_eq!(link("sub/x-Q4_K_M.gguf"), Path::new(&format!("../../../blobs/{big}")));
    assert_eq!(link("config.json"), Path::new(&format!("../../blobs/{small}")));
    assert_eq!(config_path, bench.path(REPO, &format!("snapshots/{COMMIT}/config.json")));
    let names = |dir: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let mut blobs = [big.clone(), small.clone()];
    blobs.sort();
    assert_eq!(names(&bench.path(REPO, "blobs")), blobs);
    assert_eq!(names(&bench.path(REPO, "")), ["blobs", "refs", "snapshots", "trees"]);
    assert_eq!(names(bench.cache()), [".locks", "models--org--name-GGUF"]);
    let mut locks = [format!("{big}.lock"), format!("{small}.lock")];
    locks.sort();
    assert_eq!(names(&bench.cache().join(".locks/models--org--name-GGUF")), locks);
}

#[test]
fn all_parts_of_a_split_model_come_and_the_first_is_opened() {
    let bench = Bench::new();
    let parts: Vec<String> = (1..=3).map(|part| format!("Q8_0/x-Q8_0-{part:05}-of-00003.gguf")).collect();
    let files: Vec<(&str, &[u8])> = parts.iter().rev().map(|name| (name.as_str(), name.as_bytes())).collect();
    bench.mock.repo(REPO, "main", COMMIT, &files);
    let found = bench.resolve(&format!("{REPO}:Q8_0")).unwrap();
    assert!(found.path.ends_with(&parts[0]), "{found:?}");
    assert_eq!(found.files.len(), 3);
    for (path, name) in found.files.iter().zip(&parts) {
        assert_eq!(&fs::read_to_string(path).unwrap(), name);
    }
    assert_eq!(bench.mock.targets().len(), 4);
    // A part that is lost is the only one to be fetched again.
    fs::remove_file(fs::canonicalize(&found.files[1]).unwrap()).unwrap();
    bench.resolve(&format!("{REPO}:Q8_0")).unwrap();
    assert_eq!(bench.mock.targets(), [list_target(REPO, "main"), file_target(REPO, &parts[1])]);
}

#[test]
fn a_folder_is_what_runs_and_nothing_else() {
    let bench = Bench::new();
    let names = [
        "README.md",
        "config.json",
        "consolidated.safetensors",
        "generation_config.json",
        "model.safetensors",
        "original/model.safetensors",
        "pytorch_model.bin",
        "tokenizer.json",
        "vocab.json",
    ];
    let files = names.map(|name| (name, name.as_bytes()));
    bench.mock.repo(REPO, "main", COMMIT, &files);
    let found = bench.resolve(REPO).unwrap();
    assert_eq!((found.kind, &found.path), (FoundKind::Folder, &bench.path(REPO, &format!("snapshots/{COMMIT}"))));
    let mut expected = vec![list_target(REPO, "main")];
    let taken = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"];
    expected.extend(taken.map(|name| file_target(REPO, name)));
    assert_eq!(bench.mock.targets(), expected);
    assert_eq!(resolve(&bench.offline(), REPO).unwrap(), found);
}

#[test]
fn the_index_says_which_shards() {
    let bench = Bench::new();
    let index = br#"{"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#;
    let files: [(&str, &[u8]); 6] = [
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index),
        ("model-1.safetensors", b"1"),
        ("model-2.safetensors", b"2"),
        ("model-3.safetensors", b"an orphan"),
        ("tokenizer.json", b"{} "),
    ];
    bench.mock.repo(REPO, "main", COMMIT, &files);
    let found = bench.resolve(REPO).unwrap();
    let fetched =
        ["model.safetensors.index.json", "config.json", "tokenizer.json", "model-1.safetensors", "model-2.safetensors"];
    let mut expected = vec![list_target(REPO, "main")];
    expected.extend(fetched.map(|name| file_target(REPO, name)));
    assert_eq!(bench.mock.targets(), expected);
    assert_eq!(found.files.len(), 5);
    assert_eq!(bench.resolve(REPO).unwrap(), found);
    assert!(bench.mock.targets().is_empty());
}

#[test]
fn an_index_can_name_no_other_place() {
    for (shard, words) in [("../../../x.safetensors", "outside the cache"), ("absent.safetensors", "does not have")] {
        let bench = Bench::new();
        let index = format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#);
        let files: [(&str, &[u8]); 2] = [("config.json", b"{}"), ("model.safetensors.index.json", index.as_bytes())];
        bench.mock.repo(REPO, "main", COMMIT, &files);
        common::refused(bench.resolve(REPO), &[words]);
    }
}

#[test]
fn an_update_fetches_what_changed_and_keeps_what_did_not() {
    let bench = Bench::new();
    let next = "f".repeat(40);
    bench.mock.repo(REPO, "main", COMMIT, &[("x-Q4_K_M.gguf", b"four"), ("x-Q8_0.gguf", b"eight")]);
    bench.resolve(REPO).unwrap();
    bench.mock.repo(REPO, "main", &next, &[("x-Q4_K_M.gguf", b"four"), ("x-Q8_0.gguf", b"better")]);
    bench.mock.targets();

    // Cached is preferred.
    assert_eq!(bench.resolve(REPO).unwrap().origin.unwrap().commit, COMMIT);
    assert!(bench.mock.targets().is_empty());
    // Another file moves the ref, and takes along what both commits share.
    assert_eq!(bench.resolve(&format!("{REPO}:Q8_0")).unwrap().origin.unwrap().commit, next);
    assert_eq!(bench.mock.targets(), [list_target(REPO, "main"), format!("/{REPO}/resolve/{next}/x-Q8_0.gguf")]);
    assert_eq!(resolve(&bench.offline(), REPO).unwrap().origin.unwrap().commit, next);
    // The old commit is still there by its name.
    assert_eq!(bench.resolve(&format!("{REPO}@{COMMIT}")).unwrap().origin.unwrap().commit, COMMIT);
    assert!(bench.mock.targets().is_empty());
}

#[test]
fn refresh_asks_and_fetches_only_news() {
    let bench = Bench::new();
    bench.mock.repo(REPO, "main", COMMIT, &[("x-Q4_K_M.gguf", b"four")]);
    bench.resolve(REPO).unwrap();
    bench.mock.targets();
    let hub = Hub::new(HubOptions { refresh: true, ..bench.options() }).unwrap();
    let (found, events) = watched(&hub, REPO);
    assert_eq!(found.unwrap().origin.unwrap().commit, COMMIT);
    assert_eq!(events, ["Listing"]);
    assert_eq!(bench.mock.targets(), [list_target(REPO, "main")]);
}

#[test]
fn without_symlinks_the_files_are_there_all_the_same() {
    let bench = Bench::new();
    bench.mock.repo(REPO, "main", COMMIT, &[("x-Q4_K_M.gguf", b"four")]);
    let hub = Hub::new(HubOptions { symlinks: false, ..bench.options() }).unwrap();
    let found = resolve(&hub, REPO).unwrap();
    assert!(fs::read_link(&found.path).is_err());
    assert_eq!(fs::read(&found.path).unwrap(), b"four");
    assert_eq!(hub.cached().unwrap()[0].bytes, 4);
}

#[test]
fn the_cache_of_another_program_is_used() {
    let bench = Bench::new();
    let put = |name: &str, bytes: &[u8]| {
        let path = bench.path(REPO, &format!("snapshots/{COMMIT}/{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("x-UD-Q4_K_M.gguf", b"variant");
    fs::create_dir_all(bench.path(REPO, "refs")).unwrap();
    fs::write(bench.path(REPO, "refs/main"), COMMIT).unwrap();
    // Without the list of files, a plain Q4_K_M may exist on the hub; offline, what is there is what there is.
    bench.mock.repo(REPO, "main", COMMIT, &[("x-Q4_K_M.gguf", b"plain"), ("x-UD-Q4_K_M.gguf", b"variant")]);
    assert!(resolve(&bench.offline(), REPO).unwrap().path.ends_with("x-UD-Q4_K_M.gguf"));
    assert!(bench.resolve(&format!("{REPO}:UD-Q4_K_M")).unwrap().path.ends_with("x-UD-Q4_K_M.gguf"));
    assert!(bench.mock.targets().is_empty());
    assert!(bench.resolve(REPO).unwrap().path.ends_with("x-Q4_K_M.gguf"));
    assert_eq!(bench.mock.targets().len(), 2);
}

#[test]
fn local_models_need_no_hub() {
    let bench = Bench::new();
    let dir = bench.cache().to_str().unwrap();
    let file = format!("{dir}/x.gguf");
    fs::write(&file, b"x").unwrap();
    let found = bench.resolve(&file).unwrap();
    assert_eq!((found.kind, found.path.to_str()), (FoundKind::File, Some(file.as_str())));
    assert_eq!(bench.resolve(dir).unwrap().kind, FoundKind::Folder);
    common::refused(bench.resolve(&format!("{dir}/absent")), &["no file or folder", "absent"]);
    assert!(bench.mock.targets().is_empty());
}

#[test]
fn empty_files_are_files() {
    let bench = Bench::new();
    bench.mock.repo(REPO, "main", COMMIT, &[("config.json", b"")]);
    let path = bench.hub().config_json(&REPO.parse().unwrap(), &mut |_| {}).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"");
    assert_eq!(bench.mock.targets(), [list_target(REPO, "main")]);
    assert!(bench.path(REPO, &format!("blobs/{}", blob_id("config.json", b""))).exists());
}
