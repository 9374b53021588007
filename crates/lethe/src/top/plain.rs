//! One look, as lines.

use std::fmt::Write;

use crate::bars;
use crate::terminal::{STRONG, harmless};

use super::loads::Loads;

/// The lines of a look, each with its end.
pub(super) fn lines(url: &str, loads: &Loads) -> String {
    let (engine, cache) = (&loads.engine, &loads.engine.lethe);
    let total = &cache.counters;
    let mut text = String::new();
    let title = harmless(&format!("lethe {} at {url}", loads.version));
    writeln!(text, "{STRONG}{title}{STRONG:#}").expect("strings are written to");
    let mut line = |name: &str, value: String| writeln!(text, "{name:<16}{value}").expect("strings are written to");
    line(
        "requests",
        format!(
            "{} running of at most {}, {} waiting, {} of them parked, {} sessions kept",
            engine.num_running_reqs, engine.max_running_requests, engine.num_waiting_reqs, cache.preempted, cache.kept
        ),
    );
    line(
        "pages",
        format!(
            "{} of {} held ({:.0} %), {} by the prefix cache",
            cache.pages_held(),
            cache.pages_total,
            100.0 * share(cache.pages_held(), cache.pages_total),
            cache.cached_pages
        ),
    );
    line(
        "prefix cache",
        format!(
            "{} of {} tokens found ({:.0} %)",
            total.prefix_hits_total,
            total.prefix_queries_total,
            100.0 * share(total.prefix_hits_total, total.prefix_queries_total)
        ),
    );
    line(
        "since its start",
        format!(
            "{} prompt tokens, {} generated, {} steps",
            total.prompt_tokens_total, total.generated_tokens_total, total.steps_total
        ),
    );
    line(
        "",
        format!(
            "{} rounds, {} slots forgotten, {} preemptions",
            total.rounds_total, total.evicted_slots_total, total.preemptions_total
        ),
    );
    let most = cache.slots.iter().copied().max().unwrap_or(0);
    for (layer, slots) in cache.slots.iter().enumerate() {
        let name = if layer == 0 { "slots per layer" } else { "" };
        line(name, format!("{layer:>3} {} {slots}", bars::padded_bar(*slots as usize, most as usize, 40)));
    }
    text
}

/// A part of a whole; nothing of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_a_few_lines() {
        let mut loads = Loads { version: "0.1.0".into(), ..Loads::default() };
        loads.engine.num_running_reqs = 3;
        loads.engine.max_running_requests = 16;
        let cache = &mut loads.engine.lethe;
        (cache.slots, cache.pages_free, cache.pages_total, cache.cached_pages) = (vec![400, 200], 25, 100, 12);
        (cache.counters.prefix_queries_total, cache.counters.prefix_hits_total) = (1000, 340);
        cache.counters.evicted_slots_total = 77;
        let text = anstream::adapter::strip_str(&lines("http://h", &loads)).to_string();
        let wanted = "\
lethe 0.1.0 at http://h
requests        3 running of at most 16, 0 waiting, 0 of them parked, 0 sessions kept
pages           75 of 100 held (75 %), 12 by the prefix cache
prefix cache    340 of 1000 tokens found (34 %)
since its start 0 prompt tokens, 0 generated, 0 steps
                0 rounds, 77 slots forgotten, 0 preemptions
slots per layer   0 ████████████████████████████████████████ 400
                  1 ████████████████████                     200
";
        assert_eq!(text, wanted);
        assert!(lines("http://h", &Loads::default()).contains("(0 %)"));
    }
}
