//! The last ids accepted, a bounded number of them.

use std::collections::VecDeque;

use objects::NotificationId;

use super::slots::Slots;

/// The newest `capacity` ids that were pushed.
pub(super) struct Ring {
    ids: VecDeque<NotificationId>,
    /// The number of the first of `ids`; numbers go around at [`AROUND`].
    first: u32,
    /// None while they come from the journal: nobody asks for one then, and most of
    /// them do not stay.
    numbers: Option<Slots>,
    capacity: usize,
}

/// At most so many can be in the journal twice: those of a group.
const READ_TWICE: usize = 16 << 10;
/// More than any capacity.
const AROUND: u32 = 1 << 31;

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            ids: VecDeque::new(),
            first: 0,
            numbers: Some(Slots::new()),
            capacity: capacity.min(AROUND as usize / 2 - 1),
        }
    }

    /// One for which ids are read from the journal, until [`Ring::finish_replay`].
    pub(super) fn replaying(capacity: usize) -> Self {
        Self {
            numbers: None,
            ..Self::new(capacity)
        }
    }

    /// All have been read.
    pub(super) fn finish_replay(&mut self) {
        self.numbers = Some(Slots::new());
        // Once around, in the memory that they have.
        for _ in 0..self.ids.len() {
            if let Some(id) = self.ids.pop_front() {
                self.first = (self.first + 1) % AROUND;
                self.append(id);
            }
        }
        while self.ids.len() > self.capacity {
            self.pop();
        }
        self.ids.shrink_to(self.capacity);
    }

    pub(super) fn push(&mut self, id: NotificationId) {
        let most = match self.numbers {
            Some(_) => self.capacity,
            None => self.capacity + self.capacity.min(READ_TWICE),
        };
        if self.ids.len() >= most && !self.contains(id) {
            self.pop();
        }
        if self.ids.len() == self.ids.capacity() {
            // Twice as much each time, but no more than is ever needed.
            let more = self.ids.len().max(16).min(most - self.ids.len());
            self.ids.reserve_exact(more);
        }
        self.append(id);
    }

    /// At the end, unless it is known.
    fn append(&mut self, id: NotificationId) {
        if self.contains(id) {
            return;
        }
        let number = (self.first + self.ids.len() as u32) % AROUND;
        self.ids.push_back(id);
        let (ids, first) = (&self.ids, self.first);
        if let Some(numbers) = &mut self.numbers {
            numbers.insert(&id, number, |number| ids[place(number, first)]);
        }
    }

    fn pop(&mut self) {
        let Some(oldest) = self.ids.pop_front() else {
            return;
        };
        let first = self.first;
        if let Some(numbers) = &mut self.numbers {
            numbers.remove(&oldest, |number| number == first);
        }
        self.first = (self.first + 1) % AROUND;
    }

    /// None is known while they are read.
    pub(super) fn contains(&self, id: NotificationId) -> bool {
        let is = |number| self.ids[place(number, self.first)] == id;
        let numbers = self.numbers.as_ref();
        numbers.is_some_and(|numbers| numbers.find(&id, is).is_some())
    }

    /// These were pushed, and no others.
    pub(super) fn set(&mut self, ids: &[NotificationId]) {
        self.ids.clear();
        self.ids.extend(ids);
        if self.numbers.is_some() {
            self.finish_replay();
        }
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = NotificationId> + Clone + '_ {
        self.ids.iter().copied()
    }
}

fn place(number: u32, first: u32) -> usize {
    (number.wrapping_sub(first) % AROUND) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> NotificationId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        NotificationId::from_bytes(bytes)
    }

    #[test]
    fn the_newest_ids_are_known_and_no_others() {
        let mut ring = Ring::new(100);
        // Numbers go around on the way.
        ring.first = AROUND - 300;
        for number in 0..1000 {
            ring.push(id(number));
            ring.push(id(number));
            let oldest = (number + 1).saturating_sub(100);
            assert!(ring.iter().eq((oldest..=number).map(id)), "{number}");
            assert!((oldest..=number).all(|n| ring.contains(id(n))), "{number}");
            assert!(oldest == 0 || !ring.contains(id(oldest - 1)), "{number}");
        }
        for ids in [900..1000_u32, 930..980, 0..0, 0..300] {
            let newest = ids.end.saturating_sub(100).max(ids.start)..ids.end;
            ring.set(&ids.map(id).collect::<Vec<_>>());
            assert!(ring.iter().eq(newest.clone().map(id)));
            assert!(newest.clone().all(|n| ring.contains(id(n))));
            assert!(newest.contains(&999) || !ring.contains(id(999)));
        }
    }

    #[test]
    fn what_was_read_is_what_was_pushed_though_some_was_read_twice() {
        let (mut read, mut pushed) = (Ring::replaying(100), Ring::new(100));
        read.set(&[id(7), id(8)]);
        pushed.set(&[id(7), id(8)]);
        for number in (0..950).chain(900..1000) {
            read.push(id(number));
            pushed.push(id(number));
        }
        read.finish_replay();
        assert!(read.iter().eq(pushed.iter()));
        assert!((900..1000).all(|n| read.contains(id(n))) && !read.contains(id(899)));
    }
}
