//! `lethe`: keeps the slots above the fall in each layer's attention (arXiv 2511.06029).
//!
//! In time, scores decay (RASR); in space, each layer finds its own breakpoint and so its own size.

use crate::allocate::{Allocation, Need, allocate};
use crate::best::{by_score, take_best};
use crate::bound::{Ask, Bound};
use crate::breakpoint::{Breakpoint, Reference};
use crate::budget::Budget;
use crate::error::{PolicyError, RAISE_IT};
use crate::hoyer::hoyer;
use crate::option::Options;
use crate::policy::{Granularity, LayerState, LayerStatus, Layers, Policy, PolicyInfo, ProtectPrompt, View};
use crate::reach::reach;
use crate::schema::{
    ALLOCATION, BUDGET, CAP, HALF_LIFE, INTERVAL, PREFILL, PROTECT_PROMPT, RECENT_RATIO, REFERENCE, SEGMENTS, SINKS,
    SPARSE_RATIO, TOTAL, TRIGGER, WINDOW,
};
use crate::scoring::{Prefill, Scoring};
use crate::scratch::Scratch;
use crate::total::Total;

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "lethe",
    summary: "keeps what decayed attention mass shows to matter, each layer to its own size",
    cost: "step: attention mass, O(n); round: O(n)",
    options: &[
        CAP,
        BUDGET,
        TOTAL,
        ALLOCATION,
        TRIGGER,
        INTERVAL,
        HALF_LIFE,
        PREFILL,
        WINDOW,
        SPARSE_RATIO,
        SEGMENTS,
        REFERENCE,
        RECENT_RATIO,
        SINKS,
        PROTECT_PROMPT,
    ],
    build: |options, _| Ok(Box::new(Lethe::from_options(options)?)),
};

/// Keeps pinned slots, sinks, recents and what lies above the breakpoint of the layer's scores.
#[derive(Clone, Copy, Debug)]
pub struct Lethe {
    limit: Limit,
    trigger: Trigger,
    interval: usize,
    half_life: f64,
    prefill: Prefill,
    breakpoint: Breakpoint,
    recent_ratio: f64,
    protect: ProtectPrompt,
}

/// What holds the layers down, besides their breakpoints.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// Nothing: a layer of flat attention may grow for ever.
    Open,
    /// A budget for each layer.
    Layer(Budget),
    /// So many slots for all layers together.
    Total(usize, Allocation),
}

/// Where the first round starts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trigger {
    Slots(usize),
    Cap,
}

impl Lethe {
    fn from_options(options: &Options<'_>) -> Result<Self, PolicyError> {
        let why = "a layer has one limit: give one";
        options.exclusive("cap", "total", why)?;
        options.exclusive("budget", "total", why)?;
        options.exclusive("trigger", "total", "a total starts its rounds by itself: leave the trigger out")?;
        let missing = |what, needs| PolicyError::Missing { policy: options.policy(), what, needs };

        let limit = match (Budget::from_options(options)?, options.optional("total")?) {
            (Some(budget), _) => Limit::Layer(budget),
            (None, Some(total)) => Limit::Total(total, Allocation::from_word(options.word("allocation"))),
            (None, None) => Limit::Open,
        };
        if options.given("allocation") && !matches!(limit, Limit::Total(..)) {
            return Err(missing("`allocation`", "`total`"));
        }
        let trigger = match options.word("trigger") {
            "cap" if matches!(limit, Limit::Layer(_)) => Trigger::Cap,
            "cap" => return Err(missing("`trigger=cap`", "`cap` or `budget`")),
            _ => Trigger::Slots(options.number("trigger")?),
        };
        Lethe::new(options, limit, trigger, options.number("interval")?)
    }

    /// Reads what `lethe` and `auto` have in common.
    pub(super) fn new(
        options: &Options<'_>,
        limit: Limit,
        trigger: Trigger,
        interval: usize,
    ) -> Result<Self, PolicyError> {
        let prefill = match options.word(PREFILL.key) {
            "sum" if options.given(WINDOW.key) => {
                let reason = "the sum counts every query of a prompt: leave the window out";
                let (first, second) = ("prefill=sum", WINDOW.key);
                return Err(PolicyError::Conflict { policy: options.policy(), first, second, reason });
            }
            "sum" => Prefill::Sum,
            _ => Prefill::Window(options.number(WINDOW.key)?),
        };
        Ok(Lethe {
            limit,
            trigger,
            interval,
            half_life: options.number(HALF_LIFE.key)?,
            prefill,
            breakpoint: Breakpoint {
                sparse_ratio: options.number(SPARSE_RATIO.key)?,
                segments: options.number(SEGMENTS.key)?,
                reference: Reference::from_word(options.word(REFERENCE.key)),
                sinks: options.number(SINKS.key)?,
            },
            recent_ratio: options.number(RECENT_RATIO.key)?,
            protect: ProtectPrompt::from_word(options.word(PROTECT_PROMPT.key)),
        })
    }

