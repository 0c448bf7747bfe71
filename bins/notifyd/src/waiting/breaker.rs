//! When a lane as a whole does not work, not every notification has to find out
//! for itself: after some failures in a row, of different objects, one is tried
//! now and then until one gets through, and the others wait.
//!
//! | state | what may be tried | goes to |
//! |---|---|---|
//! | closed | everything | open, after so many failures in a row |
//! | open | nothing until the pause is over, then one | closed when anything gets through; open with a longer pause when the probe fails |

use std::time::{Duration, Instant};

/// How many pauses in a row get longer.
const MOST_DOUBLINGS: u32 = 20;

/// One lane's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// So many failures in a row open it; 0: none do.
    limit: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// What has failed since something got through last, each once.
    Closed { failed: Vec<u64> },
    Open {
        since: Instant,
        /// When one may be tried.
        until: Instant,
        /// How many probes have failed.
        probes: u32,
        /// The work that finds out.
        probe: Option<u64>,
    },
}

/// What may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    All,
    /// One, whatever it is.
    Probe,
    Nothing,
}

impl Breaker {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: State::Closed { failed: Vec::new() },
        }
    }

    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        if limit == 0 {
            self.state = State::Closed { failed: Vec::new() };
        }
    }

    pub(crate) fn may(&self, now: Instant) -> May {
        match &self.state {
            State::Closed { .. } => May::All,
            State::Open { until, probe, .. } if probe.is_none() && *until <= now => May::Probe,
            State::Open { .. } => May::Nothing,
        }
    }

    /// `work` begins.
    pub(crate) fn began(&mut self, work: u64) {
        if let State::Open { probe, .. } = &mut self.state {
            *probe = Some(work);
        }
    }

    /// `work` came to nothing, without having been tried.
    pub(crate) fn forgot(&mut self, work: u64) {
        if let State::Open { probe, .. } = &mut self.state
            && *probe == Some(work)
        {
            *probe = None;
        }
    }

    /// The lane works: `work` got through, or was refused for good. Whether that
    /// is news.
    pub(crate) fn worked(&mut self) -> bool {
        let was_open = self.is_open();
        self.state = State::Closed { failed: Vec::new() };
        was_open
    }

    /// `work` about `what` has failed. The pause before the next probe is
    /// `first`, doubled for each that failed already, up to `longest`; never
    /// shorter than `at_least`. Whether it is open now and was not.
    pub(crate) fn failed(
        &mut self,
        (work, what): (u64, u64),
        (first, longest): (Duration, Duration),
        at_least: Duration,
        now: Instant,
    ) -> bool {
        let pause = |probes: u32| {
            let factor = 1u32 << probes.min(MOST_DOUBLINGS);
            first.saturating_mul(factor).min(longest).max(at_least)
        };
        match &mut self.state {
            State::Closed { failed } => {
                if !failed.contains(&what) {
                    failed.push(what);
                }
                if self.limit == 0 || failed.len() < self.limit {
                    // Only the last ones are in a row of any interest.
                    return false;
                }
                self.state = State::Open {
                    since: now,
                    until: now + pause(0),
                    probes: 0,
                    probe: None,
                };
                true
            }
            State::Open {
                until,
                probes,
                probe,
                ..
            } => {
                if *probe == Some(work) {
                    *probes += 1;
                    *probe = None;
                    *until = now + pause(*probes);
                }
                false
            }
        }
    }

    /// The next probe does not wait.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let State::Open { until, .. } = &mut self.state {
            *until = now.min(*until);
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Since when it is open, and when the next probe is; not while that runs.
    pub(crate) fn open(&self) -> Option<(Instant, Option<Instant>)> {
        match &self.state {
            State::Closed { .. } => None,
            State::Open {
                since,
                until,
                probe,
                ..
            } => Some((*since, probe.is_none().then_some(*until))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(900));

    fn fail(breaker: &mut Breaker, work: u64, what: u64, now: Instant) -> bool {
        breaker.failed((work, what), PAUSES, Duration::ZERO, now)
    }

    #[test]
    fn failures_of_different_objects_in_a_row_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3);
        for (work, what) in [(1, 1), (2, 1), (3, 1), (4, 2)] {
            assert!(!fail(&mut breaker, work, what, now));
        }
        assert!(!breaker.worked(), "it was not open");
        for (work, what) in [(5, 1), (6, 2)] {
            assert!(!fail(&mut breaker, work, what, now));
            assert_eq!(breaker.may(now), May::All);
        }
        assert!(fail(&mut breaker, 7, 3, now));
        assert_eq!(breaker.may(now), May::Nothing);
    }

    #[test]
    fn one_probes_after_pauses_that_double() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(1);
        assert!(fail(&mut breaker, 1, 1, now));
        let mut work = 1;
        for secs in [30, 60, 120, 240, 480, 900, 900] {
            let pause = Duration::from_secs(secs);
            let before = now + pause - Duration::from_millis(1);
            assert_eq!(breaker.may(before), May::Nothing, "{secs}");
            now += pause;
            assert_eq!(breaker.may(now), May::Probe, "{secs}");
            work += 1;
            breaker.began(work);
            assert_eq!(breaker.may(now), May::Nothing, "one at a time");
            // What began before it opened says nothing new.
            assert!(!fail(&mut breaker, 1, 9, now));
            assert_eq!(breaker.open().unwrap().1, None);
            assert!(!fail(&mut breaker, work, 7, now), "that is no news");
        }
        breaker.hurry(now);
        assert_eq!(breaker.may(now), May::Probe);
        breaker.began(99);
        breaker.forgot(99);
        assert_eq!(breaker.may(now), May::Probe);
        assert!(breaker.worked());
        assert_eq!(breaker.may(now), May::All);
    }

    #[test]
    fn it_waits_as_long_as_it_was_told() {
        let now = Instant::now();
        let mut breaker = Breaker::new(1);
        let long = Duration::from_secs(3000);
        breaker.failed((1, 1), PAUSES, long, now);
        assert_eq!(breaker.open().unwrap().1, Some(now + long));
    }

    #[test]
    fn it_can_be_switched_off() {
        let now = Instant::now();
        let mut breaker = Breaker::new(1);
        assert!(fail(&mut breaker, 1, 1, now));
        breaker.set_limit(0);
        for n in 0..100 {
            assert!(!fail(&mut breaker, n, n, now));
        }
        assert_eq!(breaker.may(now), May::All);
    }
}
