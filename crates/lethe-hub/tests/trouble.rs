//! Connections that break, servers that misbehave, and what is said about it.

mod common;

use std::fs;

use common::{Bench, COMMIT, Trick, file_target, list_target, noise, refused, resolve, sha256, watched};
use lethe_hub::{HubError, HubOptions};

const REPO: &str = "org/name";
const NAME: &str = "x-Q4_K_M.gguf";

/// A repository of one model.
fn bench(model: &[u8]) -> Bench {
    let bench = Bench::new();
    bench.mock.repo(REPO, "main", COMMIT, &[(NAME, model), ("x-Q8_0.gguf", b"other"), ("config.json", b"{}")]);
    bench
}

fn partial(bench: &Bench, model: &[u8]) -> std::path::PathBuf {
    bench.path(REPO, &format!("blobs/{}.incomplete", sha256(model)))
}

/// The requests for the model, by range.
fn requests(ranges: &[Option<usize>]) -> Vec<String> {
    let target = file_target(REPO, NAME);
    let file = |range: &Option<usize>| range.map_or(target.clone(), |from| format!("{target} bytes={from}-"));
    [list_target(REPO, "main")].into_iter().chain(ranges.iter().map(file)).collect()
}

#[test]
fn a_cut_connection_goes_on_where_it_was() {
    let model = noise(300_000);
    for cuts in [vec![0], vec![1], vec![299_999], vec![150_000], vec![0, 1, 2], vec![100_000, 99_999, 1], vec![262_144]]
    {
        let bench = bench(&model);
        bench.mock.tricks(&file_target(REPO, NAME), cuts.iter().map(|sent| Trick::Cut(*sent)));
        let (found, events) = watched(&bench.hub(), REPO);
        assert_eq!(fs::read(found.unwrap().path).unwrap(), model, "{cuts:?}");
        let mut at = 0;
        let mut ranges = vec![None];
        for sent in &cuts {
            at += sent;
            ranges.push(Some(at).filter(|at| *at > 0));
        }
        assert_eq!(bench.mock.targets(), requests(&ranges), "{cuts:?}");
        assert_eq!(events.iter().filter(|event| event.starts_with("Retrying")).count(), cuts.len());
        assert!(!partial(&bench, &model).exists());
    }
}

#[test]
fn what_has_arrived_is_kept_and_the_next_call_goes_on() {
    let model = noise(5000);
    let bench = bench(&model);
    bench.mock.tricks(&file_target(REPO, NAME), [1000, 500, 0, 0].map(Trick::Cut));
    refused(bench.resolve(REPO), &["after 1500 of 5000 bytes", "4 attempts", "continued next time"]);
    assert_eq!(fs::read(partial(&bench, &model)).unwrap(), model[..1500]);
    assert!(fs::read_dir(bench.path(REPO, "snapshots")).is_err(), "no snapshot before the file is whole");
    bench.mock.targets();
    let (found, events) = watched(&bench.hub(), REPO);
    assert_eq!(fs::read(found.unwrap().path).unwrap(), model);
    assert_eq!(bench.mock.targets(), requests(&[Some(1500)]));
    assert!(events.contains(&format!("Started {{ name: {NAME:?}, size: 5000, resumed_from: 1500 }}")), "{events:?}");
}

#[test]
fn a_short_answer_is_a_cut() {
    let model = noise(5000);
    let bench = bench(&model);
    bench.mock.tricks(&file_target(REPO, NAME), [Trick::Short(2000), Trick::Short(1000)]);
    assert_eq!(fs::read(bench.resolve(REPO).unwrap().path).unwrap(), model);
    assert_eq!(bench.mock.targets(), requests(&[None, Some(2000), Some(3000)]));
}

#[test]
fn a_server_without_ranges_starts_again() {
    let model = noise(5000);
    for (tricks, ranges) in [
        (vec![Trick::Cut(1000), Trick::IgnoreRange], vec![None, Some(1000)]),
        (vec![Trick::Cut(1000), Trick::WrongRange], vec![None, Some(1000), None]),
        (vec![Trick::Cut(1000), Trick::Status(416, "")], vec![None, Some(1000), None]),
    ] {
        let bench = bench(&model);
        bench.mock.tricks(&file_target(REPO, NAME), tricks.clone());
        let (found, events) = watched(&bench.hub(), REPO);
        assert_eq!(fs::read(found.unwrap().path).unwrap(), model, "{tricks:?}");
        assert_eq!(bench.mock.targets(), requests(&ranges), "{tricks:?}");
        assert!(events.iter().any(|event| event.starts_with("Restarted")), "{events:?}");
    }
}

