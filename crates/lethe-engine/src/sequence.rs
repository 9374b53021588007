//! One sequence on its way through the engine.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use lethe_kv::SeqCache;
use lethe_model::{Detokenizer, Span};
use lethe_policy::{LayerState, Policy, Prefill, ProtectPrompt, Scoring, fold};

use crate::constraint::Guard;
use crate::event::{DroppedMass, Event, Finished, KvReport, Limit, StoppedBy, Timing, Usage};
use crate::looped::looped;
use crate::parking::Stored;
use crate::prompt_logprobs::Reading;
use crate::queries::QueryWindow;
use crate::repetition::Repetition;
use crate::request::Generation;
use crate::resume::Restart;
use crate::sampling::Sampler;
use crate::thinking::Watch;

/// Where the events of a sequence go.
pub(crate) type Sink = Box<dyn FnMut(Event) + Send + Sync>;

/// What a caller shares with the running sequence.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Set to give up.
    pub(crate) cancelled: AtomicBool,
    /// Set when nobody listens any more, so that no session is kept.
    pub(crate) abandoned: AtomicBool,
    /// Slots of each layer after the last step. `[layers]`
    pub(crate) slots: Box<[AtomicUsize]>,
}

/// What the cache has been through.
#[derive(Debug)]
pub(crate) struct KvStats {
    peak_slots: Vec<usize>, // [layers]
    peak_total: usize,
    rounds: Vec<usize>, // [layers]
    pub(crate) evicted: usize,
    pub(crate) tightened: usize,
    pub(crate) parked: usize,
    dropped_sum: f64,
    dropped_max: f64,
    peak_bytes: u64,
    bytes_sum: u128,
    slots_sum: u128,
    steps: u64,
    pub(crate) saturated: usize,
}

impl KvStats {
    pub(crate) fn new(layers: usize) -> KvStats {
        KvStats {
            peak_slots: vec![0; layers],
            peak_total: 0,
            rounds: vec![0; layers],
            evicted: 0,
            tightened: 0,
            parked: 0,
            dropped_sum: 0.0,
            dropped_max: 0.0,
            peak_bytes: 0,
            bytes_sum: 0,
            slots_sum: 0,
            steps: 0,
            saturated: 0,
        }
    }

    /// A step has filled the cache and no round has cut it yet; `queries` bytes are remembered beside it.
    pub(crate) fn before_rounds(&mut self, cache: &SeqCache, queries: u64) {
        let mut total = 0;
        for (l, peak) in self.peak_slots.iter_mut().enumerate() {
            let slots = layer_len(cache, l);
            *peak = (*peak).max(slots);
            total += slots;
        }
        self.peak_total = self.peak_total.max(total);
        self.peak_bytes = self.peak_bytes.max(cache.bytes() + queries);
    }

    /// The step is over.
    pub(crate) fn after_rounds(&mut self, cache: &SeqCache, queries: u64) {
        self.bytes_sum += u128::from(cache.bytes() + queries);
        self.slots_sum += (0..self.peak_slots.len()).map(|l| layer_len(cache, l) as u128).sum::<u128>();
        self.steps += 1;
    }

    pub(crate) fn round(&mut self, layer: usize, dropped: usize, dropped_mass: f64) {
        self.rounds[layer] += 1;
        self.evicted += dropped;
        self.dropped_sum += dropped_mass;
        self.dropped_max = self.dropped_max.max(dropped_mass);
    }
}

/// Slots of the longest lane of a layer.
pub(crate) fn layer_len(cache: &SeqCache, layer: usize) -> usize {
    (0..cache.shape().kv_heads).map(|h| cache.len(layer, h)).max().unwrap_or(0)
}

/// How far a sequence gives way.
#[derive(Debug)]
pub(crate) struct Tight {
    /// Slots of each layer. `[layers]`
    pub(crate) caps: Vec<usize>,
    /// For how many steps so far.
    pub(crate) steps: usize,
}

