//! The open messages in the order of acceptance, at 41 to 44 bytes each.

use std::cell::Cell;
use std::collections::BTreeMap;

use objects::NotificationId;

use super::piece::{Entry, Piece, SPAN, Whereabouts};
use super::slots::Slots;

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

    pub(super) fn get(&self, order: u64) -> Option<Entry> {
        let number = self.piece(order / SPAN)?;
        self.pieces[number as usize].get(order % SPAN)
    }

    fn piece_mut(&mut self, order: u64) -> Option<&mut Piece> {
        let number = self.piece(order / SPAN)?;
        Some(&mut self.pieces[number as usize])
    }

    /// Changes the state of one that is there.
    pub(super) fn set_state(&mut self, order: u64, state: u32) {
        if let Some(piece) = self.piece_mut(order) {
            piece.set_state(order % SPAN, state);
        }
    }

    /// Changes what one is about that is there.
    pub(super) fn set_about(&mut self, order: u64, about: u32) {
        if let Some(piece) = self.piece_mut(order) {
            piece.set_about(order % SPAN, about);
        }
    }

    /// Changes where one is that is there.
    pub(super) fn set_at(&mut self, order: u64, at: Whereabouts) {
        if let Some(piece) = self.piece_mut(order) {
            piece.set_at(order % SPAN, at);
        }
    }

    /// Those of this order and higher ones, in their order.
    pub(super) fn from(&self, from: u64) -> impl DoubleEndedIterator<Item = (u64, Entry)> + '_ {
        let spans = self.spans.range(from / SPAN..);
        let pieces = spans.map(|(span, piece)| (span * SPAN, &self.pieces[*piece as usize]));
        pieces.flat_map(move |(first, piece)| {
            let orders = (0..SPAN).filter(move |at| first + at >= from);
            orders.filter_map(move |at| Some((first + at, piece.get(at)?)))
        })
    }

    /// Adds one whose id and order are not there.
    pub(super) fn insert(&mut self, order: u64, entry: &Entry) {
        let span = order / SPAN;
        let number = self.piece(span).unwrap_or_else(|| self.new_piece(span));
        self.pieces[number as usize].insert(order % SPAN, entry);
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
        let entry = self.get(order)?;
        let this = handle(number, order);
        self.handles.remove(&entry.id, |other| other == this);
        self.last.set(None);
        let piece = &mut self.pieces[number as usize];
        piece.remove(order % SPAN);
        if piece.is_empty() {
            self.spans.remove(&(order / SPAN));
            self.last_span.set(None);
            self.free.push(number);
        }
        self.len -= 1;
        Some(entry)
    }
}

/// The id of a message that is there.
fn id_of(pieces: &[Piece], handle: u32) -> NotificationId {
    pieces[(u64::from(handle) / SPAN) as usize].id(u64::from(handle) % SPAN)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use objects::UnixTime;

    use super::*;
    use crate::sim::Chance;

    fn entry(number: u64) -> Entry {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Entry {
            id: NotificationId::from_bytes(id),
            about: 0,
            at: Whereabouts::Pending(number as u32),
            body_len: 1,
            accepted: UnixTime::NEVER,
            state: 0,
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
                        messages.insert(order, &entry);
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
                assert_eq!(messages.get(*order).unwrap().id, *id, "seed {seed}");
            }
        }
    }
}
