//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864) and its stretched variants.
//!
//! Frequencies follow `modeling_rope_utils.py` of Hugging Face transformers, in f32 as there. Which coordinates turn
//! together is the [`Pairing`].

use crate::Cpu;
use crate::elementwise::GRAIN;
use crate::error::RopeError;
use crate::shared::SharedMut;
use crate::simd::{Kernel, LANES, Simd, dispatch};
use std::f64::consts::PI;

/// `rope_scaling` of a model's config.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// None.
    #[default]
    Default,
    /// All frequencies divided by `factor`.
    Linear {
        /// How many times longer the context is.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between.
    Llama3 {
        /// How many times longer the context is.
        factor: f64,
        /// Wavelengths above `original_max_position / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length of pre-training.
        original_max_position: usize,
    },
    /// Every frequency divided by a number of its own (`[head_dim / 2]`), as GGUF files of Llama 3.1 and later carry them.
    Divisors(Vec<f32>),
    /// YaRN (Peng et al. 2023, arXiv 2309.00071).
    Yarn {
        /// How many times longer the context is.
        factor: f64,
        /// Context length of pre-training.
        original_max_position: usize,
        /// Coordinates that turn more often than this within the original context are kept (32).
        beta_fast: f64,
        /// Coordinates that turn less often are divided by `factor` (1).
        beta_slow: f64,
        /// Factor on cos and sin; by default `0.1 ln(factor) + 1`.
        attention_factor: Option<f64>,
        /// With `mscale_all_dim`: the factor is the quotient of two such terms (DeepSeek).
        mscale: Option<f64>,
        /// See `mscale`.
        mscale_all_dim: Option<f64>,
        /// Whether the ends of the ramp are rounded to whole coordinates (true).
        truncate: bool,
    },
}

/// Which two coordinates of a head turn together. A permutation of the rows of Q and K weights turns one into the other;
/// dot products of queries and keys do not see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairing {
    /// j and j + head_dim / 2 (GPT-NeoX, Hugging Face).
    #[default]
    Halves,
    /// 2j and 2j + 1 (the original papers, GGUF files of the Llama architecture).
    Neighbours,
}

/// Frequencies of one model's heads.
#[derive(Clone, Debug)]
pub struct Rope {
    inv_freq: Vec<f32>, // [head_dim / 2], radians per position
    attention_factor: f32,
    pairing: Pairing,
}

