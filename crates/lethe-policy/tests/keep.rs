//! Properties of single rounds, and of the rules that start them.

mod common;

use common::{All, Layer, Rng, Sight, assert_kept, policy};
use lethe_policy::{Claim, LayerState, LayerStatus, Policy, Scratch, View, waterfill};

fn keep(policy: &dyn Policy, layer: &Layer, cap: Option<usize>) -> Vec<usize> {
    let mut scratch = Scratch::default();
    let sight = Sight::new(policy, &layer.positions);
    policy.keep(&View { lanes: &[sight.lane()], ..layer.view(3) }, cap, layer.state, &mut scratch);
    scratch.keep
}

fn random_layer(rng: &mut Rng) -> Layer {
    let n = rng.below(0, 300);
    let levels = rng.below(1, 40) as f64; // few levels: many ties
    let scores = (0..n).map(|_| (rng.unit() * levels).floor().exp2() as f32 - 1.0).collect();
    let (prefix, odd) = (rng.below(0, 30), rng.below(2, 60));
    Layer::made(scores, |slot| slot < prefix || slot % odd == odd - 1)
}

#[test]
fn lethe_keeps_what_it_must_and_no_more_than_it_may() {
    let mut rng = Rng(11);
    for round in 0..600 {
        let layer = random_layer(&mut rng);
        let n = layer.positions.len();
        let (sinks, ratio, cap) = (rng.below(0, 9), [0.0, 0.1, 0.3, 0.9][round % 4], rng.below(1, 200));
        let capped = round % 2 == 0;
        let limit = if capped { format!("cap={cap}") } else { "trigger=9".to_owned() };
        let policy = policy(&format!("lethe:{limit},sinks={sinks},recent_ratio={ratio},sparse_ratio=16"));
        let keep = keep(&*policy, &layer, None);
        assert_kept(&layer, sinks, &keep);

        let recents = (ratio * if capped { n.min(cap) } else { n } as f64).ceil() as usize;
        assert!((n - recents..n).all(|slot| keep.binary_search(&slot).is_ok()), "recents of {keep:?}");
        let forced = (0..n).filter(|&slot| slot < sinks || layer.pinned[slot] || slot >= n - recents).count();
        if capped {
            assert!(keep.len() <= cap.max(forced), "{} slots under cap {cap}, {forced} forced", keep.len());
        }

        // whatever is kept by its score beats whatever is dropped, the newer of two equals first
        let rank = |slot: usize| (layer.scores[slot], slot);
        let chosen = |slot: &usize| !(*slot < sinks || layer.pinned[*slot] || *slot >= n - recents);
        let worst = keep.iter().copied().filter(chosen).map(rank).min_by(|a, b| a.partial_cmp(b).unwrap());
        let best =
            (0..n).filter(|slot| keep.binary_search(slot).is_err()).map(rank).max_by(|a, b| a.partial_cmp(b).unwrap());
        if let (Some(worst), Some(best)) = (worst, best) {
            assert!(worst > best, "kept {worst:?}, dropped {best:?}");
        }
    }
}

#[test]
fn baselines_keep_exactly_their_budget() {
    let mut rng = Rng(12);
    for _ in 0..300 {
        let layer = random_layer(&mut rng);
        let (n, pinned) = (layer.positions.len(), layer.view(0).pinned_slots());
        let budget = rng.below(8, 200);
        for name in ["recency", "random", "h2o", "tova", "snapkv", "gkv", "rkv", "lethe+"] {
            let kept = keep(&*policy(&format!("{name}:budget={budget},sinks=4")), &layer, None);
            assert_kept(&layer, 4, &kept);
            assert_eq!(kept.len(), n.min(pinned + budget), "{name}");
            let cap = pinned + budget;
            assert_eq!(
                kept,
                keep(&*policy(&format!("{name}:cap={cap},sinks=4")), &layer, None),
                "{name}: cap = budget + pinned"
            );
            assert_eq!(
                kept,
                keep(&*policy(&format!("{name}:budget=1,sinks=4")), &layer, Some(cap)),
                "{name}: a share holds"
            );
        }
    }
}

