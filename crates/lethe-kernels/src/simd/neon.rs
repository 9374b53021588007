//! Four registers of four lanes: NEON.
//!
//! There are 32 registers, which hold eight vectors of sixteen lanes, as many as AVX2's do: tiles are the narrow ones.
//!
//! Every method is a few instructions, unsafe to call only for want of the processor feature; a value of [`Neon`] proves
//! it is there, and pointers are the caller's promise.
#![allow(clippy::undocumented_unsafe_blocks)]

use super::{Kernel, LANES, Simd};
use std::arch::aarch64::*;

/// Proof of NEON.
#[derive(Clone, Copy)]
pub(super) struct Neon(());

/// The quarters of a vector of 64 bytes, in order.
#[derive(Clone, Copy)]
pub(super) struct Four<T>(T, T, T, T);

/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.vector(Neon(()))
}

/// Does the same to all quarters of its arguments.
macro_rules! four {
    ($($v:ident),+ => $quarter:expr) => {{
        let quarter = |$($v),+| unsafe { $quarter };
        Four(quarter($($v.0),+), quarter($($v.1),+), quarter($($v.2),+), quarter($($v.3),+))
    }};
}

/// Four values side by side in memory.
///
/// # Safety
/// They are readable at `p`; no alignment is asked for.
#[inline(always)]
unsafe fn read<T>(p: *const T) -> Four<T> {
    let at = |i| unsafe { p.add(i).read_unaligned() };
    Four(at(0), at(1), at(2), at(3))
}

/// The same the other way.
///
/// # Safety
/// They are writable at `p`; no alignment is asked for.
#[inline(always)]
unsafe fn write<T>(p: *mut T, v: Four<T>) {
    let at = |i, v| unsafe { p.add(i).write_unaligned(v) };
    at(0, v.0);
    at(1, v.1);
    at(2, v.2);
    at(3, v.3);
}

