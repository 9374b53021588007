//! Sixteen lanes of f32, whatever the registers.
//!
//! A kernel is written once over [`Simd`] and compiled for each instruction set: AVX-512 holds the lanes in one register,
//! AVX2 in two, NEON in four. All of them do the same arithmetic in the same order. A value of a `Simd` type is proof that the
//! processor has the instructions, so arithmetic is safe to call; only loads and stores through pointers are not.
//!
//! All of it relies on inlining into one function that has the instruction set enabled. So hot loops are plain loops: a
//! closure handed to `array::map`, `from_fn` or the like may be compiled on its own, without the instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod bytes;
mod exp;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;

use crate::Level;

/// Lanes of a vector at every level, and slots of a page: a K row of a page is one vector.
pub(crate) const LANES: usize = lethe_kv::PAGE_SLOTS;
const _: () = assert!(LANES == 16);

/// An operation: its arguments, and the two ways to carry it out.
pub(crate) trait Kernel: Sized {
    /// What it returns.
    type Output;
    /// Plain code, obviously right: the meaning of the operation.
    fn reference(self) -> Self::Output;
    /// The same with vectors. Must be `#[inline(always)]`, with all it calls, to be compiled for the instruction set.
    fn vector<S: Simd>(self, simd: S) -> Self::Output;
}

