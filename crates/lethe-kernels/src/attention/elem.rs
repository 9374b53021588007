//! Elements of KV pages as kernels read them.

use crate::simd::{LANES, Simd};
use half::f16;

/// An element of a page.
pub(super) trait Elem: Copy {
    fn value(self) -> f32;

    /// # Safety
    /// Sixteen elements are readable at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;

    /// The first lanes from a slice of less than sixteen, zeros in the others.
    #[inline(always)]
    fn load_part<S: Simd>(s: S, x: &[Self]) -> S::V {
        let mut whole = [0.0; LANES];
        for (to, x) in whole.iter_mut().zip(x) {
            *to = x.value();
        }
        s.load_part(&whole)
    }
}

impl Elem for u16 {
    #[inline(always)]
    fn value(self) -> f32 {
        f16::from_bits(self).to_f32()
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const u16) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load_f16(p) }
    }
}

impl Elem for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const f32) -> S::V {
        // SAFETY: the caller's promise is the same.
        unsafe { s.load(p) }
    }
}
