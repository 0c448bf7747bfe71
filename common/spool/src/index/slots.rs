//! A hash table that holds numbers only: what a number stands for is kept once,
//! elsewhere, and asked for when two have to be told apart.

use std::hash::{BuildHasher, RandomState};

use objects::NotificationId;

/// No number that is stored.
const EMPTY: u32 = u32::MAX;
const LEAST: usize = 64;

/// Ids to numbers, at five to eight bytes each.
pub(super) struct Slots {
    /// Open addressing, at most three quarters full.
    slots: Vec<u32>,
    len: usize,
    /// Ids come from outside: nobody may choose them so that they collide.
    random: RandomState,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            len: 0,
            random: RandomState::new(),
        }
    }

    fn home(&self, id: &NotificationId) -> usize {
        let hash = self.random.hash_one(id.as_bytes());
        // Maps to 0..slots without a power of two, so that tables may grow by half.
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() {
            0
        } else {
            slot + 1
        }
    }

    fn place_of(&self, id: &NotificationId, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut slot = self.home(id);
        while self.slots[slot] != EMPTY {
            if is(self.slots[slot]) {
                return Some(slot);
            }
            slot = self.next(slot);
        }
        None
    }

    /// The number of `id`; `is` says whether a number is that of this id.
    pub(super) fn find(&self, id: &NotificationId, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.place_of(id, is).map(|slot| self.slots[slot])
    }

    /// Adds a number for an id that has none. `id_of` tells the id of each number
    /// that is here. The number is below `u32::MAX`.
    pub(super) fn insert(
        &mut self,
        id: &NotificationId,
        number: u32,
        id_of: impl Fn(u32) -> NotificationId,
    ) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow(id_of);
        }
        self.put(id, number);
        self.len += 1;
    }

    fn put(&mut self, id: &NotificationId, number: u32) {
        let mut slot = self.home(id);
        while self.slots[slot] != EMPTY {
            slot = self.next(slot);
        }
        self.slots[slot] = number;
    }

    fn grow(&mut self, id_of: impl Fn(u32) -> NotificationId) {
        let len = (self.slots.len() / 2 * 3).max(LEAST);
        for number in std::mem::replace(&mut self.slots, vec![EMPTY; len]) {
            if number != EMPTY {
                self.put(&id_of(number), number);
            }
        }
    }

    /// Takes a number out, while its id can still be told.
    pub(super) fn remove(
        &mut self,
        id: &NotificationId,
        is: impl Fn(u32) -> bool,
        id_of: impl Fn(u32) -> NotificationId,
    ) {
        let Some(mut hole) = self.place_of(id, is) else {
            return;
        };
        self.len -= 1;
        let mut slot = hole;
        loop {
            slot = self.next(slot);
            if self.slots[slot] == EMPTY {
                break;
            }
            // What may not stand before its home stays behind the hole.
            let home = self.home(&id_of(self.slots[slot]));
            let stays = if hole < slot {
                home > hole && home <= slot
            } else {
                home > hole || home <= slot
            };
            if !stays {
                self.slots[hole] = self.slots[slot];
                hole = slot;
            }
        }
        self.slots[hole] = EMPTY;
        if self.len == 0 {
            self.slots = Vec::new();
        }
    }
}
