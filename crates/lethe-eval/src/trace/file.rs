//! The trace as a file: JSON lines, the header first, `end` last.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{End, Header, Level, Need, Round, Segment, Trace};

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
        source: io::Error,
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
    let mut lines = input.lines().enumerate().map(|(i, text)| match text {
        Ok(text) => Ok((i + 1, text)),
        Err(source) => Err(TraceError::Unreadable { line: i + 1, source }),
    });
    let (_, first) = lines.next().ok_or(TraceError::Empty)??;
    let header: Header = serde_json::from_str(&first).map_err(|source| TraceError::NotATrace { source })?;
    if header.lethe_trace != VERSION {
        return Err(TraceError::Version { found: header.lethe_trace });
    }
    let (mut segments, mut levels, mut rounds, mut needs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut check = Check { layers: header.layers, kv_heads: header.kv_heads, tokens: 0, position: 0, level: 0 };
    check.header().map_err(|why| TraceError::Senseless { line: 1, why })?;
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
struct Check {
    layers: usize,
    kv_heads: usize,
    tokens: usize,
    position: u32, // of the newest round
    level: u32,    // of the newest level
}

/// More layers or KV heads than any model has: a page of them could not be drawn.
const MOST: usize = 4096;

impl Check {
    fn header(&self) -> Result<(), String> {
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
                round.forgot.iter().try_for_each(|lost| {
                    if let Some(lane) = lost.lane.filter(|&lane| lane >= self.kv_heads) {
                        return Err(format!("lane {lane}, the model has {} KV heads", self.kv_heads));
                    }
                    lost.runs.iter().try_for_each(|run| self.run(run))
                })
            }
            Line::Need(need) => {
                self.run(&need.at)?;
                need.from.iter().try_for_each(|run| self.run(run))?;
                need.gone.iter().try_for_each(|&layer| self.layer(layer))
            }
            Line::End(_) => Ok(()),
        }
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
