//! The end of collecting, as every thread in there learns of it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by all threads.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub(crate) fn stop(&self) {
        *self.lock() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.lock()
    }

    /// Whether it was stopped before this time came.
    pub(crate) fn wait_until(&self, time: Instant) -> bool {
        let patience = time.saturating_duration_since(Instant::now());
        self.wait(patience)
    }

    /// Whether it was stopped within this time.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let waited = self
            .0
            .1
            .wait_timeout_while(self.lock(), patience, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
