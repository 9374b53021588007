//! From logits to a token.
//!
//! Order: logit bias and penalties, temperature, top-k, top-p, min-p, then one draw. The random number of a token is
//! `u(seed, position)`: no generator is shared, so a request draws the same tokens whatever runs beside it.

use std::cmp::Ordering;
use std::fmt;

use lethe_model::GenerationConfig;

/// How to choose the next token. The default is greedy: the largest logit, the lowest id among equals.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy; otherwise logits are divided by it.
    pub temperature: f32,
    /// Only the `top_k` largest logits stay; 0 keeps all.
    pub top_k: usize,
    /// Only the fewest tokens that reach this probability stay; 1 keeps all.
    pub top_p: f32,
    /// Only tokens at least this fraction of the likeliest stay; 0 keeps all.
    pub min_p: f32,
    /// Logits of tokens seen in prompt or output are divided (multiplied when negative) by it; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted once from logits of tokens already generated; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from a logit for each time its token was generated; 0 is off.
    pub frequency_penalty: f32,
    /// Added to the logits of these ids.
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of every draw.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// What the makers of a model want: greedy unless they sample; their filters count whenever tokens are drawn.
    pub fn from_config(config: &GenerationConfig) -> Sampling {
        Sampling {
            temperature: config.default_temperature(),
            top_p: config.top_p,
            top_k: config.top_k,
            min_p: config.min_p,
            repetition_penalty: config.repetition_penalty,
            ..Sampling::default()
        }
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.temperature == 0.0 {
            write!(f, "greedy")?;
        } else {
            write!(f, "temperature {}", self.temperature)?;
            let off = Sampling::default();
            for (name, value, off) in
                [("top-p", self.top_p, off.top_p), ("min-p", self.min_p, off.min_p), ("top-k", self.top_k as f32, 0.0)]
            {
                if value != off {
                    write!(f, " {name} {value}")?;
                }
            }
            write!(f, " seed {}", self.seed)?;
        }
        if self.repetition_penalty != 1.0 {
            write!(f, " repetition penalty {}", self.repetition_penalty)?;
        }
        Ok(())
    }
}

/// A sampling parameter that makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct BadSampling {
    /// The parameter.
    pub key: &'static str,
    /// What was given.
    pub value: String,
    /// What would do.
    pub expected: &'static str,
}

