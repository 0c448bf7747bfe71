//! The append-only journal: segments in a [`Storage`], group commit, recovery.
//!
//! A group is written and made durable with one sync. What makes
//! recovery simple:
//!
//! - A segment is created, synced, and its name synced, before its first record.
//! - After any failed write or sync its segment is never written again. The
//!   group goes to a new segment, with new sequence numbers; the header of the
//!   new one names the last good record before it, and so voids what the failed
//!   write may have left behind.
//! - The last group found by a recovery may be in the page cache only, and the
//!   sync that should have written it may have failed. It is therefore not
//!   synced where it is but written again, to a new segment, like a group whose
//!   sync failed. Killed in the middle, the next recovery does the same.
//! - The header of a segment also says which older segments are not needed any
//!   more. They are removed at leisure; one that is back after a crash, or that
//!   could not be removed, is not read.
//! - Sequence numbers never repeat, not even those of failed attempts, so that the
//!   segments that count are always those with the highest numbers. The file of the
//!   last attempt stays until the next one succeeds: of a process that leaves
//!   nothing else it says which numbers were used.
//! - If something cannot be read, nothing is void and nothing removed, as the disk may
//!   give it another time. What is written again then says which record it
//!   repeats, and counts only where that one is lost.
//! - A header counts only once the first group of its segment is there whole,
//!   because until then nothing in it was ever acknowledged.
//! - A segment that is not needed any more becomes a later one: under another
//!   name its file gets a new header, is synced, and only then gets the name of a
//!   segment. The epoch makes its old records invalid.
//!
//! Segments are longer than what is in them: zeros are written ahead, so that
//! most commits change bytes and no length, which is one write of the disk less.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;

use crate::draft::{Draft, Rest};
use crate::replay::{FoundSegment, MAX_SEGMENT, Visit, list_segments, replay, segment_name};
use crate::segment::{BLOCK, COPY, FIRST, Frame, Header, LAST, RECORD_HEADER};
use crate::spares::{Spare, Spares};
use crate::{Error, Space, Storage, Syncing};

/// Sizes of a journal and of what it remembers.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length at which a segment is full.
    pub segment_size: u64,
    /// How many segments are always kept, for tracing what has ended.
    pub keep_segments: usize,
    /// Above how many segments open messages are copied out of the oldest.
    pub compact_above: usize,
    /// How many accepted ids are remembered per peer: at least four windows.
    pub peer_ids: usize,
    /// How many accepted ids are remembered altogether.
    pub all_ids: usize,
    /// How many bytes the journal may have before it is [`Space::Low`]. None for
    /// half of what is free at the start; segments are shorter then if that is little.
    pub limit: Option<u64>,
    /// How many bytes are kept for recording ends when the disk is full.
    pub reserve: u64,
    /// How many zeros are written ahead of the records.
    pub ahead: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            keep_segments: 4,
            compact_above: 16,
            peer_ids: 4096,
            all_ids: 100_000,
            limit: None,
            reserve: 8 << 20,
            ahead: 1 << 20,
        }
    }
}

/// By how much sequence numbers leap at a recovery. A segment that an earlier
/// process gave up and removed may be back after a crash, though this process did
/// not see it. It must not have a higher number than those written since.
const LEAP: u64 = 1 << 32;
/// How many of the newest segments are read from the disk itself after a start,
/// though the system may have them in memory. An earlier process synced whatever it
/// wrote before, and what was in memory only is written again in any case.
const READ_FROM_DISK: usize = 2;
/// A group that is longer than this part of what is written ahead has its length
/// made durable with it: zeros would only be written twice.
const LONG_GROUP: u64 = 8;
/// How much of a group is written at once: what was copied together is then still
/// in the processor's cache. The last of it is kept in memory.
const AT_ONCE: usize = 512 << 10;
/// What is written ahead, as often as needed.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
/// The system is told of at least so many bytes that they will not be read.
const FORGET_AT_ONCE: u64 = 256 << 10;
/// How much is read at once where one record after the other is asked for.
const READ_AHEAD: usize = 256 << 10;
/// How many segments the journal may have room for at least, before they get shorter.
const LEAST_SEGMENTS: u64 = 32;
/// No segment is made shorter than this.
const SHORTEST: u64 = 4 << 20;

