//! How fast this machine reads memory: what decoding is measured against.

use std::hint::black_box;
use std::time::{Duration, Instant};

use lethe_kernels::{Cpu, prefer_huge_pages};
use lethe_kv::PagesMut;

/// Numbers of the buffer: 256 MiB, more than caches hold.
const LEN: usize = 1 << 26;
/// Numbers that a thread reads at a time.
const PIECE: usize = 1 << 18;

/// Numbers of a cache line. Memory gives whole lines, so one of each is enough.
const LINE: usize = 16;

/// Bytes per second that the threads of `cpu` read together. The fastest pass of a few: other work on the machine only
/// ever takes time away.
pub(super) fn read(cpu: &Cpu) -> f64 {
    let mut buffer = vec![0.0f32; LEN];
    prefer_huge_pages(&mut PagesMut::F32(&mut buffer)); // as the KV pool lies
    buffer.fill(1.0); // untouched memory is not there yet
    let pass = || {
        let began = Instant::now();
        cpu.run(LEN / PIECE, &|piece, _| {
            let numbers = &buffer[piece * PIECE..][..PIECE];
            black_box(numbers.iter().step_by(LINE).fold(0, |sum, x| sum ^ x.to_bits()));
        });
        began.elapsed()
    };
    let (began, mut fastest) = (Instant::now(), pass());
    while began.elapsed() < Duration::from_millis(300) {
        fastest = fastest.min(pass());
    }
    (LEN * size_of::<f32>()) as f64 / fastest.as_secs_f64()
}