impl Simd for Neon {
    type V = Four<float32x4_t>;
    type B = uint8x16_t;
    type I = Four<int16x8_t>;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        let all = unsafe { vdupq_n_f32(x) };
        Four(all, all, all, all)
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        unsafe { read(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> Self::V {
        let bits = unsafe { read::<uint16x4_t>(p.cast()) };
        four!(bits => vcvt_f32_f16(vreinterpret_f16_u16(bits)))
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Self::V {
        let bits = unsafe { read::<uint16x4_t>(p.cast()) };
        four!(bits => vreinterpretq_f32_u32(vshll_n_u16::<16>(bits)))
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8) -> uint8x16_t {
        unsafe { p.cast::<uint8x16_t>().read_unaligned() }
    }
    #[inline(always)]
    fn f16_to_f32(self, bits: u16) -> f32 {
        unsafe { vgetq_lane_f32::<0>(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(bits)))) }
    }
    #[inline(always)]
    fn unsigned(self, b: uint8x16_t) -> Self::V {
        unsafe {
            let (low, high) = (vmovl_u8(vget_low_u8(b)), vmovl_high_u8(b));
            Four(
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))),
                vcvtq_f32_u32(vmovl_high_u16(low)),
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))),
                vcvtq_f32_u32(vmovl_high_u16(high)),
            )
        }
    }
    #[inline(always)]
    fn signed(self, b: uint8x16_t) -> Self::V {
        unsafe {
            let b = vreinterpretq_s8_u8(b);
            let (low, high) = (vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b));
            Four(
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
                vcvtq_f32_s32(vmovl_high_s16(low)),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                vcvtq_f32_s32(vmovl_high_s16(high)),
            )
        }
    }
    #[inline(always)]
    fn bits(self, b: uint8x16_t, n: u32, mask: u8) -> uint8x16_t {
        unsafe { vandq_u8(vshlq_u8(b, vdupq_n_s8(-(n as i8))), vdupq_n_u8(mask)) }
    }
    #[inline(always)]
    fn or_high(self, a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
        unsafe { vorrq_u8(a, vshlq_n_u8::<4>(b)) }
    }
    #[inline(always)]
    fn to_i8(self, v: Self::V) -> [i8; LANES] {
        let mut bytes = [0; LANES];
        unsafe {
            let words = |a, b| vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a)), vqmovn_s32(vcvtnq_s32_f32(b)));
            let packed = vcombine_s8(vqmovn_s16(words(v.0, v.1)), vqmovn_s16(words(v.2, v.3)));
            bytes.as_mut_ptr().cast::<int8x16_t>().write_unaligned(packed);
        }
        bytes
    }
    #[inline(always)]
    unsafe fn load_i(self, p: *const u8) -> Self::I {
        unsafe { read(p.cast()) }
    }
    #[inline(always)]
    unsafe fn repeat(self, p: *const u8) -> Self::I {
        let all = unsafe { vreinterpretq_s16_s32(vdupq_n_s32(p.cast::<i32>().read_unaligned())) };
        Four(all, all, all, all)
    }
    #[inline(always)]
    unsafe fn load_twice(self, p: *const u8) -> Self::I {
        unsafe {
            let b = p.cast::<int8x16_t>().read_unaligned();
            let (low, high) = (vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b));
            Four(vzip1q_s16(low, low), vzip2q_s16(low, low), vzip1q_s16(high, high), vzip2q_s16(high, high))
        }
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const u8) -> Self::I {
        unsafe {
            let (a, b) = (p.cast::<int8x16_t>().read_unaligned(), p.add(16).cast::<int8x16_t>().read_unaligned());
            Four(vmovl_s8(vget_low_s8(a)), vmovl_high_s8(a), vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b))
        }
    }
    #[inline(always)]
    fn to_i16(self, v: Self::V) -> [i16; LANES] {
        let mut words = [0; LANES];
        unsafe {
            let pair = |a, b| vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a)), vqmovn_s32(vcvtnq_s32_f32(b)));
            let to = words.as_mut_ptr().cast::<int16x8_t>();
            to.write_unaligned(pair(v.0, v.1));
            to.add(1).write_unaligned(pair(v.2, v.3));
        }
        words
    }
    #[inline(always)]
    fn splat_i16(self, x: i16) -> Self::I {
        let all = unsafe { vdupq_n_s16(x) };
        Four(all, all, all, all)
    }
    #[inline(always)]
    fn bits_i(self, b: Self::I, n: u32, mask: u8) -> Self::I {
        four!(b => vreinterpretq_s16_u8(self.bits(vreinterpretq_u8_s16(b), n, mask)))
    }
    #[inline(always)]
    fn bits_i_up(self, b: Self::I, n: u32, mask: u8) -> Self::I {
        four!(b => {
            let up = vshlq_u8(vreinterpretq_u8_s16(b), vdupq_n_s8(n as i8));
            vreinterpretq_s16_u8(vandq_u8(up, vdupq_n_u8(mask)))
        })
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        four!(a, b => vorrq_s16(a, b))
    }
    #[inline(always)]
    fn abs_i8(self, a: Self::I) -> Self::I {
        four!(a => vreinterpretq_s16_s8(vabsq_s8(vreinterpretq_s8_s16(a))))
    }
    #[inline(always)]
    fn negate_i8(self, a: Self::I, b: Self::I) -> Self::I {
        four!(a, b => {
            let a = vreinterpretq_s8_s16(a);
            vreinterpretq_s16_s8(vbslq_s8(vcltzq_s8(vreinterpretq_s8_s16(b)), vnegq_s8(a), a))
        })
    }
    #[inline(always)]
    fn mul_i8(self, a: Self::I, b: Self::I) -> Self::I {
        // There is no product of unsigned and signed bytes without the I8MM extension. So even and odd bytes are widened
        // where they stand; where `b` is four bytes repeated, the compiler does its part once for all quarters.
        four!(a, b => {
            let even_a = vandq_s16(a, vdupq_n_s16(0xff));
            let odd_a = vreinterpretq_s16_u16(vshrq_n_u16::<8>(vreinterpretq_u16_s16(a)));
            let even_b = vshrq_n_s16::<8>(vshlq_n_s16::<8>(b));
            vmlaq_s16(vmulq_s16(even_a, even_b), odd_a, vshrq_n_s16::<8>(b))
        })
    }
    #[inline(always)]
    fn mul_i16(self, a: Self::I, b: Self::I) -> Self::I {
        four!(a, b => {
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            vreinterpretq_s16_s32(vpaddq_s32(low, vmull_high_s16(a, b)))
        })
    }
    #[inline(always)]
    fn add_i16(self, a: Self::I, b: Self::I) -> Self::I {
        four!(a, b => vaddq_s16(a, b))
    }
    #[inline(always)]
    fn sub_i16(self, a: Self::I, b: Self::I) -> Self::I {
        four!(a, b => vsubq_s16(a, b))
    }
    #[inline(always)]
    fn shl_i16(self, a: Self::I, n: u32) -> Self::I {
        four!(a => vshlq_s16(a, vdupq_n_s16(n as i16)))
    }
    #[inline(always)]
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I {
        four!(a, b => vreinterpretq_s16_s32(vaddq_s32(vreinterpretq_s32_s16(a), vreinterpretq_s32_s16(b))))
    }
    #[inline(always)]
    fn float(self, a: Self::I) -> Self::V {
        four!(a => vcvtq_f32_s32(vreinterpretq_s32_s16(a)))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        unsafe { write(p.cast(), v) }
    }
    #[inline(always)]
    fn to_f16(self, v: Self::V) -> [u16; LANES] {
        let mut bits = [0; LANES];
        let halves = four!(v => vreinterpret_u16_f16(vcvt_f16_f32(v)));
        unsafe { write(bits.as_mut_ptr().cast(), halves) };
        bits
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        four!(a, b => vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        four!(a, b => vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        four!(a, b => vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        four!(a, b => vdivq_f32(a, b))
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        four!(a, b, c => vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        // `fmax` would be NaN for either NaN, `fmaxnm` the number.
        four!(a, b => vbslq_f32(vcgtq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        four!(a, b => vbslq_f32(vcltq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn round(self, v: Self::V) -> Self::V {
        four!(v => vrndnq_f32(v))
    }
    #[inline(always)]
    fn scale2(self, v: Self::V, n: Self::V) -> Self::V {
        four!(v, n => {
            let exponent = vshlq_n_s32::<23>(vcvtnq_s32_f32(n));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v), exponent))
        })
    }
    #[inline(always)]
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V {
        four!(a, b, x, y => vbslq_f32(vcltq_f32(a, b), x, y))
    }
    #[inline(always)]
    fn lt_bits(self, a: Self::V, b: Self::V) -> u32 {
        const LANE_BITS: [u32; 4] = [1, 2, 4, 8];
        let quarter = |a, b| unsafe { vaddvq_u32(vandq_u32(vcltq_f32(a, b), vld1q_u32(LANE_BITS.as_ptr()))) };
        quarter(a.0, b.0) | quarter(a.1, b.1) << 4 | quarter(a.2, b.2) << 8 | quarter(a.3, b.3) << 12
    }
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        unsafe {
            let v = vaddq_f32(vaddq_f32(v.0, v.2), vaddq_f32(v.1, v.3));
            vpadds_f32(vadd_f32(vget_low_f32(v), vget_high_f32(v)))
        }
    }
    #[inline(always)]
    fn max_lane(self, v: Self::V) -> f32 {
        unsafe { vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(v.0, v.2), vmaxnmq_f32(v.1, v.3))) }
    }
}
