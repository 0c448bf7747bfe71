//! How many notifications one contact gets by one lane: a bucket of tokens for
//! each limit, each of which fills at an even pace.
//!
//! A bucket is one moment: that at which it would be full if nothing more were
//! taken. To take a token moves it by what one token needs to come back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config::{Limit, Storm};

/// Buckets of so many contacts are kept before those that are full are let go.
const MANY: usize = 10_000;

/// How many times what a bucket holds an earlier run may have owed.
const MOST_OWED: u32 = 2;

/// The buckets of all contacts of a lane.
#[derive(Debug)]
pub(crate) struct Buckets {
    storm: Storm,
    /// By contact: when each of the buckets is full.
    full_at: HashMap<String, Vec<Instant>>,
    /// Whether any was taken since it was last asked what is owed.
    has_spent: bool,
}

impl Buckets {
    pub(crate) fn new(storm: Storm) -> Self {
        Self {
            storm,
            full_at: HashMap::new(),
            has_spent: false,
        }
    }

    pub(crate) fn has_spent(&self) -> bool {
        self.has_spent
    }

    /// How long each bucket of each contact needs until it is full.
    pub(crate) fn owed(&mut self, now: Instant) -> Vec<(String, Vec<Duration>)> {
        self.has_spent = false;
        self.full_at.retain(|_, all| all.iter().any(|at| *at > now));
        let left = |at: &Instant| at.saturating_duration_since(now);
        let all = self.full_at.iter();
        all.map(|(contact, all)| (contact.clone(), all.iter().map(left).collect()))
            .collect()
    }

    /// What an earlier run owed. With other limits than these it says nothing, and
    /// no clock makes it much more than a bucket holds.
    pub(crate) fn owe(&mut self, contact: String, left: &[Duration], now: Instant) {
        let limits = &self.storm.at_most;
        if left.len() == limits.len() {
            let all = left.iter().zip(limits);
            let all = all.map(|(left, limit)| now + (*left).min(limit.within * MOST_OWED));
            self.full_at.insert(contact, all.collect());
        }
    }

    /// A digest does not wait for a token longer than this.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.storm.interval
    }

    pub(crate) fn limits(&self) -> &Storm {
        &self.storm
    }

    /// Takes a token of each of these contacts out of each of their buckets, if
    /// they all have one.
    pub(crate) fn take(&mut self, contacts: &[String], now: Instant) -> bool {
        if self.ready_at(contacts, now) > now {
            return false;
        }
        self.spend(contacts, now);
        true
    }

    /// Takes them, or owes them.
    pub(crate) fn spend(&mut self, contacts: &[String], now: Instant) {
        if self.full_at.len() > MANY {
            self.full_at.retain(|_, all| all.iter().any(|at| *at > now));
        }
        self.has_spent = true;
        let limits = &self.storm.at_most;
        for contact in contacts {
            let full_at = self
                .full_at
                .entry(contact.clone())
                .or_insert_with(|| vec![now; limits.len()]);
            for (at, limit) in full_at.iter_mut().zip(limits) {
                *at = (*at).max(now) + comes_back(limit);
            }
        }
    }

    /// When all of these contacts have a token again; `now` if they do.
    pub(crate) fn ready_at(&self, contacts: &[String], now: Instant) -> Instant {
        let buckets = contacts.iter().filter_map(|one| self.full_at.get(one));
        let each = buckets.flat_map(|all| all.iter().zip(&self.storm.at_most));
        each.fold(now, |ready, (full_at, limit)| {
            // A bucket has a token as long as that one is not what fills it.
            let slack = limit.within.saturating_sub(comes_back(limit));
            full_at.checked_sub(slack).map_or(ready, |at| at.max(ready))
        })
    }
}

