//! The time, as the owner of the journal and what belongs to it ask for it: the
//! machine's, or in a simulation that of the simulated world.

use std::time::Instant;

use objects::UnixTime;

/// Of the clock that never goes back.
pub(crate) fn instant() -> Instant {
    #[cfg(test)]
    if let Some(now) = simulated::NOW.get() {
        return now;
    }
    Instant::now()
}

/// Of the clock on the wall.
pub(crate) fn time() -> UnixTime {
    #[cfg(test)]
    if let Some(now) = simulated::NOW.get() {
        let since = now.duration_since(simulated::START.get().unwrap_or(now));
        return UnixTime::from_micros(simulated::BEGAN.micros() + since.as_micros() as i64);
    }
    std::time::SystemTime::now().into()
}

#[cfg(test)]
pub(crate) use simulated::{simulate, stop_simulating};

#[cfg(test)]
mod simulated {
    use std::cell::Cell;
    use std::time::Instant;

    use objects::UnixTime;

    pub(super) const BEGAN: UnixTime = UnixTime::from_secs(1_795_216_800);

    thread_local! {
        pub(super) static START: Cell<Option<Instant>> = const { Cell::new(None) };
        pub(super) static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    /// For this thread it is `now`, from now on.
    pub(crate) fn simulate(now: Instant) {
        if START.get().is_none() {
            START.set(Some(now));
        }
        NOW.set(Some(now));
    }

    pub(crate) fn stop_simulating() {
        START.set(None);
        NOW.set(None);
    }
}
