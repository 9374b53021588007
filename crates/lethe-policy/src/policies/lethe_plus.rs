//! `lethe+`: decayed mass and what mass alone does not see. Every idea is an option of its own.

use crate::baseline::Baseline;
use crate::best::{by_rank, take_best};
use crate::error::PolicyError;
use crate::evidence::Evidence;
use crate::novelty::repeated;
use crate::option::{OptionKind, OptionSpec, Options};
use crate::policy::{Granularity, LayerState, PolicyInfo, View};
use crate::quota::Quota;
use crate::schema::{BUDGET, CAP, HALF_LIFE, INTERVAL, PROTECT_PROMPT, RECENT_RATIO, SINKS, WINDOW};
use crate::scoring::{Prefill, Scoring, Update};
use crate::scratch::Scratch;

const GRANULARITY: OptionSpec = OptionSpec {
    key: "granularity",
    default: Some("head"),
    help: "whether one keep set serves a layer, or each KV head has its own",
    kind: OptionKind::Choice(&["layer", "head"]),
};

const ALLOCATION: OptionSpec = OptionSpec {
    key: "allocation",
    default: Some("reach"),
    help: "layers share what the budget gives them in sum by how far they look back, or evenly",
    kind: OptionKind::Choice(&["reach", "uniform"]),
};

const UPDATE: OptionSpec = OptionSpec {
    key: "update",
    default: Some("sum"),
    help: "a score is the decayed sum of its mass, or its decayed peak",
    kind: OptionKind::Choice(&["sum", "peak"]),
};

const FAST: OptionSpec = OptionSpec { default: Some("8"), ..HALF_LIFE };

const RECENTS: OptionSpec =
    OptionSpec { help: "newest part of the budget that is always kept", default: Some("0.4"), ..RECENT_RATIO };

const REDUNDANCY: OptionSpec = OptionSpec {
    key: "redundancy",
    default: Some("0.75"),
    help: "part of the budget beyond sinks and recents that goes to keys that no newer key repeats, whatever their score",
    kind: OptionKind::Number { min: 0.0, max: 1.0 },
};

const PROBATION: OptionSpec = OptionSpec {
    key: "probation",
    default: Some("0"),
    help: "half-life in tokens of the median score that every slot starts with; 0 for none",
    kind: OptionKind::Number { min: 0.0, max: 1e6 },
};

const VALUE: OptionSpec = OptionSpec {
    key: "value",
    default: Some("0"),
    help: "power of the value's length that a score is multiplied by",
    kind: OptionKind::Number { min: 0.0, max: 8.0 },
};

const RESERVE: OptionSpec = OptionSpec {
    key: "reserve",
    default: Some("0"),
    help: "part of the budget beyond sinks and recents that goes to the longest values",
    kind: OptionKind::Number { min: 0.0, max: 1.0 },
};

const EPSILON: OptionSpec = OptionSpec {
    key: "epsilon",
    default: Some("0"),
    help: "part of the layer's mass that a round may drop below its budget; 0 to fill the budget",
    kind: OptionKind::Number { min: 0.0, max: 0.9 },
};

pub(super) const INFO: PolicyInfo = PolicyInfo {
    name: "lethe+",
    summary: "keeps what was just attended to and what no newer key repeats, more in layers that look far back",
    cost: "step: attention mass, O(n); round: O(n * n * head_dim) for each KV head with redundancy, else O(n)",
    options: &[
        CAP,
        BUDGET,
        ALLOCATION,
        GRANULARITY,
        UPDATE,
        FAST,
        WINDOW,
        RECENTS,
        REDUNDANCY,
        PROBATION,
        VALUE,
        RESERVE,
        EPSILON,
        SINKS,
        INTERVAL,
        PROTECT_PROMPT,
    ],
    build: |options, _| Ok(Box::new(LethePlus::from_options(options)?)),
};

/// Keeps pinned slots, sinks, recents, the best by decayed mass, and those that no newer key repeats.
#[derive(Clone, Copy, Debug)]
pub struct LethePlus {
    quota: Quota,
    by_reach: bool,
    granularity: Granularity,
    update: Update,
    half_life: f64,
    window: usize,
    recent_ratio: f64,
    redundancy: f64,
    probation: f64,
    value: f64,
    reserve: f64,
    epsilon: f64,
}

impl LethePlus {
    fn from_options(options: &Options<'_>) -> Result<Self, PolicyError> {
        let policy = LethePlus {
            quota: Quota::from_options(options)?,
            by_reach: options.word(ALLOCATION.key) == "reach",
            granularity: if options.word(GRANULARITY.key) == "head" { Granularity::Head } else { Granularity::Layer },
            update: if options.word(UPDATE.key) == "peak" { Update::Peak } else { Update::Add },
            half_life: options.number(HALF_LIFE.key)?,
            window: options.number(WINDOW.key)?,
            recent_ratio: options.number(RECENT_RATIO.key)?,
            redundancy: options.number(REDUNDANCY.key)?,
            probation: options.number(PROBATION.key)?,
            value: options.number(VALUE.key)?,
            reserve: options.number(RESERVE.key)?,
            epsilon: options.number(EPSILON.key)?,
        };
        if policy.redundancy + policy.reserve > 1.0 {
            return Err(PolicyError::Conflict {
                policy: options.policy(),
                first: REDUNDANCY.key,
                second: RESERVE.key,
                reason: "they are parts of one budget: let them add up to 1 at most",
            });
        }
        Ok(policy)
    }