/// A sequence and everything that is its own.
pub(crate) struct Sequence {
    pub(crate) id: u64,
    pub(crate) sink: Sink,
    pub(crate) shared: Arc<Shared>,
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) scoring: Option<Scoring>,
    pub(crate) states: Vec<LayerState>, // [layers]
    pub(crate) queries: QueryWindow,
    /// Its place in the order of service: when its turn was asked for.
    pub(crate) arrival: u64,
    /// May be cut deeper while the pool is short.
    pub(crate) elastic: bool,
    /// Tells of every slot that is forgotten.
    pub(crate) trace: bool,
    /// Tells now and then how full its layers are.
    pub(crate) levels: bool,
    /// While the pool is short: what an elastic sequence is cut to.
    pub(crate) tight: Option<Tight>,
    /// `None` while it waits for admission.
    pub(crate) cache: Option<SeqCache>,
    /// The cache outside the pool, where it had to make room.
    pub(crate) stored: Option<Stored>,
    pub(crate) stats: KvStats,
    /// Most slots of a layer in this turn, as admitted.
    pub(crate) bound: usize,
    /// Between turns: the last token of the answer, sampled and never fed.
    pub(crate) pending: Option<u32>,
    /// Tokens fed, over all turns: the position of the next one.
    pub(crate) position: u32,
    /// The tokens themselves, whether their slots are still there or not. `[position]`
    pub(crate) tokens: Vec<u32>,
    /// Positions below this one are the system message.
    pub(crate) system: u32,
    pub(crate) turn: Turn,
}

/// The turn a sequence is in.
pub(crate) struct Turn {
    /// What the model reads before it answers: a token left over from the turn before, then the prompt.
    pub(crate) feed: Vec<u32>,
    /// How many of `feed` are in the cache.
    pub(crate) fed: usize,
    /// The first so many of `feed` are not prompt, so not pinned.
    pub(crate) leftover: usize,
    /// What becomes of the session when the turn is admitted; `None` goes on from where it is.
    pub(crate) restart: Option<Restart>,
    /// The first so many of `feed` were in the cache before the turn.
    pub(crate) cached: usize,
    /// Mass of the prompt's counting queries in earlier chunks. `[layers][kv heads][slots at the prompt's end]`
    pub(crate) carry: Vec<Vec<f32>>,
    /// Log probabilities of the prompt so far, if they are wanted and it is not read yet.
    pub(crate) reading: Option<Reading>,
    /// Answer so far.
    pub(crate) output: Vec<u32>,
    pub(crate) max_tokens: usize,
    pub(crate) limit: Limit,
    pub(crate) sampler: Sampler,
    pub(crate) detokenizer: Option<Detokenizer>,
    pub(crate) watch: Option<Watch>,
    pub(crate) guard: Option<Guard>,
    pub(crate) repetition: Option<Repetition>,
    pub(crate) stopped_by: Option<StoppedBy>,
    pub(crate) generation: Generation,
    pub(crate) submitted: Instant,
    pub(crate) admitted: Option<Instant>,
    pub(crate) first_token: Option<Instant>,
}

impl Turn {
    /// Tokens of this turn's prompt.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.feed.len() - self.leftover
    }

    /// True until the whole prompt is in the cache.
    pub(crate) fn prefilling(&self) -> bool {
        self.fed < self.feed.len()
    }
}

impl Sequence {
    pub(crate) fn new(
        id: u64,
        sink: Sink,
        shared: Arc<Shared>,
        policy: Arc<dyn Policy>,
        layers: usize,
        system: usize,
        turn: Turn,
    ) -> Sequence {
        Sequence {
            id,
            sink,
            shared,
            scoring: policy.scoring(),
            states: vec![policy.start(); layers],
            policy,
            queries: QueryWindow::default(),
            arrival: 0,
            elastic: false,
            trace: false,
            levels: false,
            tight: None,
            cache: None,
            stored: None,
            stats: KvStats::new(layers),
            bound: 0,
            pending: None,
            position: 0,
            tokens: Vec::new(),
            system: system as u32,
            turn,
        }
    }

    /// The cache of an admitted sequence.
    pub(crate) fn cache(&self) -> &SeqCache {
        self.cache.as_ref().expect("only admitted sequences run")
    }

    /// See [`Sequence::cache`].
    pub(crate) fn cache_mut(&mut self) -> &mut SeqCache {
        self.cache.as_mut().expect("only admitted sequences run")
    }

    /// Lets every layer go to three quarters of what it has beyond its pinned slots: of `slots`, or of what it holds.
    pub(crate) fn tighten(&mut self, slots: Option<Vec<usize>>) {
        let cache = self.cache();
        let mut caps = slots.unwrap_or_else(|| (0..self.states.len()).map(|layer| layer_len(cache, layer)).collect());
        for (layer, cap) in caps.iter_mut().enumerate() {
            let pinned = cache.pins(layer, 0);
            *cap = pinned + cap.saturating_sub(pinned) / 4 * 3;
        }
        self.tight = Some(Tight { caps, steps: 0 });
    }

