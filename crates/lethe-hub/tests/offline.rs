//! Offline: what is cached is used, what is missing is said, nothing is asked.

mod common;

use std::fs;

use common::{Bench, COMMIT, refused, resolve};

const REPO: &str = "org/name";

#[test]
fn hits_and_misses() {
    let bench = Bench::new();
    bench.mock.repo(
        REPO,
        "main",
        COMMIT,
        &[("x-Q4_K_M.gguf", b"four"), ("x-Q8_0.gguf", b"eight"), ("config.json", b"{}")],
    );
    let offline = bench.offline();
    refused(resolve(&offline, REPO), &["a model", "org/name is not in the cache", "offline was asked for"]);
    assert_eq!(fs::read_dir(bench.cache()).unwrap().count(), 0, "looking leaves nothing behind");
    let found = bench.resolve("org/name:Q8_0").unwrap();
    bench.mock.targets();

    assert_eq!(resolve(&offline, "org/name:q8_0").unwrap(), {
        let mut found = found;
        found.origin.as_mut().unwrap().at = "org/name:q8_0".parse().unwrap();
        found
    });
    // The list of files is kept: the cache knows what the default would be, and that it lacks it.
    refused(
        resolve(&offline, REPO),
        &["x-Q4_K_M.gguf of org/name is not in the cache", "The cache has: org/name:x-Q8_0.gguf"],
    );
    refused(resolve(&offline, "org/name:Q2_K"), &["a GGUF of quantisation Q2_K of org/name is not in the cache"]);
    refused(resolve(&offline, "org/name@dev"), &["org/name@dev is not in the cache"]);
    let config = offline.config_json(&REPO.parse().unwrap(), &mut |_| {}).unwrap_err().to_string();
    assert!(config.contains("config.json of org/name is not in the cache"), "{config}");
    assert!(bench.mock.targets().is_empty());
}

#[test]
fn a_broken_link_is_a_miss() {
    let bench = Bench::new();
    bench.mock.repo(REPO, "main", COMMIT, &[("x-Q4_K_M.gguf", b"four")]);
    let found = bench.resolve(REPO).unwrap();
    fs::remove_dir_all(bench.path(REPO, "blobs")).unwrap();
    refused(resolve(&bench.offline(), REPO), &["x-Q4_K_M.gguf of org/name"]);
    assert_eq!(fs::read(bench.resolve(REPO).unwrap().path).unwrap(), b"four");
    assert!(found.path.exists());
}
