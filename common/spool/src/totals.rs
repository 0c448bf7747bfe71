//! How many notifications a journal has seen, and what became of them.

use crate::record::End;

/// Counts over the life of a spool. They survive restarts and compaction: every
/// segment of the journal begins with them.
///
/// The rule that always holds: what was accepted has ended in one of the ways of
/// [`End`], or is open. Only a damaged disk can break it; see [`Totals::lost`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Notifications accepted from submitters.
    pub submitted: u64,
    /// Notifications accepted from peers.
    pub received: u64,
    /// In the order of [`End::ALL`].
    ended: [u64; End::ALL.len()],
}

impl Totals {
    /// All that were accepted.
    pub fn accepted(&self) -> u64 {
        self.submitted.saturating_add(self.received)
    }

    /// How many ended in one way.
    pub fn ended(&self, end: End) -> u64 {
        self.ended[end as usize - 1]
    }

    /// How many ended in any way.
    pub fn ended_in_all(&self) -> u64 {
        self.ended.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// How many of those accepted have neither ended nor are among these `open`
    /// ones: their records were in places that the disk has damaged.
    pub fn lost(&self, open: u64) -> u64 {
        let found = self.ended_in_all().saturating_add(open);
        self.accepted().saturating_sub(found)
    }

    pub(crate) fn add_ended(&mut self, end: End, count: u64) {
        let ended = &mut self.ended[end as usize - 1];
        *ended = ended.saturating_add(count);
    }

    pub(crate) fn add_accepted(&mut self, from_peer: bool) {
        let count = if from_peer {
            &mut self.received
        } else {
            &mut self.submitted
        };
        *count = count.saturating_add(1);
    }

    /// Less what is in `other`.
    pub(crate) fn without(mut self, other: &Self) -> Self {
        self.submitted = self.submitted.saturating_sub(other.submitted);
        self.received = self.received.saturating_sub(other.received);
        for (mine, theirs) in self.ended.iter_mut().zip(other.ended) {
            *mine = mine.saturating_sub(theirs);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_place_of_its_own() {
        let mut totals = Totals::default();
        for (count, end) in (1..).zip(End::ALL) {
            totals.add_ended(end, count);
        }
        for (count, end) in (1..).zip(End::ALL) {
            assert_eq!(totals.ended(end), count, "{end}");
        }
        assert_eq!(totals.ended_in_all(), 28);
    }

    #[test]
    fn what_has_neither_ended_nor_is_open_is_lost() {
        let mut totals = Totals::default();
        for from_peer in [true, false, false] {
            totals.add_accepted(from_peer);
        }
        totals.add_ended(End::Expired, 1);
        assert_eq!((totals.submitted, totals.received), (2, 1));
        assert_eq!([1, 2, 3].map(|open| totals.lost(open)), [1, 0, 0]);
    }
}
