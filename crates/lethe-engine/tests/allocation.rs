//! The step loop allocates nothing: decoding with and without a policy, rounds included.

mod common;

use std::alloc::System;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{options, problems, reasoner, request};
use lethe_engine::{Core, Event};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ROUNDS: AtomicUsize = AtomicUsize::new(0);

// One test in this file: the counter is the process's.
#[test]
fn decode_steps_and_rounds_allocate_nothing() {
    let mut model = reasoner(2);
    std::sync::Arc::get_mut(&mut model).unwrap().tokenizer = None; // text is made of strings; ids are not
    let problems = problems();
    let mut core = Core::new(model, options(4)).unwrap();
    let policies = [
        "full",
        "lethe:budget=40,trigger=cap,interval=8,recent_ratio=0.1",
        "lethe:total=800,interval=8",
        "random:budget=40,interval=8",
    ];
    for (i, policy) in policies.iter().enumerate() {
        let mut request = request(&problems[99 - i].prompt, policy, 300);
        request.generation.ignore_eos = true;
        core.submit(i as u64, request, |event| {
            if let Event::Round(_) = event {
                ROUNDS.fetch_add(1, Ordering::Relaxed);
            }
        })
        .unwrap();
    }
    for _ in 0..8 {
        core.step(); // prompts, and whatever is made on first use
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..200 {
        core.step();
    }
    let change = region.change();
    assert!(ROUNDS.load(Ordering::Relaxed) > 30, "rounds are part of the loop");
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
}
