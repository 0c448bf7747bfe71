//! Connections that have not agreed on TLS yet. There are only so many: each new
//! one beyond that ends the oldest. Whoever means it is done in an instant, and
//! whoever only fills the places keeps nobody out for long.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All of them.
pub(crate) struct HalfOpen {
    limit: usize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    next: u64,
    taken: BTreeMap<u64, Arc<Notify>>,
}

/// One of them, until it is dropped.
pub(crate) struct Place {
    number: u64,
    lost: Arc<Notify>,
    all: Arc<HalfOpen>,
}

impl HalfOpen {
    /// None yet, and never more than `limit`.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let places = Mutex::default();
        Arc::new(Self { limit, places })
    }

    /// Takes a place, the oldest one's if there is no other.
    pub(crate) fn enter(self: &Arc<Self>) -> Place {
        let mut places = self.places();
        while places.taken.len() >= self.limit
            && let Some((_, oldest)) = places.taken.pop_first()
        {
            oldest.notify_one();
        }
        let number = places.next;
        places.next += 1;
        let lost = Arc::new(Notify::new());
        places.taken.insert(number, Arc::clone(&lost));
        let all = Arc::clone(self);
        Place { number, lost, all }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until the place is needed for another.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.places().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &Place) -> bool {
        let mut lost = std::pin::pin!(place.lost());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        lost.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn the_oldest_makes_room_and_those_who_left_do_not_count() {
        let all = HalfOpen::new(2);
        let (first, second) = (all.enter(), all.enter());
        drop(first);
        let third = all.enter();
        assert!(!is_lost(&second) && !is_lost(&third));
        let fourth = all.enter();
        assert!(is_lost(&second) && !is_lost(&third) && !is_lost(&fourth));
        drop(second);
        let fifth = all.enter();
        assert!(is_lost(&third) && !is_lost(&fourth) && !is_lost(&fifth));
    }
}
