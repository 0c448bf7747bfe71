//! A hash table that holds numbers only: what a number stands for is kept once,
//! elsewhere, and asked for when two have to be told apart.
//!
//! Beside each number stands how far it is from the place that its id hashes to
//! (Robin Hood hashing: nobody is nearer to home than whoever it keeps out). So a
//! search asks only for ids of the same home, which are less than one on the
//! average, and a hole is closed without asking at all: of a million ids hardly any
//! is in the processor's cache.

use std::hash::{BuildHasher, RandomState};

use objects::NotificationId;

/// Fewest homes of a table.
const LEAST: usize = 64;
/// Nobody is further from home than this; there are so many slots behind the last
/// home, unless all ids would have room in fewer.
const FARTHEST: usize = 250;
/// No room is made in advance for more than so many.
const MANY: usize = 1 << 24;
/// Of a number that was not there before.
const AT_HOME: u8 = 1;

/// Ids to numbers, at five to seven bytes each.
pub(super) struct Slots {
    numbers: Vec<u32>,
    /// Of each the distance from its home and [`AT_HOME`]; 0 where there is none.
    distances: Vec<u8>,
    /// At most fifteen sixteenths of so many are there.
    homes: usize,
    len: usize,
    /// Ids come from outside: nobody may choose them so that they collide.
    keys: [u64; 2],
}

impl Slots {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self {
            numbers: Vec::new(),
            distances: Vec::new(),
            homes: 0,
            len: 0,
            keys: [random.hash_one(0), random.hash_one(1)],
        }
    }

    /// About so many are going to be in this table, which is empty. It would have
    /// to look at each of them again whenever it grows.
    pub(super) fn expect(&mut self, numbers: u64) {
        // With a little more than that it grows once.
        let homes = numbers + numbers / 8;
        if let Ok(homes) = usize::try_from(homes)
            && (LEAST..MANY).contains(&homes)
            && self.numbers.is_empty()
        {
            self.resize(homes);
        }
    }

    fn home(&self, id: &NotificationId) -> usize {
        let (a, b) = id.as_bytes().split_at(8);
        let [a, b] = [a, b].map(|half| half.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        let hash = fold(fold(a ^ self.keys[0], b ^ self.keys[1]), self.keys[0] | 1);
        // Maps to 0..homes without a power of two, so that tables may grow by a third.
        ((u128::from(hash) * self.homes as u128) >> 64) as usize
    }

    fn slot_of(&self, id: &NotificationId, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut slot = self.home(id);
        let mut distance = AT_HOME;
        loop {
            match *self.distances.get(slot)? {
                there if there < distance => return None,
                there if there == distance && is(self.numbers[slot]) => return Some(slot),
                _ => {}
            }
            slot += 1;
            distance += 1;
        }
    }

    /// The number of `id`; `is` says whether a number is that of this id.
    pub(super) fn find(&self, id: &NotificationId, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot_of(id, is).map(|slot| self.numbers[slot])
    }

    /// Adds a number for an id that has none. `id_of` tells the id of each number
    /// that is here, and of this one.
    pub(super) fn insert(
        &mut self,
        id: &NotificationId,
        number: u32,
        id_of: impl Fn(u32) -> NotificationId,
    ) {
        if (self.len + 1) * 16 > self.homes * 15 {
            self.grow(&id_of);
        }
        self.len += 1;
        if let Some(left) = self.put(self.home(id), number, self.numbers.len()) {
            let all = self.take_all(left);
            self.rebuild(&all, &id_of);
        }
    }

    /// Puts a number where it belongs, and whoever is in its way further on. One
    /// has no place if that is too far from its home, or not before slot `end`.
    fn put(&mut self, home: usize, number: u32, end: usize) -> Option<u32> {
        let (mut slot, mut number, mut distance) = (home, number, AT_HOME);
        while slot < end && usize::from(distance) <= FARTHEST {
            let there = &mut self.distances[slot];
            if *there == 0 {
                *there = distance;
                self.numbers[slot] = number;
                return None;
            }
            if *there < distance {
                std::mem::swap(there, &mut distance);
                std::mem::swap(&mut self.numbers[slot], &mut number);
            }
            slot += 1;
            distance += 1;
        }
        Some(number)
    }

    /// Makes it longer, in its own memory: a second table beside the first would
    /// leave a hole of its size behind.
    fn grow(&mut self, id_of: impl Fn(u32) -> NotificationId) {
        let before = self.numbers.len();
        self.resize((self.homes / 3 * 4).max(LEAST));
        // All to the end first, in their order: from there the first ones go to
        // where nobody is left.
        let mut from = self.numbers.len();
        for slot in (0..before).rev() {
            if std::mem::take(&mut self.distances[slot]) != 0 {
                from -= 1;
                self.numbers[from] = self.numbers[slot];
            }
        }
        for slot in from..self.numbers.len() {
            let number = self.numbers[slot];
            if let Some(left) = self.put(self.home(&id_of(number)), number, slot + 1) {
                let waiting = self.numbers[slot + 1..].to_vec();
                let mut all = self.take_all(left);
                all.extend(waiting);
                return self.rebuild(&all, id_of);
            }
        }
    }

    fn resize(&mut self, homes: usize) {
        self.homes = homes;
        let len = homes + homes.min(FARTHEST);
        self.numbers.reserve_exact(len - self.numbers.len());
        self.numbers.resize(len, 0);
        self.distances.reserve_exact(len - self.distances.len());
        self.distances.resize(len, 0);
    }

    /// Empties it; `left` is one that is not there.
    fn take_all(&mut self, left: u32) -> Vec<u32> {
        let there = self.distances.iter().zip(&self.numbers);
        let there = there.filter(|(distance, _)| **distance != 0);
        let all = there.map(|(_, number)| *number).chain([left]).collect();
        self.distances.fill(0);
        all
    }

    /// Puts all into an empty table, which is made as long as that takes: where
    /// many ids have homes near to each other.
    fn rebuild(&mut self, all: &[u32], id_of: impl Fn(u32) -> NotificationId) {
        loop {
            self.resize(self.homes / 3 * 4);
            let mut all = all.iter();
            let end = self.numbers.len();
            if all.all(|number| self.put(self.home(&id_of(*number)), *number, end).is_none()) {
                return;
            }
            self.distances.fill(0);
        }
    }

    /// Takes a number out; `is` says whether it is this one.
    pub(super) fn remove(&mut self, id: &NotificationId, is: impl Fn(u32) -> bool) {
        let Some(mut hole) = self.slot_of(id, is) else {
            return;
        };
        self.len -= 1;
        if self.len == 0 {
            (self.numbers, self.distances) = (Vec::new(), Vec::new());
            self.homes = 0;
            return;
        }
        // Whoever is not at home comes one nearer.
        while let Some(distance) = self.distances.get(hole + 1)
            && *distance > AT_HOME
        {
            self.distances[hole] = distance - 1;
            self.numbers[hole] = self.numbers[hole + 1];
            hole += 1;
        }
        self.distances[hole] = 0;
    }
}

