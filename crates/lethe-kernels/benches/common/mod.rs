//! Timing, random numbers, and the memory bandwidth that everything is measured against.
#![allow(dead_code)] // every bench uses a part of it

#[path = "../../tests/common/random.rs"]
mod random;

use lethe_kernels::{Cpu, prefer_huge_pages};
use lethe_kv::PagesMut;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[allow(unused_imports)] // as above
pub(crate) use random::{Random, weights};

/// Seconds of one call of `f`: the fastest tenth of as many as fit into half a second, three at least,
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
    times.sort_by(f64::total_cmp);
    times[times.len() / 10]
}

/// How the memory of [`read_bandwidth`] is walked through.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Order {
    /// Front to back.
    Straight,
    /// Pieces of this many bytes in random order.
    Shuffled(usize),
}

/// Bytes per second that the threads of `cpu` read together from memory: 32 MiB at a time out of 1 GiB, on huge pages.
pub(crate) fn read_bandwidth(cpu: &Cpu, order: Order) -> f64 {
    const TASKS: usize = 32;
    let mut buffer: Vec<f32> = vec![0.0; 1 << 28];
    prefer_huge_pages(&mut PagesMut::F32(&mut buffer));
    buffer.fill(1.0);
    let piece = if let Order::Shuffled(bytes) = order { bytes / 4 } else { 1 << 18 };
    let mut starts: Vec<usize> = (0..buffer.len()).step_by(piece).collect();
    if order != Order::Straight {
        shuffle(&mut starts, &mut Random(3));
    }
    let per_task = (1 << 18) / piece;
    let mut turn = 0;
    let time = seconds(|| {
        turn += 1;
        let first = turn * TASKS * per_task % starts.len();
        cpu.run(TASKS, &|task, _| {
            let mut sums = [0u32; 128];
            for start in &starts[first + task * per_task..][..per_task] {
                for x in buffer[*start..start + piece].as_chunks::<128>().0 {
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum ^= x.to_bits();
                    }
                }
            }
            black_box(sums);
        });
    });
    (TASKS << 20) as f64 / time
}

/// Any order, all equally likely.
pub(crate) fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for i in (1..items.len()).rev() {
        items.swap(i, (random.bits() % (i as u64 + 1)) as usize);
    }
}