/// A place in the journal that does not hold what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The name of the segment.
    pub segment: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes; 0 if records are missing altogether.
    pub len: u64,
    /// What is wrong, in words.
    pub why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at offset {}, {} bytes: {}",
            self.segment, self.offset, self.len, self.why
        )
    }
}

/// What recovery found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments read.
    pub segments: usize,
    /// Valid records found.
    pub records: u64,
    /// Bytes of an interrupted write, cut from the end.
    pub cut: u64,
    /// Damaged places, each left out. The same place is told at every recovery
    /// until its segment is removed.
    pub damages: Vec<Damage>,
    /// Bytes that the disk did not give, and may give another time.
    pub unread: u64,
    /// Messages that have not ended.
    pub open: usize,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} open messages from {} records in {} segments",
            self.open, self.records, self.segments
        )?;
        if self.cut > 0 {
            write!(f, ", {} bytes of an interrupted write cut", self.cut)?;
        }
        if !self.damages.is_empty() {
            write!(f, ", {} damaged places set aside", self.damages.len())?;
        }
        Ok(())
    }
}

/// Where a record is, as long as this process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counts segments, in their order.
    pub segment: u32,
    /// Where in the segment.
    pub offset: u64,
    /// Length of the record, header included.
    pub len: u32,
}

/// What recovery found, but may not be durable where it is.
pub struct Doubtful {
    /// The records.
    pub records: Vec<(Place, Draft)>,
    /// Whether one of them was visited: where all are written again, what they say
    /// is not news.
    pub is_visited: bool,
}

struct Segment {
    name: String,
    first: u64,
    epoch: u64,
    /// Where the next record would go.
    len: u64,
    /// Length of the file.
    size: u64,
    /// Whether no write to it and no sync of it has failed. The file of another
    /// is not used again.
    sound: bool,
}

struct Head {
    segment: u32,
    /// Whether a group in it was ever made durable.
    used: bool,
    /// The system was told that nothing before this place will be read. None if
    /// it is not told so: what a segment held before is about to be overwritten,
    /// and a part of a page only after the whole has been read.
    unread_from: Option<u64>,
}

/// A group that is written, and not durable yet.
pub struct Group {
    /// The head, which nothing else may be written to.
    head: Head,
    /// Its length without the group.
    before: u64,
    /// The number of the last record.
    last: u64,
    /// Whether there are repetitions in it.
    repeats: bool,
    places: Vec<Place>,
    piece: Piece,
}

/// The journal, for the one process that writes it.
pub struct Journal<S: Storage> {
    storage: S,
    segment_size: u64,
    ahead: u64,
    /// How many bytes it may have.
    limit: u64,
    spares: Spares,
    /// What the room was when it was looked at last, and how much of that is for
    /// want of bytes.
    space: Space,
    bytes_space: Space,
    segments: BTreeMap<u32, Segment>,
    next_segment: u32,
    head: Option<Head>,
    /// The last durable record.
    last: u64,
    next_sequence: u64,
    /// If recovery could not read everything: the first number of the oldest
    /// segment that was needed. No header says later ones are enough.
    partial_from: Option<u64>,
    /// The last segment with records that are written again, by a process that could
    /// not read all before them. Without the first ones they would come behind
    /// what was said since.
    repeats: Option<u32>,
    /// Files that are to be removed once the next group is durable.
    superseded: Vec<String>,
    /// The file of the last attempt to make a segment, if it failed.
    given_up: Option<String>,
    /// What is damaged stays until the caller could copy it.
    recovering: bool,
    random: RandomState,
    /// The last of the last group: what was accepted in it is asked for next.
    written: Piece,
    /// What was read last, with some of what comes after it.
    read: RefCell<Piece>,
}

