//! What waits for a forward, in memory: one line, whichever of its peers it
//! goes to. The journal is the truth; this is rebuilt from it at every start.
//!
//! Notifications leave in order of acceptance. Only when a backlog is older
//! than [`OLD`] every second one is taken from the young ones, so that what
//! happens now is heard of now; of one object (host and service) an older one
//! always goes first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use objects::NotificationId;

use crate::object::Object;

/// From this age on a notification lets younger ones pass.
pub(crate) const OLD: Duration = Duration::from_secs(5 * 60);
/// Ages are told this exactly.
const AGE_STEP: Duration = Duration::from_secs(10);

/// The line of one forward. A place in it is a number that only grows.
#[derive(Debug, Default)]
pub(crate) struct ForwardLine {
    slots: VecDeque<Slot>,
    /// The place of the first slot.
    first: u64,
    /// Before this place nothing is [`State::Waiting`].
    next: u64,
    /// Between `next` and here only those wait that were passed over.
    young: u64,
    /// How many of those, by object. Younger ones of the same object wait, too.
    passed: HashMap<u32, u32>,
    /// Everything before this place is old.
    old: u64,
    /// When a place was taken, about one per [`AGE_STEP`].
    ages: VecDeque<(Instant, u64)>,
    took_old: bool,
    /// Sent and to be sent again before anything else.
    again: VecDeque<u64>,
    /// Handed to a link.
    sent: HashMap<NotificationId, u64>,
    /// The places of those, in the order of sending. Some may have ended.
    sending: VecDeque<u64>,
    waiting: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    id: NotificationId,
    object: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Sent,
    /// In `again`.
    Again,
    Ended,
}

impl ForwardLine {
    /// At the end of the line. `age` is the time since it was accepted.
    pub(crate) fn push(
        &mut self,
        id: NotificationId,
        object: &Object,
        age: Duration,
        now: Instant,
    ) {
        let place = self.end_place();
        self.slots.push_back(Slot {
            id,
            object: object.number(),
            state: State::Waiting,
        });
        self.waiting += 1;
        if age >= OLD {
            self.old = place + 1;
        } else if self
            .ages
            .back()
            .is_none_or(|(taken, _)| now >= *taken + AGE_STEP)
        {
            self.ages.push_back((now, place));
        }
    }

    /// The next one to send.
    pub(crate) fn take(&mut self, now: Instant) -> Option<NotificationId> {
        while let Some(place) = self.again.pop_front() {
            if self
                .slot(place)
                .is_some_and(|slot| slot.state == State::Again)
            {
                return Some(self.send(place));
            }
        }
        if self.waiting == 0 {
            return None;
        }
        self.grow_old(now);
        self.skip_to_waiting();
        let is_old = self.next < self.old;
        if is_old && self.took_old {
            self.took_old = false;
            if let Some(place) = self.next_young() {
                return Some(self.send(place));
            }
        }
        self.took_old = is_old;
        let place = self.next;
        if place < self.young {
            self.unpass(place);
        }
        self.next += 1;
        Some(self.send(place))
    }

    /// The one taken last was not sent.
    pub(crate) fn give_back(&mut self, id: NotificationId) {
        let Some(place) = self.sent.remove(&id) else {
            return;
        };
        self.sending.pop_back();
        self.slots[(place - self.first) as usize].state = State::Again;
        self.again.push_front(place);
        self.waiting += 1;
    }

    /// It is settled: nothing is to be sent.
    pub(crate) fn end(&mut self, id: NotificationId) {
        match self.sent.get(&id) {
            Some(place) => self.end_at(*place),
            None => self.end_all(&HashSet::from([id])),
        }
    }

    /// As [`Self::end`], for many that may not have been sent since the start.
    pub(crate) fn end_all(&mut self, ids: &HashSet<NotificationId>) {
        if ids.is_empty() {
            return;
        }
        let open = |slot: &Slot| slot.state != State::Ended && ids.contains(&slot.id);
        let slots = self.slots.iter().zip(self.first..);
        let places: Vec<u64> = slots
            .filter(|(slot, _)| open(slot))
            .map(|(_, place)| place)
            .take(ids.len())
            .collect();
        for place in places {
            self.end_at(place);
        }
    }

    /// The link is gone: what it was handed goes again, in the same order,
    /// before anything else.
    pub(crate) fn restart(&mut self) {
        let mut again = std::mem::take(&mut self.sending);
        again.retain(|place| {
            let slot = place
                .checked_sub(self.first)
                .and_then(|at| self.slots.get_mut(at as usize));
            let Some(slot) = slot.filter(|slot| slot.state == State::Sent) else {
                return false;
            };
            slot.state = State::Again;
            self.waiting += 1;
            true
        });
        again.append(&mut self.again);
        self.again = again;
        self.sent.clear();
    }

