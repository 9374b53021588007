//! The seam under the decoder graph: what a device must be able to do.
//!
//! The graph is written once against [`Backend`]; [`crate::cpu`] implements it with `lethe-kernels`. Buffers, weights
//! and KV memory belong to the backend, so a device keeps them where it computes.

use std::ops::Range;

use lethe_kernels::{AttentionSeq, Cpu, Lanes, Matrix, Rope};
use lethe_kv::{KvDtype, LaneView, Storage};

/// One sequence's share of a ragged batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First row of the batch.
    pub start: usize,
    /// Rows, all of consecutive positions: one when decoding, a chunk of a prompt otherwise.
    pub rows: usize,
    /// The first of these rows whose attention counts as mass; `rows` for none.
    pub mass_from: usize,
}

/// Heads of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub queries: usize,
    /// KV heads; query head `h` reads KV head `h / (queries / kv)`.
    pub kv: usize,
    /// Coordinates of a head.
    pub dim: usize,
}

/// A projection: weight, perhaps bias, and where the results go.
pub type Projection<'a, B> =
    (&'a <B as Backend>::Weight, Option<&'a <B as Backend>::Vector>, &'a mut <B as Backend>::Buf);

/// A device that can run the decoder graph. All activations are f32, row-major, `[rows][width]`; a row's result must be
/// a function of that row alone, whatever else is in the batch.
pub trait Backend: Sized + Send + Sync + 'static {
    /// Activations.
    type Buf: Send + Sync;
    /// A weight matrix `[out][in]`.
    type Weight: Send + Sync;
    /// A norm weight or bias.
    type Vector: Send + Sync;
    /// KV memory.
    type Kv: Storage + Send;
    /// Working memory of attention.
    type Scratch: Send;

    /// The host's processor, for work at load time.
    fn host(&self) -> &Cpu;
    /// A buffer of `len` zeros.
    fn buf(&self, len: usize) -> Self::Buf;
    /// Takes a weight matrix over.
    fn weight(&self, matrix: Matrix) -> Self::Weight;
    /// Bytes of a mapped file that a weight is still read from at every step.
    fn mapped_bytes(&self, weight: &Self::Weight) -> u64;
    /// Takes a vector over.
    fn vector(&self, values: Vec<f32>) -> Self::Vector;
    /// KV memory of `pages` pages.
    fn kv(&self, pages: usize, head_dim: usize, dtype: KvDtype) -> Self::Kv;
    /// Empty working memory; see [`Backend::reserve`].
    fn scratch(&self) -> Self::Scratch;
    /// Makes attention over up to `sequences` sequences, the longest lane having `longest` slots, run without
    /// allocating.
    fn reserve(&self, scratch: &mut Self::Scratch, heads: Heads, sequences: usize, longest: usize);

    /// Rows `ids` of the embedding table. `out [ids.len()][width]`.
    fn embed(&self, table: &Self::Weight, ids: &[u32], out: &mut Self::Buf);
    /// `out = x / rms(x) * weight`, row by row. `x`, `out [rows][width]`.
    fn rms_norm(&self, x: &Self::Buf, weight: &Self::Vector, eps: f32, rows: usize, out: &mut Self::Buf);
    /// RMS norm in place of every head. `x [rows][heads][weight.len()]`.
    fn head_norm(&self, x: &mut Self::Buf, weight: &Self::Vector, eps: f32, heads: usize);
    /// Every projection's `y = x W^T + bias` of the same activations. `x [rows][in]`, `y [rows][out]`.
    fn linear<const N: usize>(&self, x: &Self::Buf, rows: usize, projections: [Projection<'_, Self>; N]);
    /// Cosines and sines of the positions. `cos`, `sin [positions.len()][head_dim / 2]`.
    fn rope_table(&self, rope: &Rope, positions: &[u32], cos: &mut Self::Buf, sin: &mut Self::Buf);
    /// Rotates `heads` heads of every row in place.
    fn rope(&self, rope: &Rope, x: &mut Self::Buf, rows: usize, heads: usize, cos: &Self::Buf, sin: &Self::Buf);
    /// Writes the rows of `seqs` of `k` and `v` (`[rows][kv heads][dim]`) into the last slots of their lanes. Returns how
    /// many values saturated.
    fn store_kv(
        &self,
        kv: &mut Self::Kv,
        seqs: &[AttentionSeq],
        lanes: &dyn Lanes,
        heads: Heads,
        k_and_v: (&Self::Buf, &Self::Buf),
    ) -> usize;
    /// Causal attention of every row over its sequence's lanes (see [`AttentionSeq`]). `q`, `out [rows][query heads][dim]`. The weights of
    /// the rows that count are added to `mass`, query after query, heads in order.
    #[allow(clippy::too_many_arguments)] // one call per layer, each argument its own thing
    fn attention(
        &self,
        kv: &Self::Kv,
        seqs: &[AttentionSeq],
        lanes: &dyn Lanes,
        heads: Heads,
        q: &Self::Buf,
        out: &mut Self::Buf,
        mass: &mut [f32],
        scratch: &mut Self::Scratch,
    );
    /// Brings a lane to the host: `keys [slots][dim]`, and `lengths [slots]`, the Euclidean lengths of the values.
    fn read_lane(&self, kv: &Self::Kv, lane: LaneView<'_>, heads: Heads, keys: &mut [f32], lengths: &mut [f32]);
    /// `gate = silu(gate) * up`, the first `len` values.
    fn swiglu(&self, gate: &mut Self::Buf, up: &Self::Buf, len: usize);
    /// `x += y`, the first `len` values.
    fn add(&self, x: &mut Self::Buf, y: &Self::Buf, len: usize);
    /// Copies the named rows together. `x [..][width]`, `out [rows.len()][width]`.
    fn gather(&self, x: &Self::Buf, rows: &[u32], width: usize, out: &mut Self::Buf);
    /// Sets `broken[i]` to `layer` for rows that hold a value that is not finite and were whole so far
    /// (`u32::MAX`). `x [broken.len()][width]`.
    fn mark_broken(&self, x: &Self::Buf, width: usize, layer: u32, broken: &mut [u32]);
    /// Brings values to the host.
    fn read<'a>(&self, buf: &'a mut Self::Buf, range: Range<usize>, host: &'a mut Vec<f32>) -> &'a mut [f32];
}
