//! Budgets per layer out of one total.

use crate::waterfill::{Claim, waterfill};

/// By what a total is divided among the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// By what the breakpoint of each layer would keep.
    Breakpoint,
    /// By `1 - hoyer`: flat layers need more.
    Hoyer,
    /// By the square of [`reach`](crate::reach): layers that look far back need more.
    Reach,
    /// Evenly.
    Uniform,
}

impl Allocation {
    pub(crate) const WORDS: &[&str] = &["breakpoint", "hoyer", "reach", "uniform"];

    /// The word of the option `allocation`.
    pub fn word(self) -> &'static str {
        match self {
            Allocation::Breakpoint => "breakpoint",
            Allocation::Hoyer => "hoyer",
            Allocation::Reach => "reach",
            Allocation::Uniform => "uniform",
        }
    }

    pub(crate) fn from_word(word: &str) -> Self {
        match word {
            "hoyer" => Allocation::Hoyer,
            "reach" => Allocation::Reach,
            "uniform" => Allocation::Uniform,
            _ => Allocation::Breakpoint,
        }
    }
}

/// What is known of one layer before a total is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Slots held now; no share is larger.
    pub held: usize,
    /// Slots the layer keeps in any case: sinks, recents and pinned.
    pub floor: usize,
    /// Slots its breakpoint would keep, `held` where there is none. Read by [`Allocation::Breakpoint`] alone.
    pub salient: usize,
    /// What its part of the rest is in proportion to. Read by [`Allocation::Hoyer`] and [`Allocation::Reach`].
    pub weight: f64,
}

/// Divides `total` slots: one share per need goes to `shares`; `claims` and `ranks` are working memory.
///
/// A layer demands what `kind` says, within `[floor, held]`; [`waterfill`] settles demands that do not fit.
pub fn allocate(
    kind: Allocation,
    needs: &[Need],
    total: usize,
    claims: &mut Vec<Claim>,
    ranks: &mut Vec<usize>,
    shares: &mut Vec<usize>,
) {
    let weight = |need: &Need| match kind {
        Allocation::Hoyer | Allocation::Reach => need.weight,
        Allocation::Breakpoint | Allocation::Uniform => 1.0,
    };
    let rest = total.saturating_sub(needs.iter().map(|need| need.floor).sum()) as f64;
    let weights: f64 = needs.iter().map(weight).sum();
    let weights = if weights == 0.0 { 1.0 } else { weights };

    claims.clear();
    claims.extend(needs.iter().map(|need| {
        let demand = match kind {
            Allocation::Breakpoint => need.salient,
            Allocation::Hoyer | Allocation::Reach | Allocation::Uniform => {
                need.floor + (rest * weight(need) / weights) as usize
            }
        };
        let floor = need.floor.min(need.held);
        Claim { floor, demand: demand.clamp(floor, need.held) }
    }));
    waterfill(claims, total, ranks, shares);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(kind: Allocation, needs: &[Need], total: usize) -> Vec<usize> {
        let mut shares = Vec::new();
        allocate(kind, needs, total, &mut Vec::new(), &mut Vec::new(), &mut shares);
        shares
    }

    const NEEDS: [Need; 2] = [
        Need { held: 100, floor: 10, salient: 30, weight: 0.25 },
        Need { held: 100, floor: 10, salient: 90, weight: 0.75 },
    ];

    #[test]
    fn each_kind_follows_its_own_measure() {
        assert_eq!(shares(Allocation::Breakpoint, &NEEDS, 120), [30, 90]);
        assert_eq!(shares(Allocation::Breakpoint, &NEEDS, 70), [20, 50]);
        assert_eq!(shares(Allocation::Hoyer, &NEEDS, 100), [30, 70]);
        assert_eq!(shares(Allocation::Reach, &NEEDS, 100), [30, 70]);
        assert_eq!(shares(Allocation::Uniform, &NEEDS, 100), [50, 50]);
    }

    #[test]
    fn no_share_exceeds_what_is_held() {
        let needs = [Need { held: 20, ..NEEDS[0] }, NEEDS[1]];
        assert_eq!(shares(Allocation::Uniform, &needs, 150), [20, 75]);
    }

    #[test]
    fn layers_of_no_weight_still_get_their_floors() {
        let needs = NEEDS.map(|need| Need { weight: 0.0, ..need });
        assert_eq!(shares(Allocation::Hoyer, &needs, 100), [10, 10]);
    }

    #[test]
    fn words_round_trip() {
        for word in Allocation::WORDS {
            assert_eq!(Allocation::from_word(word).word(), *word);
        }
    }
}
