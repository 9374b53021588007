//! Sixteen bytes, and one f16: what AVX2 and AVX-512 do alike.

/// The methods of [`super::Simd`] on sixteen bytes, for a processor with AVX2 and F16C.
macro_rules! sixteen_bytes {
    () => {
        type B = std::arch::x86_64::__m128i;

        #[inline(always)]
        unsafe fn load_bytes(self, p: *const u8) -> __m128i {
            unsafe { _mm_loadu_si128(p.cast()) }
        }
        #[inline(always)]
        fn f16_to_f32(self, bits: u16) -> f32 {
            unsafe { _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits.into()))) }
        }
        #[inline(always)]
        fn bits(self, b: __m128i, n: u32, mask: u8) -> __m128i {
            unsafe { _mm_and_si128(_mm_srl_epi16(b, _mm_cvtsi32_si128(n as i32)), _mm_set1_epi8(mask as i8)) }
        }
        #[inline(always)]
        fn or_high(self, a: __m128i, b: __m128i) -> __m128i {
            unsafe { _mm_or_si128(a, _mm_slli_epi16::<4>(b)) }
        }
    };
}
pub(super) use sixteen_bytes;
