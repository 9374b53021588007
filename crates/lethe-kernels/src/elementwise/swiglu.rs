//! The gate of the feed-forward network (Shazeer 2020, arXiv 2002.05202).

use super::GRAIN;
use crate::Cpu;
use crate::shared::SharedMut;
use crate::simd::{Kernel, LANES, Simd, dispatch};

struct Swiglu<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Kernel for Swiglu<'_> {
    type Output = ();

    fn reference(self) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate / (1.0 + (-*gate).exp()) * up;
        }
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) {
        for (gate, up) in self.gate.chunks_mut(LANES).zip(self.up.chunks(LANES)) {
            let g = s.load_part(gate);
            let e = s.exp(s.sub(s.splat(0.0), g));
            let silu = s.div(g, s.add(s.splat(1.0), e));
            s.store_part(gate, s.mul(silu, s.load_part(up)));
        }
    }
}

impl Cpu {
    /// `gate <- silu(gate) * up`, element by element, with `silu(x) = x / (1 + e^-x)`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn swiglu(&self, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len(), "swiglu: lengths differ");
        let n = gate.len();
        let gate = SharedMut::new(gate);
        self.split(n, GRAIN / 4, |range| {
            // SAFETY: ranges of one split do not overlap.
            let gate = unsafe { gate.part(range.clone()) };
            dispatch(self.level(), Swiglu { gate, up: &up[range] });
        });
    }
}
