//! The contract between an engine and a policy.

use std::fmt::Debug;

use crate::bound::{Ask, Bound};
use crate::error::PolicyError;
use crate::evidence::{Evidence, LaneSight};
use crate::option::{OptionSpec, Options};
use crate::scoring::Scoring;
use crate::scratch::Scratch;

/// Decides which slots of a key-value cache are kept.
///
/// A **slot** is one cached token of a **lane**, a lane one (layer, KV head) pair. A **round** is one pruning of one
/// layer. Rounds run between decode steps and once after a complete prompt, never inside a step. Pinned slots are never
/// dropped, nor do kept slots change order.
///
/// Every method is a pure function of its arguments: equal arguments, equal results, on any thread.
pub trait Policy: Debug + Send + Sync {
    /// The name it is registered under.
    fn name(&self) -> &'static str;

    /// Its options as resolved, `(key, value)` in the order of its schema. For reports; what a policy worked out by
    /// itself may be among them.
    fn options(&self) -> Vec<(&'static str, String)>;

    /// Whether a keep set holds for a whole layer or for one lane.
    fn granularity(&self) -> Granularity;

    /// How scores follow from attention mass; `None` where no mass is needed, and the engine then computes none.
    fn scoring(&self) -> Option<Scoring>;

    /// What a round wants to see beside scores. Queries that it counts are always computed: a prefix hit leaves them out.
    fn evidence(&self) -> Evidence {
        Evidence::NONE
    }

    /// Which prompt tokens the engine must pin.
    fn protect_prompt(&self) -> ProtectPrompt;

    /// The most slots that the run asked about can hold. A run never exceeds it: a policy that cannot promise that must
    /// say so here. Never below `ask.start()` (a prompt is held whole until its round) and never above `ask.end()`.
    ///
    /// # Errors
    /// [`PolicyError::InvalidBudget`] where the budget is below what this run forces the policy to keep.
    fn bound(&self, ask: &Ask) -> Result<Bound, PolicyError>;

    /// The state of a layer that has had no round.
    fn start(&self) -> LayerState {
        LayerState::default()
    }

    /// Appends to `due` the layers that want a round now, ascending. `layers` are all of the model's. A policy with a
    /// total names all layers or none.
    fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>);

    /// Divides a total among the layers. Called once before the [`keep`](Policy::keep) calls of a round; if it returns
    /// true, `scratch.caps` holds the share of each layer, which the caller copies and passes on as `cap`. Policies
    /// without a total return false and write nothing.
    fn allocate(&self, layers: &dyn Layers, scratch: &mut Scratch) -> bool {
        let _ = (layers, scratch);
        false
    }

    /// One round of one layer or lane: writes the slots to keep to `scratch.keep`, ascending, unique, in range and with
    /// every pinned slot among them. Returns the state that replaces `state`.
    ///
    /// `cap` is the layer's share where [`allocate`](Policy::allocate) gave it one; else `None`, and the policy's own
    /// budget holds. The round need not be due.
    fn keep(&self, view: &View<'_>, cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState;
}

/// What one keep set is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    /// All lanes of a layer: scores are summed over all heads.
    Layer,
    /// One lane: scores are summed over the query heads that share it.
    Head,
}

/// Which prompt tokens are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectPrompt {
    /// The prompts of every turn.
    All,
    /// The prompt of the newest turn, and the system message.
    Newest,
    /// None.
    None,
}

impl ProtectPrompt {
    pub(crate) const WORDS: &[&str] = &["all", "newest", "none"];

    /// The word of the option `protect_prompt`.
    pub fn word(self) -> &'static str {
        match self {
            ProtectPrompt::All => "all",
            ProtectPrompt::Newest => "newest",
            ProtectPrompt::None => "none",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "newest" => ProtectPrompt::Newest,
            "none" => ProtectPrompt::None,
            _ => ProtectPrompt::All,
        }
    }
}

/// What a policy remembers of a layer from round to round. Its meaning is the policy's own; the caller stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerState {
    /// Slots at which the next round is due, for policies that move this mark.
    pub trigger: usize,
    /// Slots that the last round left; 0 before the first.
    pub left: usize,
    /// Rounds done.
    pub round: u32,
}

/// How full a layer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerStatus {
    /// Slots now.
    pub n: usize,
    /// Pinned ones among them.
    pub pinned: usize,
    /// What the policy remembers of it.
    pub state: LayerState,
}

/// One layer or lane as a policy sees it. The slices are of equal length, one entry per slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct View<'a> {
    /// Which layer.
    pub layer: usize,
    /// Which lane of it, where the granularity is [`Granularity::Head`].
    pub lane: Option<usize>,
    /// `[n_slots]`, never negative: what [`Policy::scoring`] made of them, or [`Scratch::scores`] of the last round and 0 for
    /// newer slots. May be empty where a policy has neither.
    pub scores: &'a [f32],
    /// `[n_slots]`, the original position of each slot, strictly ascending.
    pub positions: &'a [u32],
    /// `[n_slots]`, which slots must be kept.
    pub pinned: &'a [bool],
    /// What [`Policy::evidence`] asked for: of every lane of the layer, or of the one lane. Empty where it asked for nothing,
    /// and while a total is divided.
    pub lanes: &'a [LaneSight<'a>],
}

impl View<'_> {
    /// Slots in the layer.
    pub fn slots(&self) -> usize {
        self.positions.len()
    }

    /// Pinned slots among them.
    pub fn pinned_slots(&self) -> usize {
        self.pinned.iter().filter(|pinned| **pinned).count()
    }
}

/// All layers of a sequence, for policies that weigh them against each other.
pub trait Layers {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lanes of a layer whose scores differ: one, unless keep sets are the lanes' own.
    fn lanes(&self) -> usize;

    /// One lane of one of them; `layer` is below [`len`](Layers::len), `lane` below [`lanes`](Layers::lanes).
    fn view(&self, layer: usize, lane: usize) -> View<'_>;
}

/// What a policy may know of the model and the memory when it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Layers of the model.
    pub layers: usize,
    /// Slots per layer that the pool holds, evenly divided.
    pub slots_per_layer: usize,
    /// Most sequences that run at once.
    pub max_num_seqs: usize,
    /// Most positions of a sequence.
    pub max_positions: usize,
}

/// A policy in the registry.
#[derive(Clone, Copy, Debug)]
pub struct PolicyInfo {
    /// The name in `name:key=value`.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What a step and a round cost, in one line; n is the slots of a layer.
    pub cost: &'static str,
    /// Its options.
    pub options: &'static [OptionSpec],
    /// Builds it.
    pub build: PolicyBuilder,
}

/// Makes a policy of its options.
pub type PolicyBuilder = fn(&Options<'_>, &Context) -> Result<Box<dyn Policy>, PolicyError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for word in ProtectPrompt::WORDS {
            assert_eq!(ProtectPrompt::from_word(word).word(), *word);
        }
    }
}
