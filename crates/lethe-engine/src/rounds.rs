//! Rounds: between steps, layers over their trigger ask the policy for a keep set and forget the rest.

use lethe_kv::{PAGE_SLOTS, SeqCache};
use lethe_model::{Backend, Decoder};
use lethe_policy::{Evidence, Granularity, LaneSight, LayerState, LayerStatus, Layers, Scratch, View, hoyer};

use crate::event::{Event, Levels, Round, RoundDetail, ScoreSummary};
use crate::evidence::Sight;
use crate::sequence::{Sequence, layer_len};

/// How many positions apart a sequence tells of its levels.
const LEVELS_EVERY: u32 = 8;

/// Working memory of rounds, shared by all sequences.
#[derive(Debug, Default)]
pub(crate) struct RoundScratch {
    policy: Scratch,
    status: Vec<LayerStatus>, // [layers]
    due: Vec<usize>,          // [<= layers]
    sights: Vec<Sight>,       // [kv heads], or of one lane
}

impl RoundScratch {
    /// Makes rounds over layers of up to `slots` slots run without allocating.
    pub(crate) fn reserve(&mut self, slots: usize, layers: usize) {
        self.policy.reserve(slots, layers);
        self.status.reserve(layers);
        self.due.reserve(layers);
    }
}

/// All layers of a cache, for policies that share one total among them.
struct AllLayers<'a> {
    cache: &'a SeqCache,
    lanes: usize,
}

fn view(cache: &SeqCache, layer: usize, lane: Option<usize>) -> View<'_> {
    let h = lane.unwrap_or(0);
    View {
        layer,
        lane,
        scores: cache.scores(layer, h),
        positions: cache.positions(layer, h),
        pinned: cache.pinned(layer, h),
        lanes: &[],
    }
}

impl Layers for AllLayers<'_> {
    fn len(&self) -> usize {
        self.cache.shape().layers
    }

    fn lanes(&self) -> usize {
        self.lanes
    }

    fn view(&self, layer: usize, lane: usize) -> View<'_> {
        view(self.cache, layer, (self.lanes > 1).then_some(lane))
    }
}

/// Runs the rounds that are due after a step of `seq`. Returns how many.
///
/// # Errors
/// What the policy or the cache refused; the sequence must end.
pub(crate) fn run<B: Backend>(
    seq: &mut Sequence,
    decoder: &Decoder<B>,
    kv: &mut B::Kv,
    scratch: &mut RoundScratch,
) -> Result<usize, String> {
    if seq.levels && seq.position.is_multiple_of(LEVELS_EVERY) {
        tell_levels(seq);
    }
    let cache = seq.cache.as_ref().expect("only admitted sequences run");
    let RoundScratch { policy: work, status, due, sights } = scratch;
    status.clear();
    status.extend(seq.states.iter().enumerate().map(|(l, &state)| LayerStatus {
        n: layer_len(cache, l),
        pinned: cache.pins(l, 0),
        state,
    }));
    due.clear();
    seq.policy.due(status, due);
    if due.is_empty() {
        return Ok(0);
    }
    let shares = seq.policy.allocate(&AllLayers { cache, lanes: seq.lanes() }, work);
    for &layer in due.iter() {
        let cap = shares.then(|| work.caps[layer]);
        cut(seq, decoder, kv, work, sights, layer, cap)?;
    }
    Ok(due.len())
}

fn tell_levels(seq: &mut Sequence) {
    let cache = seq.cache();
    let slots = (0..seq.states.len()).map(|layer| layer_len(cache, layer)).collect();
    let hoyer = if seq.trace { seq.hoyer() } else { Vec::new() };
    let bytes = cache.bytes() + seq.queries.bytes();
    (seq.sink)(Event::Levels(Box::new(Levels { position: seq.position, slots, hoyer, bytes })));
}

/// Cuts every layer that holds a page more than it may while the pool is short ([`Sequence::tight`]), as far as the policy will.
/// For the policy that is no round: when its next one is due does not change, so that its bound holds. Returns how many
/// layers dropped something.
///
/// # Errors
/// See [`run`].
pub(crate) fn tighten<B: Backend>(
    seq: &mut Sequence,
    decoder: &Decoder<B>,
    kv: &mut B::Kv,
    scratch: &mut RoundScratch,
) -> Result<usize, String> {
    let Some(mut tight) = seq.tight.take() else { return Ok(0) };
    let mut rounds = 0;
    for (layer, cap) in tight.caps.iter_mut().enumerate() {
        if layer_len(seq.cache(), layer) >= *cap + PAGE_SLOTS {
            let RoundScratch { policy: work, sights, .. } = scratch;
            let before = seq.states[layer];
            let dropped = cut(seq, decoder, kv, work, sights, layer, Some(*cap))?;
            seq.states[layer] = LayerState { round: seq.states[layer].round, ..before };
            // what the policy will not drop is not asked of it at every step
            *cap = (*cap).max(layer_len(seq.cache(), layer));
            rounds += usize::from(dropped > 0);
        }
    }
    seq.tight = Some(tight);
    seq.stats.tightened += rounds;
    Ok(rounds)
}

