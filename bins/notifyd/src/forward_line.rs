//! What waits for a forward: one line, whichever of its peers it goes to. What
//! waits stands in the index of the journal, which is asked for it bit by bit;
//! here is only how far the line has come, and what is on its way.
//!
//! Notifications leave in order of acceptance. Only when a backlog is older
//! than [`OLD`] every second one is taken from the young ones, so that what
//! happens now is heard of now; of one object (host and service) an older one
//! always goes first.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use objects::NotificationId;

/// From this age on a notification lets younger ones pass.
pub(crate) const OLD: Duration = Duration::from_secs(5 * 60);
/// Ages are told this exactly.
const AGE_STEP: Duration = Duration::from_secs(10);

/// What the journal says waits for a forward.
pub(crate) trait Backlog {
    /// Those from this place in the order of acceptance on, in that order.
    fn from(&self, place: u64) -> impl Iterator<Item = Waiting>;

    /// How many they are, more or less.
    fn len(&self) -> u64;

    /// Whether this one waits.
    fn has(&self, place: u64) -> bool {
        self.from(place)
            .next()
            .is_some_and(|waiting| waiting.place == place)
    }
}

/// One that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Its place in the order of acceptance.
    pub(crate) place: u64,
    pub(crate) id: NotificationId,
    /// The number of its object.
    pub(crate) about: u32,
}

/// How far the line of one forward has come.
#[derive(Debug, Default)]
pub(crate) struct ForwardLine {
    /// What waits before this place is in `again`, or was put back there.
    next: u64,
    /// Between `next` and here only those wait that were passed over.
    young: u64,
    /// What those are about. Younger ones of the same object wait, too.
    passed: Passed,
    /// Taken from behind `next`.
    ahead: BTreeSet<u64>,
    took_old: bool,
    /// To be sent before anything else. Some may have ended, or be there twice.
    again: VecDeque<(u64, NotificationId)>,
    /// Handed to a link.
    sent: HashMap<NotificationId, u64>,
    /// Those in the order of sending. Some may have ended.
    sending: VecDeque<(u64, NotificationId)>,
}

impl ForwardLine {
    /// The next one to send. What is before `old` is old.
    pub(crate) fn take(&mut self, old: u64, backlog: &impl Backlog) -> Option<NotificationId> {
        while let Some((place, id)) = self.again.pop_front() {
            if !self.sent.contains_key(&id) && backlog.has(place) {
                return Some(self.send(place, id));
            }
        }
        let first = self.behind(self.next, backlog).next()?;
        self.go_to(first.place);
        let is_old = first.place < old;
        if is_old && self.took_old {
            self.took_old = false;
            if let Some(young) = self.next_young(old, backlog) {
                self.ahead.insert(young.place);
                return Some(self.send(young.place, young.id));
            }
        }
        self.took_old = is_old;
        self.go_to(first.place + 1);
        Some(self.send(first.place, first.id))
    }

    /// The one taken last was not sent.
    pub(crate) fn give_back(&mut self, id: NotificationId) {
        if let Some(place) = self.sent.remove(&id) {
            self.sending.pop_back();
            self.again.push_front((place, id));
        }
    }

    /// One that did not wait waits now, and has not just been accepted.
    pub(crate) fn put_in(&mut self, waiting: Waiting) {
        if waiting.place < self.next || self.ahead.contains(&waiting.place) {
            self.again.push_back((waiting.place, waiting.id));
        } else if waiting.place < self.young {
            self.passed.add(waiting.about, waiting.place);
        }
    }

    /// It is settled: nothing is to be sent.
    pub(crate) fn end(&mut self, id: NotificationId) {
        if let Some(place) = self.sent.remove(&id) {
            self.ahead.remove(&place);
        }
        while let Some((_, id)) = self.sending.front()
            && !self.sent.contains_key(id)
        {
            self.sending.pop_front();
        }
    }

    /// The link is gone: what it was handed goes again, in the same order,
    /// before anything else.
    pub(crate) fn restart(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        let mut again = std::mem::take(&mut self.sending);
        again.retain(|(place, id)| sent.get(id) == Some(place));
        again.append(&mut self.again);
        self.again = again;
    }

