//! Decode attention against the memory bandwidth of the same threads, read front to back, and page by page in random order
//! as a long-running pool has them. The caches of all sequences are many times larger than the processor's. `cargo bench -p lethe-kernels --bench attention`

mod common;

use common::{Order, Random, read_bandwidth, seconds, shuffle};
use half::f16;
use lethe_kernels::{
    Attention, AttentionScratch, AttentionSeq, AttentionShape, Cpu, CpuOptions, Lanes, Level, prefer_huge_pages,
};
use lethe_kv::{LaneView, PAGE_SLOTS, PageId, Pages, PagesMut, page_elems};

/// Bytes of all caches of a shape.
const TOTAL: usize = 512 << 20;

/// Lanes of equal length; pages dealt out in random order.
struct Cache {
    tables: Vec<Vec<PageId>>, // [sequences * kv heads]
    n_kv_heads: usize,
    slots: usize,
}

/// One sequence of a cache.
struct One<'a>(&'a Cache, usize);

impl Lanes for One<'_> {
    fn lane(&self, _: usize, kv_head: usize) -> LaneView<'_> {
        LaneView { pages: &self.0.tables[self.1 * self.0.n_kv_heads + kv_head], len: self.0.slots }
    }
}

fn main() {
    let mut random = Random(7);
    let noise: Vec<u16> = (0..1 << 16).map(|_| f16::from_f32(random.unit()).to_bits()).collect();
    let mut arena: Vec<u16> = vec![0; TOTAL / 2];
    prefer_huge_pages(&mut PagesMut::F16(&mut arena));
    arena.chunks_exact_mut(noise.len()).for_each(|chunk| chunk.copy_from_slice(&noise));
    for level in Level::available() {
        let cpu = Cpu::new(CpuOptions { level: Some(level), ..Default::default() }).expect("an available level");
        let bandwidth = read_bandwidth(&cpu, Order::Straight);
        let shuffled = read_bandwidth(&cpu, Order::Shuffled(8192)); // an f16 page of head_dim 128
        let threads = cpu.threads();
        println!(
            "{level} on {threads} threads, memory reads {:.1} GB/s, page by page {:.1}",
            bandwidth / 1e9,
            shuffled / 1e9
        );
        println!("  kv heads x dim   G  slots       GB/s    %   with mass    %");
        for (n_kv_heads, head_dim, group) in [(8, 128, 2), (8, 128, 4), (2, 64, 2), (2, 128, 6)] {
            for slots in [1024, 8192] {
                if level == Level::Reference && slots > 1024 {
                    continue;
                }
                let shape = AttentionShape {
                    n_heads: n_kv_heads * group,
                    n_kv_heads,
                    head_dim,
                    scale: 1.0 / (head_dim as f32).sqrt(),
                };
                let plain = decode(&cpu, &arena, shape, slots, false, &mut random);
                let mass = decode(&cpu, &arena, shape, slots, true, &mut random);
                println!(
                    "  {n_kv_heads:8} x {head_dim:3} {group:3} {slots:6}   {:8.1} {:4.0}    {:8.1} {:4.0}",
                    plain / 1e9,
                    100.0 * plain / bandwidth,
                    mass / 1e9,
                    100.0 * mass / bandwidth
                );
            }
        }
    }
}

/// Bytes per second of single-sequence decode steps, every one on another cache.
fn decode(cpu: &Cpu, arena: &[u16], shape: AttentionShape, slots: usize, mass: bool, random: &mut Random) -> f64 {
    let pages = arena.len() / page_elems(shape.head_dim);
    let mut order: Vec<PageId> = (0..pages as PageId).collect();
    shuffle(&mut order, random);
    let per_lane = slots / PAGE_SLOTS;
    let tables: Vec<Vec<PageId>> = order.chunks_exact(per_lane).map(<[PageId]>::to_vec).collect();
    let sequences = tables.len() / shape.n_kv_heads;
    let cache = Cache { tables, n_kv_heads: shape.n_kv_heads, slots };
    let q: Vec<f32> = (0..shape.n_heads * shape.head_dim).map(|_| 4.0 * random.unit()).collect();
    let mut out = vec![0.0; q.len()];
    let mut sums = vec![0.0; shape.n_kv_heads * slots];
    let mut scratch = AttentionScratch::default();
    scratch.reserve(&shape, 1, slots, cpu.threads());
    let seqs = [AttentionSeq { q_start: 0, n_tokens: 1, mass_from: usize::from(!mass), mass_at: 0 }];
    let mut turn = 0;
    let time = seconds(|| {
        turn += 1;
        let lanes = One(&cache, turn % sequences);
        let input = Attention { shape, pages: Pages::F16(arena), seqs: &seqs, lanes: &lanes, q: &q };
        cpu.attention(&input, &mut out, &mut sums, &mut scratch);
    });
    (shape.n_kv_heads * slots * shape.head_dim * 2 * 2) as f64 / time
}
