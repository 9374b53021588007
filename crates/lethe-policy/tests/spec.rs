//! Policies as text, and what `bound` refuses.

use lethe_policy::{Ask, Bound, Context, Policy, PolicyError, PolicySpec, Prefill, ProtectPrompt, registry};

const CONTEXT: Context = Context { layers: 4, slots_per_layer: 4096, max_num_seqs: 1, max_positions: 1 << 16 };

fn build(text: &str) -> Result<Box<dyn Policy>, PolicyError> {
    PolicySpec::parse(text)?.build(&CONTEXT)
}

/// The message of the error that `text` gives.
fn error(text: &str) -> String {
    build(text).expect_err(text).to_string()
}

#[test]
fn specs_round_trip() {
    for text in
        ["full", "lethe", "lethe:cap=512,half_life=64", "random:budget=32,seed=9,protect_prompt=none", "auto:sinks=0"]
    {
        let spec = PolicySpec::parse(text).expect(text);
        assert_eq!(spec.to_string(), text);
        assert_eq!(text.parse(), Ok(spec));
    }
    let spaced = PolicySpec::parse(" lethe : cap = 512 , half_life = 64 ").expect("blanks do not count");
    assert_eq!(spaced.to_string(), "lethe:cap=512,half_life=64");
}

#[test]
fn specs_are_set_step_by_step() {
    let spec = PolicySpec::new("recency").and_then(|spec| spec.set("budget", 32)).and_then(|spec| spec.set("sinks", 2));
    let spec = spec.and_then(|spec| spec.set("budget", 64)).expect("known options");
    assert_eq!((spec.name(), spec.get("budget"), spec.get("interval")), ("recency", Some("64"), None));
    assert_eq!(spec.to_string(), "recency:budget=64,sinks=2");
}