#[test]
fn switches_of_lethe_plus_share_one_budget() {
    let mut rng = Rng(16);
    for switch in [
        "granularity=head",
        "update=peak",
        "redundancy=0.5",
        "redundancy=1",
        "probation=64",
        "value=1",
        "reserve=0.25",
        "reserve=0.25,redundancy=0.75,value=1,probation=32",
        "epsilon=0.1",
        "recent_ratio=0.9,redundancy=0.5",
    ] {
        for _ in 0..60 {
            let layer = random_layer(&mut rng);
            let (n, pinned) = (layer.positions.len(), layer.view(0).pinned_slots());
            let budget = rng.below(8, 200);
            let kept = keep(&*policy(&format!("lethe+:budget={budget},sinks=4,{switch}")), &layer, None);
            if budget >= 44 || !switch.contains("0.9") {
                assert_kept(&layer, 4, &kept);
            }
            if switch.starts_with("epsilon") {
                assert!(kept.len() <= n.min(pinned + budget), "{switch}");
            } else {
                assert_eq!(kept.len(), n.min(pinned + budget), "{switch}");
            }
        }
    }
}

#[test]
fn a_round_drops_no_more_mass_than_is_bearable_unless_the_budget_makes_it() {
    let scores: Vec<f32> = (0..100).map(|slot| if slot % 10 == 0 { 9.0 } else { 0.1 }).collect();
    let layer = Layer::made(scores, |_| false);
    let whole: f32 = layer.scores.iter().sum();
    for (epsilon, most) in [(0.05, 0.05), (0.2, 0.2), (0.5, 0.5)] {
        let text = format!("lethe+:budget=80,sinks=1,recent_ratio=0.1,redundancy=0,epsilon={epsilon}");
        let kept = keep(&*policy(&text), &layer, None);
        let dropped = whole - kept.iter().map(|&slot| layer.scores[slot]).sum::<f32>();
        assert!(dropped <= most * whole && kept.len() < 80, "{epsilon}: {dropped} of {whole}, {} kept", kept.len());
    }
    let kept = keep(&*policy("lethe+:budget=12,sinks=1,recent_ratio=0.1,redundancy=0,epsilon=0.01"), &layer, None);
    assert_eq!(kept.len(), 12, "the budget binds");
}

#[test]
fn what_newer_keys_repeat_goes_first() {
    // neighbours are duplicates in the made-up keys: of each three positions the newest stays
    let layer = Layer { positions: (0..60).collect(), ..Layer::made(vec![1.0; 60], |_| false) };
    let kept = keep(&*policy("lethe+:budget=20,sinks=0,recent_ratio=0,redundancy=1"), &layer, None);
    assert_eq!(kept, (0..60).skip(2).step_by(3).collect::<Vec<_>>());
}

#[test]
fn layers_that_look_far_back_get_more_step_by_step() {
    // 160 slots of which 10 are pinned; recents are 40, of the budget of 100
    let layer =
        |old: f32| Layer::made((0..160).map(|slot| if slot < 120 { old } else { 1.0 }).collect(), |slot| slot < 10);
    let (near, far) = (layer(0.0), layer(3.0));
    let policy = policy("lethe+:budget=100,sinks=0,recent_ratio=0.4");
    let mut scratch = Scratch::default();
    assert!(policy.allocate(&All(&[near, far]), &mut scratch));
    // each keeps its pinned slots and a quarter; of the 150 beyond, half goes where the reach points (all to the second) and
    // half as it is held now (evenly)
    assert_eq!(scratch.caps, [10 + 25 + 37, 10 + 25 + 112]);
    let near = layer(0.0);
    assert!(policy.allocate(&All(&[near, layer(0.0)]), &mut scratch));
    assert_eq!(scratch.caps, [110, 110], "no reach at all is an even one");
}

