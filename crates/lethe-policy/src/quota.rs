//! What the baselines have in common: one budget per layer, filled in one order.

use std::cmp::Ordering;

use crate::bound::{Ask, Bound};
use crate::budget::Budget;
use crate::error::PolicyError;
use crate::fill::fill;
use crate::option::Options;
use crate::policy::{LayerState, LayerStatus, ProtectPrompt, View};
use crate::schema::{INTERVAL, PROTECT_PROMPT, SINKS};
use crate::scratch::Scratch;

/// A fixed budget per layer and the rule for its rounds: one is due when a layer has grown `interval` beyond its budget,
/// and it cuts the layer back to the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) budget: Budget,
    pub(crate) sinks: usize,
    pub(crate) interval: usize,
    pub(crate) protect: ProtectPrompt,
}

impl Quota {
    /// Reads `cap` or `budget`, `sinks`, `interval` and `protect_prompt`.
    ///
    /// # Errors
    /// [`PolicyError::Conflict`] where cap and budget are given, [`PolicyError::Missing`] where neither is.
    pub(crate) fn from_options(options: &Options<'_>) -> Result<Self, PolicyError> {
        let budget = Budget::from_options(options)?.ok_or(PolicyError::Missing {
            policy: options.policy(),
            what: "it",
            needs: "`cap` (all slots of a layer) or `budget` (slots beyond the pinned ones), such as budget=256",
        })?;
        Ok(Quota {
            budget,
            sinks: options.number(SINKS.key)?,
            interval: options.number(INTERVAL.key)?,
            protect: ProtectPrompt::from_word(options.word(PROTECT_PROMPT.key)),
        })
    }

    /// The options of the quota, for reports.
    pub(crate) fn report(&self) -> Vec<(&'static str, String)> {
        vec![
            self.budget.report(),
            (SINKS.key, self.sinks.to_string()),
            (INTERVAL.key, self.interval.to_string()),
            (PROTECT_PROMPT.key, self.protect.word().to_owned()),
        ]
    }

    /// `window`: the newest slots that a policy with so many slots beyond the pinned ones always keeps.
    pub(crate) fn bound(
        &self,
        policy: &'static str,
        ask: &Ask,
        window: impl Fn(usize) -> usize,
    ) -> Result<Bound, PolicyError> {
        let sinks = ask.sinks_beyond(self.sinks);
        let enough = |beyond: &usize| *beyond >= sinks + window(*beyond);
        let need = (sinks..usize::MAX).find(enough).unwrap_or(usize::MAX);
        self.budget.check(policy, ask.pinned, need)?;
        Ok(ask.bounded_by(self.budget.cap(ask.pinned).saturating_add(self.interval)))
    }

    pub(crate) fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        let full = |layer: &LayerStatus| layer.n >= self.budget.cap(layer.pinned).saturating_add(self.interval);
        due.extend(layers.iter().enumerate().filter(|(_, layer)| full(layer)).map(|(layer, _)| layer));
    }

    /// A round; `window` as in [`Quota::bound`].
    pub(crate) fn keep(
        &self,
        view: &View<'_>,
        cap: Option<usize>,
        state: LayerState,
        window: impl Fn(usize) -> usize,
        better: impl Fn(&usize, &usize) -> Ordering,
        scratch: &mut Scratch,
    ) -> LayerState {
        let beyond = cap.map_or(self.budget, Budget::Cap).beyond(view.pinned_slots());
        fill(view, beyond, self.sinks, window(beyond), better, scratch);
        LayerState { left: scratch.keep.len(), round: state.round.saturating_add(1), ..state }
    }
}
