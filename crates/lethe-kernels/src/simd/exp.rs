//! The exponential of softmax and SiLU.

use super::Simd;

/// Below, [`exp`] is 0: `e^-87` is close to the smallest normal f32.
pub(super) const EXP_MIN: f32 = -87.0;
/// Above, [`exp`] is infinite: beyond `127.5 ln 2` the exponent would leave the format.
pub(super) const EXP_MAX: f32 = 88.37;

/// `e^x` within 2 ulp on `[EXP_MIN, EXP_MAX]`; NaN stays NaN.
///
/// `x = n ln 2 + r` with whole n and |r| <= ln 2 / 2 (ln 2 in two parts, Cody and Waite), `e^r` by its Taylor
/// polynomial of degree 7 (remainder below 6e-9), and `2^n` added to the exponent.
#[inline(always)]
pub(super) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    const LN2_HI: f32 = 0.693_359_4; // 355 / 512: n * LN2_HI is exact
    const LN2_LO: f32 = -2.121_944_4e-4;
    const TAYLOR: [f32; 8] = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // The limits stand first: a NaN in the second place is kept.
    let clamped = s.min(s.splat(EXP_MAX), s.max(s.splat(EXP_MIN), x));
    let n = s.round(s.mul(clamped, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_HI), clamped);
    let r = s.fma(n, s.splat(-LN2_LO), r);
    let mut p = s.splat(TAYLOR[0]);
    for c in &TAYLOR[1..] {
        p = s.fma(p, r, s.splat(*c));
    }
    let y = s.scale2(p, n);
    let y = s.select_lt(x, s.splat(EXP_MIN), s.splat(0.0), y);
    s.select_lt(s.splat(EXP_MAX), x, s.splat(f32::INFINITY), y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::simd::{Kernel, LANES, dispatch};

    struct Exp([f32; LANES]);

    impl Kernel for Exp {
        type Output = [f32; LANES];

        fn reference(self) -> [f32; LANES] {
            self.0.map(f32::exp)
        }

        #[inline(always)]
        fn vector<S: Simd>(self, s: S) -> [f32; LANES] {
            let mut y = [0.0; LANES];
            s.store_part(&mut y, s.exp(s.load_part(&self.0)));
            y
        }
    }

    #[test]
    fn within_two_ulp_over_the_whole_range() {
        for level in Level::available().skip(1) {
            let mut worst = 0.0f64;
            let n = 1 << 16;
            for i in 0..n {
                let x: [f32; LANES] = std::array::from_fn(|lane| {
                    EXP_MIN + (EXP_MAX - EXP_MIN) * (i * LANES + lane) as f32 / (n * LANES) as f32
                });
                for (x, y) in x.into_iter().zip(dispatch(level, Exp(x))) {
                    let exact = f64::from(x).exp();
                    let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
                    worst = worst.max((f64::from(y) - exact).abs() / ulp);
                }
            }
            assert!(worst < 2.0, "{level}: {worst} ulp");
        }
    }

    #[test]
    fn ends_and_nan() {
        for level in Level::available().skip(1) {
            let mut x = [0.0; LANES];
            x[..6].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -87.1, 88.4, -0.0]);
            let y = dispatch(level, Exp(x));
            assert!(y[0].is_nan(), "{level}");
            assert_eq!(y[1..6], [f32::INFINITY, 0.0, 0.0, f32::INFINITY, 1.0], "{level}");
        }
    }
}