#[test]
fn every_default_is_valid_and_every_policy_describes_itself() {
    for info in registry() {
        assert!(!info.summary.is_empty() && !info.cost.is_empty(), "{}", info.name);
        let spec = PolicySpec::new(info.name).expect("registered");
        for option in info.options {
            assert!(!option.help.is_empty(), "{}: {}", info.name, option.key);
            if let Some(default) = option.default {
                spec.clone().set(option.key, default).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        let needs_limit = info.options.iter().any(|option| option.key == "cap")
            && info.options.iter().all(|option| option.key != "trigger");
        let spec = if needs_limit { spec.set("cap", 64).expect("has a cap") } else { spec };
        let policy = spec.build(&CONTEXT).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(policy.name(), info.name);
    }
}

/// What a policy reports builds the same policy again.
#[test]
fn reports_are_complete_and_in_schema_order() {
    for text in [
        "full",
        "lethe",
        "lethe:budget=64,trigger=cap,prefill=sum,half_life=12.5,reference=top_non_sink,protect_prompt=newest",
        "lethe:total=900,allocation=hoyer,sparse_ratio=1e3",
        "recency:cap=64,interval=8",
        "random:budget=64,seed=5",
        "lethe+:budget=64,allocation=reach,granularity=head,update=peak,redundancy=0.25,probation=9,value=0.5,reserve=0.125,epsilon=0.01",
        "h2o:budget=64",
        "tova:cap=64,sinks=2",
        "snapkv:budget=64,window=16",
        "pyramidkv:budget=90",
        "gkv:budget=64,alpha=0.5",
        "rkv:budget=64,lambda=0.2,similarity=0.7",
    ] {
        let policy = build(text).expect(text);
        let mut spec = PolicySpec::new(policy.name()).expect("registered");
        for (key, value) in policy.options() {
            spec = spec.set(key, value).expect(text);
        }
        let again = spec.build(&CONTEXT).expect(text);
        assert_eq!(format!("{again:?}"), format!("{policy:?}"));
        let info = registry().into_iter().find(|info| info.name == policy.name()).expect("registered");
        let place = |key: &str| info.options.iter().position(|option| option.key == key);
        assert!(policy.options().windows(2).all(|pair| place(pair[0].0) < place(pair[1].0)), "{:?}", policy.options());
    }
}

#[test]
fn options_reach_the_policy() {
    let policy = build("lethe:half_life=2,prefill=window,window=7,protect_prompt=newest").expect("valid");
    let scoring = policy.scoring().expect("lethe scores");
    assert!((scoring.decay - 0.5f64.sqrt()).abs() < 1e-15);
    assert_eq!((scoring.prefill, policy.protect_prompt()), (Prefill::Window(7), ProtectPrompt::Newest));
    let scoring = build("lethe:prefill=sum").expect("valid").scoring().expect("lethe scores");
    assert_eq!(scoring.prefill, Prefill::Sum);
    for text in ["full", "recency:cap=64", "random:cap=64"] {
        assert_eq!(build(text).expect(text).scoring(), None, "{text} computes no mass");
    }
}

#[test]
fn unknown_names_and_keys_list_what_is_known() {
    let known = "auto, lethe, lethe+, full, recency, random, h2o, tova, snapkv, pyramidkv, gkv, rkv";
    assert_eq!(error("lete"), format!("unknown policy `lete` (did you mean `lethe`?); known policies: {known}"));
    assert_eq!(error("magic"), format!("unknown policy `magic`; known policies: {known}"));
    assert_eq!(
        error("recency:budgt=5"),
        "policy `recency` has no option `budgt` (did you mean `budget`?); its options: cap, budget, sinks, interval, protect_prompt"
    );
    assert_eq!(error("full:cap=5"), "policy `full` has no option `cap`; it takes none");
    assert!(matches!(build("auto:cap=5"), Err(PolicyError::UnknownOption { .. })));
}

#[test]
fn text_that_is_no_spec_is_shown() {
    for (text, part) in [("lethe:", ""), ("lethe:cap", "cap"), ("lethe:cap=5,,sinks=2", ""), ("lethe:cap=5,", "")] {
        assert_eq!(build(text).err(), Some(PolicyError::Syntax { text: text.into(), part: part.into() }));
    }
    assert!(matches!(build(""), Err(PolicyError::UnknownPolicy { .. })));
    assert!(matches!(build("lethe:=5"), Err(PolicyError::UnknownOption { .. })));
}

#[test]
fn options_given_twice_are_refused() {
    assert_eq!(error("lethe:cap=5,sinks=2,cap=5"), "policy `lethe` is given option `cap` twice; give it once");
}

#[test]
fn bad_values_say_what_is_expected() {
    assert_eq!(
        error("lethe:cap=0"),
        "policy `lethe`: `0` is no value for `cap`, which takes a whole number from 1 to 16777216"
    );
    assert_eq!(
        error("lethe:reference=best"),
        "policy `lethe`: `best` is no value for `reference`, which takes one of top, top_non_sink"
    );
    for option in [
        "cap=-1",
        "cap=1.5",
        "cap=",
        "cap=99999999999999999999",
        "budget=0",
        "total=0",
        "interval=0",
        "window=0",
        "segments=1",
        "half_life=0",
        "half_life=-3",
        "half_life=NaN",
        "half_life=inf",
        "half_life=1e9",
        "sparse_ratio=0",
        "sparse_ratio=nan",
        "sparse_ratio=-inf",
        "recent_ratio=1.5",
        "recent_ratio=-0.1",
        "sinks=-1",
        "trigger=0",
        "trigger=budget",
        "prefill=all",
        "protect_prompt=yes",
        "allocation=even",
    ] {
        assert!(matches!(build(&format!("lethe:{option}")), Err(PolicyError::BadValue { .. })), "{option}");
    }
    assert!(matches!(build("random:cap=9,seed=-1"), Err(PolicyError::BadValue { key: "seed", .. })));
}

#[test]
fn conflicts_and_gaps_name_both_sides() {
    for (text, pair) in [
        ("lethe:cap=9,budget=9", ("cap", "budget")),
        ("recency:cap=9,budget=9", ("cap", "budget")),
        ("lethe:cap=9,total=9", ("cap", "total")),
        ("lethe:budget=9,total=9", ("budget", "total")),
        ("lethe:total=99,trigger=9", ("trigger", "total")),
        ("lethe:prefill=sum,window=9", ("prefill=sum", "window")),
        ("auto:prefill=sum,window=9", ("prefill=sum", "window")),
    ] {
        match build(text) {
            Err(PolicyError::Conflict { first, second, .. }) => assert_eq!((first, second), pair, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(
        error("recency"),
        "policy `recency`: it needs `cap` (all slots of a layer) or `budget` (slots beyond the pinned ones), such as budget=256"
    );
    assert_eq!(error("lethe:trigger=cap"), "policy `lethe`: `trigger=cap` needs `cap` or `budget`");
    assert_eq!(error("lethe:cap=9,allocation=hoyer"), "policy `lethe`: `allocation` needs `total`");
    assert!(matches!(build("random:seed=1"), Err(PolicyError::Missing { policy: "random", .. })));
}

const ASK: Ask = Ask {
    layers: 4,
    present: 0,
    present_total: 0,
    prompt: 100,
    pinned: 100,
    unpinned_sinks: 0,
    max_tokens: 1000,
    left: 0,
    left_total: 0,
};

#[test]
fn bounds_by_hand() {
    let bound = |text: &str, ask: Ask| build(text).and_then(|policy| policy.bound(&ask)).expect(text);
    let even = |per_layer| Bound { per_layer, total: 4 * per_layer };
    assert_eq!(bound("full", ASK), even(1100));
    assert_eq!(bound("lethe", ASK), even(1100), "T may double");
    assert_eq!(bound("lethe:cap=512", ASK), even(640));
    assert_eq!(bound("lethe:cap=120", ASK), even(100 + 36 + 128), "forced slots exceed the cap");
    assert_eq!(bound("lethe:budget=412", ASK), even(640));
    assert_eq!(bound("lethe:cap=512", Ask { prompt: 900, pinned: 0, ..ASK }), even(900), "a prompt is held whole");
    assert_eq!(bound("lethe:cap=512", Ask { max_tokens: 50, ..ASK }), even(150), "never past the end");
    assert_eq!(bound("lethe:cap=512", Ask { left: 600, ..ASK }), even(728), "growth counts from what is left");
    let all_sinks = Ask { unpinned_sinks: usize::MAX, ..ASK };
    assert_eq!(bound("lethe:cap=120", all_sinks), even(100 + 4 + 36 + 128), "no more sinks than the policy has");
    assert_eq!(bound("random:budget=60", all_sinks), even(288));
    assert_eq!(bound("recency:cap=512,interval=8", ASK), even(520));
    assert_eq!(bound("recency:budget=50,interval=8", ASK), even(158));
    assert_eq!(bound("random:budget=50", Ask { present: 300, pinned: 100, ..ASK }), even(400));
    let long = Ask { max_tokens: 5000, ..ASK };
    assert_eq!(bound("lethe:total=2000,interval=10", long), Bound { per_layer: 2043 - 3 * 100, total: 2043 });
    let shared = "lethe+:budget=64,interval=16";
    assert_eq!(bound(shared, ASK), Bound { per_layer: 723 - 3 * 100, total: 4 * (100 + 64 + 16) + 3 });
    let uneven = Ask { present: 300, present_total: 500, ..ASK };
    assert_eq!(bound(shared, uneven).total, 500 + 4 * 100, "a prompt is held whole");
    assert_eq!(
        bound(shared, Ask { left: 300, left_total: 600, ..ASK }).total,
        723,
        "its rounds do not wait for what was left"
    );
}

#[test]
fn budgets_below_the_floor_are_refused_with_both_numbers() {
    let refused = |text: &str, ask: Ask| match build(text).expect(text).bound(&ask) {
        Err(PolicyError::InvalidBudget { policy, key, have, need, .. }) => (policy, key, have, need),
        other => panic!("{text}: {other:?}"),
    };
    let bare = Ask { pinned: 0, unpinned_sinks: 4, ..ASK };
    assert_eq!(refused("recency:cap=99", ASK), ("recency", "cap", 99, 100));
    assert_eq!(refused("recency:budget=3", bare), ("recency", "budget", 3, 4));
    assert_eq!(refused("random:budget=4", bare), ("random", "budget", 4, 5), "its window is a quarter of it");
    assert_eq!(refused("random:cap=80", ASK), ("random", "cap", 80, 100));
    assert_eq!(refused("lethe:cap=103", Ask { unpinned_sinks: 4, ..ASK }), ("lethe", "cap", 103, 104));
    assert_eq!(refused("lethe:budget=3", bare), ("lethe", "budget", 3, 4));
    // floors of pinned 100 and 30 % recents of the mean share: the least mean is 143
    assert_eq!(refused("lethe:total=568", ASK), ("lethe", "total", 568, 572));
    assert!(build("lethe:total=572").expect("valid").bound(&ASK).is_ok());
    assert!(
        build("lethe:total=568").expect("valid").bound(&Ask { present: 9, ..ASK }).is_ok(),
        "a later prompt is served"
    );
    // the least that is asked for is enough
    for text in ["random:budget=5", "recency:budget=4", "lethe:budget=4"] {
        assert!(build(text).expect(text).bound(&bare).is_ok(), "{text}");
    }
    assert_eq!(
        build("recency:cap=99").expect("valid").bound(&ASK).expect_err("too small").to_string(),
        "policy `recency`: cap 99 is below the 100 slots that this request must keep; raise it, or protect less of the prompt \
         (protect_prompt=newest or none)"
    );
}

#[test]
fn auto_takes_its_cap_from_the_memory() {
    let auto = |slots_per_layer, max_num_seqs, max_positions| {
        PolicySpec::new("auto").expect("registered").build(&Context {
            layers: 4,
            slots_per_layer,
            max_num_seqs,
            max_positions,
        })
    };
    let option = |policy: &dyn Policy, key| policy.options().into_iter().find(|(name, _)| *name == key).expect(key).1;
    for (slots, seqs, cap, interval) in
        [(8192, 4, "1920", "128"), (1000, 1, "864", "125"), (640, 8, "64", "10"), (48, 1, "32", "8")]
    {
        let policy = auto(slots, seqs, 1 << 16).expect("enough memory");
        assert_eq!((option(&*policy, "cap"), option(&*policy, "interval")), (cap.to_owned(), interval.to_owned()));
        assert_eq!((policy.name(), option(&*policy, "trigger")), ("auto", "cap".to_owned()));
        let bound = policy.bound(&Ask { layers: 4, prompt: 8, pinned: 8, max_tokens: 1 << 15, ..Ask::default() });
        assert!(bound.expect("a short prompt").per_layer <= slots / seqs, "the bound fits the share");
    }

    let roomy = auto(8192, 1, 8064).expect("enough memory");
    assert_eq!((option(&*roomy, "cap"), roomy.scoring()), ("8064".to_owned(), None), "it can never prune");
    assert_eq!(roomy.bound(&ASK).expect("all fits").per_layer, 1100);
    let tight = auto(8192, 1, 8065).expect("enough memory");
    assert!(tight.scoring().is_some());

    for (slots, seqs) in [(0, 1), (20, 1), (4096, 1 << 12)] {
        let error = auto(slots, seqs, 1 << 16).expect_err("too little memory");
        assert!(matches!(error, PolicyError::ShareTooSmall { .. }), "{error}");
    }
    assert!(auto(4096, 0, 1 << 16).is_ok(), "no sequences at all is one");
}

#[test]
fn auto_refuses_a_prompt_that_fills_its_cap() {
    let policy = PolicySpec::new("auto").expect("registered");
    let policy = policy.build(&Context { slots_per_layer: 640, max_num_seqs: 8, ..CONTEXT }).expect("enough memory");
    let error = policy.bound(&ASK).expect_err("a prompt of 100 in a cap of 64");
    assert!(
        matches!(error, PolicyError::InvalidBudget { policy: "auto", key: "cap", have: 64, need: 100, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("shorten the prompt"), "{error}");
}

/// The page on policies names every policy and every option with its default.
#[test]
fn the_documentation_is_complete() {
    let page = include_str!("../../../docs/policies.md");
    for info in registry() {
        assert!(page.contains(&format!("| `{}` |", info.name)), "no row for `{}`", info.name);
        for option in info.options {
            let mut rows = page.lines().filter(|line| line.starts_with('|')).filter(|line| {
                let cell = line.trim_start_matches("| ").split(" |").next().unwrap_or_default();
                cell.split(", ").any(|name| name == format!("`{}`", option.key))
            });
            let default = format!("| {} |", option.default.unwrap_or("-"));
            assert!(rows.any(|row| row.contains(&default)), "{}: no row `{}` {default}", info.name, option.key);
        }
    }
}