/// All bits of both in each bit.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::sim::Chance;

    fn id(number: u32) -> NotificationId {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&number.to_be_bytes());
        NotificationId::from_bytes(bytes)
    }

    #[test]
    fn what_is_in_it_is_what_was_put_in_and_not_taken_out() {
        for seed in 0..40 {
            let mut chance = Chance::new(seed);
            let mut slots = Slots::new();
            if seed % 4 == 0 {
                // Every id has the same home.
                slots.keys = [0, 0];
            }
            let all = if seed % 4 == 0 { 150 } else { 3000 };
            let mut model = HashMap::new();
            for _ in 0..20_000 {
                let number = chance.below(all) as u32;
                let is = |other| other == number;
                match model.remove(&number) {
                    None => {
                        slots.insert(&id(number), number, id);
                        model.insert(number, ());
                    }
                    Some(()) => slots.remove(&id(number), is),
                }
                let asked = chance.below(all) as u32;
                let found = slots.find(&id(asked), |other| other == asked);
                assert_eq!(found.is_some(), model.contains_key(&asked), "seed {seed}");
            }
            for number in model.keys() {
                let found = slots.find(&id(*number), |other| other == *number);
                assert_eq!(found, Some(*number), "seed {seed}");
            }
        }
    }

    #[test]
    fn ids_of_neighbouring_homes_make_it_longer() {
        let mut slots = Slots::new();
        slots.keys = [1 << 50, 1 << 20];
        let ids = 0..2000;
        for number in ids.clone() {
            slots.insert(&id(number), number, id);
        }
        for number in ids.clone() {
            assert_eq!(slots.find(&id(number), |n| n == number), Some(number));
        }
        ids.for_each(|number| slots.remove(&id(number), |n| n == number));
        assert!(slots.numbers.is_empty());
    }
}
