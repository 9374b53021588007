//! A sequence driven as an engine would drive it, with made-up attention.
#![allow(dead_code, reason = "each test file uses its part")]

use lethe_policy::{
    Ask, Bound, Context, LaneSight, LayerState, LayerStatus, Layers, Policy, PolicyError, PolicySpec, ProtectPrompt,
    Scratch, View, fold,
};

/// splitmix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub(crate) fn below(&mut self, low: usize, high: usize) -> usize {
        low + (self.unit() * (high - low) as f64) as usize
    }
}

/// How attention falls on the slots of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Flat,
    Noisy,
    HeavyTail,
    Sink,
}

const SHAPES: [Shape; 4] = [Shape::Flat, Shape::Noisy, Shape::HeavyTail, Shape::Sink];

impl Shape {
    /// One weight per slot, `[n]`; sums to 1.
    pub(crate) fn mass(self, n: usize, rng: &mut Rng) -> Vec<f32> {
        let weights: Vec<f64> = (0..n)
            .map(|slot| match self {
                Shape::Flat => 1.0,
                Shape::Noisy => rng.unit(),
                Shape::HeavyTail => (rng.unit() * 14.0).exp(),
                Shape::Sink => {
                    if slot == 0 {
                        1e5
                    } else {
                        rng.unit()
                    }
                }
            })
            .collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| (weight / sum) as f32).collect()
    }
}

pub(crate) const CONTEXT: Context =
    Context { layers: 4, slots_per_layer: 1200, max_num_seqs: 4, max_positions: 1 << 16 };

pub(crate) fn policy(text: &str) -> Box<dyn Policy> {
    PolicySpec::parse(text).and_then(|spec| spec.build(&CONTEXT)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What is stored of a layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) scores: Vec<f32>,
    pub(crate) positions: Vec<u32>,
    pub(crate) pinned: Vec<bool>,
    pub(crate) state: LayerState,
}

impl Layer {
    /// `n` slots with scores of one shape, the given ones pinned.
    pub(crate) fn made(scores: Vec<f32>, pinned: impl Fn(usize) -> bool) -> Self {
        let n = scores.len();
        Layer {
            scores,
            positions: (0..n as u32).map(|slot| slot * 3).collect(),
            pinned: (0..n).map(pinned).collect(),
            state: LayerState::default(),
        }
    }

    pub(crate) fn view(&self, layer: usize) -> View<'_> {
        View { layer, scores: &self.scores, positions: &self.positions, pinned: &self.pinned, ..View::default() }
    }

    pub(crate) fn status(&self) -> LayerStatus {
        LayerStatus { n: self.positions.len(), pinned: self.view(0).pinned_slots(), state: self.state }
    }

    fn retain(&mut self, keep: &[usize]) {
        self.scores = keep.iter().map(|&slot| self.scores[slot]).collect();
        self.positions = keep.iter().map(|&slot| self.positions[slot]).collect();
        self.pinned = keep.iter().map(|&slot| self.pinned[slot]).collect();
    }
}

/// What a policy may see of a layer besides: one lane, made up of its positions.
#[derive(Default)]
pub(crate) struct Sight {
    queries: usize,
    logits: Vec<f32>, // [1 head][queries][n]
    keys: Vec<f32>,   // [n][DIM]
    values: Vec<f32>, // [n]
}

impl Sight {
    const DIM: usize = 6;

    /// Of the lane with these positions, as the policy asks for it.
    pub(crate) fn new(policy: &dyn Policy, positions: &[u32]) -> Self {
        let wants = policy.evidence();
        let noise = |a: usize, b: u32| Rng((a as u64) << 32 | u64::from(b)).unit() as f32 * 4.0 - 2.0;
        let next = positions.last().map_or(0, |last| *last as usize + 1);
        let queries = wants.queries.min(next);
        let logit = |query, &slot: &u32| if slot as usize <= query { noise(query, slot) } else { f32::NEG_INFINITY };
        let key = |&slot: &u32| (0..Sight::DIM).map(move |d| noise(d, slot / 3)); // neighbours are duplicates
        Sight {
            queries,
            logits: (next - queries..next).flat_map(|q| positions.iter().map(move |slot| logit(q, slot))).collect(),
            keys: if wants.keys { positions.iter().flat_map(key).collect() } else { Vec::new() },
            values: if wants.values {
                positions.iter().map(|&slot| noise(99, slot).abs()).collect()
            } else {
                Vec::new()
            },
        }
    }