    /// How many were handed to the link.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.len() as u64
    }

    fn send(&mut self, place: u64, id: NotificationId) -> NotificationId {
        self.sent.insert(id, place);
        self.sending.push_back((place, id));
        id
    }

    /// What waits from this place on and was not taken.
    fn behind(&self, place: u64, backlog: &impl Backlog) -> impl Iterator<Item = Waiting> {
        let all = backlog.from(place);
        all.filter(|waiting| self.ahead.is_empty() || !self.ahead.contains(&waiting.place))
    }

    /// Nothing waits before this place.
    fn go_to(&mut self, place: u64) {
        self.next = place;
        while self.ahead.first().is_some_and(|ahead| *ahead < place) {
            self.ahead.pop_first();
        }
        if self.young <= place {
            self.young = place;
            self.passed = Passed::default();
        }
    }

    /// The first young one whose object has no older one waiting.
    fn next_young(&mut self, old: u64, backlog: &impl Backlog) -> Option<Waiting> {
        let mut passed = match self.young == self.next {
            true => Passed::new(self.next, backlog.len()),
            false => std::mem::take(&mut self.passed),
        };
        let mut young = self.young;
        let found = self.behind(young, backlog).find(|waiting| {
            young = waiting.place + 1;
            let may_go = waiting.place >= old && !passed.has(waiting.about, self.next);
            if !may_go {
                passed.add(waiting.about, waiting.place);
            }
            may_go
        });
        (self.passed, self.young) = (passed, young);
        found
    }
}

/// Where those are that were passed over, by what they are about. Of a million
/// there is no room for each: some that are about different objects share an
/// entry, and then a young one waits for one of another object.
#[derive(Debug, Default)]
struct Passed {
    /// The first place that can be here.
    first: u64,
    /// The last place of those that share an entry: so many behind `first`, and
    /// one. The highest number stands for all that are too far away, 0 for none.
    last: Vec<u32>,
}

/// Fewest and most entries, as powers of two.
const PASSED: (u32, u32) = (10, 20);

impl Passed {
    fn new(first: u64, count: u64) -> Self {
        let power = count.next_power_of_two().ilog2();
        Self {
            first,
            last: vec![0; 1 << power.clamp(PASSED.0, PASSED.1)],
        }
    }

    fn entry(&self, about: u32) -> usize {
        // Numbers of similar names may have their lower bits in common.
        let spread = about.wrapping_mul(0x9e37_79b1);
        ((u64::from(spread) * self.last.len() as u64) >> 32) as usize
    }

    fn add(&mut self, about: u32, place: u64) {
        let at = self.entry(about);
        let behind = place.saturating_sub(self.first).saturating_add(1);
        self.last[at] = self.last[at].max(u32::try_from(behind).unwrap_or(u32::MAX));
    }

    /// Whether one that is about this may be at `next` or behind it.
    fn has(&self, about: u32, next: u64) -> bool {
        match self.last[self.entry(about)] {
            0 => false,
            u32::MAX => true,
            behind => self.first + u64::from(behind) > next,
        }
    }
}

/// How long ago places were taken.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// Everything before this place is old.
    old: u64,
    /// When a place was taken, about one per [`AGE_STEP`].
    taken: VecDeque<(Instant, u64)>,
}

impl Ages {
    /// A place behind all others was taken this long ago.
    pub(crate) fn push(&mut self, place: u64, age: Duration, now: Instant) {
        if age >= OLD {
            self.old = place + 1;
            return;
        }
        let last = self.taken.back();
        if last.is_none_or(|(taken, _)| now >= *taken + AGE_STEP) {
            self.taken.push_back((now, place));
        }
    }

