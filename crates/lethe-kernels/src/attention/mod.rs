//! Attention over paged lanes that also returns its *mass*: how much attention every slot received.
//!
//! One arithmetic serves decode and prefill. The slots a query sees are cut into fixed blocks of [`BLOCK_SLOTS`],
//! counted from slot 0. Of each block and query head (a *row*) come the largest logit, the sum of
//! `exp(logit - largest)`, and the values weighted by it; blocks are then combined in order. So a result does not depend
//! on chunks, threads, the rest of the batch, or whether mass is asked for.
//!
//! - [`block`]: one block for a tile of rows; [`floats`] and [`numbers`]: the same in vectors, all rows sharing every read
//!   of K and V, from pages of f16 or f32, or of eight-bit numbers; [`unfold`]: f16 to f32 once for many tiles;
//! - [`combine`]: blocks to outputs and mass;
//! - [`read_lane`]: what a lane holds, for policies that look at it;
//! - [`plan`]: which blocks are computed together, within fixed scratch memory.

mod block;
mod combine;
mod elem;
mod floats;
mod numbers;
mod plan;
mod read_lane;
mod scratch;
mod softmax;
mod unfold;

pub use scratch::AttentionScratch;

use crate::Cpu;
use crate::shared::SharedMut;
use block::Work;
use lethe_kv::{LaneView, PAGE_SLOTS, Pages};
use plan::Cursor;

/// Slots of a block, 16 pages: fixed, because the order of summation hangs on it. Two blocks of the largest heads fit the
/// L2 cache, the one at work and the one that follows.
pub const BLOCK_SLOTS: usize = 256;
/// Pages of a block.
const BLOCK_PAGES: usize = BLOCK_SLOTS / PAGE_SLOTS;

/// Heads of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads, a multiple of `n_kv_heads`.
    pub n_heads: usize,
    /// Key and value heads: lanes of a layer.
    pub n_kv_heads: usize,
    /// Coordinates of a head.
    pub head_dim: usize,
    /// Factor on the logits, mostly `1 / sqrt(head_dim)`.
    pub scale: f32,
}

/// One sequence's part of a batch: some consecutive new tokens, whose K and V are already in the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionSeq {
    /// Row of its first token in the batch; sequences come in the order of their rows and of their mass.
    pub q_start: usize,
    /// New tokens: 1 in decode, a chunk in prefill. Token i sees the slots `0 .. len - n_tokens + i + 1` of a lane.
    pub n_tokens: usize,
    /// First of these tokens whose attention is added to the mass; `n_tokens` for none.
    pub mass_from: usize,
    /// Where its mass starts in the mass buffer: the `len` sums of KV head 0, then those of KV head 1, and so on
    /// (lanes may differ in length). Not looked at without mass.
    pub mass_at: usize,
}

/// The lanes of one layer for the sequences of a batch.
pub trait Lanes: Sync {
    /// Lane `kv_head` of sequence `seq` (index in the batch), the new slots included.
    fn lane(&self, seq: usize, kv_head: usize) -> LaneView<'_>;
}

/// What attention of one layer reads. `q` is `[rows of the batch][n_heads][head_dim]`, RoPE applied.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// Heads.
    pub shape: AttentionShape,
    /// Memory of all pages.
    pub pages: Pages<'a>,
    /// The sequences.
    pub seqs: &'a [AttentionSeq],
    /// Their lanes.
    pub lanes: &'a dyn Lanes,
    /// Queries.
    pub q: &'a [f32],
}

impl AttentionShape {
    /// Query heads per KV head.
    pub fn group(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Elements of a row of partial values: whole vectors.
    fn padded(&self) -> usize {
        self.head_dim.next_multiple_of(crate::simd::LANES)
    }
}

impl Cpu {
    /// Causal grouped-query attention. Writes the rows of `out` (`[rows of the batch][n_heads][head_dim]`) that belong
    /// to the sequences, and **adds** to `mass`, for every slot, the softmax weights it receives: query after
    /// query from `mass_from` on, within a query head after head of the slot's group. A slot that a query does not see
    /// contributes nothing and receives nothing, whatever its bits.
    ///
    /// Allocates nothing if `scratch` was reserved for such a batch, and grows it otherwise.
    ///
    /// # Panics
    /// If shapes, lanes and buffers do not fit together.
    pub fn attention(&self, input: &Attention<'_>, out: &mut [f32], mass: &mut [f32], scratch: &mut AttentionScratch) {
        let shape = input.shape;
        assert!(shape.head_dim > 0 && shape.n_kv_heads > 0, "attention: empty heads");
        assert!(shape.n_heads.is_multiple_of(shape.n_kv_heads), "attention: n_heads is no multiple of n_kv_heads");
        assert_eq!(input.q.len(), out.len(), "attention: q and out differ in length");
        assert!(input.q.len().is_multiple_of(shape.n_heads * shape.head_dim), "attention: q is no whole rows");
        let pairs = shape.head_dim.is_multiple_of(2) || !matches!(input.pages, Pages::I8(_));
        assert!(pairs, "attention: an odd head_dim has no pages of eight bits");
        scratch.prepare(&shape, self.threads());
        let (out, mass) = (SharedMut::new(out), SharedMut::new(mass));
        let mut cursor = Some(Cursor::default());
        while let Some(from) = cursor {
            cursor = scratch.plan(input, from, self.threads());
            let wave = scratch.wave();
            self.run(wave.tasks(), &|task, worker| {
                let (part, task) = wave.find(task);
                part.blocks(&Work { level: self.level(), input, wave: &wave, worker }, task);
            });
            self.run(wave.parts.len(), &|part, _| {
                wave.parts[part].combine(self.level(), input, &wave, &out, &mass);
            });
        }
    }
}
