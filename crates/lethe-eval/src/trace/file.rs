//! The trace as a file: JSON lines, the header first, `end` last.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{End, Header, Level, Need, Round, Segment, Trace};
use crate::dataset::{LONGEST, LineError, lines};

/// The version that this code writes, and the only one it reads.
pub(super) const VERSION: u32 = 1;

/// One line after the header.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Tokens(Segment),
    Level(Level),
    Round(Round),
    Need(Need),
    End(End),
}

/// Why a file is no trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// It cannot be read.
    #[error("line {line} cannot be read: {source}")]
    Unreadable {
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: LineError,
    },
    /// It is something else.
    #[error("line 1 is no header of a trace ({source}): give a file that `lethe trace` wrote")]
    NotATrace {
        /// What the parser says.
        source: serde_json::Error,
    },
    /// Nothing is in it.
    #[error("the file is empty: give one that `lethe trace` wrote")]
    Empty,
    /// Another version wrote it.
    #[error(
        "line 1 says format {found}, this program reads {VERSION}: write the trace again with this program's `lethe trace`"
    )]
    Version {
        /// What it says.
        found: u32,
    },
    /// A line is broken.
    #[error("line {line} is broken ({source}): remove what was changed, or write the trace again with `lethe trace`")]
    Broken {
        /// Which line, from 1.
        line: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A line contradicts the header or the text.
    #[error("line {line} makes no sense: {why}; write the trace again with `lethe trace`")]
    Senseless {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The end is missing.
    #[error(
        "the file stops after line {line}, without its last line, `end`: it was cut off; copy it again, or write it again with `lethe trace`"
    )]
    CutOff {
        /// The last line there is.
        line: usize,
    },
}

