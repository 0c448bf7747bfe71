//! The open messages in the order of acceptance, at 45 to 48 bytes each.

use std::cell::Cell;
use std::collections::BTreeMap;

use objects::{NotificationId, UnixTime};

use super::slots::Slots;
use crate::replay::MAX_SEGMENT;
use crate::segment::MAX_RECORD;

/// One message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) id: NotificationId,
    /// What its label says it is about.
    pub(crate) about: u32,
    /// The segment, or the lower part of the number of what is pending.
    segment: u32,
    /// From the highest bit on: the place in the segment, or the upper part of that
    /// number; whether it is pending; the length of the body; the upper part of the
    /// time. In halves, so that entries need no padding.
    place: [u32; 2],
    /// The lower part of the time, and the number of the state.
    rest: [u32; 2],
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
    /// Still to be committed: the draft that was made as number this.
    Pending(u64),
}

/// For a multiple of 8 below the longest segment.
const OFFSET_BITS: u32 = 25;
/// For anything below the longest record.
const LEN_BITS: u32 = 22;
/// Until the year 2112.
const TIME_BITS: u32 = 53;
/// More states than any memory holds.
const STATE_BITS: u32 = 27;
/// How many bits of the time are in `place`.
const TIME_UPPER: u32 = 64 - OFFSET_BITS - 1 - LEN_BITS;
/// How many are in `rest`.
const TIME_LOWER: u32 = 64 - STATE_BITS;
const _: () = assert!(TIME_UPPER + TIME_LOWER == TIME_BITS);
const _: () = assert!(MAX_SEGMENT / 8 == 1 << OFFSET_BITS && MAX_RECORD == 1 << LEN_BITS);

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

impl Entry {
    pub(super) fn new(
        id: NotificationId,
        accepted: UnixTime,
        at: Whereabouts,
        body_len: usize,
        (about, state): (u32, u32),
    ) -> Self {
        let limit = (1 << (TIME_BITS - 1)) - 1;
        let time = accepted.micros().clamp(-limit, limit) as u64;
        let upper = low(time >> TIME_LOWER, TIME_UPPER);
        let mut entry = Self {
            id,
            about,
            segment: 0,
            place: halves(low(body_len as u64, LEN_BITS) << TIME_UPPER | upper),
            rest: halves(low(time, TIME_LOWER) << STATE_BITS),
        };
        entry.set_at(at);
        entry.set_state(state);
        entry
    }

    pub(crate) fn accepted(&self) -> UnixTime {
        let upper = low(whole(self.place), TIME_UPPER);
        let time = upper << TIME_LOWER | whole(self.rest) >> STATE_BITS;
        // The highest of the bits is the sign.
        let unused = 64 - TIME_BITS;
        UnixTime::from_micros((time << unused) as i64 >> unused)
    }

    pub(crate) fn body_len(&self) -> usize {
        low(whole(self.place) >> TIME_UPPER, LEN_BITS) as usize
    }

    pub(super) fn state(&self) -> u32 {
        low(whole(self.rest), STATE_BITS) as u32
    }

    pub(super) fn set_state(&mut self, state: u32) {
        let time = whole(self.rest) >> STATE_BITS << STATE_BITS;
        self.rest = halves(time | low(state.into(), STATE_BITS));
    }

    pub(crate) fn at(&self) -> Whereabouts {
        let place = whole(self.place);
        let upper = place >> (64 - OFFSET_BITS);
        if place >> (LEN_BITS + TIME_UPPER) & 1 == 1 {
            return Whereabouts::Pending(upper << 32 | u64::from(self.segment));
        }
        Whereabouts::Stored {
            segment: self.segment,
            offset: upper * 8,
        }
    }

    pub(super) fn set_at(&mut self, at: Whereabouts) {
        let (upper, pending, segment) = match at {
            Whereabouts::Pending(number) => (number >> 32, 1, number as u32),
            Whereabouts::Stored { segment, offset } => (offset / 8, 0, segment),
        };
        let rest = low(whole(self.place), LEN_BITS + TIME_UPPER);
        let upper = low(upper, OFFSET_BITS) << (64 - OFFSET_BITS);
        self.segment = segment;
        self.place = halves(upper | pending << (LEN_BITS + TIME_UPPER) | rest);
    }
}

