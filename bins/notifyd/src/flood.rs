//! The same complaint again and again is told a few times, then counted.

use std::time::{Duration, Instant};

/// Complaints told in one period.
const TOLD: u32 = 20;
const PERIOD: Duration = Duration::from_secs(60);

/// How much was said lately.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    since: Option<Instant>,
    seen: u32,
}

impl Flood {
    /// Whether the next complaint may be told, and what to append to it:
    /// nothing, or how many were not told before it.
    pub(crate) fn allows(&mut self, now: Instant) -> Option<String> {
        let mut untold = 0;
        if self.since.is_none_or(|since| now >= since + PERIOD) {
            untold = self.seen.saturating_sub(TOLD);
            self.since = Some(now);
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(1);
        let note = match untold {
            0 => String::new(),
            untold => format!(" ({untold} more before this one were not logged)"),
        };
        (self.seen <= TOLD).then_some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_a_few_times_and_then_counted() {
        let start = Instant::now();
        let mut flood = Flood::default();
        let told = (0..100).filter(|_| flood.allows(start).is_some()).count();
        assert_eq!(told, 20);
        let note = flood.allows(start + PERIOD).unwrap();
        assert_eq!(note, " (80 more before this one were not logged)");
        assert_eq!(flood.allows(start + PERIOD).unwrap(), "");
    }
}
