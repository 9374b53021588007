//! Policies of other crates. A file of its own: what it registers, every test of the process would see.

use lethe_policy::{Context, PolicyError, PolicyInfo, PolicySpec, register};

const CONTEXT: Context = Context { layers: 4, slots_per_layer: 4096, max_num_seqs: 1, max_positions: 1 << 16 };

/// A policy of another crate joins the others, and only under a name of its own.
#[test]
fn policies_of_other_crates_are_named_like_any_other() {
    static MINE: PolicyInfo = PolicyInfo {
        name: "mine",
        summary: "everything",
        cost: "nothing",
        options: &[],
        build: |_, context| PolicySpec::new("full")?.build(context),
    };
    assert!(PolicySpec::parse("mine").is_err());
    register(&MINE).expect("a new name");
    assert_eq!(PolicySpec::parse("mine").expect("registered").to_string(), "mine");
    assert!(PolicySpec::parse("mine").and_then(|spec| spec.build(&CONTEXT)).is_ok());
    assert_eq!(register(&MINE), Err(PolicyError::NameTaken { name: "mine" }));
    for name in ["", "a:b", "a b", "x=y"] {
        let bad: &'static PolicyInfo = Box::leak(Box::new(PolicyInfo { name, ..MINE }));
        assert_eq!(register(bad), Err(PolicyError::BadName { name }));
    }
}