impl Sampling {
    /// Checks every parameter; `vocab` bounds the ids of `logit_bias`.
    ///
    /// # Errors
    /// [`BadSampling`] names the first that is out of range.
    pub fn validate(&self, vocab: usize) -> Result<(), BadSampling> {
        let check = |key, value: f32, good: bool, expected| {
            if good { Ok(()) } else { Err(BadSampling { key, value: value.to_string(), expected }) }
        };
        let t = self.temperature;
        check("temperature", t, t.is_finite() && t >= 0.0, "a number of at least 0")?;
        check("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "a number above 0, at most 1")?;
        check("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "a number from 0 to 1")?;
        let r = self.repetition_penalty;
        // Bounds that keep logits finite, whatever the text.
        check("repetition_penalty", r, (0.01..=100.0).contains(&r), "a number from 0.01 to 100")?;
        let (p, f) = (self.presence_penalty, self.frequency_penalty);
        check("presence_penalty", p, p.abs() <= 1000.0, "a number from -1000 to 1000")?;
        check("frequency_penalty", f, f.abs() <= 1000.0, "a number from -1000 to 1000")?;
        for &(id, bias) in &self.logit_bias {
            // minus infinity is how a token is banned
            let good = bias.abs() <= 1e4 || bias == f32::NEG_INFINITY;
            check("logit_bias", bias, good, "a number from -10000 to 10000, or -inf to ban a token")?;
            check("logit_bias", id as f32, (id as usize) < vocab, "an id within the vocabulary")?;
        }
        Ok(())
    }

    fn counts_tokens(&self) -> bool {
        self.repetition_penalty != 1.0 || self.presence_penalty != 0.0 || self.frequency_penalty != 0.0
    }
}

/// `u(seed, position)` in [0, 1): splitmix64 over both, 53 bits.
pub fn uniform(seed: u64, position: u64) -> f64 {
    let mut z = seed
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(position.wrapping_mul(0xBF58_476D_1CE4_E5B9))
        .wrapping_add(0x94D0_49BB_1331_11EB);
    for _ in 0..2 {
        z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
    }
    (z >> 11) as f64 / (1u64 << 53) as f64
}

/// Working memory of [`Sampler::sample`], shared by all sequences.
#[derive(Debug)]
pub struct SampleScratch {
    ids: Vec<u32>,   // [vocab], candidates
    probs: Vec<f64>, // [vocab], unnormalised, in the order of `ids`
}

impl SampleScratch {
    /// Room for a vocabulary.
    pub fn new(vocab: usize) -> SampleScratch {
        SampleScratch { ids: Vec::with_capacity(vocab), probs: Vec::with_capacity(vocab) }
    }
}

/// Sampling state of one request.
#[derive(Debug)]
pub struct Sampler {
    params: Sampling,
    seen: Vec<u32>,   // [vocab] when penalties are on: in prompt or output
    output: Vec<u32>, // [vocab] when penalties are on: times generated
}

impl Sampler {
    /// A sampler for a vocabulary. `params` are valid ([`Sampling::validate`]).
    pub fn new(params: Sampling, vocab: usize) -> Sampler {
        let n = if params.counts_tokens() { vocab } else { 0 };
        Sampler { params, seen: vec![0; n], output: vec![0; n] }
    }

    /// Tells the sampler of prompt tokens.
    pub fn saw_prompt(&mut self, ids: &[u32]) {
        for &id in ids {
            if let Some(n) = self.seen.get_mut(id as usize) {
                *n += 1;
            }
        }
    }

    /// The token for `position`. `logits` (`[vocab]`, finite) are changed in place. `None` when every token is banned.
    pub fn sample(&mut self, logits: &mut [f32], position: u64, scratch: &mut SampleScratch) -> Option<u32> {
        self.penalise(logits);
        let best = argmax(logits);
        if !logits[best as usize].is_finite() {
            return None;
        }
        let id = if self.params.temperature == 0.0 { best } else { self.draw(logits, best, position, scratch) };
        self.chose(id);
        Some(id)
    }

    /// Counts a token of the output, sampled or chosen by others.
    pub fn chose(&mut self, id: u32) {
        if let Some(n) = self.output.get_mut(id as usize) {
            *n += 1;
            self.seen[id as usize] += 1;
        }
    }

    fn penalise(&self, logits: &mut [f32]) {
        let p = &self.params;
        for &(id, bias) in &p.logit_bias {
            logits[id as usize] += bias;
        }
        for ((x, &seen), &made) in logits.iter_mut().zip(&self.seen).zip(&self.output) {
            if seen > 0 && p.repetition_penalty != 1.0 {
                *x = if *x > 0.0 { *x / p.repetition_penalty } else { *x * p.repetition_penalty };
            }
            if made > 0 {
                *x -= p.presence_penalty + p.frequency_penalty * made as f32;
            }
        }
    }

    fn draw(&self, logits: &[f32], best: u32, position: u64, scratch: &mut SampleScratch) -> u32 {
        let p = &self.params;
        let SampleScratch { ids, probs } = scratch;
        ids.clear();
        probs.clear();
        ids.extend(0..logits.len() as u32);
        let best = logits[best as usize];
        let weight = |id: u32| f64::exp(f64::from(logits[id as usize] - best) / f64::from(p.temperature));
        let by_logit = |a: &u32, b: &u32| {
            logits[*b as usize].partial_cmp(&logits[*a as usize]).unwrap_or(Ordering::Equal).then(a.cmp(b))
        };
        if p.top_k > 0 && p.top_k < ids.len() {
            ids.select_nth_unstable_by(p.top_k - 1, by_logit);
            ids.truncate(p.top_k);
            ids.sort_unstable(); // the order of the draw must not depend on how the selection went
        }
        if p.top_p < 1.0 {
            let total: f64 = ids.iter().map(|&id| weight(id)).sum();
            let goal = f64::from(p.top_p) * total;
            // the nucleus is usually small: sort a growing head only
            let mut head = 64;
            loop {
                head = head.min(ids.len());
                if head < ids.len() {
                    ids.select_nth_unstable_by(head - 1, by_logit);
                }
                ids[..head].sort_unstable_by(by_logit);
                let mut sum = 0.0;
                let nucleus = ids[..head].iter().position(|&id| {
                    sum += weight(id);
                    sum >= goal
                });
                if let Some(last) = nucleus {
                    ids.truncate(last + 1);
                    break;
                }
                if head == ids.len() {
                    break;
                }
                head *= 8;
            }
        }
        if p.min_p > 0.0 {
            ids.retain(|&id| weight(id) >= f64::from(p.min_p));
        }
        probs.extend(ids.iter().map(|&id| weight(id)));
        let total: f64 = probs.iter().sum();
        let goal = uniform(p.seed, position) * total;
        let mut sum = 0.0;
        let mut last = ids[0];
        for (&id, &w) in ids.iter().zip(probs.iter()) {
            if w > 0.0 {
                last = id;
            }
            sum += w;
            if sum > goal {
                break;
            }
        }
        last
    }
}

/// The largest logit, the lowest id among equals.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (i, &x) in logits.iter().enumerate() {
        if x > logits[best] {
            best = i;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(params: &Sampling, logits: &[f32], n: u64) -> Vec<u32> {
        let mut scratch = SampleScratch::new(logits.len());
        let mut sampler = Sampler::new(params.clone(), logits.len());
        (0..n).map(|i| sampler.sample(&mut logits.to_vec(), i, &mut scratch).unwrap()).collect()
    }

    #[test]
    fn greedy_takes_the_lowest_id_on_ties() {
        assert_eq!(draws(&Sampling::default(), &[1.0, 3.0, 3.0, -2.0], 1), [1]);
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0];
        let params = Sampling { temperature: 1.0, seed: 7, ..Sampling::default() };
        let ids = draws(&params, &logits, 40_000);
        let z: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        for id in 0..3u32 {
            let rate = ids.iter().filter(|&&x| x == id).count() as f64 / ids.len() as f64;
            assert!((rate - f64::from(logits[id as usize]).exp() / z).abs() < 0.01, "{id}: {rate}");
        }
    }

    #[test]
    fn filters_cut_where_they_say() {
        let logits = [0.0f32, 4.0, 3.0, 2.0, 1.0]; // softmax .0117 .636 .234 .086 .032
        let hot = Sampling { temperature: 1.0, ..Sampling::default() };
        let support = |p: Sampling| {
            let mut ids = draws(&p, &logits, 4000);
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        assert_eq!(support(hot.clone()), [0, 1, 2, 3, 4]);
        assert_eq!(support(Sampling { top_k: 2, ..hot.clone() }), [1, 2]);
        assert_eq!(support(Sampling { top_p: 0.6, ..hot.clone() }), [1]);
        assert_eq!(support(Sampling { top_p: 0.7, ..hot.clone() }), [1, 2]);
        // top-p counts what top-k left: .636 of .870 is .731
        assert_eq!(support(Sampling { top_k: 2, top_p: 0.72, ..hot.clone() }), [1]);
        assert_eq!(support(Sampling { min_p: 0.3, ..hot.clone() }), [1, 2]);
        assert_eq!(support(Sampling { temperature: 1e-4, ..hot.clone() }), [1]);
        assert_eq!(support(Sampling { logit_bias: vec![(1, f32::NEG_INFINITY)], top_k: 1, ..hot }), [2]);
    }

    #[test]
    fn nucleus_over_a_large_vocabulary_equals_a_full_sort() {
        let logits: Vec<f32> = (0..5000).map(|i| (uniform(3, i) * 6.0) as f32).collect();
        for top_p in [0.05, 0.5, 0.9, 0.999] {
            let params = Sampling { temperature: 1.0, top_p, seed: 1, ..Sampling::default() };
            let mut order: Vec<usize> = (0..logits.len()).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
            let mut sum = 0.0;
            let size = 1 + order
                .iter()
                .position(|&i| {
                    sum += f64::from(logits[i]).exp();
                    sum >= f64::from(top_p) * total
                })
                .unwrap();
            let allowed = &order[..size];
            assert!(draws(&params, &logits, 3000).iter().all(|&id| allowed.contains(&(id as usize))));
        }
    }

    #[test]
    fn penalties_count_prompt_and_output() {
        let mut scratch = SampleScratch::new(3);
        let mut s = Sampler::new(Sampling { repetition_penalty: 2.0, ..Sampling::default() }, 3);
        s.saw_prompt(&[0]);
        assert_eq!(s.sample(&mut [1.5, 1.0, -1.0], 0, &mut scratch), Some(1));
        assert_eq!(s.sample(&mut [1.5, 1.0, 0.6], 1, &mut scratch), Some(0));
        let mut s = Sampler::new(Sampling { frequency_penalty: 0.5, presence_penalty: 0.2, ..Sampling::default() }, 2);
        s.saw_prompt(&[0]);
        let ids: Vec<u32> = (0..4).map(|i| s.sample(&mut [1.0, 0.0], i, &mut scratch).unwrap()).collect();
        assert_eq!(ids, [0, 0, 1, 0], "1.0, then 0.3, then -0.2 against 0.0, then -0.2 against -0.7");
    }

    #[test]
    fn bad_parameters_are_named() {
        let bad = |s: Sampling| s.validate(10).unwrap_err().key;
        let d = Sampling::default;
        assert_eq!(bad(Sampling { temperature: f32::NAN, ..d() }), "temperature");
        assert_eq!(bad(Sampling { temperature: -1.0, ..d() }), "temperature");
        assert_eq!(bad(Sampling { top_p: 0.0, ..d() }), "top_p");
        assert_eq!(bad(Sampling { min_p: 1.5, ..d() }), "min_p");
        assert_eq!(bad(Sampling { repetition_penalty: 0.0, ..d() }), "repetition_penalty");
        assert_eq!(bad(Sampling { repetition_penalty: 1e-38, ..d() }), "repetition_penalty");
        assert_eq!(bad(Sampling { presence_penalty: f32::NAN, ..d() }), "presence_penalty");
        assert_eq!(bad(Sampling { logit_bias: vec![(10, 1.0)], ..d() }), "logit_bias");
        assert_eq!(bad(Sampling { logit_bias: vec![(1, 3e38)], ..d() }), "logit_bias");
        assert_eq!(d().validate(10), Ok(()));
    }

    #[test]
    fn extremes_are_refused_or_survived() {
        let mut scratch = SampleScratch::new(2);
        for temperature in [0.0, 1.0] {
            let bans = vec![(0, f32::NEG_INFINITY), (1, f32::NEG_INFINITY)];
            let mut s = Sampler::new(Sampling { temperature, logit_bias: bans, ..Sampling::default() }, 2);
            assert_eq!(s.sample(&mut [1.0, 2.0], 0, &mut scratch), None);
        }
        let tiny = Sampling { temperature: 1e-30, top_p: 1e-6, min_p: 1.0, ..Sampling::default() };
        assert_eq!(draws(&tiny, &[-1e30, 1e30, 0.0], 1), [1]);
    }

    #[test]
    fn draws_depend_on_seed_and_position_only() {
        let params = Sampling { temperature: 1.0, seed: 5, ..Sampling::default() };
        let logits = [0.0f32; 50];
        assert_eq!(draws(&params, &logits, 20), draws(&params, &logits, 20));
        assert_ne!(draws(&params, &logits, 20), draws(&Sampling { seed: 6, ..params }, &logits, 20));
    }
}
