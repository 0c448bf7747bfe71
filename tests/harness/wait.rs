//! Waiting for a condition, never for a duration.

use std::time::{Duration, Instant};

/// How long a condition may take before the test fails. Generous, because the
/// machine may be busy; nothing waits this long when all is well.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks `condition` again and again until it has an answer.
#[track_caller]
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(
            Instant::now() < end,
            "waited {} s in vain: {what}",
            DEADLINE.as_secs()
        );
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Asks `condition` again and again until it holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || condition().then_some(()));
}