/// How long one token takes.
fn comes_back(limit: &Limit) -> Duration {
    limit.within / limit.count
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn buckets(limits: &[(u32, u64)]) -> Buckets {
        let limit = |(count, minutes): &(u32, u64)| Limit {
            count: *count,
            within: MINUTE * *minutes as u32,
        };
        Buckets::new(Storm {
            at_most: limits.iter().map(limit).collect(),
            interval: None,
        })
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn so_many_at_once_and_then_at_an_even_pace() {
        let now = Instant::now();
        let mut buckets = buckets(&[(5, 15)]);
        let ann = names(&["ann"]);
        for _ in 0..5 {
            assert!(buckets.take(&ann, now));
        }
        assert!(!buckets.take(&ann, now));
        assert!(buckets.take(&names(&["bob"]), now), "each has his own");
        assert_eq!(buckets.ready_at(&ann, now), now + 3 * MINUTE);
        assert!(buckets.take(&ann, now + 3 * MINUTE));
        assert!(!buckets.take(&ann, now + 3 * MINUTE));
        let later = now + 60 * MINUTE;
        let taken = (0..10).filter(|_| buckets.take(&ann, later)).count();
        assert_eq!(taken, 5, "no more than full");
    }

    #[test]
    fn every_limit_and_every_contact_counts() {
        let now = Instant::now();
        let mut buckets = buckets(&[(2, 1), (3, 60)]);
        let (ann, both) = (names(&["ann"]), names(&["ann", "bob"]));
        assert!(buckets.take(&both, now) && buckets.take(&both, now));
        assert_eq!(buckets.ready_at(&ann, now), now + MINUTE / 2);
        assert!(buckets.take(&ann, now + MINUTE / 2));
        assert_eq!(buckets.ready_at(&ann, now + MINUTE / 2), now + 20 * MINUTE);
        assert_eq!(buckets.ready_at(&both, now + MINUTE), now + 20 * MINUTE);
        let bob = names(&["bob"]);
        assert!(buckets.take(&bob, now + MINUTE), "ann's are not his");
    }

    #[test]
    fn what_is_owed_is_waited_for() {
        let now = Instant::now();
        let mut buckets = buckets(&[(1, 10)]);
        let ann = names(&["ann"]);
        buckets.spend(&ann, now);
        buckets.spend(&ann, now);
        assert_eq!(buckets.ready_at(&ann, now), now + 20 * MINUTE);
    }

    #[test]
    fn what_was_taken_in_an_earlier_run_is_still_gone() {
        let (before, now) = (Instant::now(), Instant::now() + 5 * MINUTE);
        let limits = [(2, 10), (3, 60)];
        let (ann, bob) = (names(&["ann"]), names(&["bob"]));
        let mut old = buckets(&limits);
        assert!(old.take(&ann, before) && old.take(&ann, before));
        assert!(old.has_spent());
        let owed = old.owed(before + MINUTE);
        assert!(!old.has_spent());
        let mut new = buckets(&limits);
        let mut other = buckets(&[(2, 10)]);
        for (contact, left) in owed {
            other.owe(contact.clone(), &left, now);
            new.owe(contact, &left, now);
        }
        // A minute of it had passed.
        assert_eq!(new.ready_at(&ann, now), now + 4 * MINUTE);
        assert_eq!(new.ready_at(&bob, now), now);
        assert_eq!(other.ready_at(&ann, now), now, "other limits");
        new.owe("bob".to_owned(), &[1000 * MINUTE; 2], now);
        assert_eq!(
            new.ready_at(&bob, now),
            now + 80 * MINUTE,
            "a clock that jumped"
        );
    }

    #[test]
    fn those_who_got_nothing_for_long_are_forgotten() {
        let now = Instant::now();
        let mut buckets = buckets(&[(1, 1)]);
        for n in 0..=MANY {
            buckets.spend(&[n.to_string()], now);
        }
        buckets.spend(&names(&["ann"]), now + MINUTE);
        assert_eq!(buckets.full_at.len(), 1);
    }
}