#[test]
fn equal_scores_favour_the_newer() {
    let layer = Layer::made(vec![1.0; 20], |_| false);
    assert_eq!(keep(&*policy("lethe:cap=8,sinks=2,recent_ratio=0.1"), &layer, None), [0, 1, 14, 15, 16, 17, 18, 19]);
}

#[test]
fn random_draws_afresh_in_each_round_and_layer_but_repeats_itself() {
    let policy = policy("random:budget=40,seed=7");
    let mut layer = Layer::made(vec![0.0; 200], |slot| slot < 5);
    let first = keep(&*policy, &layer, None);
    assert_eq!(first, keep(&*policy, &layer, None));
    layer.state.round = 1;
    assert_ne!(first, keep(&*policy, &layer, None));
}

#[test]
fn the_trigger_follows_what_a_round_did() {
    let policy = policy("lethe:trigger=32,interval=8,sparse_ratio=10,recent_ratio=0.1,sinks=1");
    let mut scratch = Scratch::default();
    let start = policy.start();
    assert_eq!(start, LayerState { trigger: 32, left: 0, round: 0 });

    let flat = Layer::made(vec![1.0; 40], |_| false);
    let after = policy.keep(&flat.view(0), None, start, &mut scratch);
    assert_eq!(after, LayerState { trigger: 64, left: 40, round: 1 }, "nothing dropped: doubled");
    let after = policy.keep(&flat.view(0), None, after, &mut scratch);
    assert_eq!(after, LayerState { trigger: 64, left: 40, round: 2 }, "nothing dropped, but not due by T");

    let fallen = Layer::made((0..64).map(|slot| if slot < 30 { 100.0 } else { 1.0 }).collect(), |_| false);
    let after = policy.keep(&fallen.view(0), None, after, &mut scratch);
    assert_eq!(after, LayerState { trigger: 45, left: 37, round: 3 }, "dropped: what is left and an interval");
    let short = Layer::made((0..16).map(|slot| if slot < 3 { 100.0 } else { 1.0 }).collect(), |_| false);
    let after = policy.keep(&short.view(0), None, after, &mut scratch);
    assert_eq!((after.left, after.trigger), (5, 32), "never under the first trigger");
}

fn due(policy: &dyn Policy, layers: &[(usize, usize, LayerState)]) -> Vec<usize> {
    let layers: Vec<LayerStatus> = layers.iter().map(|&(n, pinned, state)| LayerStatus { n, pinned, state }).collect();
    let mut due = Vec::new();
    policy.due(&layers, &mut due);
    due
}

#[test]
fn lethe_is_due_by_trigger_or_by_cap() {
    let state = |trigger, left| LayerState { trigger, left, round: 1 };
    let capped = policy("lethe:cap=100,interval=10");
    let layers =
        [(109, 0, state(1024, 0)), (110, 0, state(1024, 0)), (110, 0, state(1024, 101)), (111, 0, state(1024, 101))];
    assert_eq!(due(&*capped, &layers), [1, 3]);

    let open = policy("lethe:trigger=64");
    let layers = [(63, 0, open.start()), (64, 0, open.start()), (90, 0, state(128, 0)), (9000, 0, state(9000, 0))];
    assert_eq!(due(&*open, &layers), [1, 3]);

    // under a budget, both the cap and `trigger=cap` rise with the pinned slots
    let beyond = policy("lethe:budget=100,interval=10,trigger=cap");
    let layers =
        [(99, 0, beyond.start()), (100, 0, beyond.start()), (149, 50, beyond.start()), (150, 50, beyond.start())];
    assert_eq!(due(&*beyond, &layers), [1, 3]);
}

#[test]
fn baselines_are_due_an_interval_over_their_budget() {
    let state = LayerState::default();
    assert_eq!(
        due(
            &*policy("recency:budget=50,interval=8"),
            &[(57, 0, state), (58, 0, state), (77, 20, state), (78, 20, state)]
        ),
        [1, 3]
    );
    assert_eq!(due(&*policy("random:cap=50,interval=8"), &[(57, 0, state), (58, 20, state)]), [1]);
    assert_eq!(due(&*policy("full"), &[(9999, 0, state)]), [] as [usize; 0]);
}