/// Carries out `kernel` at `level`.
#[inline]
pub(crate) fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level {
        Level::Reference => kernel.reference(),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Cpu` has a level above reference only where the processor supports it.
        Level::Neon => unsafe { neon::run(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { avx2::run(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::run(kernel) },
        _ => kernel.reference(), // another architecture's: no `Cpu` has it
    }
}

/// An instruction set: sixteen-lane vectors `V` and what can be done with them.
pub(crate) trait Simd: Copy {
    /// Sixteen f32.
    type V: Copy;
    /// Sixteen bytes.
    type B: Copy;
    /// Whole numbers in 64 bytes: 64 of eight bits, 32 of sixteen or 16 of thirty-two.
    type I: Copy;
    /// Whether there are 32 registers of 16 lanes; else the same as 16 of 8.
    const WIDE: bool;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Sixteen f32.
    ///
    /// # Safety
    /// 64 bytes are readable at `p`; no alignment is asked for.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// Sixteen f32 from f16 bits.
    ///
    /// # Safety
    /// 32 bytes are readable at `p`; no alignment is asked for.
    unsafe fn load_f16(self, p: *const u16) -> Self::V;
    /// Sixteen f32 from bf16 bits.
    ///
    /// # Safety
    /// 32 bytes are readable at `p`; no alignment is asked for.
    unsafe fn load_bf16(self, p: *const u16) -> Self::V;
    /// Sixteen bytes.
    ///
    /// # Safety
    /// 16 bytes are readable at `p`; no alignment is asked for.
    unsafe fn load_bytes(self, p: *const u8) -> Self::B;
    /// One f32 from f16 bits.
    fn f16_to_f32(self, bits: u16) -> f32;
    /// The bytes as numbers from 0 to 255.
    fn unsigned(self, b: Self::B) -> Self::V;
    /// The bytes as numbers from -128 to 127.
    fn signed(self, b: Self::B) -> Self::V;
    /// The bits `mask` of every byte after a shift to the right: `b >> n & mask`, where `mask << n` lies within a byte.
    fn bits(self, b: Self::B, n: u32, mask: u8) -> Self::B;
    /// `a | b << 4` of bytes `b` below 16.
    fn or_high(self, a: Self::B, b: Self::B) -> Self::B;
    /// The nearest whole numbers, ties to even, of lanes within -128.5 and 127.5.
    fn to_i8(self, v: Self::V) -> [i8; LANES];

    /// 64 bytes.
    ///
    /// # Safety
    /// They are readable at `p`; no alignment is asked for.
    unsafe fn load_i(self, p: *const u8) -> Self::I;
    /// Four bytes, sixteen times.
    ///
    /// # Safety
    /// They are readable at `p`; no alignment is asked for.
    unsafe fn repeat(self, p: *const u8) -> Self::I;
    /// Sixteen signed bytes, each twice in sixteen bits.
    ///
    /// # Safety
    /// They are readable at `p`; no alignment is asked for.
    unsafe fn load_twice(self, p: *const u8) -> Self::I;
    /// 32 signed bytes in sixteen bits each.
    ///
    /// # Safety
    /// They are readable at `p`; no alignment is asked for.
    unsafe fn load_i8(self, p: *const u8) -> Self::I;
    /// The nearest whole numbers, ties to even, of lanes within -32768.5 and 32767.5; of NaN any number.
    fn to_i16(self, v: Self::V) -> [i16; LANES];
    /// All of sixteen bits.
    fn splat_i16(self, x: i16) -> Self::I;
    /// `b >> n & mask` of bytes, where `mask << n` lies within a byte.
    fn bits_i(self, b: Self::I, n: u32, mask: u8) -> Self::I;
    /// `b << n & mask` of bytes, where `mask >> n` lies within a byte.
    fn bits_i_up(self, b: Self::I, n: u32, mask: u8) -> Self::I;
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Magnitudes of signed bytes, as unsigned ones.
    fn abs_i8(self, a: Self::I) -> Self::I;
    /// `-a` of signed bytes where `b` is negative, `a` where it is positive; where it is 0, either or 0. No `a` is -128.
    fn negate_i8(self, a: Self::I, b: Self::I) -> Self::I;
    /// Products of unsigned bytes `a` and signed ones `b`, added in pairs, which must fit sixteen bits.
    fn mul_i8(self, a: Self::I, b: Self::I) -> Self::I;
    /// Products in sixteen bits, added in pairs to thirty-two.
    fn mul_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// Sums in sixteen bits, modulo 2^16.
    fn add_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// Differences in sixteen bits, modulo 2^16.
    fn sub_i16(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << n` in sixteen bits.
    fn shl_i16(self, a: Self::I, n: u32) -> Self::I;
    /// Sums in thirty-two bits.
    fn add_i32(self, a: Self::I, b: Self::I) -> Self::I;
    /// Numbers of thirty-two bits as f32.
    fn float(self, a: Self::I) -> Self::V;

    /// # Safety
    /// 64 bytes are writable at `p`; no alignment is asked for.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// The nearest f16 of each lane, ties to even, beyond 65504 infinite.
    fn to_f16(self, v: Self::V) -> [u16; LANES];

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where one of them is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where one of them is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Nearest whole number, ties to even.
    fn round(self, v: Self::V) -> Self::V;
    /// `v * 2^n` for whole `n`, by adding to the exponent: the result must be a normal number.
    fn scale2(self, v: Self::V, n: Self::V) -> Self::V;
    /// `x` where `a < b`, else `y` (also where one of `a` and `b` is NaN).
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// Lanes with `a < b`, one bit each.
    fn lt_bits(self, a: Self::V, b: Self::V) -> u32;
    /// Sum of the lanes: halves onto each other, 16 to 8 to 4 to 2 to 1.
    fn sum(self, v: Self::V) -> f32;
    /// The largest lane; NaN lanes may be passed over.
    fn max_lane(self, v: Self::V) -> f32;

    /// `v` in lanes below `n`, `fill` in the others.
    #[inline(always)]
    fn keep_first(self, n: usize, v: Self::V, fill: Self::V) -> Self::V {
        const INDEX: [f32; LANES] = [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
        // SAFETY: INDEX has 16 elements.
        let index = unsafe { self.load(INDEX.as_ptr()) };
        self.select_lt(index, self.splat(n.min(LANES) as f32), v, fill)
    }

    /// The first lanes from a slice of at most 16, zeros in the others.
    #[inline(always)]
    fn load_part(self, x: &[f32]) -> Self::V {
        if x.len() >= LANES {
            // SAFETY: the slice has 16 elements.
            return unsafe { self.load(x.as_ptr()) };
        }
        let mut whole = [0.0; LANES];
        whole[..x.len()].copy_from_slice(x);
        // SAFETY: the array has 16 elements.
        unsafe { self.load(whole.as_ptr()) }
    }

    /// As many lanes as the slice holds, at most 16.
    #[inline(always)]
    fn store_part(self, x: &mut [f32], v: Self::V) {
        if x.len() >= LANES {
            // SAFETY: the slice has 16 elements.
            return unsafe { self.store(x.as_mut_ptr(), v) };
        }
        let mut whole = [0.0; LANES];
        // SAFETY: the array has 16 elements.
        unsafe { self.store(whole.as_mut_ptr(), v) };
        let n = x.len();
        x.copy_from_slice(&whole[..n]);
    }

    /// The absolute values (NaN stays NaN).
    #[inline(always)]
    fn abs(self, v: Self::V) -> Self::V {
        self.max(v, self.sub(self.splat(0.0), v))
    }

    /// `e^v`, see [`exp`].
    #[inline(always)]
    fn exp(self, v: Self::V) -> Self::V {
        exp::exp(self, v)
    }
}

/// Asks the L2 cache for the line at `p`, which may point anywhere.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing the program can see and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; there is no stable intrinsic.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{p}]", p = in(reg) p.addr(), options(nostack, preserves_flags, nomem));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = p;
}