    /// The least cap that holds so many other slots and its own recents.
    pub(super) fn least_cap(&self, others: usize) -> usize {
        let mut cap = others;
        loop {
            let need = others.saturating_add(self.recents(cap, None));
            if need <= cap {
                return cap;
            }
            cap = need;
        }
    }

    /// Recents of a layer: `ceil(recent_ratio * min(n, cap))`.
    fn recents(&self, n: usize, cap: Option<usize>) -> usize {
        (self.recent_ratio * n.min(cap.unwrap_or(n)) as f64).ceil() as usize
    }

    /// The layer's own cap. `None` without one, and with a total, where each round brings its own.
    fn cap(&self, pinned: usize) -> Option<usize> {
        match self.limit {
            Limit::Layer(budget) => Some(budget.cap(pinned)),
            Limit::Open | Limit::Total(..) => None,
        }
    }

    /// The trigger as given, in slots.
    fn first_trigger(&self, pinned: usize) -> usize {
        match self.trigger {
            Trigger::Slots(slots) => slots,
            Trigger::Cap => self.cap(pinned).unwrap_or(usize::MAX),
        }
    }

    /// T. Under a budget, `trigger=cap` rises with the pinned slots, hence the maximum.
    fn threshold(&self, pinned: usize, state: LayerState) -> usize {
        state.trigger.max(self.first_trigger(pinned))
    }

    /// Marks the slots that stay in any case and lists the other salient ones in `scratch.order`. Returns how many
    /// are marked.
    fn sift(&self, view: &View<'_>, cap: Option<usize>, scratch: &mut Scratch) -> usize {
        let n = view.slots();
        let Scratch { marked, order, .. } = scratch;
        marked.clear();
        marked.extend_from_slice(view.pinned);
        marked[..self.breakpoint.sinks.min(n)].fill(true);
        marked[n - self.recents(n, cap).min(n)..].fill(true);

        order.clear();
        order.extend(0..n);
        take_best(order, self.breakpoint.find(view.scores).unwrap_or(n), by_score(view.scores));
        order.retain(|slot| !marked[*slot]);
        marked.iter().filter(|marked| **marked).count()
    }

    /// The worst case under a total.
    fn bound_of_total(&self, total: usize, ask: &Ask) -> Result<Bound, PolicyError> {
        let layers = ask.layers.max(1);
        let unrecent = ask.pinned.saturating_add(ask.sinks_beyond(self.breakpoint.sinks));
        let floor = unrecent.saturating_add(self.recents(total / layers, None));
        let fits = floor.saturating_mul(layers) <= total;
        if !fits && ask.present == 0 {
            let need = self.least_cap(unrecent).saturating_mul(layers);
            return Err(PolicyError::InvalidBudget {
                policy: INFO.name,
                key: TOTAL.key,
                have: total,
                need,
                remedy: RAISE_IT,
            });
        }
        // a later prompt may push the floors over the total; every layer then keeps its floor
        let floors = if fits { 0 } else { unrecent.saturating_add(self.recents(floor, None)).saturating_mul(layers) };
        let slots = total.max(floors).max(ask.left_total);
        Ok(Total { slots, interval: self.interval }.bound(ask, unrecent))
    }
}

