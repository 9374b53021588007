//! `oracle`: the policy that knows what will be read. No policy for use: it says how few slots the right ones can be.
//!
//! What is noted as read is what an answer needs, not all that this or that model looks at to find it: an oracle that misses
//! nothing may still be answered wrongly.

use std::ops::Range;
use std::sync::Arc;

use lethe_policy::{
    Ask, Bound, Granularity, LayerState, LayerStatus, Policy, PolicyError, ProtectPrompt, Scoring, Scratch, View,
};

use crate::gold::{Gold, TokenRead};

/// Keeps as many slots as another policy would, when that one would, and of those beyond the pinned ones, the sinks and
/// the recents the ones that a right answer reads soonest (Belady's rule, for copies: of several only the newest).
///
/// Its knowledge is that of one problem, and good as long as the answer follows the right one.
#[derive(Debug)]
pub struct Oracle {
    like: Box<dyn Policy>,
    reads: Arc<[TokenRead]>,
    reach: u32,
}

/// Sinks, as the other policies have.
const SINKS: usize = 4;

impl Oracle {
    /// An oracle for a problem, with the budget, interval and protection of `like`: best a baseline that forgets by the
    /// layer, such as `recency:budget=128`.
    pub fn new(like: Box<dyn Policy>, gold: &Gold) -> Oracle {
        Oracle { like, reads: gold.reads.clone().into(), reach: REACH }
    }

    /// The slots that will be read, soonest first, without those that something else serves: a pinned copy, or one that is
    /// still to be written. Then those before them, which nobody reads by name.
    fn wanted(&self, view: &View<'_>, now: u32) -> Vec<usize> {
        let slot = |position: u32| view.positions.binary_search(&position).ok();
        let there = |run: &Range<u32>| run.clone().all(|position| slot(position).is_some());
        let pinned = |run: &Range<u32>| run.clone().all(|p| slot(p).is_some_and(|slot| view.pinned[slot]));
        let (mut wanted, mut around) = (Vec::new(), Vec::new());
        // the token at `now` has been drawn; the next step computes the one after it
        for read in self.reads.iter().filter(|read| read.at.end > now + 1) {
            if read.from.iter().any(|run| run.end > now || pinned(run)) {
                continue;
            }
            if let Some(run) = read.from.iter().rev().find(|run| there(run)) {
                wanted.extend(run.clone().filter_map(slot));
                around.extend((run.start.saturating_sub(self.reach)..run.start).rev().filter_map(slot));
            }
        }
        wanted.extend(around);
        wanted
    }
}

/// Tokens before a value that are kept with it where there is room: they say whose it is.
const REACH: u32 = 8;

impl Policy for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn options(&self) -> Vec<(&'static str, String)> {
        self.like.options()
    }

    fn granularity(&self) -> Granularity {
        self.like.granularity()
    }

    fn scoring(&self) -> Option<Scoring> {
        self.like.scoring()
    }

    fn evidence(&self) -> lethe_policy::Evidence {
        self.like.evidence()
    }

    fn protect_prompt(&self) -> ProtectPrompt {
        self.like.protect_prompt()
    }

    fn bound(&self, ask: &Ask) -> Result<Bound, PolicyError> {
        self.like.bound(ask)
    }

    fn start(&self) -> LayerState {
        self.like.start()
    }

    fn due(&self, layers: &[LayerStatus], due: &mut Vec<usize>) {
        self.like.due(layers, due);
    }

    fn keep(&self, view: &View<'_>, cap: Option<usize>, state: LayerState, scratch: &mut Scratch) -> LayerState {
        let next = self.like.keep(view, cap, state, scratch);
        let size = scratch.keep.len();
        let n = view.slots();
        let now = view.positions.last().map_or(0, |newest| newest + 1);
        let mut kept = view.pinned.to_vec(); // [n_slots]
        let mut left = size.saturating_sub(view.pinned_slots());
        let recents = left / 4;
        let mut keep = |slot: usize| {
            if left > 0 && !kept[slot] {
                kept[slot] = true;
                left -= 1;
            }
        };
        (0..SINKS.min(n)).for_each(&mut keep);
        (n.saturating_sub(recents)..n).rev().for_each(&mut keep);
        self.wanted(view, now).into_iter().for_each(&mut keep);
        (0..n).rev().for_each(&mut keep);
        scratch.keep.clear();
        scratch.keep.extend((0..n).filter(|&slot| kept[slot]));
        next
    }
}

#[cfg(test)]
mod tests {
    use lethe_policy::{Context, PolicySpec};

    use super::*;

    fn oracle(budget: usize, reads: &[(u32, &[u32])]) -> Oracle {
        let context = Context { layers: 1, slots_per_layer: 1000, max_num_seqs: 1, max_positions: 1000 };
        let like = PolicySpec::parse(&format!("recency:budget={budget},interval=4")).unwrap().build(&context).unwrap();
        let run = |&p: &u32| p..p + 1;
        let read = |&(at, from): &(u32, &[u32])| TokenRead { at: run(&at), from: from.iter().map(run).collect() };
        let gold = Gold { ids: Vec::new(), turns: Vec::new(), reads: reads.iter().map(read).collect() };
        Oracle { reach: 0, ..Oracle::new(like, &gold) }
    }

    fn kept(oracle: &Oracle, slots: u32, pinned: u32) -> Vec<usize> {
        let positions: Vec<u32> = (0..slots).collect();
        let pins: Vec<bool> = positions.iter().map(|&p| p < pinned).collect();
        let mut scratch = Scratch::default();
        let view = View { positions: &positions, pinned: &pins, ..View::default() };
        let state = oracle.keep(&view, None, LayerState::default(), &mut scratch);
        assert_eq!((state.left, state.round), (scratch.keep.len(), 1), "the other policy's state");
        scratch.keep
    }

    #[test]
    fn what_is_read_soonest_stays() {
        // pinned 0..4 are the sinks too; one recent; 30 is read before 25, and 25 before 12
        let oracle = oracle(4, &[(60, &[30]), (70, &[25]), (80, &[12])]);
        assert_eq!(kept(&oracle, 40, 4), [0, 1, 2, 3, 12, 25, 30, 39]);
    }

    #[test]
    fn reads_that_are_past_pinned_or_served_later_claim_nothing() {
        let oracle = oracle(4, &[(40, &[10]), (50, &[11, 2]), (60, &[12, 45]), (70, &[13, 20])]);
        // 10 was read already (the token at 40 is drawn), 11 has a pinned copy, 12 will be said again, 13 has a newer copy
        assert_eq!(kept(&oracle, 40, 4), [0, 1, 2, 3, 20, 37, 38, 39]);
    }

    #[test]
    fn never_more_than_the_other_policy() {
        let all: Vec<(u32, Vec<u32>)> = (0..30).map(|i| (50 + i, vec![i])).collect();
        let all: Vec<(u32, &[u32])> = all.iter().map(|(at, from)| (*at, &from[..])).collect();
        assert_eq!(kept(&oracle(8, &all), 40, 2).len(), 10);
    }
}
