//! Timing, random numbers, and the memory bandwidth that everything is measured against.

use lethe_kernels::Cpu;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in -1..1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Seconds of one call of `f`: the best of as many as fit into half a second, three at least. The best,
/// because other work on the machine only ever adds time.
pub(crate) fn seconds(mut f: impl FnMut()) -> f64 {
    f();
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || begin.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        f();
        times.push(start.elapsed().as_secs_f64());
    }
    times.into_iter().fold(f64::INFINITY, f64::min)
}

/// Bytes per second that the threads of `cpu` read together from memory: 32 MiB at a time out of 1 GiB, in pieces
/// of 1 MiB.
pub(crate) fn read_bandwidth(cpu: &Cpu) -> f64 {
    const PIECE: usize = 1 << 17; // elements
    const PIECES: usize = 32;
    let buffer: Vec<u64> = (0..1 << 27).collect();
    let mut turn = 0;
    let time = seconds(|| {
        turn += 1;
        let start = turn * PIECES * PIECE % buffer.len();
        cpu.run(PIECES, &|task, _| {
            let piece = &buffer[start + task * PIECE..][..PIECE];
            let mut sums = [0u64; 64];
            for x in piece.as_chunks::<64>().0 {
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum ^= x;
                }
            }
            black_box(sums);
        });
    });
    (PIECES * PIECE * 8) as f64 / time
}