impl Policy for Lethe {
    fn name(&self) -> &'static str {
        INFO.name
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = Vec::new();
        match self.limit {
            Limit::Open => {}
            Limit::Layer(budget) => options.push(budget.report()),
            Limit::Total(total, allocation) => {
                options.extend([(TOTAL.key, total.to_string()), (ALLOCATION.key, allocation.word().to_owned())]);
            }
        }
        match (self.limit, self.trigger) {
            (Limit::Total(..), _) => {}
            (_, Trigger::Cap) => options.push((TRIGGER.key, "cap".to_owned())),
            (_, Trigger::Slots(slots)) => options.push((TRIGGER.key, slots.to_string())),
        }
        options.extend([(INTERVAL.key, self.interval.to_string()), (HALF_LIFE.key, self.half_life.to_string())]);
        match self.prefill {
            Prefill::Sum => options.push((PREFILL.key, "sum".to_owned())),
            Prefill::Window(window) => {
                options.extend([(PREFILL.key, "window".to_owned()), (WINDOW.key, window.to_string())]);
            }
        }
        options.extend([
            (SPARSE_RATIO.key, self.breakpoint.sparse_ratio.to_string()),
            (SEGMENTS.key, self.breakpoint.segments.to_string()),
            (REFERENCE.key, self.breakpoint.reference.word().to_owned()),
            (RECENT_RATIO.key, self.recent_ratio.to_string()),
            (SINKS.key, self.breakpoint.sinks.to_string()),
            (PROTECT_PROMPT.key, self.protect.word().to_owned()),
        ]);
        options
    }

    fn granularity(&self) -> Granularity {
        Granularity::Layer
    }

    fn scoring(&self) -> Option<Scoring> {
        Some(Scoring::decaying(self.half_life, self.prefill))
    }

    fn protect_prompt(&self) -> ProtectPrompt {
        self.protect
    }

    fn bound(&self, ask: &Ask) -> Result<Bound, PolicyError> {
        match self.limit {
            // T doubles for a layer that drops nothing, so no number holds
            Limit::Open => Ok(ask.unbounded()),
            Limit::Layer(budget) => {
                // recents may exceed the cap and the bound counts them; pinned slots and sinks may not
                let sinks = ask.sinks_beyond(self.breakpoint.sinks);
                budget.check(INFO.name, ask.pinned, sinks)?;
                let cap = budget.cap(ask.pinned);
                let forced = ask.pinned.saturating_add(sinks).saturating_add(self.recents(cap, None));
                Ok(ask.bounded_by(cap.max(forced).max(ask.left).saturating_add(self.interval)))
            }
            Limit::Total(total, _) => self.bound_of_total(total, ask),
        }
    }

    fn start(&self) -> LayerState {
        match self.limit {
            Limit::Total(..) => LayerState::default(),
            Limit::Open | Limit::Layer(_) => LayerState { trigger: self.first_trigger(0), ..LayerState::default() },
        }
    }

    fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        if let Limit::Total(total, _) = self.limit {
            // floors above the total leave more than it: growth counts from there, or every step would be a round
            let left: usize = layers.iter().map(|layer| layer.state.left).sum();
            return Total { slots: total.max(left), interval: self.interval }.due(layers, due);
        }
        let wants = |layer: &LayerStatus| {
            layer.n >= self.threshold(layer.pinned, layer.state)
                || self.cap(layer.pinned).is_some_and(|cap| layer.n >= cap.max(layer.state.left) + self.interval)
        };
        due.extend(layers.iter().enumerate().filter(|(_, layer)| wants(layer)).map(|(layer, _)| layer));
    }

    fn allocate(&self, layers: &dyn Layers, scratch: &mut Scratch) -> bool {
        let Limit::Total(total, allocation) = self.limit else { return false };
        // a floor cannot depend on the share that it helps to find: the mean share stands for it
        let mean = total / layers.len().max(1);
        scratch.needs.clear();
        for layer in 0..layers.len() {
            let view = layers.view(layer, 0);
            let floor = self.sift(&view, Some(mean), scratch);
            let salient = floor + scratch.order.len();
            let held = view.slots();
            let weight = match allocation {
                Allocation::Hoyer => 1.0 - hoyer(view.scores),
                Allocation::Reach => reach(view.scores, self.breakpoint.sinks, self.recents(held, Some(mean))).powi(2),
                Allocation::Breakpoint | Allocation::Uniform => 1.0,
            };
            scratch.needs.push(Need { held, floor, salient, weight });
        }
        let Scratch { needs, claims, ranks, caps, .. } = scratch;
        allocate(allocation, needs, total, claims, ranks, caps);
        true
    }

    fn keep(&self, view: &View<'_>, cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState {
        let (n, pinned) = (view.slots(), view.pinned_slots());
        let cap = cap.or(self.cap(pinned));
        let forced = self.sift(view, cap, scratch);
        if let Some(cap) = cap {
            take_best(&mut scratch.order, cap.saturating_sub(forced), by_score(view.scores));
        }
        scratch.settle();

        let left = scratch.keep.len();
        let threshold = self.threshold(pinned, state);
        let trigger = match self.limit {
            Limit::Total(..) => state.trigger,
            _ if left < n => self.first_trigger(pinned).max(left.saturating_add(self.interval)),
            _ if n >= threshold => threshold.saturating_mul(2),
            _ => state.trigger,
        };
        LayerState { trigger, left, round: state.round.saturating_add(1) }
    }
}