/// How many orders one piece is for.
const SPAN: u64 = 256;

/// Those of [`SPAN`] neighbouring orders that are open.
#[derive(Default)]
struct Piece {
    /// The first of its orders, divided by [`SPAN`].
    span: u64,
    present: Present,
    entries: Vec<Entry>,
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

impl Piece {
    fn get(&self, at: u64) -> Option<&Entry> {
        let there = self.present.has(at);
        there.then(|| &self.entries[self.present.before(at)])
    }
}

/// Which piece, and which order in it, in one number. 16 million pieces with at
/// least one message in each are more than any memory holds.
fn handle(piece: u32, order: u64) -> u32 {
    piece * SPAN as u32 + (order % SPAN) as u32
}

/// All of them, by order and by id.
pub(super) struct Messages {
    /// By the numbers that `spans` gives; those without entries are free.
    pieces: Vec<Piece>,
    free: Vec<u32>,
    /// The pieces in their order.
    spans: BTreeMap<u64, u32>,
    /// A handle for each id.
    handles: Slots,
    /// What was asked for last, and whether it is here: one record after the other
    /// is about the same message, or its neighbours.
    last: Cell<Option<(NotificationId, Option<u64>)>>,
    last_span: Cell<Option<(u64, u32)>>,
    len: usize,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self {
            pieces: Vec::new(),
            free: Vec::new(),
            spans: BTreeMap::new(),
            handles: Slots::new(),
            last: Cell::default(),
            last_span: Cell::default(),
            len: 0,
        }
    }

    pub(super) fn expect(&mut self, messages: u64) {
        self.handles.expect(messages);
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn order(&self, id: &NotificationId) -> Option<u64> {
        if let Some((last, order)) = self.last.get()
            && last == *id
        {
            return order;
        }
        let pieces = &self.pieces;
        let handle = self.handles.find(id, |handle| id_of(pieces, handle) == *id);
        let order = handle.map(|handle| {
            let number = (u64::from(handle) / SPAN) as u32;
            let span = pieces[number as usize].span;
            self.last_span.set(Some((span, number)));
            span * SPAN + u64::from(handle) % SPAN
        });
        self.last.set(Some((*id, order)));
        order
    }

    /// The number of the piece of these orders.
    fn piece(&self, span: u64) -> Option<u32> {
        if let Some((last, number)) = self.last_span.get()
            && last == span
        {
            return Some(number);
        }
        let number = *self.spans.get(&span)?;
        self.last_span.set(Some((span, number)));
        Some(number)
    }

    pub(super) fn get(&self, order: u64) -> Option<&Entry> {
        let number = self.piece(order / SPAN)?;
        self.pieces[number as usize].get(order % SPAN)
    }

    pub(super) fn get_mut(&mut self, order: u64) -> Option<&mut Entry> {
        let number = self.piece(order / SPAN)?;
        let piece = &mut self.pieces[number as usize];
        let at = order % SPAN;
        let there = piece.present.has(at);
        there.then(|| &mut piece.entries[piece.present.before(at)])
    }

    /// Those of this order and higher ones, in their order.
    pub(super) fn from(&self, from: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> + '_ {
        let spans = self.spans.range(from / SPAN..);
        let pieces = spans.map(|(span, piece)| (span * SPAN, &self.pieces[*piece as usize]));
        pieces.flat_map(move |(first, piece)| {
            let orders = (0..SPAN).filter(move |at| first + at >= from);
            orders.filter_map(move |at| Some((first + at, piece.get(at)?)))
        })
    }

    /// Adds one whose id and order are not there.
    pub(super) fn insert(&mut self, order: u64, entry: Entry) {
        let span = order / SPAN;
        let number = self.piece(span).unwrap_or_else(|| self.new_piece(span));
        let piece = &mut self.pieces[number as usize];
        let place = piece.present.before(order % SPAN);
        piece.present.set(order % SPAN);
        piece.entries.insert(place, entry);
        self.len += 1;
        let pieces = &self.pieces;
        let handle = handle(number, order);
        self.handles
            .insert(&entry.id, handle, |handle| id_of(pieces, handle));
        self.last.set(Some((entry.id, Some(order))));
    }

    fn new_piece(&mut self, span: u64) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.pieces.push(Piece::default());
            (self.pieces.len() - 1) as u32
        });
        self.pieces[number as usize].span = span;
        self.spans.insert(span, number);
        number
    }

    pub(super) fn remove(&mut self, order: u64) -> Option<Entry> {
        let number = self.piece(order / SPAN)?;
        let entry = *self.get(order)?;
        let this = handle(number, order);
        self.handles.remove(&entry.id, |other| other == this);
        self.last.set(None);
        let piece = &mut self.pieces[number as usize];
        piece.entries.remove(piece.present.before(order % SPAN));
        piece.present.clear(order % SPAN);
        if piece.entries.is_empty() {
            piece.entries = Vec::new();
            self.spans.remove(&(order / SPAN));
            self.last_span.set(None);
            self.free.push(number);
        } else if piece.entries.len() * 4 < piece.entries.capacity() {
            piece.entries.shrink_to(piece.entries.len() * 2);
        }
        self.len -= 1;
        Some(entry)
    }
}