/// One round of one layer. Returns how many slots were dropped.
fn cut<B: Backend>(
    seq: &mut Sequence,
    decoder: &Decoder<B>,
    kv: &mut B::Kv,
    work: &mut Scratch,
    sights: &mut Vec<Sight>,
    layer: usize,
    cap: Option<usize>,
) -> Result<usize, String> {
    let tells_scores = seq.trace && seq.scored();
    let cache = seq.cache.as_mut().expect("only admitted sequences run");
    let before = layer_len(cache, layer);
    let (kv_heads, granularity) = (cache.shape().kv_heads, seq.policy.granularity());
    let wants = seq.policy.evidence();
    let mut dropped = 0;
    let (mut lost, mut whole) = (0.0, 0.0);
    let mut forgotten = Vec::new(); // allocates only when somebody wants to know, as `told` does
    let mut told = Told::default();
    let state = seq.states[layer];
    // Lanes that are cut apart are cut from one state; the layer goes on from the fullest.
    let mut fullest: Option<LayerState> = None;
    let parts = if granularity == Granularity::Layer { 1 } else { kv_heads };
    for part in 0..parts {
        let lane = (granularity == Granularity::Head).then_some(part);
        let seen = if wants == Evidence::NONE { 0..0 } else { part..part + kv_heads / parts };
        sights.resize_with(seen.len().max(sights.len()), Sight::default);
        for (sight, lane) in sights.iter_mut().zip(seen.clone()) {
            let at = (layer, lane);
            sight.gather(decoder, kv, cache, &seq.queries, at, seq.position as usize);
        }
        let lanes: Vec<LaneSight<'_>> = sights[..seen.len()].iter().map(|sight| sight.lane(wants)).collect();
        work.scores.clear();
        let next = seq.policy.keep(&View { lanes: &lanes, ..view(cache, layer, lane) }, cap, state, work);
        if !work.scores.is_empty() {
            cache.scores_mut(layer, part).copy_from_slice(&work.scores);
        }
        let scores = cache.scores(layer, part);
        let all: f64 = scores.iter().map(|&s| f64::from(s)).sum();
        let kept: f64 = work.keep.iter().map(|&i| f64::from(scores[i])).sum();
        dropped += scores.len() - work.keep.len();
        (lost, whole) = (lost + (all - kept).max(0.0), whole + all);
        if seq.trace {
            forgotten.push((lane, left_out(cache.positions(layer, part), &work.keep).collect()));
        }
        if tells_scores {
            told.add(scores, &work.keep);
        }
        match lane {
            None => cache.retain(kv, layer, &work.keep),
            Some(h) => cache.retain_lane(kv, layer, h, &work.keep),
        }
        .map_err(|e| e.to_string())?;
        fullest = Some(fullest.map_or(next, |f| if next.left > f.left { next } else { f }));
    }
    seq.states[layer] = fullest.unwrap_or(state);
    let dropped_mass = if whole > 0.0 { lost / whole } else { 0.0 };
    seq.stats.round(layer, dropped, dropped_mass);
    let after = layer_len(cache, layer);
    let detail = seq.trace.then(|| RoundDetail {
        trigger: seq.states[layer].trigger,
        bytes: cache.bytes() + seq.queries.bytes(),
        scores: tells_scores.then(|| told.summary(parts)),
    });
    (seq.sink)(Event::Round(Round { layer, position: seq.position, before, after, dropped_mass, detail }));
    for (lane, positions) in forgotten {
        (seq.sink)(Event::Forgot { layer, lane, positions });
    }
    Ok(dropped)
}

/// Scores of the lanes of a layer, for a summary.
#[derive(Default)]
struct Told {
    scores: Vec<f32>, // [slots of all lanes]
    hoyer: f64,       // summed over lanes
    dropped_top: f32,
}

impl Told {
    /// Notes a lane, or all of them where they are cut together.
    fn add(&mut self, scores: &[f32], keep: &[usize]) {
        self.scores.extend_from_slice(scores);
        self.hoyer += hoyer(scores);
        self.dropped_top = left_out(scores, keep).fold(self.dropped_top, f32::max);
    }

    /// The summary of `parts` lanes.
    fn summary(mut self, parts: usize) -> ScoreSummary {
        let sum = self.scores.iter().map(|&score| f64::from(score)).sum();
        self.scores.sort_unstable_by(f32::total_cmp);
        ScoreSummary {
            hoyer: self.hoyer / parts.max(1) as f64,
            sum,
            top: self.scores.last().copied().unwrap_or(0.0),
            median: self.scores.get(self.scores.len() / 2).copied().unwrap_or(0.0),
            dropped_top: self.dropped_top,
        }
    }
}

/// What belongs to the slots that a keep set leaves out. `of [slots]`
fn left_out<'a, T: Copy>(of: &'a [T], keep: &'a [usize]) -> impl Iterator<Item = T> + 'a {
    let mut keep = keep.iter().peekable();
    of.iter().enumerate().filter(move |(slot, _)| keep.next_if_eq(&slot).is_none()).map(|(_, &one)| one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_forgotten() {
        let without = |positions: &[u32], keep: &[usize]| left_out(positions, keep).collect::<Vec<_>>();
        assert_eq!(without(&[0, 3, 4, 9], &[0, 2]), [3, 9]);
        assert!(without(&[0, 3], &[0, 1]).is_empty());
        assert_eq!(without(&[5, 7], &[]), [5, 7]);
    }

    #[test]
    fn scores_are_summed_up_over_lanes() {
        let mut told = Told::default();
        told.add(&[4.0, 1.0, 2.0, 0.0], &[0, 2]);
        told.add(&[0.0, 0.0, 3.0], &[0, 1, 2]);
        let summary = told.summary(2);
        let expected = ScoreSummary {
            hoyer: (hoyer(&[4.0, 1.0, 2.0, 0.0]) + 1.0) / 2.0,
            sum: 10.0,
            top: 4.0,
            median: 1.0,
            dropped_top: 1.0,
        };
        assert_eq!(summary, expected);
    }
}
