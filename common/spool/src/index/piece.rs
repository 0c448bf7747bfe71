//! A few open messages next to each other in the order of acceptance, in 36 bytes
//! each: what neighbours have in common stands here once.

use objects::{NotificationId, UnixTime};

use crate::replay::MAX_SEGMENT;
use crate::segment::MAX_RECORD;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: NotificationId,
    /// What its label says it is about.
    pub(crate) about: u32,
    pub(crate) at: Whereabouts,
    pub(crate) body_len: usize,
    pub(crate) accepted: UnixTime,
    /// The number of its state.
    pub(crate) state: u32,
}

/// Where the record that holds a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In the journal: the number of the segment, and where in it.
    Stored {
        /// Counts segments.
        segment: u32,
        /// A multiple of 8.
        offset: u64,
    },
    /// Still to be committed: the draft that was made as number this, which goes
    /// around.
    Pending(u32),
}

/// An [`Entry`] without what it has in common with its neighbours.
#[derive(Clone, Copy)]
struct Packed {
    id: NotificationId,
    about: u32,
    /// From the highest bit on: the place in the segment, or the upper part of the
    /// number of what is pending; whether it is pending; the length of the body; the
    /// upper part of the time. In halves, so that there is no padding.
    place: [u32; 2],
    /// The lower part of the time; which of the segments of the piece, or the lower
    /// part of that number; the state.
    rest: [u32; 2],
}

/// For a multiple of 8 below the longest segment.
const OFFSET_BITS: u32 = 25;
/// For anything below the longest record.
const LEN_BITS: u32 = 22;
/// Of one of the segments of a piece.
const SEGMENT_BITS: u32 = 8;
/// More states than any memory holds.
const STATE_BITS: u32 = 27;
/// How many bits of the time are in `place`.
const TIME_UPPER: u32 = 64 - OFFSET_BITS - 1 - LEN_BITS;
/// How many are in `rest`.
const TIME_LOWER: u32 = 64 - SEGMENT_BITS - STATE_BITS;
/// So many microseconds before and behind the time of a piece are told apart: more
/// than half a year.
const TIME_SPAN: i64 = 1 << (TIME_UPPER + TIME_LOWER - 1);
const _: () = assert!(MAX_SEGMENT / 8 == 1 << OFFSET_BITS && MAX_RECORD == 1 << LEN_BITS);
const _: () = assert!(SPAN <= 1 << SEGMENT_BITS && OFFSET_BITS + SEGMENT_BITS >= 32);

/// How many orders one piece is for.
pub(super) const SPAN: u64 = 256;

/// Those of [`SPAN`] neighbouring orders that are open. Each is named by its place
/// among them.
#[derive(Default)]
pub(super) struct Piece {
    /// The first of its orders, divided by [`SPAN`].
    pub(super) span: u64,
    present: Present,
    entries: Vec<Packed>,
    /// The time, in microseconds, that those of the entries count from.
    time: i64,
    /// The segments that entries name.
    segments: Vec<u32>,
}

/// A bit per order of a piece.
#[derive(Default, Clone, Copy)]
struct Present([u64; 4]);

impl Present {
    fn has(&self, at: u64) -> bool {
        self.0[(at / 64) as usize] & (1 << (at % 64)) != 0
    }

    fn set(&mut self, at: u64) {
        self.0[(at / 64) as usize] |= 1 << (at % 64);
    }

    fn clear(&mut self, at: u64) {
        self.0[(at / 64) as usize] &= !(1 << (at % 64));
    }

    /// How many are there before this one.
    fn before(&self, at: u64) -> usize {
        let words = &self.0[..(at / 64) as usize];
        let below = self.0[(at / 64) as usize] & ((1 << (at % 64)) - 1);
        let count = words.iter().map(|word| word.count_ones()).sum::<u32>() + below.count_ones();
        count as usize
    }
}

/// The lowest `bits` bits of a number.
const fn low(number: u64, bits: u32) -> u64 {
    number & ((1 << bits) - 1)
}

fn halves(number: u64) -> [u32; 2] {
    [(number >> 32) as u32, number as u32]
}

fn whole([high, low]: [u32; 2]) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

impl Packed {
    fn body_len(&self) -> usize {
        low(whole(self.place) >> TIME_UPPER, LEN_BITS) as usize
    }

    fn state(&self) -> u32 {
        low(whole(self.rest), STATE_BITS) as u32
    }

    fn set_state(&mut self, state: u32) {
        let others = whole(self.rest) >> STATE_BITS << STATE_BITS;
        self.rest = halves(others | low(state.into(), STATE_BITS));
    }

