//! The step loop allocates nothing: counted by an allocator of this test's own.

mod common;

use common::{Random, cpu};
use half::f16;
use lethe_kernels::{Attention, AttentionScratch, AttentionSeq, AttentionShape, Lanes, Level, Matrix};
use lethe_kv::{LaneView, PageId, Pages, int8, page_elems};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Same(Vec<PageId>, usize);

impl Lanes for Same {
    fn lane(&self, _: usize, _: usize) -> LaneView<'_> {
        LaneView { pages: &self.0, len: self.1 }
    }
}

// One test in this file: the counter is the process's.
#[test]
fn a_reserved_step_allocates_nothing() {
    let floats = Random(40).vector(PAGES * page_elems(32), 1.0);
    let halves: Vec<u16> = floats.iter().map(|x| f16::from_f32(*x).to_bits()).collect();
    let bytes = vec![0x14; PAGES * int8::page_bytes(32)];
    for level in Level::available() {
        for pages in [Pages::F32(&floats), Pages::F16(&halves), Pages::I8(&bytes)] {
            steps_at(level, pages);
        }
    }
}

/// Pages of a lane. Few enough for an emulated processor too: after a minute the test harness says that a test is slow, and
/// allocates.
const PAGES: usize = 38;

fn steps_at(level: Level, pages: Pages<'_>) {
    let mut random = Random(41);
    let shape = AttentionShape { n_heads: 6, n_kv_heads: 2, head_dim: 32, scale: 0.2 };
    let lanes = Same((0..PAGES as PageId).collect(), 600);
    let cpu = cpu(level, 2);
    let weights = Matrix::from_f32(&random.vector(192 * 192, 0.1), 192, 192).unwrap();
    let mut scratch = AttentionScratch::default();
    scratch.reserve(&shape, 3, 600, cpu.threads());
    let seqs = [(0, 1, 0), (1, 20, 10), (21, 30, 30)].map(|(q_start, n_tokens, mass_from)| AttentionSeq {
        q_start,
        n_tokens,
        mass_from,
        mass_at: q_start * 1200,
    });
    let q = random.vector(51 * 192, 1.0);
    let (mut x, mut y, mut mass) = (q.clone(), q.clone(), vec![0.0; 22 * 1200]);
    let mut step = || {
        let input = Attention { shape, pages, seqs: &seqs, lanes: &lanes, q: &q };
        cpu.attention(&input, &mut y, &mut mass, &mut scratch);
        weights.forward(&cpu, &y, 51, None, &mut x);
        weights.forward(&cpu, &y[..192], 1, None, &mut x[..192]);
        cpu.swiglu(&mut x, &y);
        cpu.rms_norm_in_place(&mut x, &q[..192], 1e-6);
    };
    for _ in 0..10 {
        step(); // every thread makes its scratch for linear layers at its first task
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..10 {
        step();
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before, "{level}, {}", name(pages));
}

fn name(pages: Pages<'_>) -> &'static str {
    match pages {
        Pages::F32(_) => "f32",
        Pages::F16(_) => "f16",
        Pages::I8(_) => "int8",
    }
}
