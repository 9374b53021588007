//! `full`: keeps everything. The ceiling that every other policy is measured against.

use crate::bound::{Ask, Bound};
use crate::error::PolicyError;
use crate::policy::{Granularity, LayerState, LayerStatus, Policy, PolicyInfo, ProtectPrompt, View};
use crate::scoring::Scoring;
use crate::scratch::Scratch;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "full",
    summary: "keeps every token",
    cost: "step: nothing; round: none",
    options: &[],
    build: |_, _| Ok(Box::new(Full)),
};

/// Keeps everything; no round is ever due.
#[derive(Clone, Copy, Debug)]
pub struct Full;

impl Policy for Full {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn granularity(&self) -> Granularity {
        Granularity::Layer
    }

    fn scoring(&self) -> Option<Scoring> {
        None
    }

    fn protect_prompt(&self) -> ProtectPrompt {
        ProtectPrompt::All
    }

    fn bound(&self, ask: &Ask) -> Result<Bound, PolicyError> {
        Ok(ask.unbounded())
    }

    fn due(&self, _layers: &[LayerStatus], _due: &mut Vec<usize>) {}

    fn keep(&self, view: &View<'_>, _cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState {
        scratch.keep.clear();
        scratch.keep.extend(0..view.slots());
        LayerState { left: view.slots(), round: state.round.saturating_add(1), ..state }
    }
}