    /// How many wait, and how many of them were handed to the link.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.waiting, self.sent.len() as u64)
    }

    fn end_place(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn slot(&self, place: u64) -> Option<&Slot> {
        let at = place.checked_sub(self.first)?;
        self.slots.get(usize::try_from(at).ok()?)
    }

    fn is_waiting(&self, place: u64) -> bool {
        self.slot(place)
            .is_some_and(|slot| slot.state == State::Waiting)
    }

    fn send(&mut self, place: u64) -> NotificationId {
        let slot = &mut self.slots[(place - self.first) as usize];
        slot.state = State::Sent;
        let id = slot.id;
        self.waiting -= 1;
        self.sent.insert(id, place);
        self.sending.push_back(place);
        id
    }

    fn end_at(&mut self, place: u64) {
        let Some(slot) = self.slot(place).copied() else {
            return;
        };
        match slot.state {
            State::Ended => return,
            State::Sent => {
                self.sent.remove(&slot.id);
            }
            State::Again => self.waiting -= 1,
            State::Waiting => {
                self.waiting -= 1;
                if (self.next..self.young).contains(&place) {
                    self.unpass(place);
                }
            }
        }
        self.slots[(place - self.first) as usize].state = State::Ended;
        while self
            .slots
            .front()
            .is_some_and(|slot| slot.state == State::Ended)
        {
            self.slots.pop_front();
            self.first += 1;
        }
        while self
            .sending
            .front()
            .is_some_and(|place| self.slot(*place).is_none_or(|s| s.state != State::Sent))
        {
            self.sending.pop_front();
        }
    }

    /// Moves the mark of the old ones with the time.
    fn grow_old(&mut self, now: Instant) {
        while let Some((taken, _)) = self.ages.front()
            && now >= *taken + AGE_STEP + OLD
        {
            self.ages.pop_front();
            let until = self.ages.front().map(|(_, place)| *place);
            self.old = self.old.max(until.unwrap_or(self.end_place()));
        }
    }

    /// Somebody waits, and was not sent before.
    fn skip_to_waiting(&mut self) {
        self.next = self.next.max(self.first);
        while self.next < self.end_place() && !self.is_waiting(self.next) {
            self.next += 1;
        }
        self.young = self.young.max(self.next);
    }

    /// The first young one whose object has no older one waiting.
    fn next_young(&mut self) -> Option<u64> {
        while self.young < self.end_place() {
            let place = self.young;
            self.young += 1;
            let Some(slot) = self.slot(place).filter(|s| s.state == State::Waiting) else {
                continue;
            };
            let object = slot.object;
            if place >= self.old && !self.passed.contains_key(&object) {
                return Some(place);
            }
            *self.passed.entry(object).or_default() += 1;
        }
        None
    }

    /// One that was passed over does not wait any more.
    fn unpass(&mut self, place: u64) {
        let Some(object) = self.slot(place).map(|slot| slot.object) else {
            return;
        };
        if let Some(count) = self.passed.get_mut(&object) {
            *count -= 1;
            if *count == 0 {
                self.passed.remove(&object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use objects::notification::Context;

    use super::*;

    fn id(n: u32) -> NotificationId {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&n.to_be_bytes());
        NotificationId::from_bytes(bytes)
    }

    fn number(id: NotificationId) -> u32 {
        let bytes = id.as_bytes();
        u32::from_be_bytes([bytes[12], bytes[13], bytes[14], bytes[15]])
    }

    fn object(n: u32) -> Object {
        let name = format!("h{n}");
        Object::of(&Context::from([(
            "HOSTNAME".to_owned(),
            name.as_str().into(),
        )]))
    }

    fn take(line: &mut ForwardLine, now: Instant) -> Option<u32> {
        line.take(now).map(number)
    }

    fn take_all(line: &mut ForwardLine, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| take(line, now)).collect()
    }

    #[test]
    fn what_a_link_was_handed_goes_again_first_and_in_its_order() {
        let now = Instant::now();
        let mut line = ForwardLine::default();
        for n in 1..=5 {
            line.push(id(n), &object(n), Duration::ZERO, now);
        }
        assert_eq!(
            [1, 2, 3],
            [(); 3].map(|()| take(&mut line, now).unwrap_or(0))
        );
        assert_eq!(line.counts(), (2, 3));
        line.end(id(1));
        line.restart();
        assert_eq!(line.counts(), (4, 0));
        assert_eq!(take(&mut line, now), Some(2));
        // Again, before all of them went.
        line.restart();
        line.end(id(3));
        assert_eq!(take_all(&mut line, now), [2, 4, 5]);
        line.push(id(6), &object(6), Duration::ZERO, now);
        assert_eq!(take_all(&mut line, now), [6]);
        for n in [6, 5, 4, 2] {
            assert!(line.counts().1 > 0);
            line.end(id(n));
        }
        assert_eq!((line.counts(), line.slots.len()), ((0, 0), 0));
        assert!(line.sent.is_empty() && line.sending.is_empty());
    }

    #[test]
    fn what_is_dropped_while_it_waits_is_not_sent() {
        let now = Instant::now();
        let mut line = ForwardLine::default();
        for n in 1..=4 {
            line.push(id(n), &object(n), Duration::ZERO, now);
        }
        line.end_all(&HashSet::from([id(2), id(4), id(77)]));
        assert_eq!(line.counts(), (2, 0));
        assert_eq!(take_all(&mut line, now), [1, 3]);
    }

    #[test]
    fn a_young_one_passes_an_old_backlog_but_not_its_own_object() {
        let start = Instant::now();
        let mut line = ForwardLine::default();
        // A backlog of the objects 0 to 9.
        for n in 0..100 {
            line.push(id(n), &object(n % 10), Duration::ZERO, start);
        }
        let now = start + OLD + AGE_STEP;
        // One of the same object as the backlog, and three others, two of them
        // of one object.
        for (n, name) in [(200, 3), (201, 50), (202, 60), (203, 50)] {
            line.push(id(n), &object(name), Duration::ZERO, now);
        }
        let got = take_all(&mut line, now);
        assert_eq!(got[..7], [0, 201, 1, 202, 2, 203, 3]);
        assert_eq!(got.len(), 104);
        let at = |n| got.iter().position(|g| *g == n).unwrap();
        assert!(at(200) > at(93), "an object keeps its order");
        assert!(at(201) < at(203), "an object keeps its order");
        assert!(line.passed.is_empty());
    }

    #[test]
    fn without_an_old_backlog_the_order_is_kept() {
        let start = Instant::now();
        let mut line = ForwardLine::default();
        for n in 0..10 {
            line.push(id(n), &object(n), Duration::ZERO, start);
        }
        let later = start + OLD;
        for n in 10..20 {
            line.push(id(n), &object(n), Duration::ZERO, later);
        }
        assert_eq!(take_all(&mut line, later), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_old_at_the_start_is_old() {
        let now = Instant::now();
        let mut line = ForwardLine::default();
        for n in 0..4 {
            line.push(id(n), &object(n), OLD, now);
        }
        line.push(id(10), &object(10), Duration::ZERO, now);
        line.push(id(11), &object(11), Duration::ZERO, now);
        assert_eq!(take_all(&mut line, now), [0, 10, 1, 11, 2, 3]);
    }

    /// Whatever happens, each object keeps its order, and nothing is forgotten.
    #[test]
    fn no_sequence_of_calls_breaks_the_order_of_an_object() {
        let mut state = 1u64;
        let mut below = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        for _ in 0..200 {
            let mut now = Instant::now();
            let mut line = ForwardLine::default();
            let mut pushed: Vec<u32> = Vec::new();
            // In order of sending; one that was sent again counts the last time.
            let mut sent: Vec<u32> = Vec::new();
            let mut ended: HashSet<u32> = HashSet::new();
            for n in 0..400 {
                match below(8) {
                    0..4 => {
                        let object = below(7) as u32;
                        line.push(id(n), &self::object(object), Duration::ZERO, now);
                        pushed.push(object << 16 | n);
                    }
                    4..6 => sent.extend(take(&mut line, now)),
                    6 => {
                        // Acknowledgements come in the order of sending.
                        let unsettled = sent.iter().find(|n| !ended.contains(n)).copied();
                        if let Some(n) = unsettled {
                            line.end(id(n));
                            ended.insert(n);
                        }
                    }
                    _ if below(4) == 0 => {
                        line.restart();
                        sent.retain(|n| ended.contains(n));
                    }
                    _ => now += Duration::from_secs(below(400)),
                }
            }
            sent.extend(take_all(&mut line, now));
            assert_eq!(sent.len(), pushed.len());
            let place: HashMap<u32, usize> = sent.iter().zip(0..).map(|(n, at)| (*n, at)).collect();
            for (at, this) in pushed.iter().enumerate() {
                let next = pushed[at + 1..].iter().find(|n| **n >> 16 == this >> 16);
                if let Some(next) = next {
                    assert!(place[&(this & 0xffff)] < place[&(next & 0xffff)]);
                }
            }
            for n in sent {
                line.end(id(n));
            }
            assert!(line.slots.is_empty() && line.passed.is_empty());
        }
    }
}
