//! Decode attention against the memory bandwidth of the same threads, read front to back, and page by page in random order
//! as a long-running pool has them. The caches of all sequences are many times larger than the processor's. `cargo bench -p lethe-kernels --bench attention`,
//! `-- avx2 int8` for some levels or types of pages.

mod common;

use common::{Order, Random, read_bandwidth, seconds, shuffle};
use half::f16;
use lethe_kernels::{
    Attention, AttentionScratch, AttentionSeq, AttentionShape, Cpu, CpuOptions, Lanes, Level, prefer_huge_pages,
};
use lethe_kv::{KvDtype, LaneView, PAGE_SLOTS, PageId, Pages, PagesMut};
use std::time::Instant;

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
    let mut halves: Vec<u16> = vec![0; TOTAL / 2];
    prefer_huge_pages(&mut PagesMut::F16(&mut halves));
    halves.chunks_exact_mut(noise.len()).for_each(|chunk| chunk.copy_from_slice(&noise));
    // Any bytes do as numbers; as scales these are halves of about a thousandth.
    let noise: Vec<u8> = (0..1 << 16).map(|i| if i % 2 == 1 { 0x14 } else { random.bits() as u8 }).collect();
    let mut bytes: Vec<u8> = vec![0; TOTAL];
    prefer_huge_pages(&mut PagesMut::I8(&mut bytes));
    bytes.chunks_exact_mut(noise.len()).for_each(|chunk| chunk.copy_from_slice(&noise));
    let mut arenas = vec![("f16", Pages::F16(&halves)), ("int8", Pages::I8(&bytes))];
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|arg| arg == name);
    if arenas.iter().any(|(name, _)| asked.iter().any(|arg| arg == name)) {
        arenas.retain(|(name, _)| is_asked(name));
    }
    let level_asked = Level::ALL.iter().any(|level| asked.contains(&level.to_string()));
    for level in Level::available().filter(|level| !level_asked || is_asked(&level.to_string())) {
        let cpu = Cpu::new(CpuOptions { level: Some(level), ..Default::default() }).expect("an available level");
        let bandwidth = read_bandwidth(&cpu, Order::Straight);
        let shuffled = read_bandwidth(&cpu, Order::Shuffled(8192)); // an f16 page of head_dim 128
        let threads = cpu.threads();
        println!(
            "{level} on {threads} threads, memory reads {:.1} GB/s, page by page {:.1}",
            bandwidth / 1e9,
            shuffled / 1e9
        );
        println!("  pages  kv heads x dim   G  slots       GB/s    %     us   what mass adds");
        for &(name, pages) in &arenas {
            for (n_kv_heads, head_dim, group) in [(8, 128, 2), (8, 128, 4), (2, 64, 2), (2, 128, 6)] {
                for slots in [1024, 8192] {
                    if level == Level::Reference && slots > 1024 {
                        continue;
                    }
                    let scale = 1.0 / (head_dim as f32).sqrt();
                    let shape = AttentionShape { n_heads: n_kv_heads * group, n_kv_heads, head_dim, scale };
                    let bytes = n_kv_heads * slots / PAGE_SLOTS * page_bytes(pages, head_dim);
                    let mut steps = Steps::new(&cpu, pages, shape, slots, 1, &mut random);
                    let plain = seconds(|| steps.step(false));
                    let rate = bytes as f64 / plain;
                    let [low, cost, high] = if level == Level::Reference { [f64::NAN; 3] } else { steps.mass_cost() };
                    println!(
                        "  {name:5} {n_kv_heads:8} x {head_dim:3} {group:5} {slots:6}   {:8.1} {:4.0} {:6.0}   {cost:+.1} % ({low:+.1} to {high:+.1})",
                        rate / 1e9,
                        100.0 * rate / bandwidth,
                        plain * 1e6
                    );
                }
            }
        }
        if level != Level::Reference {
            prefill(&cpu, &arenas, &mut random);
        }
    }
}

/// Bytes of a page.
fn page_bytes(pages: Pages<'_>, head_dim: usize) -> usize {
    match pages {
        Pages::F16(_) => KvDtype::F16.page_bytes(head_dim),
        Pages::F32(_) => KvDtype::F32.page_bytes(head_dim),
        Pages::I8(_) => KvDtype::I8.page_bytes(head_dim),
    }
}

