//! One run with everything that was forgotten in it: recorded from the engine's events, kept as a file of JSON lines, shown as
//! a page.
//!
//! ```text
//! events -> Recorder -> Trace <-> file (read, write) -> page (HTML), charts (SVG)
//! ```

mod chart;
mod colour;
mod file;
mod page;
mod recorder;

use serde::{Deserialize, Serialize};

pub use chart::{heatmap, slots};
pub use file::{TraceError, read, write};
pub use page::page;
pub use recorder::{Recorder, spell};

use crate::problems::Family;

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub lethe_trace: u32,
    /// Name of the model.
    pub model: String,
    /// Its layers.
    pub layers: usize,
    /// Its KV heads.
    pub kv_heads: usize,
    /// Name of the policy.
    pub policy: String,
    /// Its options, resolved.
    pub options: serde_json::Map<String, serde_json::Value>,
    /// The generated problem, if it was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub task: Option<Task>,
}

/// Names a generated problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its family.
    pub family: Family,
    /// Its level.
    pub level: f64,
    /// Its seed.
    pub seed: u64,
}

/// Tokens that belong together, at the positions after those before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Whether the model was fed them or made them.
    pub by: By,
    /// Their ids. `[tokens]`
    pub ids: Vec<u32>,
    /// What each adds to the text; a character of several tokens stands with the last of them. `[tokens]`
    pub texts: Vec<String>,
    /// Whether the answer is right, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub right: Option<bool>,
}

/// Where tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A prompt, and what a template puts between turns.
    Prompt,
    /// The model.
    Model,
}

/// All layers at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Tokens fed so far.
    pub position: u32,
    /// Slots held. `[layers]`
    pub slots: Vec<usize>,
    /// Sparsity of the scores (Hoyer), 0 to 1; empty for policies without scores. `[layers]`
    pub hoyer: Vec<f64>,
    /// Bytes held.
    pub bytes: u64,
}

/// One pruning of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Tokens fed when it happened.
    pub position: u32,
    /// The layer.
    pub layer: usize,
    /// Slots before.
    pub before: usize,
    /// Slots after.
    pub after: usize,
    /// Slots at which the policy wanted the next round; 0 where it notes none.
    pub trigger: usize,
    /// Bytes of the whole sequence after it.
    pub bytes: u64,
    /// Score dropped, as a share of the score before.
    pub dropped_mass: f64,
    /// The scores before; absent for policies without scores.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scores: Option<Scores>,
    /// What it dropped.
    pub forgot: Vec<Lost>,
}

/// Scores of a layer in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Sparsity (Hoyer).
    pub hoyer: f64,
    /// Sum.
    pub sum: f64,
    /// The largest.
    pub top: f64,
    /// The middle one.
    pub median: f64,
    /// The largest that was dropped.
    pub dropped_top: f64,
}

/// Positions dropped from a layer, or from one lane of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// The lane, where lanes are cut each on its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lane: Option<usize>,
    /// Runs of positions: first and last, both dropped.
    pub runs: Vec<[u32; 2]>,
}

/// Tokens that a right answer cannot have without earlier ones, some of them gone by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// First and last position.
    pub at: [u32; 2],
    /// The positions that any one would do of, first and last of each run.
    pub from: Vec<[u32; 2]>,
    /// The layers that had none of these whole any more.
    pub gone: Vec<usize>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Why the last turn ended.
    pub reason: String,
    /// Most bytes held.
    pub peak_bytes: u64,
    /// Reads of the right answer that were due, up to the first wrong token; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reads: Option<usize>,
    /// How many tokens, prompt included, are those of the right conversation; absent where nobody knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub followed: Option<usize>,
}

/// A whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What was run.
    pub header: Header,
    /// Its text.
    pub segments: Vec<Segment>,
    /// Every 8 positions, the layers. Ascending.
    pub levels: Vec<Level>,
    /// Every pruning. Ascending by position.
    pub rounds: Vec<Round>,
    /// What was read too late, of what a right answer reads.
    pub needs: Vec<Need>,
    /// How it ended.
    pub end: End,
}

impl Trace {
    /// Tokens, whoever made them. The last of them may never have been fed.
    pub fn tokens(&self) -> usize {
        self.segments.iter().map(|segment| segment.ids.len()).sum()
    }
}