impl<S: Storage> Journal<S> {
    /// Reads the journal and hands every record to `visit`. Returns also what may
    /// not be durable: it must be committed again, before anything else.
    pub(crate) fn recover(
        storage: S,
        options: &Options,
        visit: &mut Visit<'_>,
    ) -> Result<(Self, Doubtful, Recovery), Error> {
        let names = list_segments(&storage)?;
        for name in names.iter().rev().take(READ_FROM_DISK) {
            storage.drop_cache(name);
        }
        let replay = replay(&storage, visit)?;
        let path = storage.path("");
        let spares = Spares::find(&storage, options.reserve).map_err(Error::io("list", &path))?;
        let number = |(number, found)| (number as u32, Segment::found(found));
        let next_segment = replay.segments.len() as u32;
        let mut journal = Self {
            segments: replay
                .segments
                .into_iter()
                .enumerate()
                .map(number)
                .collect(),
            next_segment,
            storage,
            segment_size: options.segment_size.clamp(BLOCK as u64, MAX_SEGMENT / 2),
            ahead: options.ahead,
            limit: options.limit.unwrap_or(u64::MAX),
            spares,
            space: Space::Ok,
            bytes_space: Space::Ok,
            head: None,
            last: replay.durable,
            next_sequence: replay.highest + LEAP,
            partial_from: (replay.recovery.unread > 0).then_some(replay.oldest),
            repeats: replay.repeats,
            superseded: replay.unfinished,
            given_up: None,
            recovering: true,
            random: RandomState::new(),
            written: Piece::default(),
            read: RefCell::default(),
        };
        if options.limit.is_none() {
            journal.fit_into_room()?;
        }
        let mut records = Vec::with_capacity(replay.doubtful.len());
        for found in replay.doubtful {
            let place = found.place;
            let mut draft = journal.read_draft(place.segment, place.offset, place.len as usize)?;
            // If something cannot be read, nothing is void where it is.
            let counts = found.is_repeated || journal.partial_from.is_some();
            draft.again = counts.then_some(found.first);
            records.push((place, draft));
        }
        let doubtful = Doubtful {
            records,
            is_visited: replay.is_told,
        };
        Ok((journal, doubtful, replay.recovery))
    }

    /// Sets the limit, and shortens segments where it is low, by what is free.
    fn fit_into_room(&mut self) -> Result<(), Error> {
        let path = self.storage.path("");
        let room = self.storage.room();
        if let Some(room) = room.map_err(Error::io("look at", &path))? {
            self.limit = room.free.saturating_add(self.disk_bytes()) / 2;
            let fitting = (self.limit / LEAST_SEGMENTS).max(SHORTEST);
            self.segment_size = self.segment_size.min(fitting);
        }
        Ok(())
    }

    /// Whether this record can go to the head.
    pub fn has_room(&self, draft: &Draft) -> bool {
        let is_new = self.head.as_ref().is_some_and(|head| !head.used);
        is_new || self.has_room_for(draft.room() as u64)
    }

