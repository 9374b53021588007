//! Redirects: followed, without the token leaving its hub.

mod common;

use std::fs;

use common::{Bench, COMMIT, Mock, Trick, file_target, list_target, noise, refused, resolve};
use lethe_hub::{Hub, HubOptions, Token};

const REPO: &str = "org/name";
const NAME: &str = "x-Q4_K_M.gguf";

fn bench(model: &[u8]) -> (Bench, Hub) {
    let bench = Bench::new();
    bench.mock.repo(REPO, "main", COMMIT, &[(NAME, model)]);
    let hub = Hub::new(HubOptions { token: Token::new("hf_secret"), ..bench.options() }).unwrap();
    (bench, hub)
}

#[test]
fn the_token_goes_to_the_hub_and_nowhere_else() {
    let model = noise(1000);
    let (bench, hub) = bench(&model);
    let cdn = Mock::start();
    cdn.body("/signed?name=%22x%22", &model);
    // Another port of this machine, and the same port under another name of it.
    let port = cdn.url.rsplit(':').next().unwrap();
    for address in [cdn.url.clone(), format!("http://localhost:{port}")] {
        fs::remove_dir_all(bench.path(REPO, "")).ok();
        let to = format!("{address}/signed?name=%22x%22");
        // Cut once: the range goes along, and a new signed URL is asked for.
        cdn.tricks("/signed?name=%22x%22", [Trick::Cut(400)]);
        bench.mock.tricks(&file_target(REPO, NAME), [Trick::Redirect(to.clone()), Trick::Redirect(to)]);
        assert_eq!(fs::read(resolve(&hub, REPO).unwrap().path).unwrap(), model);
        for seen in bench.mock.seen() {
            assert_eq!(seen.headers.get("authorization").map(String::as_str), Some("Bearer hf_secret"), "{seen:?}");
        }
        assert!(cdn.seen().iter().all(|seen| !seen.headers.contains_key("authorization")), "{:?}", cdn.seen());
        assert_eq!(cdn.targets(), ["/signed?name=%22x%22", "/signed?name=%22x%22 bytes=400-"]);
    }
}

#[test]
fn a_renamed_repository_is_followed_with_the_token() {
    let model = noise(1000);
    let (bench, hub) = bench(&model);
    bench.mock.tricks("/api/models/org/old/revision/main?blobs=true", [Trick::Redirect(list_target(REPO, "main"))]);
    let old = format!("/org/old/resolve/{COMMIT}/{NAME}");
    bench.mock.tricks(&old, [Trick::Redirect(file_target(REPO, NAME))]);
    assert_eq!(fs::read(resolve(&hub, "org/old").unwrap().path).unwrap(), model);
    assert!(bench.mock.seen().iter().all(|seen| seen.headers.contains_key("authorization")));
    assert_eq!(bench.mock.targets().len(), 4);
}

#[test]
fn a_signed_address_that_ran_out_is_asked_for_again() {
    let model = noise(1000);
    let (bench, hub) = bench(&model);
    let cdn = Mock::start();
    cdn.tricks("/old", [Trick::Status(403, "")]);
    cdn.body("/new", &model);
    let redirects = ["/old", "/new"].map(|path| Trick::Redirect(format!("{}{path}", cdn.url)));
    bench.mock.tricks(&file_target(REPO, NAME), redirects);
    assert_eq!(fs::read(resolve(&hub, REPO).unwrap().path).unwrap(), model);
    assert_eq!(cdn.targets(), ["/old", "/new"]);
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    let (bench, hub) = bench(b"model");
    let target = file_target(REPO, NAME);
    for (to, words) in [("file:///etc/passwd", "no http or https address"), ("", "no http or https address")] {
        bench.mock.tricks(&target, [Trick::Redirect(to.to_owned())]);
        refused(resolve(&hub, REPO), &["not followed", words]);
    }
    bench.mock.targets();
    bench.mock.tricks(&target, vec![Trick::Redirect(target.clone()); 20]);
    refused(resolve(&hub, REPO), &["for ever"]);
    assert_eq!(bench.mock.targets().len(), 1 + 11);
}
