//! How long to wait before the next attempt to connect.

use std::time::{Duration, Instant};

/// The first pause.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: start over.
const GOOD: Duration = Duration::from_secs(60);
/// The part of a pause that chance may take away, so that many sites that lost
/// the same peer do not come back at the same moment.
const JITTER: f64 = 0.2;

/// The pauses between the attempts to reach one peer: 1 s, doubling to 60 s.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backoff {
    failures: u32,
    established: Option<Instant>,
}

impl Backoff {
    /// The peer has introduced itself.
    pub fn established(&mut self, now: Instant) {
        self.established = Some(now);
    }

    /// The connection ended, or could not be made: how long to wait. `random`
    /// is between 0 and 1.
    pub fn failed(&mut self, now: Instant, random: f64) -> Duration {
        let lasted = self
            .established
            .take()
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if lasted >= GOOD {
            self.failures = 0;
        }
        let pause = pause(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

fn pause(failures: u32, random: f64) -> Duration {
    let full = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
    full.mul_f64(1.0 - JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        let pauses: Vec<u64> = (0..8).map(|_| backoff.failed(now, 0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(u32::MAX, 0.0), LONGEST);
    }

    #[test]
    fn chance_takes_away_at_most_a_fifth() {
        assert_eq!(pause(0, 1.0), Duration::from_millis(800));
        assert_eq!(pause(9, 0.5), Duration::from_secs(54));
        assert_eq!(pause(0, f64::INFINITY), Duration::from_millis(800));
    }

    #[test]
    fn only_a_connection_that_lasted_starts_over() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.failed(start, 0.0);
        }
        backoff.established(start);
        let short = backoff.failed(start + Duration::from_secs(59), 0.0);
        assert_eq!(short, Duration::from_secs(32));
        backoff.established(start);
        let long = backoff.failed(start + Duration::from_secs(60), 0.0);
        assert_eq!(long, FIRST);
    }
}