    /// Whether a group of so many bytes can go to the head as it is.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| self.segments[&head.segment].len + bytes <= self.segment_size)
    }

    /// Makes the first of `drafts`, as many as fit but at least `together` and
    /// one, durable with one sync. Says where they are. On any error the
    /// head is given up, and the next group needs a new segment.
    pub fn write_group(&mut self, drafts: &[&Draft], together: usize) -> Result<Vec<Place>, Error> {
        let group = self.append_group(drafts, together)?;
        let synced = self.storage.sync(&self.segments[&group.head.segment].name);
        self.finish_group(group, synced)
    }

    /// Writes a group as [`Journal::write_group`] does. It is durable, and there is a
    /// head again, when [`Journal::finish_group`] was told of a sync that succeeded.
    pub fn append_group(&mut self, drafts: &[&Draft], together: usize) -> Result<Group, Error> {
        let Some(head) = self.head.take() else {
            let path = self.storage.path("");
            return Err(Error::io("write", &path)(io::ErrorKind::NotFound.into()));
        };
        let segment = self
            .segments
            .get_mut(&head.segment)
            .expect("the head is a segment");
        let left = self.segment_size.saturating_sub(segment.len);
        let count = fitting(drafts, left).max(together).max(1);
        let drafts = &drafts[..count.min(drafts.len())];
        let mut piece = std::mem::take(&mut self.written);
        piece.segment = head.segment;
        let first_sequence = self.next_sequence;
        // Also of a group that is not durable after all.
        self.next_sequence += drafts.len() as u64;
        let before = segment.len;
        let sizes = (self.ahead, self.segment_size);
        let written = segment.append(&self.storage, drafts, first_sequence, sizes, &mut piece);
        match written {
            Ok(places) => Ok(Group {
                head,
                before,
                last: self.next_sequence - 1,
                repeats: drafts.iter().any(|draft| draft.again.is_some()),
                places,
                piece,
            }),
            Err(error) => {
                let path = self.storage.path(&segment.name);
                self.give_head_up(&head, before);
                Err(Error::io("write", &path)(error))
            }
        }
    }

    /// What makes a written group durable, wherever it is called.
    pub fn sync_later(&self, group: &Group) -> Syncing {
        let segment = &self.segments[&group.head.segment];
        self.storage.sync_later(&segment.name)
    }

    /// The sync of a written group has come to this.
    pub fn finish_group(
        &mut self,
        group: Group,
        synced: io::Result<()>,
    ) -> Result<Vec<Place>, Error> {
        let head = group.head;
        if let Err(error) = synced {
            let path = self.storage.path(&self.segments[&head.segment].name);
            self.give_head_up(&head, group.before);
            return Err(Error::io("sync", &path)(error));
        }
        self.written = group.piece;
        self.last = group.last;
        if group.repeats {
            self.repeats = Some(head.segment);
        }
        self.head = Some(Head { used: true, ..head });
        Ok(group.places)
    }

    /// A group behind `len` could not be written or synced.
    fn give_head_up(&mut self, head: &Head, len: u64) {
        if let Some(segment) = self.segments.get_mut(&head.segment) {
            segment.len = len;
            segment.sound = false;
        }
        if !head.used {
            self.discard(head.segment);
        }
    }

    /// What the head holds before `offset` of segment `number` has ended; all of it
    /// if there is no such place. The system need not keep it in memory: new
    /// memory for what is written next costs much more than what was used just now.
    pub fn ended_before(&mut self, place: Option<(u32, u64)>) {
        let Some(head) = &mut self.head else { return };
        let segment = &self.segments[&head.segment];
        let (Some(from), to) = (
            &mut head.unread_from,
            match place {
                None => segment.len,
                Some((number, offset)) if number == head.segment => offset,
                Some(_) => return,
            },
        ) else {
            return;
        };
        if to >= *from + FORGET_AT_ONCE {
            // The last page is written to again.
            let to = to - to % BLOCK as u64;
            self.storage.will_not_read(&segment.name, *from, to);
            *from = to;
        }
    }

    /// Makes a new head, in whose header segments older than number `oldest` are
    /// not needed. The old head is never written again, whatever happens: the new
    /// header voids what would come after `self.last` in it.
    pub fn start_segment(&mut self, oldest: Option<u32>) -> Result<(), Error> {
        self.head = None;
        let path = self.storage.path("");
        let spare = self.spares.take(&self.storage);
        let spare = spare.map_err(Error::io("create a file in", &path))?;
        let is_fresh = spare.size == 0;
        let oldest = oldest.and_then(|number| self.segments.get(&number));
        let oldest = oldest.map(|segment| segment.first);
        let mut segment = self.write_header(spare, oldest)?;
        self.name_segment(&mut segment)?;
        let number = self.next_segment;
        self.next_segment += 1;
        self.segments.insert(number, segment);
        self.head = Some(Head {
            segment: number,
            used: false,
            unread_from: is_fresh.then_some(0),
        });
        Ok(())
    }

    /// Makes a file that will be a segment, durably but for its name.
    fn write_header(&mut self, spare: Spare, oldest: Option<u64>) -> Result<Segment, Error> {
        let first = self.next_sequence;
        let header = Header {
            first,
            after: self.last,
            epoch: self.random.hash_one(first),
            oldest: self.partial_from.or(oldest).unwrap_or(first),
            recycled: spare.size > 0,
            partial: self.partial_from.is_some(),
        };
        let mut segment = Segment {
            name: spare.name,
            first,
            epoch: header.epoch,
            len: 0,
            size: spare.size,
            sound: true,
        };
        let path = self.storage.path(&segment.name);
        let written = segment
            .write(
                &self.storage,
                &header.encode(),
                self.ahead,
                self.segment_size,
            )
            .map_err(Error::io("write", &path))
            .and_then(|()| {
                let synced = self.storage.sync(&segment.name);
                synced.map_err(Error::io("sync", &path))
            });
        segment.len = BLOCK as u64;
        match written {
            Ok(()) => Ok(segment),
            Err(error) => {
                self.next_sequence += 1;
                let _ = self.storage.remove(&segment.name);
                Err(error)
            }
        }
    }

    /// Gives the file the name of a segment, durably.
    fn name_segment(&mut self, segment: &mut Segment) -> Result<(), Error> {
        let path = self.storage.path("");
        let name = segment_name(segment.first);
        if let Err(error) = self.storage.rename(&segment.name, &name) {
            // Also if a stranger has the name: the next number is free.
            self.next_sequence += 1;
            let _ = self.storage.remove(&segment.name);
            return Err(Error::io("rename to", &self.storage.path(&name))(error));
        }
        segment.name = name;
        let synced = self.spares.sync_names(&self.storage);
        if synced.is_err() {
            self.next_sequence += 1;
            self.give_up(segment.name.clone());
        }
        synced.map_err(Error::io("sync", &path))
    }

    /// Drops a segment that never held anything durable. It does not matter
    /// whether its file goes: the next header voids it.
    fn discard(&mut self, number: u32) {
        if let Some(segment) = self.segments.remove(&number) {
            self.give_up(segment.name);
        }
    }

    /// What is given up goes when the next one is there. If this process ends before
    /// that, the name tells the next one which numbers were used: removed, the file
    /// may be back some day.
    fn give_up(&mut self, name: String) {
        if let Some(before) = self.given_up.replace(name) {
            let _ = self.storage.remove(&before);
        }
    }

    /// Removes what the header of the head says is not needed, now that a group
    /// in it is durable. What cannot be removed is tried again at the next call.
    pub fn remove_older_than(&mut self, oldest: Option<u32>) {
        let newer = match oldest {
            Some(oldest) => self.segments.split_off(&oldest),
            None => {
                let head = self.head.as_ref().map_or(u32::MAX, |head| head.segment);
                self.segments.split_off(&head)
            }
        };
        let older = std::mem::replace(&mut self.segments, newer);
        self.superseded.extend(self.given_up.take());
        let (storage, spares) = (&self.storage, &mut self.spares);
        self.superseded.retain(|name| match storage.remove(name) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        });
        for segment in older.into_values() {
            let gone = match segment.sound {
                true => spares.recycle(storage, &segment.name, segment.size).is_ok(),
                false => !self.recovering && storage.remove(&segment.name).is_ok(),
            };
            if !gone {
                self.superseded.push(segment.name);
            }
        }
        if self.space == Space::Ok {
            // If that fails, the next full disk finds us unprepared, and that is all.
            let _ = self.make_ready();
        }
    }

    /// Recovery is over.
    pub fn recovered(&mut self) {
        self.recovering = false;
    }

    /// Makes ready what is needed when the disk is full.
    pub fn make_ready(&mut self) -> Result<(), Error> {
        let path = self.storage.path("");
        let filled = self.spares.fill(&self.storage);
        filled.map_err(Error::io("create a file in", &path))
    }

    /// Looks how much room there is. What should stand ready and does not is made
    /// when there is enough.
    pub fn look_at_space(&mut self) -> Result<Space, Error> {
        let path = self.storage.path("");
        let room = self.storage.room();
        let room = room.map_err(Error::io("look at", &path))?;
        let disk = room.map_or(Space::Ok, |room| room.space());
        if disk == Space::Ok && !self.spares.is_complete() {
            let _ = self.make_ready();
        }
        let own = match self.disk_bytes() > self.limit {
            true => Space::Low,
            false => Space::Ok,
        };
        self.space = disk.max(own);
        self.bytes_space = room.map_or(Space::Ok, |room| room.bytes());
        Ok(self.space)
    }

    /// What [`Journal::look_at_space`] said last.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Whether the disk has no bytes left. Without inodes it may have some.
    pub fn is_full_of_bytes(&self) -> bool {
        self.bytes_space == Space::Full
    }

    /// Gives the disk the blocks that were kept for now; `false` if there are none.
    pub fn release_reserve(&mut self) -> bool {
        (self.space, self.bytes_space) = (Space::Full, Space::Full);
        self.spares.release_reserve(&self.storage)
    }

    /// The record at `offset` of a segment, to be written again. `likely` is how
    /// long it is, more or less.
    pub fn read_draft(&self, segment: u32, offset: u64, likely: usize) -> Result<Draft, Error> {
        let segment = &self.segments[&segment];
        let path = self.storage.path(&segment.name);
        let damaged = || Error::Damaged {
            path: path.clone(),
            offset,
        };
        let mut bytes = Vec::new();
        let mut wanted = likely.max(RECORD_HEADER);
        loop {
            self.read_more(segment, offset, &mut bytes, wanted)?;
            let len = Frame::length(&bytes).ok_or_else(damaged)?;
            if len <= bytes.len() {
                break;
            }
            if bytes.len() < wanted {
                return Err(damaged());
            }
            wanted = len;
        }
        let frame = Frame::decode(&bytes, 0, segment.epoch).ok_or_else(damaged)?;
        let (kind, copy) = (frame.kind, frame.flags & COPY != 0);
        let (len, before) = (frame.len(), frame.len() - frame.body.len());
        bytes.truncate(len);
        let body = bytes.split_off(before);
        Ok(Draft {
            kind,
            copy,
            again: None,
            body,
            rest: Rest::None,
        })
    }

    /// Shows the record at `offset` of a segment. `likely` is how long it is, more
    /// or less.
    pub fn look_at<T>(
        &self,
        segment: u32,
        offset: u64,
        likely: usize,
        look: impl FnOnce(&Frame<'_>) -> T,
    ) -> Result<T, Error> {
        let number = segment;
        let segment = &self.segments[&number];
        if let Some(frame) = self.written.frame(number, offset, segment.epoch) {
            return Ok(look(&frame));
        }
        let mut read = self.read.borrow_mut();
        if let Some(frame) = read.frame(number, offset, segment.epoch) {
            return Ok(look(&frame));
        }
        // Who asks for one behind the last piece goes on to the next ones.
        let wanted = match read.is_before(number, offset) {
            true => likely.max(READ_AHEAD),
            false => likely,
        };
        let left = usize::try_from(segment.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = std::mem::take(&mut *read).into_buffer();
        let result = self.read_more(segment, offset, &mut bytes, wanted.min(left));
        if result.is_ok() {
            *read = Piece {
                segment: number,
                offset,
                bytes,
            };
            if let Some(frame) = read.frame(number, offset, segment.epoch) {
                return Ok(look(&frame));
            }
        }
        drop(read);
        // Longer than likely, or damaged; or the disk does not give all of that.
        let draft = self.read_draft(number, offset, likely)?;
        Ok(look(&Frame {
            offset: 0,
            sequence: 0,
            kind: draft.kind,
            flags: 0,
            again: None,
            body: &draft.body,
        }))
    }

    /// Reads on from `offset` until `wanted` bytes are there, or there are no more.
    fn read_more(
        &self,
        segment: &Segment,
        offset: u64,
        bytes: &mut Vec<u8>,
        wanted: usize,
    ) -> Result<(), Error> {
        let mut filled = bytes.len();
        bytes.resize(wanted, 0);
        while filled < wanted {
            let at = offset + filled as u64;
            let read = self
                .storage
                .read_at(&segment.name, at, &mut bytes[filled..]);
            match read {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let path = self.storage.path(&segment.name);
                    return Err(Error::io("read", &path)(error));
                }
            }
        }
        bytes.truncate(filled);
        Ok(())
    }

    /// Its segments, oldest first: number, and the bytes that it takes on the disk.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = (u32, u64)> + '_ {
        let entries = self.segments.iter();
        entries.map(|(number, segment)| (*number, segment.size))
    }

    /// The oldest segment, and those that can only go together with it.
    pub fn going_first(&self) -> impl Iterator<Item = u32> + '_ {
        let mut numbers = self.segments.keys().copied();
        let oldest = numbers.next();
        let others = numbers.take_while(|number| Some(*number) <= self.repeats);
        oldest.into_iter().chain(others)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.len).sum()
    }

    /// Bytes that it takes on the disk, with all that stands ready.
    pub fn disk_bytes(&self) -> u64 {
        let segments = self.segments.values().map(|segment| segment.size);
        segments.sum::<u64>() + self.spares.bytes()
    }

    /// How many bytes it may have.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Length at which a segment is full.
    pub fn segment_size(&self) -> u64 {
        self.segment_size
    }

    /// Hands all records to `visit`, as they are on the disk now.
    pub fn visit(&self, visit: &mut dyn FnMut(Place, &Frame<'_>)) -> Result<(), Error> {
        replay(&self.storage, &mut |place, frame, _| visit(place, frame)).map(drop)
    }
}

