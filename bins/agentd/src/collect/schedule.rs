//! Work that is done again and again, each at its own interval, by not more
//! than so many threads.
//!
//! All of it is done once at the start. After that the turns are spread over
//! the interval, so that what has the same interval does not come all at once.
//! What is late is not made up for, and nothing overlaps with itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Enough for those who start programs and speak with sockets.
const STACK: usize = 256 << 10;

/// Something that is to be done from time to time.
pub(crate) struct Job {
    pub(crate) interval: Duration,
    /// Until it is done for the first time.
    pub(crate) delay: Duration,
    pub(crate) work: Box<dyn FnMut() + Send>,
}

/// The threads that do it.
pub(crate) struct Schedule {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<Waiting>,
    /// Counted only until all has been done for the first time.
    undone: usize,
    stopped: bool,
}

struct Waiting {
    due: Instant,
    /// The turns are at this time and whole intervals after it.
    phase: Instant,
    is_first: bool,
    job: Job,
}

impl Schedule {
    /// A thread that cannot be started is missing, and the others do its work.
    pub(crate) fn start(jobs: Vec<Job>, workers: usize) -> Self {
        let workers = workers.clamp(1, jobs.len().max(1));
        let now = Instant::now();
        let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX).max(1);
        let undone = jobs.len();
        let waiting = (0..)
            .zip(jobs)
            .map(|(number, job)| Waiting {
                due: now + job.delay,
                phase: now + job.delay + job.interval / count * number,
                is_first: true,
                job,
            })
            .collect();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting,
                undone,
                stopped: undone == 0,
            }),
            changed: Condvar::new(),
        });
        let threads = (0..workers)
            .filter_map(|_| {
                let shared = Arc::clone(&shared);
                thread::Builder::new()
                    .name("work".to_owned())
                    .stack_size(STACK)
                    .spawn(move || while shared.work() {})
                    .ok()
            })
            .collect();
        Self { shared, threads }
    }

    /// Waits until everything has been done once.
    pub(crate) fn wait_for_all(&self) {
        let mut state = self.shared.lock();
        while state.undone > 0 && !state.stopped && !self.threads.is_empty() {
            state = wait(&self.shared.changed, state, None);
        }
    }

    /// Begins nothing new, and leaves alone what is being done.
    pub(crate) fn leave(&self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }

    /// Begins nothing new, and waits for what is being done: that must see for
    /// itself that it is time.
    pub(crate) fn stop(self) {
        self.leave();
        for thread in self.threads {
            // Who panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Does what is due next, when it is due; `false` at the end.
    fn work(&self) -> bool {
        let Some(mut next) = self.next() else {
            return false;
        };
        // A panic has been told, and the next turn may be better.
        let _ = catch_unwind(AssertUnwindSafe(|| (next.job.work)()));
        let now = Instant::now();
        next.due = next_turn(next.phase, next.job.interval, now);
        let mut state = self.lock();
        if std::mem::take(&mut next.is_first) {
            state.undone -= 1;
        }
        state.waiting.push(next);
        drop(state);
        self.changed.notify_all();
        true
    }

    fn next(&self) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            let next = (0..state.waiting.len()).min_by_key(|at| state.waiting[*at].due);
            let patience = match next {
                Some(at) => {
                    let due = state.waiting[at].due;
                    let patience = due.saturating_duration_since(Instant::now());
                    if patience.is_zero() {
                        return Some(state.waiting.swap_remove(at));
                    }
                    Some(patience)
                }
                None => None,
            };
            state = wait(&self.changed, state, patience);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a>(
    changed: &Condvar,
    state: MutexGuard<'a, State>,
    patience: Option<Duration>,
) -> MutexGuard<'a, State> {
    match patience {
        Some(patience) => {
            changed
                .wait_timeout(state, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        }
        None => changed.wait(state).unwrap_or_else(PoisonError::into_inner),
    }
}

/// The first turn after `now`.
fn next_turn(phase: Instant, interval: Duration, now: Instant) -> Instant {
    let Some(past) = now.checked_duration_since(phase) else {
        return phase;
    };
    let interval = interval.max(Duration::from_millis(1));
    let rest = past.as_nanos() % interval.as_nanos();
    // Less than the interval, which fits.
    now + interval - Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn turns_are_whole_intervals_apart_and_late_ones_are_left_out() {
        let phase = Instant::now();
        let secs = Duration::from_secs;
        for (passed, want) in [(0, 10), (1, 10), (9, 10), (10, 20), (25, 30), (100, 110)] {
            let turn = next_turn(phase, secs(10), phase + secs(passed));
            assert_eq!(turn - phase, secs(want), "{passed}");
        }
        let turn = next_turn(phase + secs(5), secs(10), phase);
        assert_eq!(turn - phase, secs(5));
    }

    #[test]
    fn everything_is_done_once_and_then_again_by_so_many_at_a_time() {
        let counts: Vec<_> = (0..5).map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let job = |count: &Arc<AtomicUsize>| {
            let (count, now, most) = (Arc::clone(count), Arc::clone(&now), Arc::clone(&most));
            Job {
                interval: Duration::from_millis(20),
                delay: Duration::ZERO,
                work: Box::new(move || {
                    let running = now.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(running, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                    count.fetch_add(1, Ordering::SeqCst);
                }),
            }
        };
        let schedule = Schedule::start(counts.iter().map(job).collect(), 2);
        schedule.wait_for_all();
        assert!(counts.iter().all(|count| count.load(Ordering::SeqCst) >= 1));
        let deadline = Instant::now() + Duration::from_secs(30);
        while counts.iter().any(|count| count.load(Ordering::SeqCst) < 3) {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(5));
        }
        schedule.stop();
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(now.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn nothing_to_do_is_done() {
        let schedule = Schedule::start(Vec::new(), 4);
        schedule.wait_for_all();
        schedule.stop();
    }
}