    /// Counted from the time of the piece.
    fn time(&self) -> i64 {
        let upper = low(whole(self.place), TIME_UPPER);
        let time = upper << TIME_LOWER | whole(self.rest) >> (SEGMENT_BITS + STATE_BITS);
        time as i64 - TIME_SPAN
    }

    fn set_time(&mut self, time: i64) {
        let time = (time.clamp(-TIME_SPAN, TIME_SPAN - 1) + TIME_SPAN) as u64;
        let place = whole(self.place) >> TIME_UPPER << TIME_UPPER;
        self.place = halves(place | low(time >> TIME_LOWER, TIME_UPPER));
        let rest = low(whole(self.rest), SEGMENT_BITS + STATE_BITS);
        self.rest = halves(rest | low(time, TIME_LOWER) << (SEGMENT_BITS + STATE_BITS));
    }

    fn is_pending(&self) -> bool {
        whole(self.place) >> (LEN_BITS + TIME_UPPER) & 1 == 1
    }

    /// The place in the segment, divided by 8, and which segment; or both parts of the
    /// number.
    fn place(&self) -> (u64, usize) {
        let upper = whole(self.place) >> (64 - OFFSET_BITS);
        let lower = low(whole(self.rest) >> STATE_BITS, SEGMENT_BITS);
        (upper, lower as usize)
    }

    fn set_place(&mut self, is_pending: bool, (upper, lower): (u64, usize)) {
        let upper = low(upper, OFFSET_BITS) << 1 | u64::from(is_pending);
        let place = low(whole(self.place), LEN_BITS + TIME_UPPER);
        self.place = halves(upper << (LEN_BITS + TIME_UPPER) | place);
        let lower = low(lower as u64, SEGMENT_BITS) << STATE_BITS;
        let mask = low(u64::MAX, SEGMENT_BITS) << STATE_BITS;
        self.rest = halves(whole(self.rest) & !mask | lower);
    }
}