/// Some bytes of a segment, as they are on the disk, or are in its cache.
#[derive(Default)]
struct Piece {
    segment: u32,
    offset: u64,
    bytes: Vec<u8>,
}

impl Piece {
    /// The record at `offset` of a segment, if it is here whole.
    fn frame(&self, segment: u32, offset: u64, epoch: u64) -> Option<Frame<'_>> {
        if segment != self.segment {
            return None;
        }
        let at = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        Frame::decode(&self.bytes, at, epoch)
    }

    /// Whether what is at `offset` of a segment begins in this piece, or soon
    /// behind it.
    fn is_before(&self, segment: u32, offset: u64) -> bool {
        let end = self.offset + self.bytes.len() as u64;
        let near = self.offset..=end + READ_AHEAD as u64;
        segment == self.segment && !self.bytes.is_empty() && near.contains(&offset)
    }

    /// Its memory, for others.
    fn into_buffer(mut self) -> Vec<u8> {
        self.bytes.clear();
        self.bytes
    }
}

impl Segment {
    /// One that an earlier process wrote; nothing more is written to it.
    fn found(segment: FoundSegment) -> Self {
        Self {
            name: segment.name,
            first: segment.header.first,
            epoch: segment.header.epoch,
            len: segment.len,
            size: segment.size,
            sound: !segment.damaged,
        }
    }

