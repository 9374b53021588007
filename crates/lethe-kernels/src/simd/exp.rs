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
