//! A summary for people.

use std::fmt::Write;

use crate::terminal::{BAD, FAINT, STRONG, harmless};

use super::summary::Summary;

/// The client's own delay from which on its numbers are in doubt, in milliseconds.
const LATE_MS: f64 = 10.0;

/// The lines of a summary, each with its end.
pub(super) fn lines(s: &Summary) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{STRONG}{name:<18}{STRONG:#} {value}").expect("strings are written to");
    };
    let mut ends = vec![format!("{} ok", s.counts.ok)];
    for (count, name) in [(s.counts.cancelled, "cancelled"), (s.counts.failed, "failed")] {
        if count > 0 {
            ends.push(format!("{count} {name}"));
        }
    }
    line("requests", ends.join(", "));
    line(
        "duration",
        format!(
            "{:.2} s, at most {} requests at once, {:.1} on average",
            s.duration.as_secs_f64(),
            s.peak,
            s.mean_concurrency
        ),
    );
    line("requests/s", format!("{:.2}", s.requests_s()));
    line("output tokens/s", format!("{:.1}", s.output_s()));
    line("total tokens/s", format!("{:.1}", s.total_s()));
    let t = &s.tokens;
    let part = |count: u64, name: &str| if count > 0 { format!(" ({count} {name})") } else { String::new() };
    let lost = if t.lost > 0 { format!(", {} of requests without an end", t.lost) } else { String::new() };
    line(
        "tokens",
        format!(
            "{} of prompts{}, {} generated{}{lost}",
            t.prompt,
            part(t.cached, "cached"),
            t.output,
            part(t.reasoning, "thinking")
        ),
    );
    if let Some(kv) = &s.kv {
        let slots = |name: &str, slots: Option<f64>| slots.map_or(String::new(), |n| format!("{name} {n:.0} slots, "));
        let tightened = if kv.tightened > 0.0 { format!(", tightened {} times", kv.tightened) } else { String::new() };
        let warned = if kv.warned > 0 { format!(", {} answers with warnings", kv.warned) } else { String::new() };
        line(
            "KV cache",
            format!(
                "{}{}{} forgotten in {} rounds{tightened}{warned}",
                slots("peak", kv.peak_slots),
                slots("mean", kv.mean_slots),
                kv.evicted,
                kv.rounds
            ),
        );
    }
    let heading = ["mean", "p50", "p90", "p99", "max"].map(|name| format!("{name:>10}")).concat();
    writeln!(text, "\n{STRONG}{:<18}{heading}{STRONG:#}", "milliseconds").expect("strings are written to");
    for (name, quantiles) in
        [("first token", &s.ttft), ("between tokens", &s.itl), ("per token", &s.tpot), ("end to end", &s.e2el)]
    {
        let row = quantiles.row().map(|ms| ms.map_or(format!("{:>10}", "-"), |ms| format!("{ms:>10.2}"))).concat();
        writeln!(text, "{name:<18}{row}").expect("strings are written to");
    }
    for (kind, (count, first)) in &s.counts.kinds {
        let first = harmless(&first.to_string());
        writeln!(text, "{BAD}{count} failed: {kind}{BAD:#} {FAINT}{first}{FAINT:#}").expect("strings are written to");
    }
    let mut note = |said: String| writeln!(text, "{FAINT}{said}{FAINT:#}").expect("strings are written to");
    if t.uncounted > 0 {
        note(format!("{} answers came without usage: their tokens are counted by chunks", t.uncounted));
    }
    if s.counts.unmarked > 0 {
        note(format!("{} streams ended without [DONE]", s.counts.unmarked));
    }
    let late = s.late.as_secs_f64() * 1e3;
    if late > LATE_MS {
        note(format!("the client sent requests up to {late:.0} ms late: this machine is at its own limit"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::load::Run;
    use super::super::outcome::{End, Failure, Outcome};
    use super::*;

    #[test]
    fn the_table_has_every_number_and_what_failed() {
        let mut done = Outcome::new(0, Duration::ZERO);
        for at in [125, 150] {
            done.text(Duration::from_millis(at));
        }
        done.total = Duration::from_millis(500);
        done.usage = serde_json::from_str(
            r#"{"prompt_tokens": 9, "completion_tokens": 2, "kv": {"peak_slots": [4], "evicted": 3, "rounds": [1]}}"#,
        )
        .ok();
        done.end = End::Done { reason: Some("stop".into()), marked: false };
        let mut failed = Outcome::new(1, Duration::ZERO);
        failed.end = End::Failed(Failure::Status(429, "full \x1b[2J".into()));
        failed.late = Duration::from_millis(40);
        let run = Run { outcomes: vec![done, failed], duration: Duration::from_millis(500), peak: 2 };
        let text = anstream::adapter::strip_str(&lines(&Summary::of(&run))).to_string();
        let wanted = "\
requests           1 ok, 1 failed
duration           0.50 s, at most 2 requests at once, 1.0 on average
requests/s         2.00
output tokens/s    4.0
total tokens/s     22.0
tokens             9 of prompts, 2 generated
KV cache           peak 4 slots, 3 forgotten in 1 rounds

milliseconds            mean       p50       p90       p99       max
first token           125.00    125.00    125.00    125.00    125.00
between tokens         25.00     25.00     25.00     25.00     25.00
per token              25.00     25.00     25.00     25.00     25.00
end to end            500.00    500.00    500.00    500.00    500.00
1 failed: HTTP 429 HTTP 429: full \\u{1b}[2J
1 streams ended without [DONE]
the client sent requests up to 40 ms late: this machine is at its own limit
";
        assert_eq!(text, wanted);
    }
}