    /// Writes a group behind the last record, some of it at a time, and says where
    /// its records are. `piece` is then what was written last.
    fn append(
        &mut self,
        storage: &impl Storage,
        drafts: &[&Draft],
        first_sequence: u64,
        (ahead, segment_size): (u64, u64),
        piece: &mut Piece,
    ) -> io::Result<Vec<Place>> {
        let len: u64 = drafts.iter().map(|draft| draft.room() as u64).sum();
        let ahead = match len > ahead / LONG_GROUP {
            true => 0,
            false => ahead,
        };
        let mut places = Vec::with_capacity(drafts.len());
        while places.len() < drafts.len() {
            let rest = &drafts[places.len()..];
            let count = fitting(rest, AT_ONCE as u64).max(1);
            piece.offset = self.len;
            piece.bytes.clear();
            for draft in &rest[..count] {
                let number = places.len();
                let flag = |set: bool, flag: u8| if set { flag } else { 0 };
                let first = flag(number == 0, FIRST);
                let last = flag(number + 1 == drafts.len(), LAST);
                let frame = Frame {
                    offset: 0,
                    sequence: first_sequence + number as u64,
                    kind: draft.kind,
                    flags: first | last | flag(draft.copy, COPY),
                    again: draft.again,
                    body: &draft.body,
                };
                let len = frame.len() + draft.rest_len();
                places.push(Place {
                    segment: piece.segment,
                    offset: self.len + piece.bytes.len() as u64,
                    len: len as u32,
                });
                if draft.room() <= AT_ONCE {
                    frame.encode_with(draft.rest(), self.epoch, &mut piece.bytes);
                    continue;
                }
                // Alone, and not copied.
                frame.encode_header(draft.rest(), self.epoch, &mut piece.bytes);
                let padding = &[0; 8][..draft.room() - len];
                let head = [&*piece.bytes, &draft.body];
                for part in head.into_iter().chain(draft.rest()).chain([padding]) {
                    self.write(storage, part, 0, segment_size)?;
                    self.len += part.len() as u64;
                }
                piece.bytes.clear();
            }
            self.write(storage, &piece.bytes, ahead, segment_size)?;
            self.len += piece.bytes.len() as u64;
        }
        Ok(places)
    }

