//! The last ids accepted, a bounded number of them.

use std::collections::VecDeque;

use objects::NotificationId;

use super::slots::Slots;

/// The newest `capacity` ids that were pushed.
pub(super) struct Ring {
    ids: VecDeque<NotificationId>,
    /// The number of the first of `ids`; numbers go around at [`AROUND`].
    first: u32,
    numbers: Slots,
    capacity: usize,
}

/// More than any capacity.
const AROUND: u32 = 1 << 31;

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            ids: VecDeque::new(),
            first: 0,
            numbers: Slots::new(),
            capacity: capacity.min(AROUND as usize - 1),
        }
    }

    pub(super) fn push(&mut self, id: NotificationId) {
        if self.contains(id) {
            return;
        }
        if self.ids.len() >= self.capacity {
            self.pop();
        }
        let number = (self.first + self.ids.len() as u32) % AROUND;
        self.ids.push_back(id);
        let (ids, first) = (&self.ids, self.first);
        self.numbers
            .insert(&id, number, |number| ids[place(number, first)]);
    }

    fn pop(&mut self) {
        let Some(oldest) = self.ids.front().copied() else {
            return;
        };
        let first = self.first;
        self.numbers.remove(&oldest, |number| number == first);
        self.ids.pop_front();
        self.first = (self.first + 1) % AROUND;
    }

    pub(super) fn contains(&self, id: NotificationId) -> bool {
        let is = |number| self.ids[place(number, self.first)] == id;
        self.numbers.find(&id, is).is_some()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = NotificationId> + '_ {
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
        ring.clear();
        assert!(!ring.contains(id(999)));
    }
}
