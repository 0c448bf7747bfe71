//! How many processes all lanes run together.
//!
//! A lane that runs none gets one as long as there is any left; one that runs
//! some leaves the last ones to others. So lanes whose processes hang do not
//! take them all.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::stop::Stop;

/// Most processes at once.
const MOST: usize = 32;
/// So many of them are only for lanes that run none.
const LEFT: usize = 8;
/// How often who waits looks whether the daemon ends.
const LOOK: Duration = Duration::from_millis(200);

/// Shared by all lanes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By the number of the lane.
    running: Mutex<BTreeMap<usize, usize>>,
    ended: Condvar,
}

/// One process may run as long as this is there.
#[derive(Debug)]
pub(crate) struct Place {
    lane: usize,
    of: Processes,
}

impl Processes {
    /// Waits until the lane may run one more; none if the daemon ends before.
    pub(crate) fn enter(&self, lane: usize, stop: &Stop) -> Option<Place> {
        let mut running = self.lock();
        while !may_run(&running, lane) {
            if stop.is_over(Instant::now()) {
                return None;
            }
            let waited = self.0.ended.wait_timeout(running, LOOK);
            (running, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *running.entry(lane).or_default() += 1;
        Some(Place {
            lane,
            of: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        // Whoever panicked while holding it left plain numbers behind.
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.of.lock();
        if let Some(count) = running.get_mut(&self.lane) {
            *count -= 1;
        }
        drop(running);
        self.of.0.ended.notify_all();
    }
}

fn may_run(running: &BTreeMap<usize, usize>, lane: usize) -> bool {
    let own = running.get(&lane).copied().unwrap_or(0);
    let all: usize = running.values().sum();
    all < if own > 0 { MOST - LEFT } else { MOST }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lane_does_not_take_them_all() {
        let (processes, stop) = (Processes::default(), Stop::default());
        let mut places = Vec::new();
        for _ in 0..MOST - LEFT {
            places.extend(processes.enter(0, &stop));
        }
        assert!(!may_run(&processes.lock(), 0));
        for lane in 1..=LEFT {
            places.extend(processes.enter(lane, &stop));
            assert!(!may_run(&processes.lock(), lane), "{lane}");
        }
        assert_eq!(places.len(), MOST);
        assert!(!may_run(&processes.lock(), 99), "all are taken");
        places.remove(0);
        assert!(may_run(&processes.lock(), 99));
    }

    #[test]
    fn who_waits_gets_the_next_one_or_learns_that_all_is_over() {
        let (processes, stop) = (Processes::default(), Stop::default());
        let mut places = Vec::new();
        for _ in 0..MOST - LEFT {
            places.extend(processes.enter(0, &stop));
        }
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| processes.enter(0, &stop));
            places.pop();
            let place = waiting.join().unwrap();
            assert!(place.is_some());
            places.extend(place);
            let waiting = scope.spawn(|| processes.enter(0, &stop));
            stop.begin(Instant::now());
            assert!(waiting.join().unwrap().is_none());
        });
    }
}
