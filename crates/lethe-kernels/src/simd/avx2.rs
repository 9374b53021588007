//! Two registers of eight lanes: AVX2 with FMA and F16C.
//!
//! Every method is a few instructions, unsafe to call only for want of the processor feature; a value of [`Avx2`] proves
//! it is there, and pointers are the caller's promise.
#![allow(clippy::undocumented_unsafe_blocks)]

use super::bytes::sixteen_bytes;
use super::{Kernel, LANES, Simd};
use std::arch::x86_64::*;

/// Proof of AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Lanes 0 to 7 and 8 to 15.
#[derive(Clone, Copy)]
pub(super) struct Pair(__m256, __m256);

/// Bytes 0 to 31 and 32 to 63.
#[derive(Clone, Copy)]
pub(super) struct PairI(__m256i, __m256i);

/// # Safety
/// The processor has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.vector(Avx2(()))
}

/// Applies one instruction to both halves of its arguments.
macro_rules! both {
    ($op:expr; $($v:ident),+) => { unsafe { Pair($op($($v.0),+), $op($($v.1),+)) } };
}

/// The same for whole numbers.
macro_rules! both_i {
    ($op:expr; $($v:ident),+) => { unsafe { PairI($op($($v.0),+), $op($($v.1),+)) } };
}

impl Simd for Avx2 {
    type V = Pair;
    sixteen_bytes!();
    type I = PairI;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        unsafe { Pair(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Pair {
        unsafe { Pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p.cast::<u8>().add(32).cast())) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const u16) -> Pair {
        let half = |p: *const u8| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) };
        unsafe { Pair(half(p.cast()), half(p.cast::<u8>().add(16))) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const u16) -> Pair {
        let half = |p: *const u8| unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        };
        unsafe { Pair(half(p.cast()), half(p.cast::<u8>().add(16))) }
    }
    #[inline(always)]
    fn unsigned(self, b: __m128i) -> Pair {
        unsafe {
            let half = |b| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(b));
            Pair(half(b), half(_mm_unpackhi_epi64(b, b)))
        }
    }
    #[inline(always)]
    fn signed(self, b: __m128i) -> Pair {
        unsafe {
            let half = |b| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b));
            Pair(half(b), half(_mm_unpackhi_epi64(b, b)))
        }
    }
    #[inline(always)]
    fn to_i8(self, v: Pair) -> [i8; LANES] {
        let mut bytes = [0; LANES];
        unsafe {
            // Packing works within 128 bits: the quarters come out as 0 2 1 3.
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(v.0), _mm256_cvtps_epi32(v.1));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let packed = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), packed);
        }
        bytes
    }
    #[inline(always)]
    unsafe fn load_i(self, p: *const u8) -> PairI {
        unsafe { PairI(_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())) }
    }
    #[inline(always)]
    unsafe fn repeat(self, p: *const u8) -> PairI {
        unsafe {
            let all = _mm256_set1_epi32(p.cast::<i32>().read_unaligned());
            PairI(all, all)
        }
    }
    #[inline(always)]
    unsafe fn load_twice(self, p: *const u8) -> PairI {
        let half = |p: *const u8| unsafe {
            let wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()));
            _mm256_or_si256(_mm256_slli_epi32::<16>(wide), _mm256_and_si256(wide, _mm256_set1_epi32(0xffff)))
        };
        PairI(half(p), half(p.wrapping_add(8)))
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const u8) -> PairI {
        let half = |p: *const u8| unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())) };
        PairI(half(p), half(p.wrapping_add(16)))
    }
    #[inline(always)]
    fn to_i16(self, v: Pair) -> [i16; LANES] {
        let mut words = [0; LANES];
        unsafe {
            // Packing works within 128 bits: the quarters come out as 0 2 1 3.
            let packed = _mm256_packs_epi32(_mm256_cvtps_epi32(v.0), _mm256_cvtps_epi32(v.1));
            _mm256_storeu_si256(words.as_mut_ptr().cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        }
        words
    }
    #[inline(always)]
    fn splat_i16(self, x: i16) -> PairI {
        unsafe { PairI(_mm256_set1_epi16(x), _mm256_set1_epi16(x)) }
    }
    #[inline(always)]
    fn bits_i(self, b: PairI, n: u32, mask: u8) -> PairI {
        let half = |b| unsafe {
            _mm256_and_si256(_mm256_srl_epi16(b, _mm_cvtsi32_si128(n as i32)), _mm256_set1_epi8(mask as i8))
        };
        PairI(half(b.0), half(b.1))
    }
    #[inline(always)]
    fn bits_i_up(self, b: PairI, n: u32, mask: u8) -> PairI {
        let half = |b| unsafe {
            _mm256_and_si256(_mm256_sll_epi16(b, _mm_cvtsi32_si128(n as i32)), _mm256_set1_epi8(mask as i8))
        };
        PairI(half(b.0), half(b.1))
    }
    #[inline(always)]
    fn or_i(self, a: PairI, b: PairI) -> PairI {
        both_i!(_mm256_or_si256; a, b)
    }
    #[inline(always)]
    fn abs_i8(self, a: PairI) -> PairI {
        both_i!(_mm256_abs_epi8; a)
    }
    #[inline(always)]
    fn negate_i8(self, a: PairI, b: PairI) -> PairI {
        both_i!(_mm256_sign_epi8; a, b)
    }
    #[inline(always)]
    fn mul_i8(self, a: PairI, b: PairI) -> PairI {
        both_i!(_mm256_maddubs_epi16; a, b)
    }
    #[inline(always)]
    fn mul_i16(self, a: PairI, b: PairI) -> PairI {
        both_i!(_mm256_madd_epi16; a, b)
    }
    #[inline(always)]
    fn add_i16(self, a: PairI, b: PairI) -> PairI {
        both_i!(_mm256_add_epi16; a, b)
    }
    #[inline(always)]
    fn sub_i16(self, a: PairI, b: PairI) -> PairI {
        both_i!(_mm256_sub_epi16; a, b)
    }
    #[inline(always)]
    fn shl_i16(self, a: PairI, n: u32) -> PairI {
        let half = |a| unsafe { _mm256_sll_epi16(a, _mm_cvtsi32_si128(n as i32)) };
        PairI(half(a.0), half(a.1))
    }
    #[inline(always)]
    fn add_i32(self, a: PairI, b: PairI) -> PairI {
        both_i!(_mm256_add_epi32; a, b)
    }
    #[inline(always)]
    fn float(self, a: PairI) -> Pair {
        unsafe { Pair(_mm256_cvtepi32_ps(a.0), _mm256_cvtepi32_ps(a.1)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Pair) {
        unsafe {
            _mm256_storeu_ps(p, v.0);
            _mm256_storeu_ps(p.cast::<u8>().add(32).cast(), v.1);
        }
    }
    #[inline(always)]
    fn to_f16(self, v: Pair) -> [u16; LANES] {
        let mut bits = [0; LANES];
        unsafe {
            let p = bits.as_mut_ptr().cast::<__m128i>();
            _mm_storeu_si128(p, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.0));
            _mm_storeu_si128(p.add(1), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v.1));
        }
        bits
    }
    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        both!(_mm256_add_ps; a, b)
    }
    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        both!(_mm256_sub_ps; a, b)
    }
    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        both!(_mm256_mul_ps; a, b)
    }
    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        both!(_mm256_div_ps; a, b)
    }
    #[inline(always)]
    fn fma(self, a: Pair, b: Pair, c: Pair) -> Pair {
        both!(_mm256_fmadd_ps; a, b, c)
    }
    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        both!(_mm256_max_ps; a, b)
    }
    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        both!(_mm256_min_ps; a, b)
    }
    #[inline(always)]
    fn round(self, v: Pair) -> Pair {
        both!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>; v)
    }
    #[inline(always)]
    fn scale2(self, v: Pair, n: Pair) -> Pair {
        let half = |v: __m256, n: __m256| unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), exponent))
        };
        Pair(half(v.0, n.0), half(v.1, n.1))
    }
    #[inline(always)]
    fn select_lt(self, a: Pair, b: Pair, x: Pair, y: Pair) -> Pair {
        let half = |a, b, x, y| unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) };
        Pair(half(a.0, b.0, x.0, y.0), half(a.1, b.1, x.1, y.1))
    }
    #[inline(always)]
    fn lt_bits(self, a: Pair, b: Pair) -> u32 {
        let half = |a, b| unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) as u32 };
        half(a.0, b.0) | half(a.1, b.1) << 8
    }
    #[inline(always)]
    fn sum(self, v: Pair) -> f32 {
        unsafe { sum8(_mm256_add_ps(v.0, v.1)) }
    }
    #[inline(always)]
    fn max_lane(self, v: Pair) -> f32 {
        unsafe { max8(_mm256_max_ps(v.0, v.1)) }
    }
}

/// Sum of eight lanes, halves onto each other.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn sum8(v: __m256) -> f32 {
    unsafe {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }
}

/// Largest of eight lanes.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(super) unsafe fn max8(v: __m256) -> f32 {
    unsafe {
        let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
    }
}
