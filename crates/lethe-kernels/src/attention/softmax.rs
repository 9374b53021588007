//! Logits of a block to exponentials.

use super::block::Row;
use crate::simd::{LANES, Simd};

/// Turns the logits that a row sees into `exp(logit - largest)`, zeros behind them up to a whole vector, and leaves the
/// largest logit and the sum.
#[inline(always)]
pub(super) fn softmax<S: Simd>(s: S, row: &mut Row<'_>) {
    let (whole, rest) = (row.visible / LANES, row.visible % LANES);
    let (seen, partly) = row.exps.split_at_mut(whole * LANES);
    let mut max = s.splat(f32::NEG_INFINITY);
    for x in seen.chunks_exact(LANES) {
        max = s.max(s.load_part(x), max);
    }
    if rest > 0 {
        max = s.max(s.keep_first(rest, s.load_part(partly), max), max);
    }
    row.stat.max = s.max_lane(max);
    let max = s.splat(row.stat.max);
    let mut sum = s.splat(0.0);
    for x in seen.chunks_exact_mut(LANES) {
        let e = s.exp(s.sub(s.load_part(x), max));
        sum = s.add(sum, e);
        s.store_part(x, e);
    }
    if rest > 0 {
        let e = s.exp(s.sub(s.load_part(partly), max));
        let e = s.keep_first(rest, e, s.splat(0.0));
        sum = s.add(sum, e);
        s.store_part(partly, e);
    }
    row.stat.sum = s.sum(sum);
}