    pub(crate) fn lane(&self) -> LaneSight<'_> {
        LaneSight { queries: self.queries, logits: &self.logits, keys: &self.keys, values: &self.values }
    }
}

/// Layers as a policy sees them.
pub(crate) struct All<'a>(pub(crate) &'a [Layer]);

impl Layers for All<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn lanes(&self) -> usize {
        1
    }

    fn view(&self, layer: usize, _lane: usize) -> View<'_> {
        self.0[layer].view(layer)
    }
}

/// One sequence.
pub(crate) struct Run<'a> {
    policy: &'a dyn Policy,
    sinks: usize,
    pub(crate) layers: Vec<Layer>,
    scratch: Scratch,
    next: u32,
    /// Rounds so far, over all layers.
    pub(crate) rounds: usize,
    /// Steps so far with a round in any layer.
    pub(crate) bursts: usize,
    /// Every so many steps the layers have to give way.
    pub(crate) short: Option<usize>,
}

/// First tokens that stay pinned under [`ProtectPrompt::Newest`].
const SYSTEM: usize = 6;

impl<'a> Run<'a> {
    pub(crate) fn new(policy: &'a dyn Policy, layers: usize) -> Self {
        let sinks =
            policy.options().iter().find(|(key, _)| *key == "sinks").map_or(0, |(_, sinks)| sinks.parse().unwrap());
        let layers = vec![Layer { state: policy.start(), ..Layer::default() }; layers];
        Run { policy, sinks, layers, scratch: Scratch::default(), next: 0, rounds: 0, bursts: 0, short: None }
    }

    /// A prompt and `max_tokens` more; layer `l` sees attention of shape `(l + shape) % 4`. Checks after every step that
    /// the bound holds. Returns the bound and the peak.
    pub(crate) fn turn(
        &mut self,
        prompt: usize,
        max_tokens: usize,
        shape: usize,
        rng: &mut Rng,
    ) -> Result<(Bound, Bound), PolicyError> {
        let protect = self.policy.protect_prompt();
        if protect == ProtectPrompt::Newest && self.next > 0 {
            for layer in &mut self.layers {
                layer.pinned.iter_mut().skip(SYSTEM).for_each(|pinned| *pinned = false);
            }
        }
        let pinned = if protect == ProtectPrompt::None { 0 } else { self.layers[0].view(0).pinned_slots() + prompt };
        let marks = self.layers[0].pinned.iter().copied().chain((0..prompt).map(|_| pinned > 0));
        let ask = Ask {
            layers: self.layers.len(),
            present: self.layers.iter().map(|layer| layer.positions.len()).max().unwrap_or(0),
            present_total: self.layers.iter().map(|layer| layer.positions.len()).sum(),
            prompt,
            pinned,
            unpinned_sinks: marks.take(self.sinks).filter(|pinned| !pinned).count(),
            max_tokens,
            left: self.layers.iter().map(|layer| layer.state.left).max().unwrap_or(0),
            left_total: self.layers.iter().map(|layer| layer.state.left).sum(),
        };
        let bound = self.policy.bound(&ask)?;
        assert!((ask.start()..=ask.end()).contains(&bound.per_layer), "{bound:?} for {ask:?}");

        let mut peak = Bound { per_layer: 0, total: 0 };
        for step in 0..=max_tokens {
            self.feed(if step == 0 { prompt } else { 1 }, step == 0 && pinned > 0, shape, rng);
            let sizes = self.layers.iter().map(|layer| layer.positions.len());
            peak.per_layer = peak.per_layer.max(sizes.clone().max().unwrap_or(0));
            peak.total = peak.total.max(sizes.sum());
            assert!(
                peak.per_layer <= bound.per_layer && peak.total <= bound.total,
                "step {step}: {peak:?} over {bound:?} for {ask:?}, {:?}",
                self.policy
            );
            self.round();
            if self.short.is_some_and(|every| step % every == every - 1) {
                self.give_way();
            }
        }
        Ok((bound, peak))
    }

