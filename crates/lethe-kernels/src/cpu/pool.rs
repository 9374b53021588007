//! The one compute pool: the caller and `threads - 1` workers share the tasks of one run at a time.
//!
//! A decoder step is hundreds of short runs, so a run must cost about a microsecond: tasks are handed out by an atomic
//! counter, and workers spin for a moment between runs before they sleep. A worker that has not woken up yet is not
//! waited for: it must pass the *gate*, which the caller shuts when the tasks are gone.

use crate::error::CpuError;
use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Spins before a worker sleeps: some 100 microseconds, longer than the gaps within a decoder step.
const SPINS: usize = 4096;

/// Gate bit: workers may enter. The bits below it count those inside.
const OPEN: usize = 1 << (usize::BITS - 1);

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

#[derive(Clone, Copy)]
struct Job {
    f: *const Task<'static>,
    tasks: usize,
}

struct Shared {
    job: UnsafeCell<Option<Job>>,
    gate: AtomicUsize,
    next: AtomicUsize,
    round: AtomicUsize,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written only by the caller of `run`, who holds `Pool::running`, while the gate is shut and nobody is
// inside; it is read only inside the gate, whose opening (release) and entering (acquire) order the two. The closure
// behind it is `Sync` and outlives the run.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    running: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

/// Locks; a panic elsewhere leaves nothing half done in these mutexes, so poison is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new(threads: usize) -> Result<Pool, CpuError> {
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            gate: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            panic: Mutex::new(None),
        });
        let mut pool = Pool { shared, workers: Vec::with_capacity(threads - 1), running: Mutex::new(()) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("lethe-compute-{index}"))
                .spawn(move || shared.work(index))
                .map_err(|source| CpuError::Spawn { index, source })?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    pub(super) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    pub(super) fn run(&self, tasks: usize, f: &Task<'_>) {
        if self.workers.is_empty() || tasks <= 1 {
            return (0..tasks).for_each(|task| f(task, 0));
        }
        let running = lock(&self.running);
        let shared = &*self.shared;
        // SAFETY: the lifetime is forgotten, but nobody uses the pointer after `shut` below, and `f` lives until then.
        let f = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(f) };
        // SAFETY: this thread holds `running`, and the gate is shut and empty since the last run: no other access.
        unsafe { *shared.job.get() = Some(Job { f, tasks }) };
        shared.next.store(0, Ordering::Relaxed);
        shared.gate.store(OPEN, Ordering::Release);
        shared.announce();
        shared.share(Job { f, tasks }, 0);
        shared.shut();
        let panic = lock(&shared.panic).take();
        drop(running);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

impl Shared {
    /// Tells the workers that something happened: a run, or the end.
    fn announce(&self) {
        // Sequentially consistent on both sides: either a worker that is about to sleep sees the new round,
        // or this thread sees the sleeper.
        self.round.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.sleep));
            self.wake.notify_all();
        }
    }

    /// A worker's life.
    fn work(&self, worker: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            if self.stop.load(Ordering::Acquire) {
                return;
            }
            if self.enter() {
                // SAFETY: inside the gate the job is set and does not change.
                if let Some(job) = unsafe { *self.job.get() } {
                    self.share(job, worker);
                }
                self.gate.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Waits for a round other than `seen`; spins first, then sleeps.
    fn wait(&self, seen: usize) -> usize {
        for _ in 0..SPINS {
            let round = self.round.load(Ordering::Acquire);
            if round != seen {
                return round;
            }
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let round = loop {
            let round = self.round.load(Ordering::SeqCst);
            if round != seen {
                break round;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        round
    }

    /// Steps inside if the gate is open.
    fn enter(&self) -> bool {
        self.gate
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |gate| (gate & OPEN != 0).then_some(gate + 1))
            .is_ok()
    }

    /// Takes tasks until none is left. A panic is kept for the caller and ends the run early.
    fn share(&self, job: Job, worker: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the caller of `run` keeps the closure alive until everyone has left the gate.
            let f = unsafe { &*job.f };
            loop {
                let task = self.next.fetch_add(1, Ordering::Relaxed);
                if task >= job.tasks {
                    break;
                }
                f(task, worker);
            }
        }));
        if let Err(payload) = result {
            self.next.store(job.tasks, Ordering::Relaxed);
            lock(&self.panic).get_or_insert(payload);
        }
    }

    /// Shuts the gate and waits until the last worker has left.
    fn shut(&self) {
        self.gate.fetch_and(!OPEN, Ordering::Relaxed);
        for spin in 0.. {
            if self.gate.load(Ordering::Acquire) == 0 {
                break;
            }
            if spin < SPINS {
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.announce();
        for worker in self.workers.drain(..) {
            // A worker's panic was already handed to the caller of its run.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_task_runs_once_on_a_known_worker() {
        for threads in 1..=4 {
            let pool = Pool::new(threads).unwrap();
            for tasks in [0, 1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, &|task, worker| {
                    assert!(worker < threads);
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn many_short_runs_from_several_callers() {
        let pool = Pool::new(3).unwrap();
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        pool.run(5, &|_, _| {
                            total.fetch_add(1, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 3 * 500 * 5);
    }

    #[test]
    fn sleeping_workers_wake_up() {
        let pool = Pool::new(2).unwrap();
        thread::sleep(Duration::from_millis(20)); // long enough to fall asleep
        let meet = std::sync::Barrier::new(2);
        pool.run(2, &|_, _| {
            meet.wait(); // needs both threads
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3).unwrap();
        for _ in 0..20 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(64, &|task, _| assert!(task != 13, "task thirteen"));
            }));
            let payload = caught.unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"task thirteen"));
        }
        let count = AtomicUsize::new(0);
        pool.run(100, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 100);
    }
}
