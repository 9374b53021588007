//! Options that several policies share: one meaning, one default.

use crate::allocate::Allocation;
use crate::breakpoint::Reference;
use crate::option::{OptionKind, OptionSpec};
use crate::policy::ProtectPrompt;

/// The most slots of a layer that an option may name.
pub(crate) const MOST_SLOTS: usize = 1 << 24;

const SLOTS: OptionKind = OptionKind::Count { min: 1, max: MOST_SLOTS };

/// All slots of a layer.
pub const CAP: OptionSpec =
    OptionSpec { key: "cap", default: None, help: "slots a layer holds after a round", kind: SLOTS };

/// Slots beyond the pinned ones.
pub const BUDGET: OptionSpec =
    OptionSpec { key: "budget", default: None, help: "slots beyond the pinned ones after a round", kind: SLOTS };

/// First slots.
pub const SINKS: OptionSpec = OptionSpec {
    key: "sinks",
    default: Some("4"),
    help: "first slots, always kept",
    kind: OptionKind::Count { min: 0, max: 4096 },
};

/// How often rounds run.
pub const INTERVAL: OptionSpec = OptionSpec {
    key: "interval",
    default: Some("128"),
    help: "tokens a layer grows beyond its budget before the next round",
    kind: OptionKind::Count { min: 1, max: 1 << 16 },
};

/// Which prompts are pinned.
pub const PROTECT_PROMPT: OptionSpec = OptionSpec {
    key: "protect_prompt",
    default: Some("all"),
    help: "which prompts are pinned: of every turn, of the newest turn (and the system message), none",
    kind: OptionKind::Choice(ProtectPrompt::WORDS),
};

/// All slots of all layers.
pub const TOTAL: OptionSpec = OptionSpec {
    key: "total",
    default: None,
    help: "slots summed over all layers after a round, divided anew in each",
    kind: OptionKind::Count { min: 1, max: MOST_SLOTS << 7 },
};

/// How a total is divided.
pub const ALLOCATION: OptionSpec = OptionSpec {
    key: "allocation",
    default: Some("breakpoint"),
    help: "by what a total is divided: slots above the breakpoint, Hoyer sparsity, how far layers look back, evenly",
    kind: OptionKind::Choice(Allocation::WORDS),
};

/// When the first round runs.
pub const TRIGGER: OptionSpec = OptionSpec {
    key: "trigger",
    default: Some("1024"),
    help: "slots at which a layer has its first round; `cap` to start at the cap",
    kind: OptionKind::CountOr { min: 1, max: MOST_SLOTS, word: "cap" },
};

/// How fast scores decay.
pub const HALF_LIFE: OptionSpec = OptionSpec {
    key: "half_life",
    default: Some("256"),
    help: "steps in which a score falls to half",
    kind: OptionKind::Number { min: 0.1, max: 1e6 },
};

/// Which queries of a prompt count.
pub const PREFILL: OptionSpec = OptionSpec {
    key: "prefill",
    default: Some("window"),
    help: "which queries of a prompt count: the last `window`, or the sum of all (the paper; no prefix hits)",
    kind: OptionKind::Choice(&["window", "sum"]),
};

/// How many of them.
pub const WINDOW: OptionSpec = OptionSpec {
    key: "window",
    default: Some("32"),
    help: "queries of a prompt that count with prefill=window",
    kind: OptionKind::Count { min: 1, max: 4096 },
};

/// Tau of the breakpoint.
pub const SPARSE_RATIO: OptionSpec = OptionSpec {
    key: "sparse_ratio",
    default: Some("400"),
    help: "tau: how many times smaller than the reference a score must be to mark the breakpoint",
    kind: OptionKind::Number { min: 1.0, max: 1e9 },
};

/// D of the breakpoint.
pub const SEGMENTS: OptionSpec = OptionSpec {
    key: "segments",
    default: Some("32"),
    help: "D: into how many parts the sorted scores are cut to look for the breakpoint",
    kind: OptionKind::Count { min: 2, max: 4096 },
};

/// What scores are compared with.
pub const REFERENCE: OptionSpec = OptionSpec {
    key: "reference",
    default: Some("top"),
    help: "the score that others are compared with: the best (the paper), or the best outside the sinks",
    kind: OptionKind::Choice(Reference::WORDS),
};

/// The part that is recent.
pub const RECENT_RATIO: OptionSpec = OptionSpec {
    key: "recent_ratio",
    default: Some("0.3"),
    help: "newest part of a layer (of the cap, where it is smaller) that is always kept",
    kind: OptionKind::Number { min: 0.0, max: 0.95 },
};

/// The newest slots and their queries.
pub const OBSERVED: OptionSpec = OptionSpec {
    key: "window",
    default: Some("32"),
    help: "newest slots that are always kept, and whose queries say what else is",
    kind: OptionKind::Count { min: 1, max: 4096 },
};

/// When keys are alike.
pub const SIMILARITY: OptionSpec = OptionSpec {
    key: "similarity",
    default: Some("0.5"),
    help: "cosine above which the newest of two keys stands for both",
    kind: OptionKind::Number { min: -1.0, max: 1.0 },
};
