//! Long made-up runs: what a policy promises for admission holds, and it forgets as rarely and as far as it says.

mod common;

use common::{Rng, Run, policy};
use lethe_policy::PolicyError;

const LAYERS: usize = 4;

/// Runs of up to three turns under every kind of budget, prompt protection and attention, some in a pool that is short now and
/// then. [`Run::turn`] asserts the bound after every step.
#[test]
fn no_run_exceeds_its_bound() {
    let mut rng = Rng(1);
    let (mut turns, mut refused, mut rounds) = (0, 0, 0);
    for budget in [
        "full",
        "recency:cap=96,interval=16",
        "recency:budget=48,interval=16",
        "random:cap=120,interval=8",
        "random:budget=64,interval=32,sinks=2",
        "h2o:cap=96,interval=16",
        "tova:budget=48,interval=8",
        "snapkv:budget=64,interval=16,window=16",
        "pyramidkv:cap=140,interval=16,window=8",
        "pyramidkv:budget=60,interval=8,window=8",
        "gkv:cap=120,interval=32",
        "rkv:budget=48,interval=16",
        "lethe+:cap=96,interval=16,redundancy=0.3,recent_ratio=0.6",
        "lethe+:budget=72,interval=16,allocation=uniform",
        "lethe+:budget=64,interval=8,epsilon=0.1,granularity=head,reserve=0.1,value=1",
        "lethe:trigger=64,interval=16",
        "lethe:cap=96,interval=16",
        "lethe:cap=96,interval=16,trigger=32,sparse_ratio=8",
        "lethe:cap=80,interval=16,trigger=cap,recent_ratio=0.9",
        "lethe:budget=40,interval=8,trigger=cap,reference=top_non_sink",
        "lethe:total=400,interval=16",
        "lethe:total=400,interval=8,allocation=hoyer",
        "lethe:total=400,interval=8,allocation=reach,half_life=8",
        "lethe:total=420,interval=16,allocation=uniform,recent_ratio=0.1",
        "auto",
    ] {
        for protect in ["all", "newest", "none"] {
            let text = match budget.split_once(':') {
                _ if budget == "full" => budget.to_owned(),
                Some(_) => format!("{budget},protect_prompt={protect}"),
                None => format!("{budget}:protect_prompt={protect}"),
            };
            let policy = policy(&text);
            for shape in 0..8 {
                let mut run = Run::new(&*policy, LAYERS);
                run.short = (shape >= 4).then_some(37);
                for _ in 0..3 {
                    match run.turn(rng.below(1, 60), rng.below(0, 260), shape, &mut rng) {
                        Ok(_) => turns += 1,
                        Err(PolicyError::InvalidBudget { .. }) => refused += 1,
                        Err(other) => panic!("{text}: {other}"),
                    }
                }
                rounds += run.rounds;
            }
        }
    }
    assert!(turns > 700 && rounds > 5000, "{turns} turns, {refused} refused, {rounds} rounds");
}

/// A bound that is never reached would keep others waiting for nothing.
#[test]
fn bounds_are_reached() {
    for (text, shape) in [
        ("full", 0),
        ("recency:cap=96,interval=16", 0),
        ("random:budget=64,interval=32", 0),
        ("h2o:cap=96,interval=16", 0),
        ("rkv:budget=64,interval=16", 0),
        ("lethe:cap=96,interval=16", 0),
        ("lethe:budget=64,interval=16,protect_prompt=none", 1),
        ("lethe:cap=40,interval=8,recent_ratio=0.9", 2), // forced slots exceed the cap
        ("auto", 0),
    ] {
        let policy = policy(text);
        let mut run = Run::new(&*policy, 1);
        let (bound, peak) = run.turn(20, 500, shape, &mut Rng(2)).expect(text);
        assert_eq!(bound, peak, "{text}");
    }
    let pyramid = policy("pyramidkv:budget=96,interval=16");
    let (bound, peak) = Run::new(&*pyramid, LAYERS).turn(20, 500, 0, &mut Rng(2)).expect("a valid budget");
    assert_eq!(bound.per_layer, peak.per_layer, "layers of different size");
    assert!(bound.total - peak.total < 16, "their rounds fall on different steps: {bound:?} against {peak:?}");
    for text in ["lethe:total=400,interval=16", "lethe+:budget=80,interval=16"] {
        let policy = policy(text);
        let (bound, peak) = Run::new(&*policy, LAYERS).turn(20, 500, 0, &mut Rng(2)).expect("a valid total");
        assert!(bound.total - peak.total < LAYERS, "{text}: {bound:?} against {peak:?}");
    }
}

