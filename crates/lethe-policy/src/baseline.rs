//! What the baselines have in common, so that each of them is little more than its rank.

use std::fmt::Debug;

use crate::allocate::{Allocation, Need, allocate};
use crate::bound::{Ask, Bound};
use crate::budget::Budget;
use crate::error::PolicyError;
use crate::evidence::Evidence;
use crate::fill::fill;
use crate::policy::{Granularity, LayerState, LayerStatus, Layers, Policy, ProtectPrompt, View};
use crate::quota::Quota;
use crate::reach::reach;
use crate::schema::MOST_SLOTS;
use crate::scoring::Scoring;
use crate::scratch::Scratch;
use crate::total::Total;

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

    /// Whether the layers share one total, each as far as it looks back ([`reach`]), in place of a [`share`](Baseline::share) each.
    /// They then have their rounds together.
    fn by_reach(&self) -> bool {
        false
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

/// What a layer gets of the mean budget however near it looks.
const LEAST_SHARE: f64 = 0.25;

/// All slots of a layer after a round, of the mean layer where they share one total.
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
        if self.by_reach() {
            let slots = cap(self, 0, ask.pinned).saturating_mul(ask.layers);
            return Ok(Total { slots, interval: quota.interval }.bound(ask, ask.pinned));
        }
        let limit = |layer| cap(self, layer, ask.pinned).saturating_add(quota.interval);
        let layers = (0..ask.layers).map(|layer| ask.bounded_by(limit(layer)).per_layer);
        Ok(Bound {
            per_layer: layers.clone().max().unwrap_or(ask.start()),
            total: layers.fold(0, usize::saturating_add),
        })
    }

    fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        let interval = self.quota().interval;
        if self.by_reach() {
            let slots = layers.iter().map(|layer| cap(self, 0, layer.pinned)).fold(0, usize::saturating_add);
            return Total { slots, interval }.due(layers, due);
        }
        let full = |l: usize, layer: &LayerStatus| layer.n >= cap(self, l, layer.pinned).saturating_add(interval);
        due.extend(layers.iter().enumerate().filter(|&(l, layer)| full(l, layer)).map(|(l, _)| l));
    }

    fn allocate(&self, layers: &dyn Layers, scratch: &mut Scratch) -> bool {
        if !self.by_reach() {
            return false;
        }
        let quota = self.quota();
        let Scratch { needs, claims, ranks, caps, .. } = scratch;
        let mut total = 0;
        needs.clear();
        for layer in 0..layers.len() {
            let (mut held, mut pinned, mut far) = (0, 0, 0.0);
            for lane in 0..layers.lanes() {
                let view = layers.view(layer, lane);
                (held, pinned) = (held.max(view.slots()), view.pinned_slots());
                far += reach(view.scores, quota.sinks, self.window(quota.budget.beyond(pinned)));
            }
            let beyond = quota.budget.beyond(pinned);
            total += pinned + beyond;
            let least = self.least(quota.sinks).max((LEAST_SHARE * beyond as f64).ceil() as usize);
            let weight = (far / layers.lanes().max(1) as f64).powi(2);
            needs.push(Need { held, floor: pinned + least.min(beyond), salient: held, weight });
        }
        // A slot that is gone does not come back when its layer looks far again: shares move half way in each round.
        let above = |need: &Need| need.held.saturating_sub(need.floor) as f64;
        let weights = needs.iter().map(|need| need.weight).sum::<f64>().max(f64::MIN_POSITIVE);
        let held = needs.iter().map(above).sum::<f64>().max(1.0);
        needs.iter_mut().for_each(|need| need.weight = need.weight / weights + above(need) / held);
        allocate(Allocation::Reach, needs, total, claims, ranks, caps);
        true
    }

    fn keep(&self, view: &View<'_>, cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState {
        let (quota, pinned) = (self.quota(), view.pinned_slots());
        let own = self.share(view.layer, quota.budget.beyond(pinned));
        let beyond = match cap {
            // where it must give way further than its share: sinks and the newest stay in any case
            Some(cap) => Budget::Cap(cap).beyond(pinned).max(self.least(quota.sinks).min(own)),
            None => own,
        };
        self.rank(view, beyond, state, scratch);
        let enough = self.enough(view, beyond, scratch).min(beyond);
        fill(view, enough, quota.sinks, self.window(beyond), scratch);
        LayerState { left: scratch.keep.len(), round: state.round.saturating_add(1), ..state }
    }
}
