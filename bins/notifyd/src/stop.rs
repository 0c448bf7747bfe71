//! The end of the daemon, as every thread learns of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Shared by all threads: whether the daemon is to end, and until when work
/// that has begun may go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<Mutex<Option<Instant>>>);

impl Stop {
    /// Nothing new may begin; what runs may run until `deadline`.
    pub(crate) fn begin(&self, deadline: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
    }

    /// Whether the time for finishing is over.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        let deadline = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.is_some_and(|deadline| now >= deadline)
    }
}