    /// Slots of the longest lane of a layer, in the pool or outside.
    pub(crate) fn slots(&self, layer: usize) -> usize {
        match (&self.cache, &self.stored) {
            (Some(cache), _) => layer_len(cache, layer),
            (None, Some(stored)) => stored.cache.layer_len(layer),
            (None, None) => 0,
        }
    }

    /// The first `tokens` tokens of a new prompt are in the cache: the prefix cache had them.
    pub(crate) fn found(&mut self, tokens: usize) {
        self.turn.fed = tokens;
        self.turn.cached = tokens;
        self.queries.restart(tokens);
        self.position = tokens as u32;
        self.tokens.extend_from_slice(&self.turn.feed[..tokens]);
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Marks for the slots of a new turn: with `newest`, earlier prompts lose theirs (what the prefix cache lent is none).
    /// A restart begins all anew.
    pub(crate) fn begin_turn(&mut self) {
        if let Some(restart) = self.turn.restart {
            self.restart(restart);
        } else if self.policy.protect_prompt() == ProtectPrompt::Newest && self.turn.cached == 0 {
            let system = self.system;
            self.cache_mut().pin(|position| position < system);
        }
        self.tokens.reserve_exact(self.turn.feed.len() + self.turn.max_tokens);
    }

    /// The span of the next chunk, at row `start`, of at most `room` rows. A decoding sequence always has one row.
    pub(crate) fn next_span(&self, start: usize, room: usize) -> Span {
        if !self.turn.prefilling() {
            return Span { start, rows: 1, mass_from: usize::from(self.scoring.is_none()) };
        }
        let total = self.turn.feed.len();
        let rows = room.min(total - self.turn.fed);
        let counting = match self.scoring {
            None => total,
            Some(Scoring { prefill: Prefill::Sum, .. }) => 0,
            Some(Scoring { prefill: Prefill::Window(w), .. }) => total.saturating_sub(w),
        };
        Span { start, rows, mass_from: counting.clamp(self.turn.fed, self.turn.fed + rows) - self.turn.fed }
    }

    /// The tokens of the next `rows` rows.
    pub(crate) fn next_tokens(&self, rows: usize) -> &[u32] {
        if self.turn.prefilling() {
            &self.turn.feed[self.turn.fed..self.turn.fed + rows]
        } else {
            self.turn.output.last().map(std::slice::from_ref).expect("a decoding sequence has a token")
        }
    }

    /// Which of the next `rows` positions are pinned: two runs, the first not (what was left over of the turn before).
    pub(crate) fn next_pins(&self, rows: usize) -> [(Range<u32>, bool); 2] {
        let (from, to) = (self.position, self.position + rows as u32);
        let protect = self.policy.protect_prompt() != ProtectPrompt::None && self.turn.prefilling();
        let plain = if protect { self.turn.leftover.saturating_sub(self.turn.fed).min(rows) as u32 } else { to - from };
        [(from..from + plain, false), (from + plain..to, true)]
    }

    /// Mass of earlier chunks, added to `mass [slots]` of one lane.
    pub(crate) fn carried(&self, layer: usize, lane: usize, mass: &mut [f32]) {
        if let Some(carry) = self.turn.carry.get(layer).filter(|c| !c.is_empty()) {
            let stride = carry.len() / self.cache().shape().kv_heads;
            let n = stride.min(mass.len());
            mass[..n].copy_from_slice(&carry[lane * stride..lane * stride + n]);
        }
    }

    /// The mass of a step: folded into the scores, or, inside a prompt, carried to the next chunk. `mass [kv
    /// heads][slots]`, ragged; `rows` of this step.
    pub(crate) fn take_mass(&mut self, layer: usize, rows: usize, mass: &[f32], sum: &mut Vec<f32>) {
        let Some(scoring) = self.scoring else { return };
        let total = self.turn.feed.len();
        let last = !self.turn.prefilling() || self.turn.fed + rows == total;
        let cache = self.cache.as_mut().expect("only admitted sequences run");
        let kv_heads = cache.shape().kv_heads;
        if !last {
            let left = total - self.turn.fed - rows;
            let stride = layer_len(cache, layer) + left;
            if self.turn.carry.is_empty() {
                self.turn.carry.resize(cache.shape().layers, Vec::new());
            }
            let carry = &mut self.turn.carry[layer];
            carry.resize(stride * kv_heads, 0.0);
            let mut rest = mass;
            for h in 0..kv_heads {
                let (lane, after) = rest.split_at(cache.len(layer, h));
                carry[h * stride..h * stride + lane.len()].copy_from_slice(lane);
                rest = after;
            }
            return;
        }
        match self.policy.granularity() {
            lethe_policy::Granularity::Layer => {
                let n = cache.len(layer, 0);
                sum.clear();
                sum.extend_from_slice(&mass[..n]);
                for lane in mass[n..].chunks_exact(n) {
                    for (s, m) in sum.iter_mut().zip(lane) {
                        *s += m;
                    }
                }
                fold(scoring, cache.scores_mut(layer, 0), sum);
            }
            lethe_policy::Granularity::Head => {
                let mut rest = mass;
                for h in 0..kv_heads {
                    let (lane, after) = rest.split_at(cache.len(layer, h));
                    fold(scoring, cache.scores_mut(layer, h), lane);
                    rest = after;
                }
            }
        }
    }

    /// Lanes of a layer with scores and keep sets of their own.
    pub(crate) fn lanes(&self) -> usize {
        match self.policy.granularity() {
            lethe_policy::Granularity::Layer => 1,
            lethe_policy::Granularity::Head => self.cache().shape().kv_heads,
        }
    }

    /// Whether its slots have scores.
    pub(crate) fn scored(&self) -> bool {
        self.scoring.is_some() || self.queries.rows() > 0
    }

    /// How sparse the scores of each layer are; nothing for policies without scores. `[layers]`
    pub(crate) fn hoyer(&self) -> Vec<f64> {
        let Some(cache) = self.cache.as_ref().filter(|_| self.scored()) else { return Vec::new() };
        let lanes = self.lanes();
        let layer = |l| (0..lanes).map(|h| lethe_policy::hoyer(cache.scores(l, h))).sum::<f64>() / lanes as f64;
        (0..cache.shape().layers).map(layer).collect()
    }

    /// What the cache did so far.
    pub(crate) fn kv_report(&self) -> KvReport {
        let layers = self.states.len();
        let rounds: usize = self.stats.rounds.iter().sum();
        let s = &self.stats;
        let mean = |sum: u128| if s.steps == 0 { 0.0 } else { sum as f64 / s.steps as f64 };
        KvReport {
            policy: self.policy.name().to_owned(),
            options: self
                .policy
                .options()
                .into_iter()
                .map(|(key, value)| (key.to_owned(), serde_json::from_str(&value).unwrap_or(value.into())))
                .collect(),
            peak_slots: s.peak_slots.clone(),
            peak_total_slots: s.peak_total,
            final_slots: (0..layers).map(|l| self.cache.as_ref().map_or(0, |c| layer_len(c, l))).collect(),
            mean_slots: mean(s.slots_sum) / layers as f64,
            rounds: s.rounds.clone(),
            evicted: s.evicted,
            tightened: s.tightened,
            parked: s.parked,
            dropped_mass: DroppedMass {
                mean: if rounds == 0 { 0.0 } else { s.dropped_sum / rounds as f64 },
                max: s.dropped_max,
            },
            hoyer: self.hoyer(),
            peak_bytes: s.peak_bytes,
            mean_bytes: mean(s.bytes_sum) as u64,
            saturated: s.saturated,
        }
    }

    /// The end of the turn, as it is told.
    pub(crate) fn finished(&mut self, reason: crate::FinishReason, kept: bool, now: Instant) -> Finished {
        let kv = self.kv_report();
        let t = &mut self.turn;
        let since = |from: Option<Instant>, to: Instant| from.map(|f| to - f).unwrap_or_default();
        let timing = Timing {
            queued: t.admitted.unwrap_or(now) - t.submitted,
            prefill: since(t.admitted, t.first_token.unwrap_or(now)),
            decode: since(t.first_token, now),
        };
        Finished {
            reason,
            limit: (reason == crate::FinishReason::Length).then_some(t.limit),
            usage: Usage {
                prompt_tokens: t.prompt_tokens(),
                completion_tokens: t.output.len(),
                cached_tokens: t.cached,
            },
            token_ids: t.output.clone(),
            kv,
            timing,
            session: kept.then_some(self.id),
            stopped_by: t.stopped_by.take(),
            looped: looped(&t.output),
        }
    }
}
