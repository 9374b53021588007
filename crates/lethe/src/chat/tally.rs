//! What the turns of a conversation cost, and what the cache looks like.

use std::fmt::Write;
use std::time::Duration;

use lethe_engine::{Finished, human_bytes};

use crate::bars::padded_bar;
use crate::report;

/// Characters of a bar.
const WIDTH: usize = 24;

/// Turns added up.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    last: Option<Finished>,
    turns: usize,
    prompt_tokens: usize,
    cached_tokens: usize,
    completion_tokens: usize,
    /// Tokens after the first of each turn, which is what the time below was spent on.
    decoded: usize,
    decode: Duration,
    cut: Cut,
}

/// What a policy did since it was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cut {
    rounds: usize,
    evicted: usize,
    dropped_sum: f64,
    dropped_max: f64,
}

impl Cut {
    fn of(done: &Finished) -> Cut {
        let rounds = done.kv.rounds.iter().sum::<usize>();
        let dropped = done.kv.dropped_mass;
        let dropped_sum = dropped.mean * rounds as f64;
        Cut { rounds, evicted: done.kv.evicted, dropped_sum, dropped_max: dropped.max }
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.rounds == 0 {
            return write!(f, "no round");
        }
        let mean = 100.0 * self.dropped_sum / self.rounds as f64;
        write!(
            f,
            "{} rounds, {} forgotten, dropped mass {mean:.2} % on average, {:.2} % at most",
            self.rounds,
            self.evicted,
            100.0 * self.dropped_max
        )
    }
}

impl Tally {
    /// A turn has ended; `before` it, the session that it went on in had seen so many tokens, 0 where it began anew.
    pub(crate) fn add(&mut self, done: &Finished, before: usize) {
        // A session's report goes on counting where a turn is appended to it.
        let counted = self.last.as_ref().filter(|_| before > 0).map(Cut::of).unwrap_or_default();
        let now = Cut::of(done);
        self.cut.rounds += now.rounds.saturating_sub(counted.rounds);
        self.cut.evicted += now.evicted.saturating_sub(counted.evicted);
        self.cut.dropped_sum += (now.dropped_sum - counted.dropped_sum).max(0.0);
        self.cut.dropped_max = self.cut.dropped_max.max(now.dropped_max);
        self.turns += 1;
        self.prompt_tokens += done.usage.prompt_tokens;
        self.cached_tokens += done.usage.cached_tokens;
        self.completion_tokens += done.usage.completion_tokens;
        self.decoded += done.usage.completion_tokens.saturating_sub(1);
        self.decode += done.timing.decode;
        self.last = Some(done.clone());
    }

    /// Another policy begins; what the one before did is no longer told.
    pub(crate) fn new_policy(&mut self) {
        self.cut = Cut::default();
    }

    /// What the policy did since it was chosen, in a line.
    pub(crate) fn cut(&self) -> String {
        format!("so far: {}", self.cut)
    }

