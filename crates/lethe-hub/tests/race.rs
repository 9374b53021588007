//! Several who want the same file: one fetches it, the others wait and find it.

mod common;

use std::fs;
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Bench, COMMIT, Trick, file_target, noise};
use lethe_hub::{Event, Hub, HubOptions, ModelRef};

const REPO: &str = "org/name";
const NAME: &str = "x-Q4_K_M.gguf";

fn bench(model: &[u8]) -> Bench {
    let bench = Bench::new();
    bench.mock.repo(REPO, "main", COMMIT, &[(NAME, model)]);
    bench
}

fn downloads(bench: &Bench) -> usize {
    bench.mock.seen().iter().filter(|seen| seen.target == file_target(REPO, NAME)).count()
}

#[test]
fn threads_with_hubs_of_their_own_download_once() {
    let model = noise(100_000);
    let bench = bench(&model);
    // The file is served once the second thread has said that it waits: no chance is involved.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    bench.mock.tricks(&file_target(REPO, NAME), [Trick::Hold(Arc::clone(&gate))]);
    let (waits, waiting) = channel();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (hub, waits) = (bench.hub(), waits.clone());
            std::thread::spawn(move || {
                let model: ModelRef = REPO.parse().unwrap();
                let note = &mut |event: Event<'_>| {
                    if let Event::Waiting { name } = event {
                        waits.send(name.to_owned()).unwrap();
                    }
                };
                hub.resolve(&model, note).unwrap().path
            })
        })
        .collect();
    assert_eq!(waiting.recv().unwrap(), NAME);
    drop(closed);
    for thread in threads {
        assert_eq!(fs::read(thread.join().unwrap()).unwrap(), model);
    }
    assert_eq!(downloads(&bench), 1);
}

/// Not a test of its own: what the other processes of the next test run.
#[test]
fn another_process() {
    let (Ok(endpoint), Ok(cache)) = (std::env::var("RACE_ENDPOINT"), std::env::var("RACE_CACHE")) else { return };
    let hub = Hub::new(HubOptions { endpoint, backoff: Duration::ZERO, ..HubOptions::new(cache) }).unwrap();
    common::resolve(&hub, REPO).unwrap();
}

#[test]
fn processes_download_once() {
    let model = noise(3_000_000);
    let bench = bench(&model);
    let child = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process", "--quiet"])
            .env("RACE_ENDPOINT", &bench.mock.url)
            .env("RACE_CACHE", bench.cache())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut children = [child(), child(), child()];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(downloads(&bench), 1);
    assert_eq!(fs::read(common::resolve(&bench.offline(), REPO).unwrap().path).unwrap(), model);
}

#[test]
fn a_process_that_dies_leaves_what_it_has() {
    let model = noise(200_000);
    let bench = bench(&model);
    // Held for ever, as far as the child is concerned.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    bench.mock.tricks(&file_target(REPO, NAME), [Trick::Cut(50_000), Trick::Hold(Arc::clone(&gate))]);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process", "--quiet"])
        .env("RACE_ENDPOINT", &bench.mock.url)
        .env("RACE_CACHE", bench.cache())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while downloads(&bench) < 2 {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    bench.mock.targets();
    let found = bench.resolve(REPO).unwrap();
    drop(closed);
    assert_eq!(fs::read(found.path).unwrap(), model);
    assert_eq!(bench.mock.targets()[1], format!("{} bytes=50000-", file_target(REPO, NAME)));
}