    /// Writes behind the last record, and zeros behind that where it makes the
    /// file longer.
    fn write(
        &mut self,
        storage: &impl Storage,
        bytes: &[u8],
        ahead: u64,
        segment_size: u64,
    ) -> io::Result<()> {
        write_all(storage, &self.name, self.len, bytes)?;
        let end = self.len + bytes.len() as u64;
        if end <= self.size {
            return Ok(());
        }
        self.size = end;
        let mut zeros = ahead.min(segment_size.saturating_sub(end));
        while zeros > 0 {
            let some = &ZEROS[..zeros.min(ZEROS.len() as u64) as usize];
            match write_all(storage, &self.name, self.size, some) {
                Ok(()) => self.size += some.len() as u64,
                // The group itself has its place.
                Err(error) if is_full(&error) => break,
                Err(error) => return Err(error),
            }
            zeros -= some.len() as u64;
        }
        Ok(())
    }
}

/// Whether the disk has no room, for this user or at all.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// How many of `drafts` have room in `left` bytes.
fn fitting(drafts: &[&Draft], left: u64) -> usize {
    let mut total = 0;
    let fitting = drafts.iter().take_while(|draft| {
        total += draft.room() as u64;
        total <= left
    });
    fitting.count()
}

fn write_all(storage: &impl Storage, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match storage.write_at(name, offset + done as u64, &bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