#[test]
fn a_total_is_due_for_all_layers_or_none() {
    let policy = policy("lethe:total=200,interval=10");
    let state = |left| LayerState { left, ..LayerState::default() };
    assert_eq!(due(&*policy, &[(200, 0, state(0)), (19, 0, state(0))]), [] as [usize; 0]);
    assert_eq!(due(&*policy, &[(200, 0, state(0)), (20, 0, state(0))]), [0, 1]);
    assert_eq!(
        due(&*policy, &[(200, 0, state(150)), (20, 0, state(60))]),
        [] as [usize; 0],
        "counts from what was left"
    );
}

#[test]
fn shares_of_a_total_sum_to_it_and_are_respected() {
    let mut rng = Rng(13);
    for kind in ["breakpoint", "hoyer", "reach", "uniform"] {
        for _ in 0..100 {
            let count = rng.below(1, 7);
            let pinned = rng.below(0, 20);
            let layers: Vec<Layer> = (0..count)
                .map(|layer| {
                    let scores =
                        (0..rng.below(100, 300)).map(|_| (rng.unit() * 3.0 * layer as f64).exp() as f32).collect();
                    Layer::made(scores, |slot| slot < pinned)
                })
                .collect();
            let total = count * rng.below(60, 90);
            let policy = policy(&format!("lethe:total={total},allocation={kind},sparse_ratio=20"));
            let mut scratch = Scratch::default();
            assert!(policy.allocate(&All(&layers), &mut scratch));
            let shares = scratch.caps.clone();
            assert_eq!(shares.len(), count);
            assert!(shares.iter().sum::<usize>() <= total, "{shares:?} of {total}");
            if kind == "uniform" {
                assert!(shares.iter().sum::<usize>() + count > total, "{shares:?} of {total}: only rounding is lost");
            }
            for (layer, share) in layers.iter().zip(shares) {
                let kept = keep(&*policy, layer, Some(share));
                assert_kept(layer, 4, &kept);
                assert!(kept.len() <= share, "{} slots of a share of {share}", kept.len());
            }
        }
    }
    let mut scratch = Scratch::default();
    for text in
        ["full", "recency:cap=9", "random:cap=9", "lethe:cap=9", "lethe", "auto", "lethe+:cap=9,allocation=uniform"]
    {
        assert!(!policy(text).allocate(&All(&[]), &mut scratch), "{text} has no total");
    }
}

#[test]
fn an_empty_layer_is_no_trouble() {
    for text in ["full", "recency:cap=9", "random:cap=9", "lethe:cap=9", "lethe", "lethe:total=90", "auto"] {
        assert_eq!(keep(&*policy(text), &Layer::default(), None), [] as [usize; 0], "{text}");
    }
}

#[test]
fn waterfill_gives_out_everything_between_floor_and_demand() {
    let mut rng = Rng(15);
    for _ in 0..1000 {
        let claim = |rng: &mut Rng| {
            let floor = rng.below(0, 40);
            Claim { floor, demand: floor + rng.below(0, 200) }
        };
        let claims: Vec<Claim> = (0..rng.below(1, 40)).map(|_| claim(&mut rng)).collect();
        let floors: usize = claims.iter().map(|claim| claim.floor).sum();
        let demands: usize = claims.iter().map(|claim| claim.demand).sum();
        let total = rng.below(0, demands + 50);
        let mut shares = Vec::new();
        waterfill(&claims, total, &mut Vec::new(), &mut shares);
        assert_eq!(shares.iter().sum::<usize>(), total.clamp(floors, demands), "{claims:?} of {total}");
        let within = |(claim, share): (&Claim, &usize)| (claim.floor..=claim.demand).contains(share);
        assert!(claims.iter().zip(&shares).all(within), "{claims:?} of {total}: {shares:?}");
    }
}
