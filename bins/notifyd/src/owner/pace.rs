//! How much may be on its way over one link: what its line carries in a few
//! seconds. More would only wait in buffers, where nothing can overtake it; on
//! a thin line a fresh notification would come after all of that.

use std::time::Duration;

/// What is tried first, and what always may be on its way, in bytes.
const FIRST: u64 = 256 << 10;
const LEAST: u64 = 64 << 10;
/// No window is larger.
const MOST: u64 = 64 << 20;
/// What was settled this soon says that the line carries more.
const PROMPT: Duration = Duration::from_secs(4);
/// What was settled this late waited for others on its way.
const LATE: Duration = Duration::from_secs(8);

/// What is known of the line.
#[derive(Debug)]
pub(super) struct Pace {
    allowed: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { allowed: FIRST }
    }
}

impl Pace {
    /// Whether another one may follow so many bytes.
    pub(super) fn allows(&self, bytes_in_doubt: u64) -> bool {
        bytes_in_doubt < self.allowed
    }

    /// So many bytes took so long.
    pub(super) fn settled(&mut self, bytes: u64, took: Duration) {
        if took < PROMPT {
            self.allowed = (self.allowed + bytes).min(MOST);
        } else if took > LATE {
            self.allowed = self.allowed.saturating_sub(bytes).max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line of `rate` bytes a second has under way after a while.
    fn under_way(rate: u64) -> u64 {
        let mut pace = Pace::default();
        for _ in 0..2000 {
            // Everything allowed is sent, and each message waits for those before it.
            let took = Duration::from_millis(100 + pace.allowed * 1000 / rate);
            pace.settled(2048, took);
        }
        pace.allowed
    }

    #[test]
    fn a_thin_line_has_seconds_under_way_and_a_fast_one_as_much_as_it_likes() {
        let thin = under_way(32_000);
        assert!(thin <= 8 * 32_000, "{thin}");
        assert!(thin >= LEAST, "{thin}");
        assert_eq!(under_way(1000), LEAST);
        let fast = under_way(100_000_000);
        assert!(fast >= FIRST + 2000 * 2048, "{fast}");
    }
}