/// A [`Line`] that is written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    Tokens(&'a Segment),
    Level(&'a Level),
    Round(&'a Round),
    Need(&'a Need),
    End(&'a End),
}

/// Writes a trace.
///
/// # Errors
/// What the writer says.
pub fn write(trace: &Trace, out: &mut impl Write) -> io::Result<()> {
    put(out, &trace.header)?;
    trace.segments.iter().try_for_each(|segment| put(out, &Written::Tokens(segment)))?;
    trace.levels.iter().try_for_each(|level| put(out, &Written::Level(level)))?;
    trace.rounds.iter().try_for_each(|round| put(out, &Written::Round(round)))?;
    trace.needs.iter().try_for_each(|need| put(out, &Written::Need(need)))?;
    put(out, &Written::End(&trace.end))
}

fn put(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Reads a trace and checks that it hangs together.
///
/// # Errors
/// [`TraceError`], with the line.
pub fn read(input: impl BufRead) -> Result<Trace, TraceError> {
    let mut lines = lines(input, LONGEST).map(|(line, text)| match text {
        Ok(text) => Ok((line, text)),
        Err(source) => Err(TraceError::Unreadable { line, source }),
    });
    let (_, first) = lines.next().ok_or(TraceError::Empty)??;
    let header: Header = serde_json::from_str(&first).map_err(|source| TraceError::NotATrace { source })?;
    if header.lethe_trace != VERSION {
        return Err(TraceError::Version { found: header.lethe_trace });
    }
    let (mut segments, mut levels, mut rounds, mut needs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut check = Check::default();
    check.header(&header).map_err(|why| TraceError::Senseless { line: 1, why })?;
    let mut last = 1;
    while let Some(line) = lines.next() {
        let (line, text) = line?;
        last = line;
        let parsed = serde_json::from_str(&text).map_err(|source| TraceError::Broken { line, source })?;
        check.line(&parsed).map_err(|why| TraceError::Senseless { line, why })?;
        match parsed {
            Line::Tokens(segment) => segments.push(segment),
            Line::Level(level) => levels.push(level),
            Line::Round(round) => rounds.push(round),
            Line::Need(need) => needs.push(need),
            Line::End(end) => {
                if let Some(more) = lines.next() {
                    let (line, _) = more?;
                    return Err(TraceError::Senseless { line, why: "it comes after `end`".into() });
                }
                return Ok(Trace { header, segments, levels, rounds, needs, end });
            }
        }
    }
    Err(TraceError::CutOff { line: last })
}

/// What lines must agree with.
#[derive(Default)]
struct Check {
    layers: usize,
    kv_heads: usize,
    tokens: usize,
    position: u32,                                             // of the newest round
    level: u32,                                                // of the newest level
    slots: usize,                                              // forgotten in all
    gone: HashMap<(usize, Option<usize>), BTreeMap<u32, u32>>, // by layer and lane, last of each run by its first
}

/// More layers or KV heads than any model has: a page of them could not be drawn.
const MOST: usize = 4096;
/// Slots forgotten in all layers and lanes: the page lists each of them, and no browser shows more.
const MOST_FORGOTTEN: usize = 1 << 25;

impl Check {
    fn header(&mut self, header: &Header) -> Result<(), String> {
        (self.layers, self.kv_heads) = (header.layers, header.kv_heads);
        for (what, n) in [("layers", self.layers), ("kv_heads", self.kv_heads)] {
            if !(1..=MOST).contains(&n) {
                return Err(format!("{what} is {n}, expected 1 to {MOST}"));
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Tokens(segment) if segment.ids.len() != segment.texts.len() => {
                Err(format!("{} ids, but {} texts", segment.ids.len(), segment.texts.len()))
            }
            Line::Tokens(segment) => {
                self.tokens += segment.ids.len();
                Ok(())
            }
            Line::Level(level) => {
                for (what, n) in [("slots", level.slots.len()), ("hoyer", level.hoyer.len())] {
                    if n != self.layers && (what == "slots" || n != 0) {
                        return Err(format!("{n} numbers in {what}, the model has {} layers", self.layers));
                    }
                }
                self.later(level.position, self.level)?;
                self.level = level.position;
                Ok(())
            }
            Line::Round(round) => {
                self.layer(round.layer)?;
                self.later(round.position, self.position)?;
                self.position = round.position;
                if round.before > self.tokens {
                    return Err(format!("{} slots before, of {} tokens", round.before, self.tokens));
                }
                if round.after > round.before {
                    return Err(format!("{} slots after {}: a round adds none", round.after, round.before));
                }
                round.forgot.iter().try_for_each(|lost| {
                    if let Some(lane) = lost.lane.filter(|&lane| lane >= self.kv_heads) {
                        return Err(format!("lane {lane}, the model has {} KV heads", self.kv_heads));
                    }
                    lost.runs.iter().try_for_each(|run| self.forgotten(round.layer, lost.lane, run))
                })
            }
            Line::Need(need) => {
                self.run(&need.at)?;
                need.from.iter().try_for_each(|run| self.run(run))?;
                need.gone.iter().try_for_each(|&layer| self.layer(layer))
            }
            Line::End(_) if self.tokens == 0 => Err("the run has no tokens".into()),
            Line::End(_) => Ok(()),
        }
    }

    /// Takes note of a run: nothing is forgotten twice.
    fn forgotten(&mut self, layer: usize, lane: Option<usize>, run: &[u32; 2]) -> Result<(), String> {
        self.run(run)?;
        let &[first, last] = run;
        let gone = self.gone.entry((layer, lane)).or_default();
        if let Some((_, &end)) = gone.range(..=last).next_back().filter(|(_, end)| **end >= first) {
            return Err(format!("layer {layer} forgets position {} a second time", end.min(last)));
        }
        gone.insert(first, last);
        self.slots += (last - first) as usize + 1;
        if self.slots > MOST_FORGOTTEN {
            return Err(format!(
                "more than {MOST_FORGOTTEN} slots are forgotten, which no page shows: trace a shorter run"
            ));
        }
        Ok(())
    }

    fn layer(&self, layer: usize) -> Result<(), String> {
        if layer < self.layers { Ok(()) } else { Err(format!("layer {layer}, the model has {}", self.layers)) }
    }

    fn later(&self, position: u32, than: u32) -> Result<(), String> {
        if position as usize > self.tokens {
            return Err(format!("position {position}, and only {} tokens came before", self.tokens));
        }
        if position < than {
            return Err(format!("position {position} after position {than}"));
        }
        Ok(())
    }

    fn run(&self, &[first, last]: &[u32; 2]) -> Result<(), String> {
        if first <= last && (last as usize) < self.tokens {
            return Ok(());
        }
        Err(format!("positions {first} to {last}, of {} tokens", self.tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a trace of 2 layers, 2 KV heads and 100 tokens with these lines.
    fn refused(lines: &[&str]) -> String {
        let texts = vec!["\"\""; 100].join(",");
        let tokens = format!(r#"{{"tokens":{{"by":"prompt","ids":{:?},"texts":[{texts}]}}}}"#, vec![1; 100]);
        let head = r#"{"lethe_trace":1,"model":"m","layers":2,"kv_heads":2,"policy":"p","options":{}}"#;
        let end = r#"{"end":{"reason":"stop","peak_bytes":1}}"#;
        let text = [&[head, &tokens], lines, &[end]].concat().join("\n");
        read(text.as_bytes()).map_or_else(|e| e.to_string(), |trace| format!("{} tokens", trace.tokens()))
    }

    fn round(layer: usize, before: usize, after: usize, forgot: &str) -> String {
        format!(
            r#"{{"round":{{"position":50,"layer":{layer},"before":{before},"after":{after},"trigger":0,"bytes":1,"dropped_mass":0,"forgot":[{forgot}]}}}}"#
        )
    }

    #[test]
    fn nothing_is_forgotten_twice() {
        let two = |a: &str, b: &str| refused(&[&round(1, 50, 40, a), &round(1, 50, 40, b)]);
        let first = r#"{"runs":[[10,19]]}"#;
        for again in ["[19,25]", "[5,10]", "[12,13]", "[0,50]", "[10,19]"] {
            let said = two(first, &format!(r#"{{"runs":[{again}]}}"#));
            assert!(said.contains("line 4") && said.contains("layer 1 forgets position 1"), "{again}: {said}");
        }
        assert!(refused(&[&round(0, 50, 40, r#"{"runs":[[3,4],[4,5]]}"#)]).contains("line 3"));
        assert_eq!(two(first, r#"{"runs":[[0,9],[20,30]]}"#), "100 tokens");
        assert_eq!(two(r#"{"lane":0,"runs":[[10,19]]}"#, r#"{"lane":1,"runs":[[10,19]]}"#), "100 tokens");
        assert_eq!(refused(&[&round(0, 50, 40, first), &round(1, 50, 40, first)]), "100 tokens");
    }

    #[test]
    fn slots_add_up() {
        for (before, after, said) in
            [(101, 1, "101 slots before"), (usize::MAX, 1, "slots before"), (5, 6, "6 slots after 5")]
        {
            let text = refused(&[&round(0, before, after, "")]);
            assert!(text.contains("line 3") && text.contains(said), "{text}");
        }
        assert_eq!(refused(&[&round(0, 100, 100, "")]), "100 tokens");
    }

    #[test]
    fn nothing_is_no_trace() {
        let text = concat!(
            r#"{"lethe_trace":1,"model":"m","layers":2,"kv_heads":2,"policy":"p","options":{}}"#,
            "\n",
            r#"{"end":{"reason":"stop","peak_bytes":1}}"#
        );
        let said = read(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("line 2") && said.contains("no tokens"), "{said}");
    }

    #[test]
    fn a_file_without_line_ends_is_given_up() {
        let said = read(io::BufReader::with_capacity(1 << 20, io::repeat(b'['))).unwrap_err();
        assert!(matches!(said, TraceError::Unreadable { line: 1, source: LineError::TooLong { .. } }), "{said}");
    }
}
