//! When a host is asked: at a place of its own in every interval, a little
//! earlier or later by chance, and never later by what went before.

use std::time::Duration;

/// The part of the interval that chance may take.
const JITTER: f64 = 0.05;

/// The moments at which one host is asked, as time since a common beginning.
#[derive(Debug, Clone)]
pub(crate) struct Grid {
    interval: Duration,
    /// Where in the interval it is its turn.
    phase: Duration,
    /// The turn that comes next.
    turn: u64,
    seed: u64,
}

impl Grid {
    /// The name says where, so that a restart changes nothing.
    pub(crate) fn new(host_name: &str, interval: Duration) -> Self {
        let seed = mix(host_name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        }));
        Self {
            interval,
            phase: interval.mul_f64(share(seed) * (1.0 - JITTER)),
            turn: 0,
            seed,
        }
    }

    /// The next moment after `now`, and how many turns were missed.
    pub(crate) fn next(&mut self, now: Duration) -> (Duration, u64) {
        let mut missed = 0;
        // What was slept through is not made up for.
        let behind = now.saturating_sub(self.at(self.turn)).as_nanos() / self.interval.as_nanos();
        if behind > 1 {
            let skipped = u64::try_from(behind - 1).unwrap_or(0);
            self.turn += skipped;
            missed += skipped;
        }
        while self.at(self.turn) < now {
            self.turn += 1;
            missed += 1;
        }
        let at = self.at(self.turn);
        self.turn += 1;
        (at, missed)
    }

    fn at(&self, turn: u64) -> Duration {
        let jitter = self.interval.mul_f64(JITTER * share(mix(self.seed ^ turn)));
        let whole = self.interval.as_nanos().saturating_mul(u128::from(turn));
        let whole = Duration::from_nanos(u64::try_from(whole).unwrap_or(u64::MAX));
        whole.saturating_add(self.phase).saturating_add(jitter)
    }
}

/// Spreads the bits of a number over all of it.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 30;
    bits = bits.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^= bits >> 27;
    bits = bits.wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// From 0 to 1.
fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn turns_come_once_in_every_interval_for_ever() {
        let mut grid = Grid::new("web1", MINUTE);
        let mut now = Duration::ZERO;
        for turn in 0..10_000 {
            let (at, missed) = grid.next(now);
            assert_eq!(missed, 0);
            assert!(
                at >= MINUTE * turn && at < MINUTE * (turn + 1),
                "{turn}: {at:?}"
            );
            // Asking takes its time, and does not move the next turn.
            now = at + Duration::from_secs(u64::from(turn % 50));
            now = now.min(MINUTE * (turn + 1));
        }
    }

    #[test]
    fn what_was_missed_is_told_and_not_made_up_for() {
        let mut grid = Grid::new("web1", MINUTE);
        let (first, _) = grid.next(Duration::ZERO);
        let (next, missed) = grid.next(first + MINUTE * 100);
        assert!(missed >= 99, "{missed}");
        assert!(next >= first + MINUTE * 100 && next < first + MINUTE * 102);
    }

    #[test]
    fn hosts_are_spread_over_the_interval() {
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let (at, _) = Grid::new(&format!("host{number}"), MINUTE).next(Duration::ZERO);
            tenths[(at.as_secs_f64() / 6.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..150).contains(count)),
            "{tenths:?}"
        );
    }
}
