//! New keys and values into their pages.

use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{AttentionSeq, AttentionShape, Cpu, Lanes};
use half::f16;
use lethe_kv::{PAGE_SLOTS, PagesMut, int8, k_at, page_elems, v_at};

/// Largest finite f16.
const F16_MAX: f32 = 65504.0;

impl Cpu {
    /// Writes the new rows of every sequence: token i of `n_tokens` goes to slot `len - n_tokens + i` of each of its lanes
    /// (`len` counts them already). k (RoPE applied) and v are `[rows of the batch][n_kv_heads][head_dim]`.
    ///
    /// Returns how many elements were out of the range of the pages and stored as the largest that fits: ±65504 in f16, and
    /// 127 times that in eight bits; always 0 with f32. NaN stays NaN. In eight bits it is NaN with all that share its scale, and
    /// so is an infinity.
    ///
    /// # Panics
    /// If shapes, lanes and buffers do not fit together.
    pub fn store_kv(
        &self,
        shape: &AttentionShape,
        mut pages: PagesMut<'_>,
        seqs: &[AttentionSeq],
        lanes: &dyn Lanes,
        (k, v): (&[f32], &[f32]),
    ) -> usize {
        let hd = shape.head_dim;
        assert_eq!(k.len(), v.len(), "store_kv: k and v differ in length");
        assert!(
            hd.is_multiple_of(2) || !matches!(pages, PagesMut::I8(_)),
            "store_kv: an odd head_dim has no pages of eight bits"
        );
        let mut saturated = 0;
        for (seq, entry) in seqs.iter().enumerate() {
            for kv_head in 0..shape.n_kv_heads {
                let lane = lanes.lane(seq, kv_head);
                assert!(lane.len >= entry.n_tokens, "store_kv: lane {kv_head} of sequence {seq} lacks its new slots");
                for token in 0..entry.n_tokens {
                    let slot = lane.len - entry.n_tokens + token;
                    let from = ((entry.q_start + token) * shape.n_kv_heads + kv_head) * hd;
                    let page = lane.pages[slot / PAGE_SLOTS] as usize;
                    let slot = slot % PAGE_SLOTS;
                    let (k, v) = (&k[from..from + hd], &v[from..from + hd]);
                    match &mut pages {
                        PagesMut::F32(pages) => {
                            let page = &mut pages[page * page_elems(hd)..][..page_elems(hd)];
                            page[v_at(hd, slot, 0)..][..hd].copy_from_slice(v);
                            for (d, k) in k.iter().enumerate() {
                                page[k_at(slot, d)] = *k;
                            }
                        }
                        PagesMut::F16(pages) => {
                            let page = &mut pages[page * page_elems(hd)..][..page_elems(hd)];
                            saturated += dispatch(self.level(), StoreF16 { k, v, page, slot });
                        }
                        PagesMut::I8(pages) => {
                            let page = &mut pages[page * int8::page_bytes(hd)..][..int8::page_bytes(hd)];
                            saturated += dispatch(self.level(), StoreI8 { k, v, page, slot });
                        }
                    }
                }
            }
        }
        saturated
    }
}

/// K and V of one slot into its page; returns how many elements were cut to the range.
struct StoreF16<'a> {
    k: &'a [f32],        // [head_dim]
    v: &'a [f32],        // [head_dim]
    page: &'a mut [u16], // [page_elems]
    slot: usize,
}

impl Kernel for StoreF16<'_> {
    type Output = usize;

    fn reference(self) -> usize {
        let hd = self.k.len();
        for d in 0..hd {
            self.page[k_at(self.slot, d)] = f16::from_f32(self.k[d].clamp(-F16_MAX, F16_MAX)).to_bits();
            self.page[v_at(hd, self.slot, d)] = f16::from_f32(self.v[d].clamp(-F16_MAX, F16_MAX)).to_bits();
        }
        self.k.iter().chain(self.v).filter(|x| x.abs() > F16_MAX).count()
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) -> usize {
        let hd = self.k.len();
        let (low, high) = (s.splat(-F16_MAX), s.splat(F16_MAX));
        let mut saturated = 0;
        let mut convert = |x: &[f32]| {
            let x = s.load_part(x);
            saturated += s.lt_bits(high, s.abs(x)).count_ones() as usize;
            s.to_f16(s.min(high, s.max(low, x))) // the limits stand first: NaN is kept
        };
        for (c, (k, v)) in self.k.chunks(LANES).zip(self.v.chunks(LANES)).enumerate() {
            for (d, k) in convert(k).into_iter().take(k.len()).enumerate() {
                self.page[k_at(self.slot, c * LANES + d)] = k;
            }
            let n = v.len();
            self.page[v_at(hd, self.slot, c * LANES)..][..n].copy_from_slice(&convert(v)[..n]);
        }
        saturated
    }
}

