//! Complaints that strangers can provoke as often as they like.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

/// So many of a kind are logged...
const BURST: u32 = 10;
/// ...in so much time.
const SPAN: Duration = Duration::from_secs(10);

/// One kind of complaint. What is too much is only counted, and told with the
/// next one.
#[derive(Default)]
pub(crate) struct Complaint(Mutex<State>);

#[derive(Default)]
struct State {
    began: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Complaint {
    /// Logs it, unless there were many lately.
    pub(crate) fn say(&self, what: impl Display) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.count(Instant::now()) {
            Some(0) => warn!("{what}"),
            Some(unsaid) => warn!("{what}; before that, {unsaid} of the kind were not logged"),
            None => {}
        }
    }
}

impl State {
    /// How many were left out before this one, or `None` if this one is.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now - began >= SPAN) {
            (self.began, self.said) = (Some(now), 0);
        }
        if self.said == BURST {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_later() {
        let mut state = State::default();
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(state.count(start), Some(0));
        }
        for _ in 0..5 {
            assert_eq!(state.count(start + SPAN / 2), None);
        }
        assert_eq!(state.count(start + SPAN), Some(5));
        assert_eq!(state.count(start + SPAN), Some(0));
    }
}