    /// The cache as the last turn left it, a line a layer, and the cost of that turn and of all.
    pub(crate) fn report(&self) -> String {
        let Some(done) = &self.last else { return "nothing was asked yet".to_owned() };
        let kv = &done.kv;
        let full = kv.peak_slots.iter().copied().max().unwrap_or(0);
        let digits = full.to_string().len();
        let mut text = format!("{}, slots of each layer at the end of the last turn and at most\n", kv.policy);
        for (layer, ((&slots, &peak), rounds)) in kv.final_slots.iter().zip(&kv.peak_slots).zip(&kv.rounds).enumerate()
        {
            let bar = padded_bar(slots, full, WIDTH);
            let _ = writeln!(text, "layer {layer:>3} {bar} {slots:>digits$} of {peak:>digits$} · {rounds} rounds");
        }
        let _ = writeln!(text, "slots per layer: mean {:.1}, peak {full} · {}", kv.mean_slots, Cut::of(done));
        let _ = writeln!(text, "KV: peak {}, mean {}", human_bytes(kv.peak_bytes), human_bytes(kv.mean_bytes));
        let tokens = |prompt: usize, cached: usize, completion: usize, speed: Option<f64>| {
            let cached = if cached == 0 { String::new() } else { format!(" ({cached} cached)") };
            let speed = speed.map(|s| format!(" at {s:.1} tok/s")).unwrap_or_default();
            format!("{prompt}{cached} + {completion} tokens{speed}")
        };
        let u = done.usage;
        let last = tokens(u.prompt_tokens, u.cached_tokens, u.completion_tokens, report::decode_speed(done));
        let seconds = self.decode.as_secs_f64();
        let speed = (self.decoded > 0 && seconds > 0.0).then(|| self.decoded as f64 / seconds);
        let all = tokens(self.prompt_tokens, self.cached_tokens, self.completion_tokens, speed);
        let _ = writeln!(text, "last turn: {last} · {}", report::reason(done));
        let _ = write!(text, "all turns ({}): {all}", self.turns);
        text
    }
}

#[cfg(test)]
mod tests {
    use lethe_engine::{DroppedMass, FinishReason, KvReport, Timing, Usage};

    use super::*;

    fn done(rounds: usize, evicted: usize, mean: f64, max: f64) -> Finished {
        Finished {
            reason: FinishReason::Stop,
            limit: None,
            token_ids: vec![1; 11],
            usage: Usage { prompt_tokens: 20, completion_tokens: 11, cached_tokens: 5 },
            kv: KvReport {
                policy: "lethe".into(),
                options: serde_json::Map::new(),
                peak_slots: vec![40, 20],
                peak_total_slots: 60,
                final_slots: vec![20, 20],
                mean_slots: 17.25,
                rounds: vec![rounds, 0],
                evicted,
                tightened: 0,
                parked: 0,
                dropped_mass: DroppedMass { mean, max },
                hoyer: Vec::new(),
                peak_bytes: 4096,
                mean_bytes: 2048,
                saturated: 0,
            },
            timing: Timing { decode: Duration::from_secs(2), ..Timing::default() },
            session: Some(1),
            stopped_by: None,
            looped: false,
        }
    }

    #[test]
    fn turns_add_up_and_appended_reports_are_not_counted_twice() {
        let mut tally = Tally::default();
        assert_eq!((tally.report().as_str(), tally.cut().as_str()), ("nothing was asked yet", "so far: no round"));
        tally.add(&done(2, 10, 0.1, 0.15), 0);
        let first = "2 rounds, 10 forgotten, dropped mass 10.00 % on average, 15.00 % at most";
        assert_eq!(tally.cut(), format!("so far: {first}"));
        tally.add(&done(3, 14, 0.2, 0.4), 31); // of them one is new
        assert!(tally.cut().contains("3 rounds, 14 forgotten, dropped mass 20.00 % on average, 40.00 % at most"));
        tally.add(&done(1, 2, 0.0, 0.0), 0);
        assert!(tally.cut().contains("4 rounds, 16 forgotten, dropped mass 15.00 % on average, 40.00"));
        let text = tally.report();
        assert!(text.contains("layer   0 ████████████             20 of 40 · 1 rounds"), "{text}");
        assert!(text.contains("mean 17.2, peak 40 · 1 rounds, 2 forgotten"), "{text}");
        assert!(text.contains("KV: peak 4.0 KiB, mean 2.0 KiB"), "{text}");
        assert!(text.contains("last turn: 20 (5 cached) + 11 tokens at 5.0 tok/s · stop"), "{text}");
        assert!(text.ends_with("all turns (3): 60 (15 cached) + 33 tokens at 5.0 tok/s"), "{text}");
        tally.new_policy();
        assert_eq!(tally.cut(), "so far: no round");
        assert!(tally.report().contains("all turns (3)"));
    }
}
