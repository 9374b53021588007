//! From the engine's events to a trace.

use std::ops::Range;

use lethe_engine::{Event, FinishReason, Finished};
use lethe_model::Tokenizer;

use super::{By, End, Header, Level, Lost, Need, Round, Scores, Segment, Trace};
use crate::gold::Gold;
use crate::misses::Forgotten;

/// Follows a traced sequence ([`lethe_engine::Request::trace`]) through its turns: each prompt, then its events.
#[derive(Debug)]
pub struct Recorder {
    trace: Trace,
    forgotten: Forgotten,
}

impl Recorder {
    /// For a run; the options that the header names are replaced by those the engine reports.
    pub fn new(header: Header) -> Recorder {
        let forgotten = Forgotten::new(header.layers, header.kv_heads);
        let end = End { reason: String::new(), peak_bytes: 0, reads: None, followed: None };
        let (segments, levels, rounds, needs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let header = Header { lethe_trace: super::file::VERSION, ..header };
        Recorder { trace: Trace { header, segments, levels, rounds, needs, end }, forgotten }
    }

    /// A turn begins with these tokens.
    pub fn prompt(&mut self, ids: &[u32], tokenizer: Option<&Tokenizer>) {
        self.segment(By::Prompt, ids, tokenizer, None);
    }

    /// Takes note of an event.
    pub fn saw(&mut self, event: &Event) {
        self.forgotten.saw(event);
        match event {
            Event::Levels(levels) => self.trace.levels.push(Level {
                position: levels.position,
                slots: levels.slots.clone(),
                hoyer: levels.hoyer.iter().map(|&x| short(x)).collect(),
                bytes: levels.bytes,
            }),
            Event::Round(round) => {
                let scores = round.detail.and_then(|detail| detail.scores);
                self.trace.rounds.push(Round {
                    position: round.position,
                    layer: round.layer,
                    before: round.before,
                    after: round.after,
                    trigger: round.detail.map_or(0, |detail| detail.trigger),
                    bytes: round.detail.map_or(0, |detail| detail.bytes),
                    dropped_mass: short(round.dropped_mass),
                    scores: scores.map(|s| Scores {
                        hoyer: short(s.hoyer),
                        sum: short(s.sum),
                        top: short(s.top.into()),
                        median: short(s.median.into()),
                        dropped_top: short(s.dropped_top.into()),
                    }),
                    forgot: Vec::new(),
                });
            }
            Event::Forgot { lane, positions, .. } if !positions.is_empty() => {
                if let Some(round) = self.trace.rounds.last_mut() {
                    round.forgot.push(Lost { lane: *lane, runs: runs(positions) });
                }
            }
            _ => {}
        }
    }

    /// The turn is over; `right` where somebody knows.
    pub fn answered(&mut self, done: &Finished, tokenizer: Option<&Tokenizer>, right: Option<bool>) {
        self.segment(By::Model, &done.token_ids, tokenizer, right);
        self.trace.header.policy.clone_from(&done.kv.policy);
        self.trace.header.options.clone_from(&done.kv.options);
        self.trace.end.peak_bytes = done.kv.peak_bytes;
        self.trace.end.reason = match (done.reason, done.limit) {
            (FinishReason::Length, Some(limit)) => limit.to_string(),
            (FinishReason::Length, None) => "length".into(),
            (FinishReason::Stop, _) => "stop".into(),
            (FinishReason::Cancelled, _) => "cancelled".into(),
            (FinishReason::Repetition, _) => "repetition".into(),
        };
    }

    /// The trace. With the right answer to compare with, it says what was needed and gone.
    pub fn done(mut self, gold: Option<&Gold>) -> Trace {
        if let Some(gold) = gold {
            let ids: Vec<u32> = self.trace.segments.iter().flat_map(|segment| &segment.ids).copied().collect();
            self.trace.end.followed = Some(gold.followed(&ids));
            self.trace.end.reads = Some(gold.due(&ids).count());
            self.trace.needs.extend(gold.due(&ids).filter_map(|read| {
                let gone = self.forgotten.missed(read);
                (!gone.is_empty()).then(|| Need {
                    at: closed(&read.at),
                    from: read.from.iter().map(closed).collect(),
                    gone,
                })
            }));
        }
        self.trace
    }

    fn segment(&mut self, by: By, ids: &[u32], tokenizer: Option<&Tokenizer>, right: Option<bool>) {
        let texts = match tokenizer {
            Some(tokenizer) => spell(tokenizer, ids),
            None => ids.iter().map(|id| format!("#{id} ")).collect(),
        };
        self.trace.segments.push(Segment { by, ids: ids.to_vec(), texts, right });
    }
}

/// What each token adds to a text; special ones by their names. A character of several tokens stands with the last of them.
pub fn spell(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
    let mut open = Vec::new(); // bytes of a character that is not complete
    let spell = |&id: &u32| {
        if tokenizer.is_special(id) {
            let name = tokenizer.token(id).unwrap_or_default();
            return String::from_utf8_lossy(&std::mem::take(&mut open)).into_owned() + &name;
        }
        open.extend(tokenizer.bytes(id));
        let whole = match std::str::from_utf8(&open) {
            Ok(_) => open.len(),
            Err(e) if e.error_len().is_none() => e.valid_up_to(),
            Err(_) => open.len(),
        };
        String::from_utf8_lossy(&open.drain(..whole).collect::<Vec<_>>()).into_owned()
    };
    ids.iter().map(spell).collect()
}

fn closed(range: &Range<u32>) -> [u32; 2] {
    [range.start, range.end.saturating_sub(1)]
}

/// Ascending positions as runs: first and last.
fn runs(positions: &[u32]) -> Vec<[u32; 2]> {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for &position in positions {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == position => *last = position,
            _ => runs.push([position, position]),
        }
    }
    runs
}

/// Four digits of a number: nobody sees more of it.
fn short(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return 0.0;
    }
    format!("{x:.3e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_runs() {
        assert_eq!(runs(&[3, 4, 5, 9, 11, 12]), [[3, 5], [9, 9], [11, 12]]);
        assert!(runs(&[]).is_empty());
    }

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!([short(0.123_456), short(98_765.4), short(0.0), short(f64::NAN)], [0.1235, 98_770.0, 0.0, 0.0]);
    }
}
