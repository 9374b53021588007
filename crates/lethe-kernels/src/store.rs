//! New keys and values into their pages.

use crate::simd::{Kernel, LANES, Simd, dispatch};
use crate::{AttentionSeq, AttentionShape, Cpu, Lanes};
use half::f16;
use lethe_kv::{PAGE_SLOTS, PagesMut, k_at, page_elems, v_at};

/// Largest finite f16.
const F16_MAX: f32 = 65504.0;

impl Cpu {
    /// Writes the new rows of every sequence: token i of `n_tokens` goes to slot `len - n_tokens + i` of each of its lanes
    /// (`len` counts them already). k (RoPE applied) and v are `[rows of the batch][n_kv_heads][head_dim]`.
    ///
    /// Returns how many elements were out of the range of f16 and stored as ±65504; always 0 with f32 pages. NaN stays NaN.
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
        let mut saturated = 0;
        for (seq, entry) in seqs.iter().enumerate() {
            for kv_head in 0..shape.n_kv_heads {
                let lane = lanes.lane(seq, kv_head);
                assert!(lane.len >= entry.n_tokens, "store_kv: lane {kv_head} of sequence {seq} lacks its new slots");
                for token in 0..entry.n_tokens {
                    let slot = lane.len - entry.n_tokens + token;
                    let from = ((entry.q_start + token) * shape.n_kv_heads + kv_head) * hd;
                    let page = lane.pages[slot / PAGE_SLOTS] as usize * page_elems(hd);
                    let page = page..page + page_elems(hd);
                    let slot = slot % PAGE_SLOTS;
                    let (k, v) = (&k[from..from + hd], &v[from..from + hd]);
                    match &mut pages {
                        PagesMut::F32(pages) => {
                            let page = &mut pages[page];
                            page[v_at(hd, slot, 0)..][..hd].copy_from_slice(v);
                            for (d, k) in k.iter().enumerate() {
                                page[k_at(slot, d)] = *k;
                            }
                        }
                        PagesMut::F16(pages) => {
                            let page = &mut pages[page];
                            saturated += dispatch(self.level(), StoreF16 { k, v, page, slot });
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
