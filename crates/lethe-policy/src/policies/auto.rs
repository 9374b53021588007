//! `auto`: `lethe` under the cap that the memory at hand allows. The default.

use crate::bound::{Ask, Bound};
use crate::budget::Budget;
use crate::error::PolicyError;
use crate::option::Options;
use crate::policies::Full;
use crate::policies::lethe::{Lethe, Limit, Trigger};
use crate::policy::{Context, Granularity, LayerState, LayerStatus, Layers, Policy, PolicyInfo, ProtectPrompt, View};
use crate::schema::{
    HALF_LIFE, PREFILL, PROTECT_PROMPT, RECENT_RATIO, REFERENCE, SEGMENTS, SINKS, SPARSE_RATIO, WINDOW,
};
use crate::scoring::Scoring;
use crate::scratch::Scratch;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "auto",
    summary: "keeps everything while it fits a fair share of the memory, then forgets as `lethe` does",
    cost: "as `lethe`; nothing where the share holds the longest sequence",
    options: &[HALF_LIFE, PREFILL, WINDOW, SPARSE_RATIO, SEGMENTS, REFERENCE, RECENT_RATIO, SINKS, PROTECT_PROMPT],
    build: |options, context| Ok(Box::new(Auto::new(options, context)?)),
};

/// Caps are multiples of this, the usual number of slots allocated at once, so that none are allocated and unused.
const STEP: usize = 16;

/// `lethe` with one cap for every sequence, fixed when it is built: it depends on memory and settings only, never on
/// what else is running.
#[derive(Clone, Copy, Debug)]
pub struct Auto {
    lethe: Lethe,
    cap: usize,
    prunes: bool,
}

impl Auto {
    /// A sequence's share is an equal part of the pool. Cap and interval together fit into it, as they bound what a
    /// sequence holds.
    fn new(options: &Options<'_>, context: &Context) -> Result<Self, PolicyError> {
        let share = context.slots_per_layer / context.max_num_seqs.max(1);
        let interval = (share / 8).clamp(8, 128);
        // More than every position is not worth a larger number.
        let cap = (share.saturating_sub(interval) / STEP * STEP).min(context.max_positions);
        let lethe = Lethe::new(options, Limit::Layer(Budget::Cap(cap)), Trigger::Cap, interval)?;

        let prunes = cap < context.max_positions;
        let need = lethe.least_cap(options.number(SINKS.key)?).max(1).next_multiple_of(STEP);
        if prunes && cap < need {
            return Err(PolicyError::ShareTooSmall {
                policy: INFO.name,
                slots_per_layer: context.slots_per_layer,
                max_num_seqs: context.max_num_seqs,
                cap,
                need,
            });
        }
        Ok(Auto { lethe, cap, prunes })
    }

    /// The cap, in slots of a layer.
    pub fn cap(&self) -> usize {
        self.cap
    }

    /// Whether any sequence can outgrow the cap. If none can, no round is ever due and no mass is needed.
    pub fn prunes(&self) -> bool {
        self.prunes
    }
}

impl Policy for Auto {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        self.lethe.options()
    }

    fn granularity(&self) -> Granularity {
        self.lethe.granularity()
    }

    fn scoring(&self) -> Option<Scoring> {
        if self.prunes { self.lethe.scoring() } else { None }
    }

    fn protect_prompt(&self) -> ProtectPrompt {
        self.lethe.protect_prompt()
    }

    fn bound(&self, ask: &Ask) -> Result<Bound, PolicyError> {
        if !self.prunes {
            return Ok(ask.unbounded());
        }
        self.lethe.bound(ask).map_err(|error| match error {
            PolicyError::InvalidBudget { key, have, need, .. } => {
                let remedy = "shorten the prompt, give the cache more memory, admit fewer sequences at once, or protect \
                              less of the prompt (protect_prompt=newest or none)";
                PolicyError::InvalidBudget { policy: INFO.name, key, have, need, remedy }
            }
            other => other,
        })
    }

    fn start(&self) -> LayerState {
        self.lethe.start()
    }

    fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        if self.prunes {
            self.lethe.due(layers, due);
        }
    }

    fn allocate(&self, layers: &dyn Layers, scratch: &mut Scratch) -> bool {
        self.lethe.allocate(layers, scratch)
    }

    fn keep(&self, view: &View<'_>, cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState {
        if self.prunes { self.lethe.keep(view, cap, state, scratch) } else { Full.keep(view, cap, state, scratch) }
    }
}
