//! Whose turn it is. What has waited longest comes first; but at most every other
//! turn is for what is old, as long as something young is due: so the news of today
//! does not queue behind the backlog of an outage.

use std::collections::BTreeSet;
use std::time::Instant;

/// When, the order among those of one moment, and which stream.
pub(super) type Entry = (Instant, u64, u64);

#[derive(Debug, Default)]
pub(super) struct Due {
    all: BTreeSet<Entry>,
    /// Those of them whose front was young when it got its moment.
    young: BTreeSet<Entry>,
    /// The last turn was for what came first.
    was_first: bool,
}

impl Due {
    pub(super) fn insert(&mut self, entry: Entry, is_young: bool) {
        self.all.insert(entry);
        if is_young {
            self.young.insert(entry);
        }
    }

    pub(super) fn remove(&mut self, entry: Entry) {
        self.all.remove(&entry);
        self.young.remove(&entry);
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.all.first()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.all.iter()
    }

    /// Those that are due later.
    pub(super) fn later(&self, now: Instant) -> impl Iterator<Item = &Entry> {
        self.all.range((now, u64::MAX, u64::MAX)..)
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self, now: Instant, is_young: impl Fn(u64) -> bool) -> Option<Entry> {
        let is_due = |entry: &&Entry| entry.0 <= now;
        if self.was_first {
            while let Some(entry) = self.young.first().filter(is_due).copied() {
                if is_young(entry.2) {
                    self.was_first = false;
                    return Some(entry);
                }
                // It has grown old.
                self.young.remove(&entry);
            }
        }
        self.was_first = true;
        self.all.first().filter(is_due).copied()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.young.is_empty()
    }
}