    /// What is before this place is old; no place at or behind `end` is taken.
    pub(crate) fn old(&mut self, end: u64, now: Instant) -> u64 {
        while let Some((taken, _)) = self.taken.front()
            && now >= *taken + AGE_STEP + OLD
        {
            self.taken.pop_front();
            let until = self.taken.front().map(|(_, place)| *place);
            self.old = self.old.max(until.unwrap_or(end));
        }
        self.old
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::{BTreeMap, HashSet};

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

    /// What waits, by place.
    #[derive(Default)]
    struct Journal {
        waiting: BTreeMap<u64, (u32, u32)>,
        places: HashMap<u32, u64>,
        looked_at: Cell<usize>,
    }

    impl Backlog for Journal {
        fn from(&self, place: u64) -> impl Iterator<Item = Waiting> {
            self.waiting.range(place..).map(|(place, (n, about))| {
                self.looked_at.set(self.looked_at.get() + 1);
                Waiting {
                    place: *place,
                    id: id(*n),
                    about: *about,
                }
            })
        }

        fn len(&self) -> u64 {
            self.waiting.len() as u64
        }
    }

    /// A line and its journal.
    #[derive(Default)]
    struct Site {
        line: ForwardLine,
        journal: Journal,
        ages: Ages,
        end: u64,
    }

    impl Site {
        /// A place of its own is left free each time: other lines have places, too.
        fn accept(&mut self, n: u32, object: u32, age: Duration, now: Instant) {
            self.end += 2;
            self.ages.push(self.end, age, now);
            let about = crc32c::crc32c(format!("h{object}").as_bytes());
            self.journal.waiting.insert(self.end, (n, about));
            self.journal.places.insert(n, self.end);
        }

        fn take(&mut self, now: Instant) -> Option<u32> {
            let old = self.ages.old(self.end + 1, now);
            self.line.take(old, &self.journal).map(number)
        }

        fn take_all(&mut self, now: Instant) -> Vec<u32> {
            std::iter::from_fn(|| self.take(now)).collect()
        }

        fn end(&mut self, n: u32) {
            self.journal.waiting.remove(&self.journal.places[&n]);
            self.line.end(id(n));
        }

        fn hold(&mut self, n: u32) -> (u32, u32) {
            let place = self.journal.places[&n];
            self.journal.waiting.remove(&place).unwrap()
        }

        fn release(&mut self, n: u32, held: (u32, u32)) {
            let place = self.journal.places[&n];
            self.journal.waiting.insert(place, held);
            self.line.put_in(Waiting {
                place,
                id: id(n),
                about: held.1,
            });
        }

        fn is_at_rest(&self) -> bool {
            let line = &self.line;
            line.sent.is_empty() && line.sending.is_empty() && line.again.is_empty()
        }
    }

    #[test]
    fn what_a_link_was_handed_goes_again_first_and_in_its_order() {
        let now = Instant::now();
        let mut site = Site::default();
        for n in 1..=5 {
            site.accept(n, n, Duration::ZERO, now);
        }
        assert_eq!([1, 2, 3], [(); 3].map(|()| site.take(now).unwrap_or(0)));
        assert_eq!(site.line.sent(), 3);
        site.end(1);
        site.line.restart();
        assert_eq!(site.line.sent(), 0);
        assert_eq!(site.take(now), Some(2));
        // Again, before all of them went.
        site.line.restart();
        site.end(3);
        assert_eq!(site.take_all(now), [2, 4, 5]);
        site.accept(6, 6, Duration::ZERO, now);
        assert_eq!(site.take_all(now), [6]);
        for n in [6, 5, 4, 2] {
            assert!(site.line.sent() > 0);
            site.end(n);
        }
        assert!(site.is_at_rest());
    }

    #[test]
    fn one_that_was_not_sent_after_all_is_the_next() {
        let now = Instant::now();
        let mut site = Site::default();
        for n in 1..=3 {
            site.accept(n, n, Duration::ZERO, now);
        }
        assert_eq!([site.take(now), site.take(now)], [Some(1), Some(2)]);
        site.line.give_back(id(2));
        assert_eq!(site.line.sent(), 1);
        assert_eq!(site.take_all(now), [2, 3]);
    }

    #[test]
    fn what_is_dropped_while_it_waits_is_not_sent() {
        let now = Instant::now();
        let mut site = Site::default();
        for n in 1..=4 {
            site.accept(n, n, Duration::ZERO, now);
        }
        site.end(2);
        site.end(4);
        assert_eq!(site.take_all(now), [1, 3]);
    }

    #[test]
    fn what_is_released_goes_once_and_before_what_waits() {
        let now = Instant::now();
        let mut site = Site::default();
        for n in 1..=6 {
            site.accept(n, n, Duration::ZERO, now);
        }
        let held = [1, 3, 5].map(|n| (n, site.hold(n)));
        assert_eq!([site.take(now), site.take(now)], [Some(2), Some(4)]);
        for (n, held) in held {
            site.release(n, held);
        }
        // Held and released again while it is on its way.
        assert_eq!([site.take(now), site.take(now)], [Some(1), Some(3)]);
        let held = site.hold(3);
        site.release(3, held);
        assert_eq!(site.take_all(now), [5, 6]);
        // While it was held the link came back: it is not sent, and then once.
        let held = site.hold(5);
        site.line.restart();
        assert_eq!(site.take_all(now), [2, 4, 1, 3, 6]);
        site.release(5, held);
        assert_eq!(site.take_all(now), [5]);
    }

    #[test]
    fn a_young_one_passes_an_old_backlog_but_not_its_own_object() {
        let start = Instant::now();
        let mut site = Site::default();
        // A backlog of the objects 0 to 9.
        for n in 0..100 {
            site.accept(n, n % 10, Duration::ZERO, start);
        }
        let now = start + OLD + AGE_STEP;
        // One of the same object as the backlog, and three others, two of them
        // of one object.
        for (n, name) in [(200, 3), (201, 50), (202, 60), (203, 50)] {
            site.accept(n, name, Duration::ZERO, now);
        }
        let got = site.take_all(now);
        assert_eq!(got[..7], [0, 201, 1, 202, 2, 203, 3]);
        assert_eq!(got.len(), 104);
        let at = |n| got.iter().position(|g| *g == n).unwrap();
        assert!(at(200) > at(93), "an object keeps its order");
        assert!(at(201) < at(203), "an object keeps its order");
        got.into_iter().for_each(|n| site.end(n));
        assert!(site.is_at_rest() && site.line.ahead.is_empty());
    }

    #[test]
    fn one_that_is_released_behind_the_place_where_the_young_are_holds_its_object_up() {
        let start = Instant::now();
        let mut site = Site::default();
        for n in 0..20 {
            site.accept(n, n, Duration::ZERO, start);
        }
        let held = site.hold(15);
        let now = start + OLD + AGE_STEP;
        site.accept(100, 100, Duration::ZERO, now);
        assert_eq!([(); 3].map(|()| site.take(now).unwrap()), [0, 100, 1]);
        site.release(15, held);
        site.accept(101, 15, Duration::ZERO, now);
        let got = site.take_all(now);
        // Passed over once, it has its turn when all before it have gone.
        let want: Vec<u32> = (2..20).chain([101]).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn without_an_old_backlog_the_order_is_kept() {
        let start = Instant::now();
        let mut site = Site::default();
        for n in 0..10 {
            site.accept(n, n, Duration::ZERO, start);
        }
        let later = start + OLD;
        for n in 10..20 {
            site.accept(n, n, Duration::ZERO, later);
        }
        assert_eq!(site.take_all(later), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_old_at_the_start_is_old() {
        let now = Instant::now();
        let mut site = Site::default();
        for n in 0..4 {
            site.accept(n, n, OLD, now);
        }
        site.accept(10, 10, Duration::ZERO, now);
        site.accept(11, 11, Duration::ZERO, now);
        assert_eq!(site.take_all(now), [0, 10, 1, 11, 2, 3]);
    }

    /// The work and the room do not grow with what has been looked at once.
    #[test]
    fn a_long_backlog_is_gone_through_once_on_each_side() {
        let start = Instant::now();
        let mut site = Site::default();
        for n in 0..20_000 {
            site.accept(n, n % 500, Duration::ZERO, start);
        }
        let now = start + OLD + AGE_STEP;
        for n in 20_000..20_100 {
            site.accept(n, n, Duration::ZERO, now);
        }
        let mut sent = Vec::new();
        while let Some(n) = site.take(now) {
            sent.push(n);
            if sent.len() > 100 {
                site.end(sent[sent.len() - 101]);
            }
        }
        assert_eq!(sent.len(), 20_100);
        let passed = sent.iter().position(|n| *n == 20_050).unwrap();
        assert!(passed < 150, "at {passed}");
        let looks = site.journal.looked_at.get();
        assert!(looks < 3 * sent.len(), "{looks} looks");
        assert!(site.line.passed.last.len() <= 1 << 15);
    }

    #[test]
    fn a_backlog_of_more_objects_than_there_is_room_for_keeps_the_order_of_each() {
        let mut passed = Passed::new(7, 1000);
        for place in 7..100_000 {
            passed.add(place as u32, place);
        }
        assert!((7..100_000).all(|place| passed.has(place as u32, place)));
        assert!(!passed.has(7, 100_000));
        passed.add(1, u64::MAX);
        assert!(passed.has(1, 1 << 60), "too far away to be told");
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
            let mut site = Site::default();
            let mut accepted: Vec<u32> = Vec::new();
            // In order of sending; one that was sent again counts the last time.
            let mut sent: Vec<u32> = Vec::new();
            let mut ended: HashSet<u32> = HashSet::new();
            for n in 0..400 {
                match below(8) {
                    0..4 => {
                        let object = below(7) as u32;
                        site.accept(n, object, Duration::ZERO, now);
                        accepted.push(object << 16 | n);
                    }
                    4..6 => sent.extend(site.take(now)),
                    6 => {
                        // Acknowledgements come in the order of sending.
                        let unsettled = sent.iter().find(|n| !ended.contains(n)).copied();
                        if let Some(n) = unsettled {
                            site.end(n);
                            ended.insert(n);
                        }
                    }
                    _ if below(4) == 0 => {
                        site.line.restart();
                        sent.retain(|n| ended.contains(n));
                    }
                    _ => now += Duration::from_secs(below(400)),
                }
            }
            sent.extend(site.take_all(now));
            assert_eq!(sent.len(), accepted.len());
            let place: HashMap<u32, usize> = sent.iter().zip(0..).map(|(n, at)| (*n, at)).collect();
            for (at, this) in accepted.iter().enumerate() {
                let next = accepted[at + 1..].iter().find(|n| **n >> 16 == this >> 16);
                if let Some(next) = next {
                    assert!(place[&(this & 0xffff)] < place[&(next & 0xffff)]);
                }
            }
            for n in sent {
                site.end(n);
            }
            assert!(site.is_at_rest() && site.line.ahead.is_empty());
        }
    }
}