/// The id of a message that is there.
fn id_of(pieces: &[Piece], handle: u32) -> NotificationId {
    let piece = &pieces[(u64::from(handle) / SPAN) as usize];
    let at = u64::from(handle) % SPAN;
    piece.entries[piece.present.before(at)].id
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sim::Chance;

    fn entry(number: u64) -> Entry {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let at = Whereabouts::Pending(number);
        Entry::new(
            NotificationId::from_bytes(id),
            UnixTime::NEVER,
            at,
            1,
            (0, 0),
        )
    }

    #[test]
    fn an_entry_has_no_padding_and_gives_back_what_was_put_in() {
        assert_eq!(size_of::<Entry>(), 40);
        let time = UnixTime::from_micros(-1_795_217_983_123_456);
        for at in [
            Whereabouts::Pending(u64::from(u32::MAX) + 7),
            Whereabouts::Stored {
                segment: u32::MAX,
                offset: (256 << 20) - 8,
            },
        ] {
            for (len, state) in [(0, 0), (MAX_RECORD - 1, (1 << STATE_BITS) - 1), (5, 6)] {
                let mut entry = Entry::new(entry(1).id, time, at, len, (u32::MAX, state));
                assert_eq!((entry.at(), entry.accepted()), (at, time));
                assert_eq!((entry.body_len(), entry.state()), (len, state));
                entry.set_at(Whereabouts::Pending(7));
                entry.set_state(9);
                assert_eq!(entry.at(), Whereabouts::Pending(7));
                assert_eq!((entry.body_len(), entry.state()), (len, 9));
                assert_eq!((entry.accepted(), entry.about), (time, u32::MAX));
            }
        }
    }

    #[test]
    fn messages_are_what_a_map_would_hold() {
        for seed in 0..20 {
            let mut chance = Chance::new(seed);
            let mut messages = Messages::new();
            let mut map = BTreeMap::new();
            // Far apart as well as close together.
            let spread = [1, 3, 200, 1 << 33][seed as usize % 4];
            for _ in 0..3000 {
                let order = chance.below(700) * spread;
                match map.remove(&order) {
                    Some(id) => {
                        assert_eq!(messages.order(&id), Some(order), "seed {seed}");
                        assert_eq!(messages.remove(order).unwrap().id, id, "seed {seed}");
                        assert_eq!(messages.order(&id), None, "seed {seed}");
                        assert!(messages.get(order).is_none(), "seed {seed}");
                    }
                    None => {
                        let entry = entry(order);
                        messages.insert(order, entry);
                        map.insert(order, entry.id);
                    }
                }
                assert_eq!(messages.len(), map.len(), "seed {seed}");
            }
            let from = 300 * spread;
            let listed: Vec<_> = messages.from(from).map(|(o, e)| (o, e.id)).collect();
            let wanted: Vec<_> = map.range(from..).map(|(o, id)| (*o, *id)).collect();
            assert_eq!(listed, wanted, "seed {seed}");
            for (order, id) in &map {
                assert_eq!(messages.order(id), Some(*order), "seed {seed}");
                assert_eq!(messages.get_mut(*order).unwrap().id, *id, "seed {seed}");
            }
        }
    }
}
