//! The processor as the engine sees it: a SIMD level and one pool of threads.

mod cores;
mod level;
mod pool;

pub use level::Level;

use crate::error::CpuError;
use pool::Pool;

/// How to set up a [`Cpu`]; the default asks for everything the machine has.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// Compute threads; by default the physical cores this process may use (affinity and quota counted).
    pub threads: Option<usize>,
    /// SIMD level; by default `LETHE_SIMD` if set, else the best of the machine.
    pub level: Option<Level>,
}

/// Owner of the one compute pool and of the SIMD level: every operation takes it. Made once per process.
#[derive(Debug)]
pub struct Cpu {
    pool: Pool,
    level: Level,
}

impl Cpu {
    /// Picks the level and starts the pool.
    ///
    /// # Errors
    /// A thread count outside `1..=1024`, an unknown or unsupported level, a thread the system refuses.
    pub fn new(options: CpuOptions) -> Result<Cpu, CpuError> {
        let level = match options.level {
            Some(level) => level.supported()?,
            None => Level::from_env()?,
        };
        let threads = options.threads.unwrap_or_else(cores::physical);
        if !(1..=1024).contains(&threads) {
            return Err(CpuError::Threads(threads));
        }
        Ok(Cpu { pool: Pool::new(threads)?, level })
    }

    /// Threads that compute, the caller of an operation included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The SIMD level in use.
    pub fn level(&self) -> Level {
        self.level
    }

    /// A line to show at start when the machine has no fast level.
    pub fn notice(&self) -> Option<String> {
        (Level::best() == Level::Reference).then(|| {
            "no SIMD kernels for this processor (NEON, AVX2 with FMA and F16C, or AVX-512 is needed): the plain \
             reference kernels are used, many times slower"
                .to_string()
        })
    }

    /// Runs `f(task, worker)` for every task in `0..tasks`, `worker < threads()`. Returns when all are done.
    /// Tasks are taken in order, each by whichever thread is free. Allocates nothing.
    ///
    /// # Panics
    /// With the panic of a task; the pool stays usable. `f` must not call `run` of the same `Cpu`: it would wait for itself.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        self.pool.run(tasks, f);
    }

    /// Splits `0..n` into ranges of at least `grain` and runs them: small work stays on the calling thread.
    pub(crate) fn split(&self, n: usize, grain: usize, f: impl Fn(std::ops::Range<usize>) + Sync) {
        let parts = (n / grain.max(1)).clamp(1, self.threads() * 4);
        let step = n.div_ceil(parts);
        self.run(parts, &|task, _| {
            let range = (task * step).min(n)..((task + 1) * step).min(n);
            if !range.is_empty() {
                f(range);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_thread_counts_are_refused() {
        for threads in [0, 1025, usize::MAX] {
            let error = Cpu::new(CpuOptions { threads: Some(threads), level: Some(Level::Reference) }).unwrap_err();
            assert!(matches!(error, CpuError::Threads(n) if n == threads), "{error}");
        }
    }

    #[test]
    fn splits_cover_everything_once() {
        let cpu = Cpu::new(CpuOptions { threads: Some(2), level: Some(Level::Reference) }).unwrap();
        for (n, grain) in [(0, 1), (1, 10), (9, 2), (10, 0), (1000, 7)] {
            let seen: Vec<_> = (0..n).map(|_| std::sync::atomic::AtomicUsize::new(0)).collect();
            cpu.split(n, grain, |range| {
                for i in range {
                    seen[i].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
            assert!(seen.into_iter().all(|count| count.into_inner() == 1), "{n} by {grain}");
        }
    }

    #[test]
    fn only_machines_without_simd_get_a_notice() {
        let cpu = Cpu::new(CpuOptions { threads: Some(1), level: Some(Level::Reference) }).unwrap();
        assert_eq!(cpu.notice().is_some(), Level::best() == Level::Reference);
    }
}