impl Rope {
    /// Frequencies for heads of `head_dim` with base `theta`.
    ///
    /// # Errors
    /// An odd or zero head_dim, a base or factor that is not a usable number.
    pub fn new(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Result<Rope, RopeError> {
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(RopeError::HeadDim(head_dim));
        }
        let positive = |name, value: f64| {
            let need = "a finite number above 0";
            if value.is_finite() && value > 0.0 { Ok(()) } else { Err(RopeError::Parameter { name, value, need }) }
        };
        positive("rope_theta", theta)?;
        let powers: Vec<f32> = (0..head_dim / 2).map(|j| power(theta, j, head_dim)).collect();
        let plain = || powers.iter().map(|power| 1.0 / power);
        let (inv_freq, attention_factor) = match *scaling {
            RopeScaling::Default => (plain().collect(), 1.0),
            RopeScaling::Divisors(ref divisors) => {
                if divisors.len() != head_dim / 2 {
                    let (value, need) = (divisors.len() as f64, "one for every two coordinates of a head");
                    return Err(RopeError::Parameter { name: "number of frequency divisors", value, need });
                }
                for divisor in divisors {
                    positive("frequency divisor", f64::from(*divisor))?;
                }
                (plain().zip(divisors).map(|(f, divisor)| f / divisor).collect(), 1.0)
            }
            RopeScaling::Linear { factor } => {
                positive("factor", factor)?;
                (plain().map(|f| f / factor as f32).collect(), 1.0)
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position } => {
                positive("factor", factor)?;
                positive("low_freq_factor", low_freq_factor)?;
                positive("original_max_position_embeddings", original_max_position as f64)?;
                if !(high_freq_factor.is_finite() && high_freq_factor > low_freq_factor) {
                    let need = "a finite number above low_freq_factor";
                    return Err(RopeError::Parameter { name: "high_freq_factor", value: high_freq_factor, need });
                }
                let ramp = Llama3Ramp {
                    factor: factor as f32,
                    low: low_freq_factor as f32,
                    high: high_freq_factor as f32,
                    context: original_max_position as f32,
                };
                (plain().map(|f| ramp.stretch(f)).collect(), 1.0)
            }
            RopeScaling::Yarn {
                factor,
                original_max_position,
                beta_fast,
                beta_slow,
                attention_factor,
                mscale,
                mscale_all_dim,
                truncate,
            } => {
                positive("factor", factor)?;
                positive("beta_fast", beta_fast)?;
                positive("beta_slow", beta_slow)?;
                positive("original_max_position_embeddings", original_max_position as f64)?;
                if theta <= 1.0 {
                    let need = "above 1 for yarn";
                    return Err(RopeError::Parameter { name: "rope_theta", value: theta, need });
                }
                let attention_factor = match (attention_factor, mscale, mscale_all_dim) {
                    (Some(given), _, _) => {
                        positive("attention_factor", given)?;
                        given
                    }
                    // Zero counts as absent, as in the Python.
                    (None, Some(one), Some(all)) if one != 0.0 && all != 0.0 => {
                        yarn_mscale(factor, one) / yarn_mscale(factor, all)
                    }
                    _ => yarn_mscale(factor, 1.0),
                };
                positive("attention_factor", attention_factor)?;
                let turns_at = |turns: f64| {
                    let ratio = original_max_position as f64 / (turns * 2.0 * PI);
                    head_dim as f64 * ratio.ln() / (2.0 * theta.ln())
                };
                let (mut low, mut high) = (turns_at(beta_fast), turns_at(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let low = low.max(0.0);
                let mut high = high.min(head_dim as f64 - 1.0);
                if low == high {
                    high += 0.001; // no division by zero
                }
                let frequency = |(j, power): (usize, &f32)| {
                    let ramp = ((j as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                    let kept = 1.0 - ramp;
                    1.0 / (factor as f32 * power) * (1.0 - kept) + 1.0 / power * kept
                };
                (powers.iter().enumerate().map(frequency).collect(), attention_factor)
            }
        };
        Ok(Rope { inv_freq, attention_factor: attention_factor as f32, pairing: Pairing::Halves })
    }

    /// The same frequencies for heads laid out otherwise; [`Rope::new`] pairs halves.
    pub fn paired(self, pairing: Pairing) -> Rope {
        Rope { pairing, ..self }
    }

    /// Coordinates of a head.
    pub fn head_dim(&self) -> usize {
        2 * self.inv_freq.len()
    }

    /// Frequencies in radians per position (`[head_dim / 2]`).
    pub fn inv_freq(&self) -> &[f32] {
        &self.inv_freq
    }

    /// Factor on cos and sin: 1 except with YaRN.
    pub fn attention_factor(&self) -> f32 {
        self.attention_factor
    }

    /// Cosines and sines for `positions`, once per step: cos and sin are `[positions.len()][head_dim / 2]`.
    ///
    /// # Panics
    /// If cos or sin has another length.
    pub fn fill(&self, positions: &[u32], cos: &mut [f32], sin: &mut [f32]) {
        let half = self.inv_freq.len();
        assert_eq!(cos.len(), positions.len() * half, "rope: cos is not [m][head_dim / 2]");
        assert_eq!(sin.len(), positions.len() * half, "rope: sin is not [m][head_dim / 2]");
        let rows = cos.chunks_exact_mut(half).zip(sin.chunks_exact_mut(half));
        for (position, (cos, sin)) in positions.iter().zip(rows) {
            for ((cos, sin), inv_freq) in cos.iter_mut().zip(sin).zip(&self.inv_freq) {
                // The angle is rounded to f32 first, as models are trained; its cosine is then exact to f32.
                let (s, c) = f64::from(*position as f32 * inv_freq).sin_cos();
                *cos = c as f32 * self.attention_factor;
                *sin = s as f32 * self.attention_factor;
            }
        }
    }

    /// Rotates x (`[m][heads][head_dim]`) in place with the `[m][head_dim / 2]` cosines and sines of [`Rope::fill`].
    /// The number of heads follows from the lengths.
    ///
    /// # Panics
    /// If the lengths do not fit together.
    pub fn apply(&self, cpu: &Cpu, x: &mut [f32], cos: &[f32], sin: &[f32]) {
        let half = self.inv_freq.len();
        let m = cos.len() / half;
        assert!(cos.len() == sin.len() && cos.len() == m * half, "rope: cos and sin are not [m][head_dim / 2]");
        assert!(m == 0 || x.len().is_multiple_of(m * 2 * half), "rope: x is not [m][heads][head_dim]");
        if m == 0 {
            return;
        }
        let row = x.len() / m;
        let x = SharedMut::new(x);
        cpu.split(m, (GRAIN / row.max(1)).max(1), |tokens| {
            for token in tokens {
                let angles = token * half..(token + 1) * half;
                // SAFETY: rows do not overlap, and each is in one range of the split.
                let x = unsafe { x.part(token * row..(token + 1) * row) };
                let (cos, sin) = (&cos[angles.clone()], &sin[angles]);
                match self.pairing {
                    Pairing::Halves => dispatch(cpu.level(), Rotate { x, cos, sin }),
                    Pairing::Neighbours => rotate_neighbours(x, cos, sin),
                }
            }
        });
    }
}

/// All heads of one token, pairs side by side: `x [heads][head_dim]`, `cos`, `sin [head_dim / 2]`. Plain code, the same
/// bits at every level: it is a thousandth of a step.
fn rotate_neighbours(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    for head in x.chunks_exact_mut(2 * cos.len()) {
        for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos.iter().zip(sin)) {
            let [a, b] = *pair;
            *pair = [a * cos - b * sin, b * cos + a * sin];
        }
    }
}

/// All heads of one token, halves apart.
struct Rotate<'a> {
    x: &'a mut [f32], // [heads][head_dim]
    cos: &'a [f32],   // [head_dim / 2]
    sin: &'a [f32],   // [head_dim / 2]
}

impl Kernel for Rotate<'_> {
    type Output = ();

    fn reference(self) {
        let half = self.cos.len();
        for head in self.x.chunks_exact_mut(2 * half) {
            for j in 0..half {
                let (a, b) = (head[j], head[j + half]);
                head[j] = a * self.cos[j] - b * self.sin[j];
                head[j + half] = b * self.cos[j] + a * self.sin[j];
            }
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        let half = self.cos.len();
        let angles = || self.cos.chunks(LANES).zip(self.sin.chunks(LANES));
        for head in self.x.chunks_exact_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            let halves = first.chunks_mut(LANES).zip(second.chunks_mut(LANES));
            for ((x, y), (cos, sin)) in halves.zip(angles()) {
                let (a, b) = (s.load_part(x), s.load_part(y));
                let (cos, sin) = (s.load_part(cos), s.load_part(sin));
                s.store_part(x, s.sub(s.mul(a, cos), s.mul(b, sin)));
                s.store_part(y, s.add(s.mul(b, cos), s.mul(a, sin)));
            }
        }
    }
}

/// `theta^(2j / head_dim)`, the exponent in f32.
fn power(theta: f64, j: usize, head_dim: usize) -> f32 {
    let exponent = (2 * j) as f32 / head_dim as f32;
    f64::from(theta as f32).powf(f64::from(exponent)) as f32
}

/// The attention factor of YaRN: `0.1 mscale ln(factor) + 1` (section 3.4).
fn yarn_mscale(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
}

struct Llama3Ramp {
    factor: f32,
    low: f32,
    high: f32,
    context: f32,
}

impl Llama3Ramp {
    fn stretch(&self, frequency: f32) -> f32 {
        let wavelength = (2.0 * PI) as f32 / frequency;
        if wavelength > self.context / self.low {
            frequency / self.factor
        } else if wavelength < self.context / self.high {
            frequency
        } else {
            let smooth = (self.context / wavelength - self.low) / (self.high - self.low);
            (1.0 - smooth) * frequency / self.factor + smooth * frequency
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yarn(factor: f64, original_max_position: usize) -> RopeScaling {
        RopeScaling::Yarn {
            factor,
            original_max_position,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: None,
            mscale: None,
            mscale_all_dim: None,
            truncate: true,
        }
    }

    fn ratios(scaling: &RopeScaling, theta: f64) -> Vec<f32> {
        let plain = Rope::new(128, theta, &RopeScaling::Default).unwrap();
        let scaled = Rope::new(128, theta, scaling).unwrap();
        plain.inv_freq().iter().zip(scaled.inv_freq()).map(|(plain, scaled)| plain / scaled).collect()
    }

    #[test]
    fn plain_and_linear() {
        let rope = Rope::new(8, 10_000.0, &RopeScaling::Default).unwrap();
        assert_eq!(rope.inv_freq(), [1.0, 0.1, 0.01, 0.001]);
        let rope = Rope::new(8, 10_000.0, &RopeScaling::Linear { factor: 4.0 }).unwrap();
        assert_eq!(rope.inv_freq(), [0.25, 0.025, 0.0025, 0.00025]);
        assert_eq!((rope.head_dim(), rope.attention_factor()), (8, 1.0));
    }

    #[test]
    fn llama3_keeps_short_waves_and_stretches_long_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position: 8192,
        };
        let ratios = ratios(&scaling, 500_000.0);
        // Wavelength of coordinate j: 2 pi 500000^(j/64), below 8192/4 up to j = 28, above 8192 from j = 35 on.
        assert!(ratios[..=28].iter().all(|ratio| *ratio == 1.0), "{ratios:?}");
        assert!(ratios[35..].iter().all(|ratio| *ratio == 8.0), "{ratios:?}");
        assert!(ratios[28..=35].is_sorted_by(|a, b| a < b), "{ratios:?}");
        // Coordinate 30 by hand, w its wavelength.
        let w = 2.0 * PI * 500_000f64.powf(30.0 / 64.0);
        let smooth = (8192.0 / w - 1.0) / 3.0;
        assert!((f64::from(ratios[30]) - 1.0 / ((1.0 - smooth) / 8.0 + smooth)).abs() < 1e-5, "{}", ratios[30]);
    }

