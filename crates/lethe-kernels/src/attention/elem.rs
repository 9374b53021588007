//! What is in KV pages, as kernels read it.

use crate::simd::{LANES, Simd};
use half::f16;
use lethe_kv::{int8, k_at, page_elems, v_at};

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

/// All pages, one coordinate at a time: what the bytes mean.
pub(super) trait Cells {
    fn k(&self, head_dim: usize, page: usize, slot: usize, d: usize) -> f32;
    fn v(&self, head_dim: usize, page: usize, slot: usize, d: usize) -> f32;
}

pub(super) struct PagesOf<'a, T>(pub(super) &'a [T]);

impl<T: Elem> Cells for PagesOf<'_, T> {
    fn k(&self, head_dim: usize, page: usize, slot: usize, d: usize) -> f32 {
        self.0[page * page_elems(head_dim) + k_at(slot, d)].value()
    }
    fn v(&self, head_dim: usize, page: usize, slot: usize, d: usize) -> f32 {
        self.0[page * page_elems(head_dim) + v_at(head_dim, slot, d)].value()
    }
}

impl PagesOf<'_, u8> {
    fn number(&self, head_dim: usize, page: usize, number: usize, scale: usize) -> f32 {
        let page = &self.0[page * int8::page_bytes(head_dim)..];
        f32::from(page[number] as i8) * f16::from_le_bytes([page[scale], page[scale + 1]]).to_f32()
    }
}

impl Cells for PagesOf<'_, u8> {
    fn k(&self, head_dim: usize, page: usize, slot: usize, d: usize) -> f32 {
        let scale = int8::k_scale_at(head_dim, slot, d / int8::K_GROUP);
        self.number(head_dim, page, int8::k_at(slot, d), scale)
    }
    fn v(&self, head_dim: usize, page: usize, slot: usize, d: usize) -> f32 {
        self.number(head_dim, page, int8::v_at(head_dim, slot, d), int8::v_scale_at(head_dim, slot))
    }
}
