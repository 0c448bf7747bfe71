//! A file of the journal, read piece by piece: what is in memory of it is a
//! window on it.

use std::collections::BTreeSet;
use std::io;

use crate::replay::MAX_SEGMENT;
use crate::segment::Bytes;
use crate::{Error, Storage};

/// The unit in which a disk fails to read.
pub(crate) const PIECE: usize = 4096;
/// How much is read at once, unless a record is longer.
const CHUNK: usize = 1 << 20;

/// A file, or of a very long one the beginning.
pub(crate) struct Window<'a, S> {
    storage: &'a S,
    name: &'a str,
    len: usize,
    /// Where in the file `bytes` begin.
    start: usize,
    bytes: &'a mut Vec<u8>,
    /// Pieces that could not be read. They are zeros in `bytes`.
    unreadable: BTreeSet<usize>,
}

impl<'a, S: Storage> Window<'a, S> {
    /// On the file of this name; `bytes` is the memory for it.
    pub(crate) fn open(
        storage: &'a S,
        name: &'a str,
        bytes: &'a mut Vec<u8>,
    ) -> Result<Self, Error> {
        let len = storage.len(name);
        let len = len.map_err(Error::io("open", &storage.path(name)))?;
        bytes.clear();
        Ok(Self {
            storage,
            name,
            len: len.min(MAX_SEGMENT) as usize,
            start: 0,
            bytes,
            unreadable: BTreeSet::new(),
        })
    }

    /// Where pieces are that could not be read, of all that was asked for.
    pub(crate) fn into_unreadable(self) -> BTreeSet<usize> {
        self.unreadable
    }

    /// How many bytes could not be read so far.
    pub(crate) fn unread(&self) -> u64 {
        (self.unreadable.len() * PIECE) as u64
    }

    fn has(&self, at: usize, len: usize) -> bool {
        let end = self.start + self.bytes.len();
        at >= self.start && at <= end && (end >= self.len || end - at >= len)
    }

    fn read(&mut self, at: usize, len: usize) {
        self.start = at / PIECE * PIECE;
        let end = (at + len.max(CHUNK)).next_multiple_of(PIECE).min(self.len);
        // What was there is written over.
        self.bytes.resize(end.saturating_sub(self.start), 0);
        let mut done = 0;
        let mut failures = 0;
        while done < self.bytes.len() {
            // Everything at once as long as that works, then piece by piece.
            let until = match failures {
                0 => self.bytes.len(),
                _ => (done / PIECE * PIECE + PIECE).min(self.bytes.len()),
            };
            let at = self.start + done;
            let into = &mut self.bytes[done..until];
            match self.storage.read_at(self.name, at as u64, into) {
                Ok(0) => {
                    self.bytes.truncate(done);
                    self.len = at;
                }
                Ok(count) => {
                    done += count;
                    failures = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if failures < 2 => failures += 1,
                Err(_) => {
                    self.unreadable.insert(at);
                    into.fill(0);
                    done = until;
                    failures = 1;
                }
            }
        }
    }
}

impl<S: Storage> Bytes for Window<'_, S> {
    fn end(&self) -> usize {
        self.len
    }

    fn from(&mut self, at: usize, len: usize) -> &[u8] {
        if !self.has(at, len) {
            self.read(at, len);
        }
        self.bytes.get(at - self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Frame, Header, Item, Items, Walk};
    use crate::sim::{Chance, SimulatedDisk};

    /// Records of all lengths, some damaged, some longer than a window.
    fn segment(chance: &mut Chance, recycled: bool) -> Vec<u8> {
        let header = Header {
            first: 1,
            after: 0,
            epoch: 7,
            oldest: 1,
            recycled,
            partial: false,
        };
        let mut bytes = header.encode().to_vec();
        for sequence in 1..40 {
            let most = [40, 3000, 200_000, 3 << 20][chance.below(4) as usize];
            let body = vec![sequence as u8; chance.below(most) as usize];
            let frame = Frame {
                offset: 0,
                sequence,
                kind: 99,
                flags: 3,
                again: None,
                body: &body,
            };
            frame.encode(7, &mut bytes);
            match chance.below(8) {
                0 => {
                    let at = bytes.len() as u64 - 1 - chance.below(body.len() as u64 + 8);
                    bytes[at as usize] ^= 1;
                }
                1 => bytes.resize(bytes.len() + 8 * chance.below(9) as usize, 0),
                _ => {}
            }
        }
        let end = bytes.len() - chance.below(30) as usize;
        bytes.truncate(end);
        bytes.resize(end + chance.below(3 << 20) as usize, 0);
        bytes
    }

    #[test]
    fn a_file_has_the_same_records_in_pieces_and_as_a_whole() {
        let mut buffer = Vec::new();
        for seed in 0..12 {
            let mut chance = Chance::new(seed);
            let bytes = segment(&mut chance, seed % 2 == 0);
            let disk = SimulatedDisk::new();
            disk.put("seg", &bytes);
            let header = Header::decode(&bytes).unwrap();
            let window = Window::open(&disk, "seg", &mut buffer).unwrap();
            let mut walk = Walk::new(window, &header);
            for (number, item) in Items::new(&bytes, &header).enumerate() {
                match (item, walk.next()) {
                    (Item::Record(a), Some(Item::Record(b))) => assert!(a == b, "{seed} {number}"),
                    (gap, other) => assert_eq!(Some(gap), other, "{seed} {number}"),
                }
            }
            assert_eq!(walk.next(), None, "{seed}");
            assert!(walk.into_bytes().into_unreadable().is_empty());
            assert!(buffer.capacity() < 8 << 20, "{}", buffer.capacity());
        }
    }

    #[test]
    fn pieces_that_cannot_be_read_are_told_once_and_are_zeros() {
        let disk = SimulatedDisk::new();
        disk.put("seg", &vec![7; 3 << 20]);
        let bad = 2 * CHUNK + PIECE;
        disk.spoil("seg", bad as u64, 1);
        let mut buffer = Vec::new();
        let mut window = Window::open(&disk, "seg", &mut buffer).unwrap();
        for _ in 0..2 {
            for at in (0..3 << 20).step_by(CHUNK / 2) {
                let bytes = window.from(at, 100);
                assert!(bytes.len() >= 100 && bytes[0] == 7, "{at}");
            }
        }
        assert_eq!(window.from(bad, 1)[0], 0);
        assert_eq!(window.from(bad + PIECE, 1)[0], 7);
        assert_eq!(window.unread(), PIECE as u64);
        assert_eq!(window.into_unreadable(), [bad].into());
    }
}
