//! The list of what is cached.

mod common;

use std::fs;

use common::{Bench, COMMIT, noise};

#[test]
fn what_is_there_is_listed_once_and_by_what_runs() {
    let bench = Bench::new();
    assert_eq!(
        lethe_hub::Hub::new(lethe_hub::HubOptions::new(bench.cache().join("absent"))).unwrap().cached().unwrap(),
        []
    );

    let next = "f".repeat(40);
    let model = noise(1000);
    let gguf: [(&str, &[u8]); 2] = [("x-Q4_K_M.gguf", &model), ("config.json", b"{}")];
    bench.mock.repo("org/gguf", "main", COMMIT, &gguf);
    bench.mock.repo("org/gguf", "dev", &next, &gguf);
    let folder: [(&str, &[u8]); 3] =
        [("config.json", b"{}"), ("model.safetensors", b"12345"), ("tokenizer.json", b"{}")];
    bench.mock.repo("org/folder", "main", COMMIT, &folder);
    bench.resolve("org/gguf").unwrap();
    bench.resolve("org/gguf@dev").unwrap();
    bench.resolve("org/folder").unwrap();
    bench.hub().config_json(&"org/gguf".parse().unwrap(), &mut |_| {}).unwrap();

    // Other programs' and nobody's files.
    for dir in
        ["datasets--a--b", "models--gpt2/snapshots", "models--org--empty/snapshots", "models--org--gguf/.no_exist"]
    {
        fs::create_dir_all(bench.cache().join(dir)).unwrap();
    }
    fs::write(bench.cache().join("models--org--file"), b"").unwrap();
    fs::write(bench.cache().join("version.txt"), b"1").unwrap();
    fs::write(bench.path("org/gguf", "snapshots/junk"), b"").unwrap();
    fs::write(bench.path("org/gguf", "refs/odd"), b"no commit").unwrap();
    fs::write(bench.path("org/gguf", "blobs/abc.incomplete"), b"half").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../../blobs/gone", bench.path("org/gguf", &format!("snapshots/{next}/gone.gguf")))
        .unwrap();

    let models = bench.hub().cached().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model.repo.as_str()).collect();
    assert_eq!(names, ["org/folder", "org/gguf"]);

    let [folder, gguf] = models.as_slice() else { unreachable!() };
    assert_eq!((folder.bytes, folder.partial_bytes), (5 + 2, 0), "two files of the same bytes are one blob");
    let [revision] = folder.revisions.as_slice() else { panic!("{folder:?}") };
    assert_eq!(revision.refs, ["main".parse().unwrap()]);
    assert_eq!(revision.files.len(), 3);
    let [runnable] = revision.runnable.as_slice() else { panic!("{folder:?}") };
    assert_eq!((runnable.reference.to_string().as_str(), runnable.bytes), ("org/folder", 5));

    assert_eq!((gguf.bytes, gguf.partial_bytes), (1002, 4));
    let runnable: Vec<String> = gguf
        .revisions
        .iter()
        .flat_map(|revision| &revision.runnable)
        .map(|model| model.reference.to_string())
        .collect();
    assert_eq!(runnable, ["org/gguf:x-Q4_K_M.gguf", "org/gguf@dev:x-Q4_K_M.gguf"]);
    for (revision, files) in gguf.revisions.iter().zip([2, 1]) {
        assert_eq!(revision.files.len(), files);
        assert!(revision.files.iter().all(|file| fs::metadata(&file.path).unwrap().len() == file.size));
    }
    // What is listed can be opened by its name.
    let offline = bench.offline();
    for model in models.iter().flat_map(|model| &model.revisions).flat_map(|revision| &revision.runnable) {
        assert_eq!(common::resolve(&offline, &model.reference.to_string()).unwrap().path, model.path);
    }
}

#[test]
fn half_of_a_model_does_not_run() {
    let bench = Bench::new();
    let parts: [(&str, &[u8]); 2] = [("x-Q8_0-00001-of-00002.gguf", b"one"), ("x-Q8_0-00002-of-00002.gguf", b"two")];
    bench.mock.repo("org/split", "main", COMMIT, &parts);
    let found = bench.resolve("org/split").unwrap();
    let runnable = || bench.hub().cached().unwrap()[0].revisions[0].runnable.clone();
    assert_eq!(runnable()[0].bytes, 6);
    assert_eq!(runnable()[0].path, found.path);
    fs::remove_file(&found.files[1]).unwrap();
    assert_eq!(runnable(), []);
}