    /// Writes to `order` the slots that are neither pinned nor sinks nor recents, and returns how many of them may stay.
    fn candidates(&self, view: &View<'_>, beyond: usize, order: &mut Vec<usize>) -> usize {
        let n = view.slots();
        let (sinks, recents) = (self.quota.sinks.min(n), n - self.window(beyond).min(n));
        order.clear();
        order.extend((sinks..recents).filter(|&slot| !view.pinned[slot]));
        let forced = (0..sinks).chain(recents.max(sinks)..n).filter(|&slot| !view.pinned[slot]).count();
        beyond.saturating_sub(forced)
    }

    /// Multiplies ranks by how long the values are, relative to their mean in the lane.
    fn weigh_values(&self, view: &View<'_>, rank: &mut [f64]) {
        let mean = mean_length(view);
        for (slot, rank) in rank.iter_mut().enumerate() {
            *rank *= (length(view, slot) / mean).powf(self.value);
        }
    }

    /// Lifts the ranks of young slots: a slot that nobody has read yet may still be read.
    fn on_probation(&self, view: &View<'_>, rank: &mut [f64], order: &mut [usize]) {
        let middle = order.len() / 2;
        let Some(&newest) = view.positions.last() else { return };
        if order.is_empty() {
            return;
        }
        let (_, &mut median, _) = order.select_nth_unstable_by(middle, by_rank(rank));
        let prior = rank[median];
        for (rank, &position) in rank.iter_mut().zip(view.positions) {
            *rank = rank.max(prior * (-f64::from(newest - position) / self.probation).exp2());
        }
    }
}

/// The length of a slot's value, the mean over the lanes in view.
fn length(view: &View<'_>, slot: usize) -> f64 {
    view.lanes.iter().map(|lane| f64::from(lane.values[slot])).sum::<f64>() / view.lanes.len().max(1) as f64
}

fn mean_length(view: &View<'_>) -> f64 {
    let n = view.slots();
    ((0..n).map(|slot| length(view, slot)).sum::<f64>() / n.max(1) as f64).max(f64::MIN_POSITIVE)
}

impl Baseline for LethePlus {
    const NAME: &'static str = INFO.name;

    fn quota(&self) -> &Quota {
        &self.quota
    }

    fn own_options(&self) -> Vec<(&'static str, String)> {
        let allocation = if self.by_reach { "reach" } else { "uniform" };
        let granularity = if self.granularity == Granularity::Head { "head" } else { "layer" };
        let update = if self.update == Update::Peak { "peak" } else { "sum" };
        vec![
            (ALLOCATION.key, allocation.to_owned()),
            (GRANULARITY.key, granularity.to_owned()),
            (UPDATE.key, update.to_owned()),
            (HALF_LIFE.key, self.half_life.to_string()),
            (WINDOW.key, self.window.to_string()),
            (RECENT_RATIO.key, self.recent_ratio.to_string()),
            (REDUNDANCY.key, self.redundancy.to_string()),
            (PROBATION.key, self.probation.to_string()),
            (VALUE.key, self.value.to_string()),
            (RESERVE.key, self.reserve.to_string()),
            (EPSILON.key, self.epsilon.to_string()),
        ]
    }

    fn by_reach(&self) -> bool {
        self.by_reach
    }

    fn granularity(&self) -> Granularity {
        self.granularity
    }

    fn scoring(&self) -> Option<Scoring> {
        let decaying = Scoring::decaying(self.half_life, Prefill::Window(self.window));
        Some(Scoring { update: self.update, ..decaying })
    }

    fn evidence(&self) -> Evidence {
        Evidence { queries: 0, keys: self.redundancy > 0.0, values: self.value > 0.0 || self.reserve > 0.0 }
    }

    fn window(&self, beyond: usize) -> usize {
        (self.recent_ratio * beyond as f64).ceil() as usize
    }

    fn rank(&self, view: &View<'_>, beyond: usize, _state: LayerState, scratch: &mut Scratch) {
        scratch.rank_by(view.scores);
        let Scratch { rank, order, work, novel, .. } = scratch;
        if self.value > 0.0 {
            self.weigh_values(view, rank);
        }
        let quota = self.candidates(view, beyond, order);
        if self.probation > 0.0 {
            self.on_probation(view, rank, order);
        }
        // Places of the budget that are not given by rank: whoever gets one goes before all others.
        let part = |share: f64| (share * quota as f64).round() as usize;
        if self.reserve > 0.0 {
            let longer = |&a: &usize, &b: &usize| length(view, b).total_cmp(&length(view, a)).then(b.cmp(&a));
            take_best(order, part(self.reserve), longer);
            order.iter().for_each(|&slot| rank[slot] = f64::MAX);
            self.candidates(view, beyond, order);
        }
        if self.redundancy > 0.0 {
            let outright = quota - part(self.redundancy).min(quota);
            if outright < order.len() {
                order.select_nth_unstable_by(outright, by_rank(rank));
                repeated(view.lanes, view.slots(), &order[outright..], novel, work);
                order[..outright].iter().for_each(|&slot| rank[slot] = f64::MAX);
                order[outright..].iter().zip(&*novel).for_each(|(&slot, repeated)| rank[slot] = -repeated);
            }
        }
    }

    fn enough(&self, view: &View<'_>, beyond: usize, scratch: &mut Scratch) -> usize {
        if self.epsilon == 0.0 {
            return beyond;
        }
        let Scratch { rank, order, .. } = scratch;
        let quota = self.candidates(view, beyond, order);
        let mass = |slot: usize| f64::from(view.scores[slot]);
        let bearable = self.epsilon * (0..view.slots()).map(mass).sum::<f64>();
        order.sort_unstable_by(by_rank(rank));
        let mut left: f64 = order.iter().map(|&slot| mass(slot)).sum();
        let enough = order.iter().take_while(|&&slot| {
            let more = left > bearable;
            left -= mass(slot);
            more
        });
        beyond - quota.saturating_sub(enough.count())
    }
}