    #[test]
    fn yarn_ramps_between_its_turns() {
        let ratios = ratios(&yarn(4.0, 32_768), 1_000_000.0);
        // 32 turns: coordinate 128 ln(32768 / 64 pi) / (2 ln 1e6) = 23.6, floor 23; 1 turn: 39.6, ceil 40.
        assert!(ratios[..=23].iter().all(|ratio| (ratio - 1.0).abs() < 1e-6), "{ratios:?}");
        assert!(ratios[40..].iter().all(|ratio| (ratio - 4.0).abs() < 1e-5), "{ratios:?}");
        let ramp = (31.0 - 23.0) / 17.0;
        assert!((ratios[31] - 1.0 / (ramp / 4.0 + 1.0 - ramp)).abs() < 1e-5, "{}", ratios[31]);
    }

    #[test]
    fn yarn_attention_factors() {
        let factor = |scaling: RopeScaling| Rope::new(64, 10_000.0, &scaling).unwrap().attention_factor();
        assert_eq!(factor(yarn(4.0, 4096)), (0.1 * 4f64.ln() + 1.0) as f32);
        assert_eq!(factor(yarn(0.5, 4096)), 1.0);
        let with = |given, one, all| {
            let mut scaling = yarn(40.0, 4096);
            if let RopeScaling::Yarn { attention_factor, mscale, mscale_all_dim, .. } = &mut scaling {
                (*attention_factor, *mscale, *mscale_all_dim) = (given, one, all);
            }
            factor(scaling)
        };
        assert_eq!(with(Some(1.5), Some(1.0), Some(0.7)), 1.5);
        assert_eq!(with(None, Some(1.0), Some(1.0)), 1.0);
        assert_eq!(with(None, Some(1.0), Some(0.0)), (0.1 * 40f64.ln() + 1.0) as f32);
        let rope = Rope::new(64, 10_000.0, &yarn(4.0, 4096)).unwrap();
        let (mut cos, mut sin) = ([0.0; 32], [1.0; 32]);
        rope.fill(&[0], &mut cos, &mut sin);
        assert_eq!((cos, sin), ([rope.attention_factor(); 32], [0.0; 32]));
    }

    #[test]
    fn what_cannot_be_rotated_is_refused() {
        assert_eq!(Rope::new(65, 1e4, &RopeScaling::Default).unwrap_err(), RopeError::HeadDim(65));
        assert_eq!(Rope::new(0, 1e4, &RopeScaling::Default).unwrap_err(), RopeError::HeadDim(0));
        for theta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Rope::new(64, theta, &RopeScaling::Default).unwrap_err();
            assert!(matches!(error, RopeError::Parameter { name: "rope_theta", .. }), "{error}");
        }
        let error = Rope::new(64, 1e4, &RopeScaling::Linear { factor: 0.0 }).unwrap_err();
        assert!(error.to_string().contains("factor = 0"), "{error}");
        assert!(Rope::new(64, 1e4, &yarn(2.0, 0)).is_err());
        assert!(Rope::new(64, 1.0, &yarn(2.0, 4096)).is_err());
    }
}