#[test]
fn what_an_earlier_attempt_left_may_be_anything() {
    let model = noise(5000);
    let mut damaged = model[..700].to_vec();
    damaged[3] ^= 1;
    for (left, ranges, fine) in [
        (model.to_vec(), vec![], true),
        (noise(6000), vec![None], true),
        (Vec::new(), vec![None], true),
        (damaged, vec![Some(700)], false),
    ] {
        let bench = bench(&model);
        fs::create_dir_all(bench.path(REPO, "blobs")).unwrap();
        fs::write(partial(&bench, &model), &left).unwrap();
        let found = bench.resolve(REPO);
        assert_eq!(bench.mock.targets(), requests(&ranges));
        if fine {
            assert_eq!(fs::read(found.unwrap().path).unwrap(), model);
        } else {
            refused(found, &[NAME, "SHA-256", &sha256(&model), "deleted"]);
            assert!(!partial(&bench, &model).exists());
            assert_eq!(fs::read(bench.resolve(REPO).unwrap().path).unwrap(), model);
        }
    }
}

#[test]
fn wrong_bytes_are_deleted_and_named() {
    let model = noise(5000);
    for (instead, words) in [(vec![7; 5000], "SHA-256"), (noise(5001), "should have 5000 bytes and has more")] {
        let bench = bench(&model);
        bench.mock.tricks(&file_target(REPO, NAME), [Trick::Instead(instead)]);
        refused(bench.resolve(REPO), &[NAME, words, "try again"]);
        assert!(!partial(&bench, &model).exists());
        assert!(!bench.path(REPO, &format!("blobs/{}", sha256(&model))).exists());
    }
}

#[test]
fn a_damaged_blob_is_fetched_again() {
    let model = noise(5000);
    let bench = bench(&model);
    let path = fs::canonicalize(bench.resolve(REPO).unwrap().path).unwrap();
    bench.mock.targets();
    fs::write(&path, b"cut").unwrap();
    assert_eq!(fs::read(bench.resolve(REPO).unwrap().path).unwrap(), model);
    assert_eq!(bench.mock.targets(), requests(&[None]));
}

#[test]
fn what_may_pass_is_tried_again_and_then_said() {
    let model = noise(50);
    let bench = bench(&model);
    let retry = Trick::Status(429, "retry-after: 0\r\n");
    bench.mock.tricks(&list_target(REPO, "main"), [Trick::Status(503, ""), retry.clone()]);
    bench.mock.tricks(&file_target(REPO, NAME), [Trick::Status(500, ""), retry.clone()]);
    bench.resolve(REPO).unwrap();
    assert_eq!(bench.mock.targets().len(), 6);

    let broken = Bench::new();
    broken.mock.tricks(&list_target(REPO, "main"), vec![Trick::Status(502, ""); 4]);
    refused(broken.resolve(REPO), &["502", "4 attempts", "try again later"]);
    assert_eq!(broken.mock.targets().len(), 4);
    broken.mock.tricks(&list_target(REPO, "main"), vec![retry; 4]);
    refused(broken.resolve(REPO), &["429", "too many requests"]);
    broken.mock.tricks(&list_target(REPO, "main"), vec![Trick::Cut(0); 4]);
}

#[test]
fn nobody_there_is_said() {
    let bench = Bench::new();
    // Nothing listens on the lowest port, and no test can be given it.
    let options = HubOptions { endpoint: "http://127.0.0.1:1".to_owned(), ..bench.options() };
    refused(resolve(&lethe_hub::Hub::new(options).unwrap(), REPO), &["4 attempts", "check the network"]);
}

#[test]
fn refusals_by_the_hub_are_explained() {
    let bench = Bench::new();
    let list = list_target(REPO, "main");
    let with_token = HubOptions { token: lethe_hub::Token::new("hf_x"), ..bench.options() };
    let with_token = lethe_hub::Hub::new(with_token).unwrap();
    for (status, code, bare, token) in [
        (401, "", "set HF_TOKEN", "accept its licence"),
        (403, "x-error-code: GatedRepo\r\n", "accept its licence", "the account of your HF_TOKEN"),
        (401, "x-error-code: RepoNotFound\r\n", "a private one is only seen with HF_TOKEN", "check the spelling"),
        (404, "x-error-code: RepoNotFound\r\n", "no repository org/name", "no repository org/name"),
        (404, "", "no repository org/name", "no repository org/name"),
        (404, "x-error-code: RevisionNotFound\r\n", "no revision main", "no revision main"),
        (418, "", "418", "418"),
    ] {
        bench.mock.tricks(&list, [Trick::Status(status, code), Trick::Status(status, code)]);
        refused(bench.resolve(REPO), &[bare, REPO]);
        refused(resolve(&with_token, REPO), &[token, REPO]);
        assert_eq!(bench.mock.targets().len(), 2, "{status} is final");
    }
}

