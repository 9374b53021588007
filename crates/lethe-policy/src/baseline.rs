//! What the baselines have in common, so that each of them is little more than its rank.

use std::fmt::Debug;

use crate::bound::{Ask, Bound};
use crate::budget::Budget;
use crate::error::PolicyError;
use crate::evidence::Evidence;
use crate::fill::fill;
use crate::policy::{Granularity, LayerState, LayerStatus, Policy, ProtectPrompt, View};
use crate::quota::Quota;
use crate::schema::MOST_SLOTS;
use crate::scoring::Scoring;
use crate::scratch::Scratch;

/// A policy with a fixed budget. A round is due when a layer has grown `interval` beyond its share of it, and cuts the layer
/// back to that: pinned slots, then sinks, the newest `window`, and the best by rank.
pub trait Baseline: Debug + Send + Sync {
    /// The name it is registered under.
    const NAME: &'static str;

    /// Its budget, sinks, interval and protection.
    fn quota(&self) -> &Quota;

    /// Options beside those of the quota, as resolved.
    fn own_options(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// As [`Policy::granularity`].
    fn granularity(&self) -> Granularity {
        Granularity::Layer
    }

    /// As [`Policy::scoring`].
    fn scoring(&self) -> Option<Scoring> {
        None
    }

    /// As [`Policy::evidence`].
    fn evidence(&self) -> Evidence {
        Evidence::NONE
    }

    /// The newest slots that stay whatever their rank, where there are so many beyond the pinned ones.
    fn window(&self, beyond: usize) -> usize;

    /// The least budget beyond the pinned slots, of which so many are sinks.
    fn least(&self, sinks: usize) -> usize {
        let fits = |&beyond: &usize| beyond >= sinks + self.window(beyond);
        (sinks..sinks + MOST_SLOTS).find(fits).unwrap_or(usize::MAX)
    }

    /// What one layer gets beyond its pinned slots, where it is `beyond` on average.
    fn share(&self, layer: usize, beyond: usize) -> usize {
        let _ = layer;
        beyond
    }

    /// Writes what each slot is worth to [`Scratch::rank`], and to [`Scratch::scores`] if that is to be remembered. `beyond` slots
    /// will stay beside the pinned ones.
    fn rank(&self, view: &View<'_>, beyond: usize, state: LayerState, scratch: &mut Scratch);

    /// How many slots beside the pinned ones are enough, `beyond` at most, once they are ranked.
    fn enough(&self, view: &View<'_>, beyond: usize, scratch: &mut Scratch) -> usize {
        let _ = (view, scratch);
        beyond
    }
}

/// All slots of a layer after a round.
fn cap(policy: &impl Baseline, layer: usize, pinned: usize) -> usize {
    pinned.saturating_add(policy.share(layer, policy.quota().budget.beyond(pinned)))
}

impl<T: Baseline> Policy for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = self.quota().report();
        options.splice(1..1, self.own_options());
        options
    }

    fn granularity(&self) -> Granularity {
        Baseline::granularity(self)
    }

    fn scoring(&self) -> Option<Scoring> {
        Baseline::scoring(self)
    }

    fn evidence(&self) -> Evidence {
        Baseline::evidence(self)
    }

    fn protect_prompt(&self) -> ProtectPrompt {
        self.quota().protect
    }

    fn bound(&self, ask: &Ask) -> Result<Bound, PolicyError> {
        let quota = self.quota();
        quota.budget.check(T::NAME, ask.pinned, self.least(ask.sinks_beyond(quota.sinks)))?;
        let limit = |layer| cap(self, layer, ask.pinned).saturating_add(quota.interval);
        let layers = (0..ask.layers).map(|layer| ask.bounded_by(limit(layer)).per_layer);
        Ok(Bound {
            per_layer: layers.clone().max().unwrap_or(ask.start()),
            total: layers.fold(0, usize::saturating_add),
        })
    }

    fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        let interval = self.quota().interval;
        let full = |l: usize, layer: &LayerStatus| layer.n >= cap(self, l, layer.pinned).saturating_add(interval);
        due.extend(layers.iter().enumerate().filter(|&(l, layer)| full(l, layer)).map(|(l, _)| l));
    }

    fn keep(&self, view: &View<'_>, cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState {
        let (quota, pinned) = (self.quota(), view.pinned_slots());
        let beyond = match cap {
            Some(cap) => Budget::Cap(cap).beyond(pinned),
            None => self.share(view.layer, quota.budget.beyond(pinned)),
        };
        self.rank(view, beyond, state, scratch);
        let enough = self.enough(view, beyond, scratch).min(beyond);
        fill(view, enough, quota.sinks, self.window(beyond), scratch);
        LayerState { left: scratch.keep.len(), round: state.round.saturating_add(1), ..state }
    }
}
