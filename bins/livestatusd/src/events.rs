//! What happens here, counted by kind, and a wake-up call for those who wait
//! for it.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use livestatus::query::Trigger;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Shortest time between two looks at a condition: a dump has thousands of
/// events a second, and nobody needs to know to the millisecond.
const PAUSE: Duration = Duration::from_millis(10);

/// Kinds of events, [`Trigger::All`] included.
const KINDS: usize = 8;

/// Everything that happened.
#[derive(Debug, Default)]
pub(crate) struct Events {
    changes: AtomicU64,
    counts: [AtomicU64; KINDS],
    wake: Notify,
    waiting: AtomicUsize,
}

impl Events {
    /// Notes that what is saved is out of date.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Grows with every change of anything.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Notes an event of that kind.
    pub(crate) fn happened(&self, kind: Trigger) {
        for kind in [kind, Trigger::All] {
            self.counts[kind as usize].fetch_add(1, Ordering::SeqCst);
        }
        // Whoever counts himself as waiting after this sees the new count.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake.notify_waiters();
        }
    }

    /// How many events of that kind there were.
    pub(crate) fn count(&self, kind: Trigger) -> u64 {
        self.counts[kind as usize].load(Ordering::SeqCst)
    }

    /// Waits until there were more events of that kind than `seen`, or the time
    /// is up, and returns how many there were.
    pub(crate) async fn more_than(&self, seen: u64, kind: Trigger, end: Instant) -> u64 {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self);
        sleep_until((Instant::now() + PAUSE).min(end)).await;
        loop {
            let mut woken = pin!(self.wake.notified());
            woken.as_mut().enable();
            let count = self.count(kind);
            if count > seen {
                return count;
            }
            tokio::select! {
                () = woken => {}
                () = sleep_until(end) => return count,
            }
        }
    }
}

/// One who waits.
struct Waiting<'e>(&'e Events);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn who_waits_hears_of_what_it_waits_for_only() {
        let events = Arc::new(Events::default());
        let far = Instant::now() + Duration::from_secs(3600);
        let waiting = tokio::spawn({
            let events = Arc::clone(&events);
            async move { events.more_than(0, Trigger::State, far).await }
        });
        for _ in 0..3 {
            events.happened(Trigger::Check);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!waiting.is_finished());
        }
        events.happened(Trigger::State);
        assert_eq!(waiting.await.unwrap(), 1);
        assert_eq!(events.count(Trigger::All), 4);
        // What happened before is not waited for.
        assert_eq!(events.more_than(3, Trigger::All, far).await, 4);
        let soon = Instant::now() + Duration::from_secs(1);
        assert_eq!(events.more_than(4, Trigger::All, soon).await, 4);
        assert_eq!(events.waiting.load(Ordering::SeqCst), 0);
    }
}