#[test]
fn gated_files_of_a_public_list_are_explained() {
    let bench = bench(b"model");
    bench.mock.tricks(&file_target(REPO, NAME), [Trick::Status(401, "x-error-code: GatedRepo\r\n")]);
    let error =
        refused(bench.resolve(REPO), &["refuses access to org/name (401)", "accept its licence", "set HF_TOKEN"]);
    assert!(matches!(error, HubError::Denied { status: 401, token: false, .. }));
    assert_eq!(bench.mock.targets().len(), 2);
}

#[test]
fn files_that_are_not_there_come_with_near_names() {
    let bench = bench(b"model");
    bench.mock.forget(&file_target(REPO, NAME));
    refused(bench.resolve(REPO), &["has no file x-Q4_K_M.gguf", "x-Q8_0.gguf"]);
    refused(bench.resolve("org/name:x-Q8_1.gguf"), &["no file x-Q8_1.gguf", "x-Q8_0.gguf (5 bytes)"]);
    refused(bench.resolve("org/name:Q6_K"), &["org/name", "Q6_K", "x-Q4_K_M.gguf (5 bytes)", "x-Q8_0.gguf (5 bytes)"]);
    let error = bench.hub().file(&REPO.parse().unwrap(), "confg.json", &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("confg.json") && error.contains("config.json"), "{error}");
}

#[test]
fn hostile_answers_write_nothing() {
    let sha = "ab".repeat(32);
    let sibling = |name: &str, id: &str, lfs: &str| {
        format!(r#"[{{"rfilename": "{name}", "size": 1, "blobId": "{id}", "lfs": {{"sha256": "{lfs}", "size": 1}}}}]"#)
    };
    for (commit, siblings, what) in [
        (COMMIT, sibling("../../x-Q4_K_M.gguf", COMMIT, &sha), "file name"),
        (COMMIT, sibling("/tmp/x-Q4_K_M.gguf", COMMIT, &sha), "file name"),
        (COMMIT, sibling("a/../../x-Q4_K_M.gguf", COMMIT, &sha), "file name"),
        (COMMIT, sibling("..\\\\x-Q4_K_M.gguf", COMMIT, &sha), "file name"),
        (COMMIT, sibling("x\\u0007-Q4_K_M.gguf", COMMIT, &sha), "file name"),
        (COMMIT, sibling("x-Q4_K_M.gguf", "../../x", &sha), "blob id"),
        (COMMIT, sibling("x-Q4_K_M.gguf", COMMIT, "../../x"), "blob id"),
        ("../../../x", sibling("x-Q4_K_M.gguf", COMMIT, &sha), "commit"),
    ] {
        let bench = Bench::new();
        let answer = format!(r#"{{"sha": "{commit}", "siblings": {siblings}}}"#);
        bench.mock.body(&list_target(REPO, "main"), answer.as_bytes());
        let error = refused(bench.resolve(REPO), &[what, "outside the cache"]);
        assert!(matches!(error, HubError::UnsafeName { .. }));
        assert_eq!(fs::read_dir(bench.cache()).unwrap().count(), 0, "{siblings}");
    }
    let bench = Bench::new();
    bench.mock.body(&list_target(REPO, "main"), b"<html>welcome</html>");
    refused(bench.resolve(REPO), &["does not answer as a Hugging Face hub", "HF_ENDPOINT"]);
    let other = "f".repeat(40);
    bench.mock.repo(REPO, &other, COMMIT, &[(NAME, b"x")]);
    refused(bench.resolve(&format!("{REPO}@{other}")), &["asked for commit", COMMIT]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let model = noise(5000);
    let bench = bench(&model);
    fs::create_dir_all(bench.path(REPO, "blobs")).unwrap();
    std::os::unix::fs::symlink("/dev/full", partial(&bench, &model)).unwrap();
    let error = refused(bench.resolve(REPO), &["no space left", ".incomplete", "5.0 kB", "HF_HUB_CACHE"]);
    assert!(matches!(error, HubError::DiskFull { size: Some(5000), .. }));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let bench = bench(b"model");
    // A file where a folder should be: refused whoever runs the test, root included.
    let file = bench.cache().join("models--org--name");
    fs::write(&file, b"").unwrap();
    refused(bench.resolve(REPO), &["models--org--name"]);
}

#[test]
fn settings_that_cannot_be_sent_are_named_and_not_printed() {
    for (endpoint, token, setting) in [
        ("huggingface.co", "hf_x", "HF_ENDPOINT"),
        ("https://me@host", "hf_x", "HF_ENDPOINT"),
        ("https://host", "hf_x\nhost: evil", "HF_TOKEN"),
    ] {
        let options =
            HubOptions { endpoint: endpoint.to_owned(), token: lethe_hub::Token::new(token), ..HubOptions::new("") };
        let error = lethe_hub::Hub::new(options).unwrap_err().to_string();
        assert!(error.contains(setting) && !error.contains("hf_x"), "{error}");
    }
}
