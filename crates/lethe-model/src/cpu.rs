//! The decoder graph's backend on the host processor: buffers are vectors, KV memory is an [`Arena`].

use std::ops::Range;

use lethe_kernels::{
    Attention, AttentionScratch, AttentionSeq, AttentionShape, Cpu, Lanes, Matrix, Output, Rope, prefer_huge_pages,
};
use lethe_kv::{Arena, KvDtype, LaneView};

use crate::backend::{Backend, Heads, Projection};

/// The host processor.
#[derive(Debug)]
pub struct CpuBackend {
    cpu: Cpu,
    exact: bool,
}

impl CpuBackend {
    /// A backend that computes on `cpu`. Weights of types that can be are packed: products take activations rounded to
    /// eight bits, 32 columns to a scale.
    pub fn new(cpu: Cpu) -> CpuBackend {
        CpuBackend { cpu, exact: false }
    }

    /// A backend that keeps all weights as they are stored and activations in f32: the reference, several times slower with
    /// quantised weights.
    pub fn exact(cpu: Cpu) -> CpuBackend {
        CpuBackend { cpu, exact: true }
    }

    /// The processor.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }
}

fn shape(heads: Heads) -> AttentionShape {
    AttentionShape {
        n_heads: heads.queries,
        n_kv_heads: heads.kv,
        head_dim: heads.dim,
        scale: 1.0 / (heads.dim as f32).sqrt(),
    }
}

impl Backend for CpuBackend {
    type Buf = Vec<f32>;
    type Weight = Matrix;
    type Vector = Vec<f32>;
    type Kv = Arena;
    type Scratch = AttentionScratch;

    fn host(&self) -> &Cpu {
        &self.cpu
    }

    fn buf(&self, len: usize) -> Vec<f32> {
        vec![0.0; len]
    }

    fn weight(&self, matrix: Matrix) -> Matrix {
        if self.exact { matrix } else { matrix.packed(&self.cpu) }
    }

    fn mapped_bytes(&self, weight: &Matrix) -> u64 {
        weight.mapped_bytes() as u64
    }

    fn vector(&self, values: Vec<f32>) -> Vec<f32> {
        values
    }

    fn kv(&self, pages: usize, head_dim: usize, dtype: KvDtype) -> Arena {
        let mut arena = Arena::new(pages, head_dim, dtype);
        prefer_huge_pages(&mut arena.pages_mut());
        arena
    }

    fn scratch(&self) -> AttentionScratch {
        AttentionScratch::default()
    }

    fn reserve(&self, scratch: &mut AttentionScratch, heads: Heads, sequences: usize, longest: usize) {
        scratch.reserve(&shape(heads), sequences, longest, self.cpu.threads());
    }

    fn embed(&self, table: &Matrix, ids: &[u32], out: &mut Vec<f32>) {
        let out = &mut out[..ids.len() * table.cols()];
        self.cpu.embed(table, ids, out).expect("ids are checked against the vocabulary when a request is submitted");
    }

    fn rms_norm(&self, x: &Vec<f32>, weight: &Vec<f32>, eps: f32, rows: usize, out: &mut Vec<f32>) {
        let n = rows * weight.len();
        self.cpu.rms_norm(&x[..n], weight, eps, &mut out[..n]);
    }

    fn head_norm(&self, x: &mut Vec<f32>, weight: &Vec<f32>, eps: f32, heads: usize) {
        self.cpu.rms_norm_in_place(&mut x[..heads * weight.len()], weight, eps);
    }

    fn linear<const N: usize>(&self, x: &Vec<f32>, rows: usize, projections: [Projection<'_, Self>; N]) {
        let mut outputs = projections.map(|(matrix, bias, y)| Output {
            matrix,
            bias: bias.map(Vec::as_slice),
            y: &mut y[..rows * matrix.rows()],
        });
        let cols = outputs.first().map_or(0, |output| output.matrix.cols());
        self.cpu.linear(&x[..rows * cols], rows, &mut outputs);
    }

    fn rope_table(&self, rope: &Rope, positions: &[u32], cos: &mut Vec<f32>, sin: &mut Vec<f32>) {
        let n = positions.len() * rope.head_dim() / 2;
        rope.fill(positions, &mut cos[..n], &mut sin[..n]);
    }

    fn rope(&self, rope: &Rope, x: &mut Vec<f32>, rows: usize, heads: usize, cos: &Vec<f32>, sin: &Vec<f32>) {
        let half = rows * rope.head_dim() / 2;
        rope.apply(&self.cpu, &mut x[..2 * half * heads], &cos[..half], &sin[..half]);
    }

    fn store_kv(
        &self,
        kv: &mut Arena,
        seqs: &[AttentionSeq],
        lanes: &dyn Lanes,
        heads: Heads,
        (k, v): (&Vec<f32>, &Vec<f32>),
    ) -> usize {
        let n = rows(seqs) * heads.kv * heads.dim;
        self.cpu.store_kv(&shape(heads), kv.pages_mut(), seqs, lanes, (&k[..n], &v[..n]))
    }

    fn attention(
        &self,
        kv: &Arena,
        seqs: &[AttentionSeq],
        lanes: &dyn Lanes,
        heads: Heads,
        q: &Vec<f32>,
        out: &mut Vec<f32>,
        mass: &mut [f32],
        scratch: &mut AttentionScratch,
    ) {
        let n = rows(seqs) * heads.queries * heads.dim;
        let input = Attention { shape: shape(heads), pages: kv.pages(), seqs, lanes, q: &q[..n] };
        self.cpu.attention(&input, &mut out[..n], mass, scratch);
    }

    fn read_lane(&self, kv: &Arena, lane: LaneView<'_>, heads: Heads, keys: &mut [f32], lengths: &mut [f32]) {
        self.cpu.read_lane(&shape(heads), kv.pages(), lane, keys, lengths);
    }

    fn swiglu(&self, gate: &mut Vec<f32>, up: &Vec<f32>, len: usize) {
        self.cpu.swiglu(&mut gate[..len], &up[..len]);
    }

    fn add(&self, x: &mut Vec<f32>, y: &Vec<f32>, len: usize) {
        self.cpu.add(&mut x[..len], &y[..len]);
    }

    fn gather(&self, x: &Vec<f32>, rows: &[u32], width: usize, out: &mut Vec<f32>) {
        for (to, &row) in out.chunks_exact_mut(width).zip(rows) {
            to.copy_from_slice(&x[row as usize * width..][..width]);
        }
    }

    fn mark_broken(&self, x: &Vec<f32>, width: usize, layer: u32, broken: &mut [u32]) {
        let x = &x[..broken.len() * width];
        // One pass for the batch; rows are told apart only when something is wrong.
        if self.cpu.first_non_finite_row(x, width).is_some() {
            for (mark, row) in broken.iter_mut().zip(x.chunks_exact(width)) {
                if *mark == u32::MAX && !self.cpu.row_finite(row) {
                    *mark = layer;
                }
            }
        }
    }

    fn read<'a>(&self, buf: &'a mut Vec<f32>, range: Range<usize>, _host: &'a mut Vec<f32>) -> &'a mut [f32] {
        &mut buf[range]
    }
}

/// Rows of a batch.
fn rows(seqs: &[AttentionSeq]) -> usize {
    seqs.last().map_or(0, |s| s.q_start + s.n_tokens)
}