/// Generated tokens become the sinks that a short prompt leaves open.
#[test]
fn a_prompt_shorter_than_the_sinks_keeps_its_bound() {
    let policy = policy("lethe:cap=16,interval=8,sinks=12,recent_ratio=0.5");
    let (bound, peak) = Run::new(&*policy, 1).turn(2, 200, 0, &mut Rng(8)).expect("a valid cap");
    assert_eq!((bound, peak.per_layer), (peak, 12 + 8 + 8));
}

#[test]
fn a_prompt_may_exceed_the_cap_until_its_round() {
    let policy = policy("lethe:cap=64,interval=16,protect_prompt=none");
    let mut run = Run::new(&*policy, 2);
    let (bound, peak) = run.turn(500, 0, 0, &mut Rng(3)).expect("a valid cap");
    assert_eq!((bound.per_layer, peak.per_layer), (500, 500));
    assert!(run.layers.iter().all(|layer| layer.positions.len() <= 64));
}

/// Rounds are bursts: never two within `interval` steps of each other in one layer.
#[test]
fn rounds_are_at_least_an_interval_apart() {
    for text in ["recency:cap=96,interval=16", "lethe:cap=96,interval=16", "lethe:cap=40,interval=16,recent_ratio=0.9"]
    {
        let policy = policy(text);
        let mut run = Run::new(&*policy, 1);
        run.turn(20, 1000, 1, &mut Rng(4)).expect(text);
        assert!(run.rounds > 10 && run.rounds <= 1000 / 16, "{text}: {} rounds", run.rounds);
    }
}

/// A later prompt may lift the floors over the total: layers keep their floors, and rounds stay bursts.
#[test]
fn floors_over_a_total_do_not_prune_at_every_step() {
    let policy = policy("lethe:total=200,interval=16");
    let mut run = Run::new(&*policy, LAYERS);
    let mut rng = Rng(5);
    run.turn(20, 100, 0, &mut rng).expect("a valid total");
    let before = run.bursts;
    run.turn(120, 160, 0, &mut rng).expect("a later prompt is served");
    assert!((1..=11).contains(&(run.bursts - before)), "{} bursts", run.bursts - before);
}

/// A request that stays under the cap of `auto` is never pruned.
#[test]
fn auto_leaves_short_requests_alone() {
    let policy = policy("auto");
    let mut run = Run::new(&*policy, LAYERS);
    run.turn(100, 150, 2, &mut Rng(6)).expect("fits");
    assert_eq!(run.rounds, 0);
    run.turn(1, 150, 2, &mut Rng(6)).expect("fits");
    assert!(run.rounds > 0);
}

/// Without a cap, a layer of flat attention is left alone more and more, one with a clear fall is pruned again and again.
#[test]
fn flat_layers_double_their_trigger_and_peaked_ones_do_not() {
    let policy = policy("lethe:trigger=32,interval=16,protect_prompt=none,sparse_ratio=20");
    let mut run = Run::new(&*policy, LAYERS);
    run.turn(8, 600, 0, &mut Rng(7)).expect("no budget to violate");
    let flat = &run.layers[0];
    assert_eq!((flat.positions.len(), flat.state.trigger, flat.state.round), (608, 1024, 5));
    let sink = &run.layers[3];
    assert!(sink.positions.len() < 100 && sink.state.round > 20, "{} slots, {:?}", sink.positions.len(), sink.state);
}