/// K and V of one slot as whole numbers with scales; returns how many elements were cut to the range.
struct StoreI8<'a> {
    k: &'a [f32],       // [head_dim]
    v: &'a [f32],       // [head_dim]
    page: &'a mut [u8], // [int8::page_bytes]
    slot: usize,
}

impl StoreI8<'_> {
    /// All parts that share a scale.
    #[inline(always)]
    fn parts(self, part: &Part<impl Fn(&[f32]) -> f32, impl Fn(&[f32], f32) -> [i8; LANES]>) -> usize {
        let StoreI8 { k, v, page, slot } = self;
        let hd = k.len();
        let mut saturated = 0;
        for (group, k) in k.chunks(int8::K_GROUP).enumerate() {
            let first = group * int8::K_GROUP;
            saturated += part.store(k, page, int8::k_scale_at(hd, slot, group), |d| int8::k_at(slot, first + d));
        }
        saturated + part.store(v, page, int8::v_scale_at(hd, slot), |d| int8::v_at(hd, slot, d))
    }
}

/// How numbers that share a scale are made: the largest magnitude (NaN if one is), and at most sixteen elements times a
/// factor, rounded.
struct Part<Size, Whole> {
    size: Size,
    whole: Whole,
}

impl<Size: Fn(&[f32]) -> f32, Whole: Fn(&[f32], f32) -> [i8; LANES]> Part<Size, Whole> {
    /// Writes the scale, rounded as it is stored, and the numbers that it makes of `x`. Returns how many were too large.
    #[inline(always)]
    fn store(&self, x: &[f32], page: &mut [u8], scale_at: usize, at: impl Fn(usize) -> usize) -> usize {
        let size = (self.size)(x);
        let scale = scale_for(size);
        page[scale_at..scale_at + 2].copy_from_slice(&scale.to_le_bytes());
        let scale = scale.to_f32();
        let per_one = if scale > 0.0 { scale.recip() } else { 0.0 };
        for (c, x) in x.chunks(LANES).enumerate() {
            let whole = if scale.is_nan() { [0; LANES] } else { (self.whole)(x, per_one) };
            for (i, q) in whole.into_iter().take(x.len()).enumerate() {
                page[at(c * LANES + i)] = q as u8;
            }
        }
        let most = 127.0 * F16_MAX;
        if size.is_finite() && size > most { x.iter().filter(|x| x.abs() > most).count() } else { 0 }
    }
}

/// The least f16 that makes 127 of `size`, so that nothing is cut, up to the largest; NaN where `size` is not finite: an infinity
/// has no neighbours that could share its scale.
fn scale_for(size: f32) -> f16 {
    if !size.is_finite() {
        return f16::NAN;
    }
    let least = (size / 127.0).min(F16_MAX);
    let near = f16::from_f32(least);
    if near.to_f32() < least { f16::from_bits(near.to_bits() + 1) } else { near }
}

impl Kernel for StoreI8<'_> {
    type Output = usize;

    fn reference(self) -> usize {
        self.parts(&Part {
            size: |x: &[f32]| x.iter().fold(0.0, |size, x| if x.is_nan() || x.abs() > size { x.abs() } else { size }),
            whole: |x: &[f32], per_one: f32| {
                let mut whole = [0; LANES];
                for (q, x) in whole.iter_mut().zip(x) {
                    *q = (x * per_one).round_ties_even().clamp(-127.0, 127.0) as i8;
                }
                whole
            },
        })
    }

    #[inline(always)]
    fn vector<S: Simd>(self, s: S) -> usize {
        let (low, high) = (s.splat(-127.0), s.splat(127.0));
        self.parts(&Part {
            size: |x: &[f32]| {
                let (mut size, mut sum) = (s.splat(0.0), s.splat(0.0));
                for x in x.chunks(LANES) {
                    let x = s.abs(s.load_part(x));
                    (size, sum) = (s.max(x, size), s.add(sum, x));
                }
                let sum = s.sum(sum);
                if sum.is_nan() { sum } else { s.max_lane(size) }
            },
            whole: |x: &[f32], per_one| s.to_i8(s.min(s.max(s.mul(s.load_part(x), s.splat(per_one)), low), high)),
        })
    }
}