impl Piece {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, at: u64) -> Option<usize> {
        self.present.has(at).then(|| self.present.before(at))
    }

    pub(super) fn get(&self, at: u64) -> Option<Entry> {
        let packed = &self.entries[self.find(at)?];
        let (upper, lower) = packed.place();
        Some(Entry {
            id: packed.id,
            about: packed.about,
            at: match packed.is_pending() {
                true => Whereabouts::Pending((upper << SEGMENT_BITS) as u32 | lower as u32),
                false => Whereabouts::Stored {
                    segment: self.segments[lower],
                    offset: upper * 8,
                },
            },
            body_len: packed.body_len(),
            accepted: UnixTime::from_micros(self.time.saturating_add(packed.time())),
            state: packed.state(),
        })
    }

    /// The id of one that is there.
    pub(super) fn id(&self, at: u64) -> NotificationId {
        self.entries[self.present.before(at)].id
    }

    /// Adds one where none is.
    pub(super) fn insert(&mut self, at: u64, entry: &Entry) {
        let time = entry.accepted.micros();
        if self.is_empty() {
            self.time = time;
        }
        self.reach(time);
        let mut packed = Packed {
            id: entry.id,
            about: entry.about,
            place: halves(low(entry.body_len as u64, LEN_BITS) << TIME_UPPER),
            rest: [0; 2],
        };
        packed.set_time(time.saturating_sub(self.time));
        packed.set_state(entry.state);
        let place = self.present.before(at);
        self.present.set(at);
        self.entries.insert(place, packed);
        self.set_at(at, entry.at);
    }

    /// Counts from another time, if this one is too far from it. Those that are too
    /// far from that one then come nearer.
    fn reach(&mut self, time: i64) {
        let from = self.time;
        self.time = match time.saturating_sub(from) {
            later if later >= TIME_SPAN => time - (TIME_SPAN - 1),
            earlier if earlier < -TIME_SPAN => time + TIME_SPAN,
            _ => return,
        };
        for packed in &mut self.entries {
            let time = from.saturating_add(packed.time());
            packed.set_time(time.saturating_sub(self.time));
        }
    }

    pub(super) fn set_state(&mut self, at: u64, state: u32) {
        if let Some(place) = self.find(at) {
            self.entries[place].set_state(state);
        }
    }

    pub(super) fn set_about(&mut self, at: u64, about: u32) {
        if let Some(place) = self.find(at) {
            self.entries[place].about = about;
        }
    }

    pub(super) fn set_at(&mut self, at: u64, new: Whereabouts) {
        let Some(place) = self.find(at) else { return };
        match new {
            Whereabouts::Pending(number) => {
                let parts = (
                    u64::from(number >> SEGMENT_BITS),
                    low(number.into(), SEGMENT_BITS) as usize,
                );
                self.entries[place].set_place(true, parts);
            }
            Whereabouts::Stored { segment, offset } => {
                // Its own number of a segment may be the one that is free.
                self.entries[place].set_place(true, (0, 0));
                let number = self.number_of(segment);
                self.entries[place].set_place(false, (offset / 8, number));
            }
        }
    }

    /// The number of a segment in this piece.
    fn number_of(&mut self, segment: u32) -> usize {
        if let Some(number) = self.segments.iter().position(|other| *other == segment) {
            return number;
        }
        if self.segments.len() < SPAN as usize {
            self.segments.push(segment);
            return self.segments.len() - 1;
        }
        // There are no more entries than numbers, and one names none.
        let mut is_used = [false; SPAN as usize];
        for packed in self.entries.iter().filter(|packed| !packed.is_pending()) {
            is_used[packed.place().1] = true;
        }
        let unused = is_used.iter().position(|is_used| !is_used);
        let number = unused.expect("one of the entries names no segment");
        self.segments[number] = segment;
        number
    }

    /// Takes one out that is there.
    pub(super) fn remove(&mut self, at: u64) {
        let Some(place) = self.find(at) else { return };
        self.entries.remove(place);
        self.present.clear(at);
        if self.entries.is_empty() {
            self.entries = Vec::new();
            self.segments = Vec::new();
        } else if self.entries.len() * 4 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_217_983_123_456;

    fn entry(at: Whereabouts) -> Entry {
        Entry {
            id: NotificationId::from_bytes([7; 16]),
            about: u32::MAX,
            at,
            body_len: MAX_RECORD - 1,
            accepted: UnixTime::from_micros(NOW),
            state: (1 << STATE_BITS) - 1,
        }
    }

    fn stored(segment: u32) -> Whereabouts {
        Whereabouts::Stored {
            segment,
            offset: (256 << 20) - 8,
        }
    }

    #[test]
    fn an_entry_has_no_padding_and_gives_back_what_was_put_in() {
        assert_eq!(size_of::<Packed>(), 36);
        let places = [
            Whereabouts::Pending(u32::MAX - 7),
            Whereabouts::Pending(0),
            stored(u32::MAX),
            stored(0),
        ];
        for at in places {
            for micros in [NOW, -NOW, 0] {
                let mut piece = Piece::default();
                let mut whole = Entry {
                    accepted: UnixTime::from_micros(micros),
                    ..entry(at)
                };
                piece.insert(9, &whole);
                assert_eq!(piece.get(9), Some(whole));
                piece.set_state(9, 5);
                piece.set_about(9, 6);
                (whole.state, whole.about) = (5, 6);
                assert_eq!(piece.get(9), Some(whole));
                for again in places {
                    piece.set_at(9, again);
                    whole.at = again;
                    assert_eq!(piece.get(9), Some(whole));
                }
                assert_eq!(piece.get(8), None);
                piece.remove(9);
                assert!(piece.is_empty() && piece.get(9).is_none());
            }
        }
    }

    #[test]
    fn each_may_be_in_a_segment_of_its_own_and_leave_it() {
        let mut piece = Piece::default();
        for at in 0..SPAN {
            piece.insert(at, &entry(stored(at as u32)));
        }
        // Every one goes on, and with each a number is used again.
        for round in 1..4 {
            for at in 0..SPAN {
                piece.set_at(at, stored(round * 1000 + at as u32));
            }
            for at in 0..SPAN {
                let there = piece.get(at).expect("it is there").at;
                assert_eq!(there, stored(round * 1000 + at as u32));
            }
        }
        assert_eq!(piece.segments.len(), SPAN as usize);
    }

    #[test]
    fn times_far_apart_come_nearer_and_the_newest_is_exact() {
        let mut piece = Piece::default();
        let times = [
            NOW,
            NOW + TIME_SPAN - 1,
            NOW + 3 * TIME_SPAN,
            0,
            i64::MIN,
            NOW,
        ];
        for (at, micros) in times.into_iter().enumerate() {
            let accepted = UnixTime::from_micros(micros);
            let at = at as u64;
            piece.insert(
                at,
                &Entry {
                    accepted,
                    ..entry(stored(1))
                },
            );
            assert_eq!(piece.get(at).expect("it is there").accepted, accepted);
            if at == 1 {
                assert_eq!(piece.get(0).expect("it is there").accepted.micros(), NOW);
            }
        }
        // In their order as far as they are told apart.
        let first = piece.get(0).expect("it is there").accepted;
        assert!(first <= piece.get(2).expect("it is there").accepted);
    }
}