    /// What an engine does while its pool is short: every layer is cut to three quarters of what it holds beyond the pinned
    /// slots, which is no round of the policy's own.
    fn give_way(&mut self) {
        for index in 0..self.layers.len() {
            let layer = &self.layers[index];
            let (n, pinned) = (layer.positions.len(), layer.view(index).pinned_slots());
            let sight = Sight::new(self.policy, &layer.positions);
            let view = View { lanes: &[sight.lane()], ..layer.view(index) };
            self.scratch.scores.clear();
            self.policy.keep(&view, Some(pinned + (n - pinned) / 4 * 3), layer.state, &mut self.scratch);
            assert_kept(&self.layers[index], self.sinks, &self.scratch.keep);
            self.layers[index].retain(&self.scratch.keep);
        }
    }

    fn feed(&mut self, tokens: usize, pin: bool, shape: usize, rng: &mut Rng) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.positions.extend(self.next..self.next + tokens as u32);
            layer.pinned.resize(layer.positions.len(), pin);
            if let Some(scoring) = self.policy.scoring() {
                layer.scores.resize(layer.positions.len(), 0.0);
                let mass = SHAPES[(index + shape) % SHAPES.len()].mass(layer.positions.len(), rng);
                fold(scoring, &mut layer.scores, &mass);
            } else {
                layer.scores.resize(layer.positions.len(), 0.0);
            }
        }
        self.next += tokens as u32;
    }

    fn round(&mut self) {
        let statuses: Vec<LayerStatus> = self.layers.iter().map(Layer::status).collect();
        let mut due = Vec::new();
        self.policy.due(&statuses, &mut due);
        if due.is_empty() {
            return;
        }
        let shares = self.policy.allocate(&All(&self.layers), &mut self.scratch).then(|| self.scratch.caps.clone());
        for &index in &due {
            let cap = shares.as_ref().map(|shares| shares[index]);
            let state = self.layers[index].state;
            let sight = Sight::new(self.policy, &self.layers[index].positions);
            let view = View { lanes: &[sight.lane()], ..self.layers[index].view(index) };
            self.scratch.scores.clear();
            let after = self.policy.keep(&view, cap, state, &mut self.scratch);
            assert_kept(&self.layers[index], self.sinks, &self.scratch.keep);
            assert_eq!((after.left, after.round), (self.scratch.keep.len(), state.round + 1));
            self.layers[index].state = after;
            if !self.scratch.scores.is_empty() {
                self.layers[index].scores.clone_from(&self.scratch.scores);
            }
            self.layers[index].retain(&self.scratch.keep);
        }
        self.rounds += due.len();
        self.bursts += 1;
    }
}

/// What holds for any keep set of a valid budget: ascending, unique, in range, with all pinned slots and sinks.
pub(crate) fn assert_kept(layer: &Layer, sinks: usize, keep: &[usize]) {
    let n = layer.positions.len();
    assert!(keep.windows(2).all(|pair| pair[0] < pair[1]), "not ascending: {keep:?}");
    assert!(keep.last().is_none_or(|last| *last < n), "out of range: {keep:?} of {n}");
    for slot in (0..n).filter(|slot| *slot < sinks || layer.pinned[*slot]) {
        assert!(keep.binary_search(&slot).is_ok(), "slot {slot} is missing of {keep:?}");
    }
}
