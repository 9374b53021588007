//! One measurement, as a line of the table and as a JSON object.

use lethe_engine::{Finished, human_bytes};
use serde_json::{Value, json};

use super::Setup;

/// Several timings of the same thing. Tokens per second.
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of at least one timing; the mean of the middle two where their number is even.
    pub(super) fn of(mut timings: Vec<f64>) -> Spread {
        timings.sort_by(f64::total_cmp);
        let (first, last) = (timings.first().copied(), timings.last().copied());
        let at = |i: usize| timings.get(i).copied().unwrap_or(0.0);
        let (low, high) = (timings.len().saturating_sub(1) / 2, timings.len() / 2);
        Spread { median: (at(low) + at(high)) / 2.0, min: first.unwrap_or(0.0), max: last.unwrap_or(0.0) }
    }
}

/// What was measured at one position, or of one load.
pub(super) struct Row {
    /// Tokens of each sequence's first prompt.
    pub(super) prompt: usize,
    /// Position at which decoding was timed; `None` for requests timed until done.
    pub(super) context: Option<usize>,
    /// New tokens of each sequence, the timed ones.
    pub(super) new: usize,
    /// Tokens of prompts per second, over the steps that read some; `None` where nothing was left to read.
    pub(super) prompt_tok_s: Option<f64>,
    /// All sequences together.
    pub(super) decode: Spread,
    /// How many timings are in [`Row::decode`], and what they are called.
    pub(super) timings: (&'static str, usize),
    /// Of all sequences together.
    pub(super) kv_peak_bytes: u64,
    /// Moved for one new token of one sequence.
    pub(super) bytes_per_token: f64,
    /// The end of one turn of every sequence.
    pub(super) ended: Vec<Finished>,
}

/// The heading of [`Row::line`].
pub(super) fn heading() -> String {
    format!(
        "{:>8} {:>8} {:>7} {:>6} {:>6} {:>13} {:>27} {:>10} {:>10} {:>9}",
        "prompt",
        "context",
        "slots",
        "batch",
        "new",
        "prompt tok/s",
        "decode tok/s (min-max)",
        "KV peak",
        "MB/token",
        "of reads"
    )
}

impl Row {
    /// Slots of the longest layer of any sequence at the end.
    fn kv_slots(&self) -> usize {
        self.ended.iter().flat_map(|done| &done.kv.final_slots).copied().max().unwrap_or(0)
    }

    /// Part of the read bandwidth, bytes per second, that decoding makes use of.
    fn share(&self, bandwidth: f64) -> f64 {
        self.bytes_per_token * self.decode.median / bandwidth
    }

    pub(super) fn line(&self, setup: &Setup, bandwidth: f64) -> String {
        let d = &self.decode;
        format!(
            "{:>8} {:>8} {:>7} {:>6} {:>6} {:>13} {:>27} {:>10} {:>10.1} {:>7.0} %",
            self.prompt,
            self.context.map_or("-".to_owned(), |context| context.to_string()),
            self.kv_slots(),
            setup.batch,
            self.new,
            self.prompt_tok_s.map_or("-".to_owned(), |speed| format!("{speed:.1}")),
            format!("{:.2} ({:.2}-{:.2})", d.median, d.min, d.max),
            human_bytes(self.kv_peak_bytes),
            self.bytes_per_token / 1e6,
            100.0 * self.share(bandwidth),
        )
    }

    pub(super) fn json(&self, setup: &Setup, bandwidth: f64) -> Value {
        let kv = self.ended.first().map(|done| &done.kv);
        let cap = kv.and_then(|kv| kv.options.get("cap"));
        let (timings, count) = self.timings;
        let mut object = json!({
            "model": setup.name,
            "policy": setup.spec.name(),
            "cap": cap,
            "options": kv.map(|kv| &kv.options),
            "threads": setup.threads(),
            "simd": setup.simd(),
            "kv_dtype": setup.kv.dtype.name(),
            "prompt": self.prompt,
            "context": self.context,
            "kv_slots": self.kv_slots(),
            "batch": setup.batch,
            "new": self.new,
            "prompt_tok_s": self.prompt_tok_s,
            "decode_tok_s": self.decode.median,
            "decode_tok_s_min": self.decode.min,
            "decode_tok_s_max": self.decode.max,
            "kv_peak_bytes": self.kv_peak_bytes,
            "peak_rss_bytes": super::resident::peak(),
            "rounds": kv.map(|kv| kv.rounds.iter().sum::<usize>()),
            "evicted": kv.map(|kv| kv.evicted),
            "bytes_per_token": self.bytes_per_token.round() as u64,
            "bandwidth_gb_s": bandwidth / 1e9,
            "bandwidth_share": self.share(bandwidth),
        });
        object[timings] = count.into();
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_ends() {
        let of = |timings: &[f64]| Spread::of(timings.to_vec());
        let three = of(&[3.0, 1.0, 2.0]);
        assert_eq!((three.median, three.min, three.max), (2.0, 1.0, 3.0));
        assert_eq!(of(&[4.0, 1.0, 2.0, 8.0]).median, 3.0);
        assert_eq!(of(&[5.0]).median, 5.0);
    }
}