/// Chunks of 256 queries at the end of longer and longer lanes.
fn prefill(cpu: &Cpu, arenas: &[(&str, Pages<'_>)], random: &mut Random) {
    const CHUNK: usize = 256;
    println!(
        "  prefill, chunks of {CHUNK}: GFLOP/s of the products\n  pages  kv heads x dim   G   at 512   at 4096   at 8192"
    );
    for &(name, pages) in arenas {
        for (n_kv_heads, head_dim, group) in [(8, 128, 2), (2, 128, 6)] {
            let scale = 1.0 / (head_dim as f32).sqrt();
            let shape = AttentionShape { n_heads: n_kv_heads * group, n_kv_heads, head_dim, scale };
            let rates = [512, 4096, 8192].map(|slots| {
                let seen: usize = (slots - CHUNK + 1..=slots).sum();
                let mut steps = Steps::new(cpu, pages, shape, slots, CHUNK, random);
                (4 * seen * shape.n_heads * head_dim) as f64 / seconds(|| steps.step(false)) / 1e9
            });
            println!(
                "  {name:5} {n_kv_heads:8} x {head_dim:3} {group:5} {:8.0} {:9.0} {:9.0}",
                rates[0], rates[1], rates[2]
            );
        }
    }
}

/// Attention of the last tokens of a sequence, every time of another one.
struct Steps<'a> {
    cpu: &'a Cpu,
    pages: Pages<'a>,
    shape: AttentionShape,
    queries: usize,
    cache: Cache,
    sequences: usize,
    turn: usize,
    q: Vec<f32>,    // [queries][n_heads][head_dim]
    out: Vec<f32>,  // [queries][n_heads][head_dim]
    sums: Vec<f32>, // [n_kv_heads][slots]
    scratch: AttentionScratch,
}

impl<'a> Steps<'a> {
    /// As many sequences of `slots` slots as the pages hold, dealt out in random order.
    fn new(
        cpu: &'a Cpu,
        pages: Pages<'a>,
        shape: AttentionShape,
        slots: usize,
        queries: usize,
        random: &mut Random,
    ) -> Self {
        let n = TOTAL / page_bytes(pages, shape.head_dim);
        let mut order: Vec<PageId> = (0..n as PageId).collect();
        shuffle(&mut order, random);
        let tables: Vec<Vec<PageId>> = order.chunks_exact(slots / PAGE_SLOTS).map(<[PageId]>::to_vec).collect();
        let sequences = tables.len() / shape.n_kv_heads;
        let q: Vec<f32> = (0..queries * shape.n_heads * shape.head_dim).map(|_| 4.0 * random.unit()).collect();
        let mut scratch = AttentionScratch::default();
        scratch.reserve(&shape, 1, slots, cpu.threads());
        Steps {
            cpu,
            pages,
            shape,
            queries,
            cache: Cache { tables, n_kv_heads: shape.n_kv_heads, slots },
            sequences,
            turn: 0,
            out: vec![0.0; q.len()],
            q,
            sums: vec![0.0; shape.n_kv_heads * slots],
            scratch,
        }
    }

    fn step(&mut self, mass: bool) {
        self.turn += 1;
        let mass_from = if mass { 0 } else { self.queries };
        let seqs = [AttentionSeq { q_start: 0, n_tokens: self.queries, mass_from, mass_at: 0 }];
        let lanes = One(&self.cache, self.turn % self.sequences);
        let input = Attention { shape: self.shape, pages: self.pages, seqs: &seqs, lanes: &lanes, q: &self.q };
        self.cpu.attention(&input, &mut self.out, &mut self.sums, &mut self.scratch);
    }

    /// What mass costs: the median of the ratios of neighbouring steps with and without it, and order statistics around the
    /// median that it lies between in 95 of 100 cases.
    fn mass_cost(&mut self) -> [f64; 3] {
        const PAIRS: usize = 400;
        let mut time = |mass| {
            let began = Instant::now();
            self.step(mass);
            began.elapsed().as_secs_f64()
        };
        let mut ratios: Vec<f64> = (0..PAIRS)
            .map(|pair| {
                let first = time(pair % 2 == 0);
                let second = time(pair % 2 == 1);
                if pair % 2 == 0 { first / second } else { second / first }
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let half_width = (0.98 * (PAIRS as f64).sqrt()) as usize;
        [PAIRS / 2 - half_width, PAIRS / 2, PAIRS / 2 + half_width].map(|i| 100.0 * (ratios[i] - 1.0))
    }
}
