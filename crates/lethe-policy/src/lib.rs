//! Which cached tokens to keep.
//!
//! A [`Policy`] reads scores and answers with keep sets. It is a pure function of what it is shown: it owns no memory,
//! knows nothing of pages, and carries no state of its own. What must survive between two rounds is a [`LayerState`],
//! which the caller stores beside the scores.
//!
//! The caller's loop, once per sequence:
//!
//! 1. Ask [`Policy::bound`] how many slots a run can need at most, and admit the sequence only if they exist.
//! 2. After every step, [`fold`] the attention mass into each layer's scores, if [`Policy::scoring`] wants any.
//! 3. Between steps, and once after a complete prompt, ask [`Policy::due`] which layers want a round.
//! 4. For a round: [`Policy::allocate`] once, then [`Policy::keep`] for each due layer (or each lane of it).
//!
//! Policies are named by text, `lethe:cap=512,half_life=64` ([`PolicySpec`]), against one schema ([`registry`]) that
//! every front end shares. A policy of another crate joins by [`register`]; one that only ranks slots under a fixed budget is a
//! [`Baseline`].
#![forbid(unsafe_code)]

mod allocate;
mod baseline;
mod best;
mod bound;
mod breakpoint;
mod budget;
mod error;
mod evidence;
mod fill;
mod hoyer;
mod nearest;
mod novelty;
mod option;
mod policies;
mod policy;
mod quota;
mod reach;
mod redundancy;
mod registry;
pub mod schema;
mod scoring;
mod scratch;
mod spec;
mod total;
mod waterfill;

pub use allocate::{Allocation, Need, allocate};
pub use baseline::Baseline;
pub use bound::{Ask, Bound};
pub use breakpoint::{Breakpoint, Reference};
pub use error::PolicyError;
pub use evidence::{Evidence, LaneSight};
pub use hoyer::hoyer;
pub use nearest::{meant, nearest};
pub use option::{OptionKind, OptionSpec, Options};
pub use policies::{Auto, Full, Gkv, H2o, Lethe, LethePlus, PyramidKv, Random, Recency, Rkv, SnapKv, Tova, pyramid};
pub use policy::{
    Context, Granularity, LayerState, LayerStatus, Layers, Policy, PolicyBuilder, PolicyInfo, ProtectPrompt, View,
};
pub use quota::Quota;
pub use reach::reach;
pub use redundancy::dot;
pub use registry::{register, registry};
pub use scoring::{Prefill, Scoring, Update, fold};
pub use scratch::Scratch;
pub use spec::PolicySpec;
pub use waterfill::{Claim, waterfill};
