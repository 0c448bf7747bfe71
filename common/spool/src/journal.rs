//! The append-only journal: segments in a [`Storage`], group commit, recovery.
//!
//! A group is written with one write and made durable with one sync. What makes
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
//!   segments that count are always those with the highest numbers.
//! - A header counts only once the first group of its segment is there whole,
//!   because until then nothing in it was ever acknowledged.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;

use crate::record::is_prologue;
use crate::segment::{BLOCK, COPY, FIRST, Frame, Header, HeaderError, Item, Items, LAST, room};
use crate::{Error, Storage};

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            keep_segments: 4,
            compact_above: 16,
            peer_ids: 4096,
            all_ids: 100_000,
        }
    }
}

/// By how much sequence numbers leap at a recovery. A segment that an earlier
/// process gave up and removed may be back after a crash, though this process did
/// not see it. It must not have a higher number than those written since.
const LEAP: u64 = 1 << 32;
/// Longest segment that is read; what is beyond was not written by us.
const MAX_SEGMENT: u64 = 256 << 20;
/// The unit in which a disk fails to read.
const PIECE: usize = 4096;

/// Why a place that the disk does not give is set aside.
const UNREADABLE: &str = "cannot be read";

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

/// A record that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its kind.
    pub kind: u8,
    /// Whether it is a copy of one in an older segment.
    pub copy: bool,
    /// Its body.
    pub body: Vec<u8>,
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

/// Records that recovery found, but that may not be durable where they are.
pub type Doubtful = Vec<(Place, Draft)>;

struct Segment {
    name: String,
    first: u64,
    epoch: u64,
    len: u64,
}

struct Head {
    segment: u32,
    /// Whether a group in it was ever made durable.
    used: bool,
}

/// The journal, for the one process that writes it.
pub struct Journal<S: Storage> {
    storage: S,
    segment_size: u64,
    segments: BTreeMap<u32, Segment>,
    next_segment: u32,
    head: Option<Head>,
    /// The last durable record.
    last: u64,
    next_sequence: u64,
    /// If recovery could not read everything: the first number of the oldest
    /// segment that was needed. No header says later ones are enough.
    partial_from: Option<u64>,
    /// Files that are to be removed once the next group is durable.
    superseded: Vec<String>,
    random: RandomState,
}

impl<S: Storage> Journal<S> {
    /// Reads the journal and hands every record to `visit`. Returns also what may
    /// not be durable: it must be committed again, before anything else.
    pub fn recover(
        storage: S,
        segment_size: u64,
        visit: &mut dyn FnMut(Place, &Frame<'_>),
    ) -> Result<(Self, Doubtful, Recovery), Error> {
        for name in list_segments(&storage)? {
            storage.drop_cache(&name);
        }
        let replay = replay(&storage, visit)?;
        let mut journal = Self {
            storage,
            segment_size: segment_size.clamp(BLOCK as u64, MAX_SEGMENT / 2),
            segments: BTreeMap::new(),
            next_segment: replay.segments.len() as u32,
            head: None,
            last: replay.durable,
            next_sequence: replay.highest + LEAP,
            partial_from: (replay.recovery.unread > 0).then_some(replay.oldest),
            superseded: replay.unfinished,
            random: RandomState::new(),
        };
        let mut drafts = Vec::with_capacity(replay.doubtful.len());
        for (number, segment) in replay.segments.into_iter().enumerate() {
            let entry = Segment {
                name: segment.name,
                first: segment.header.first,
                epoch: segment.header.epoch,
                len: segment.len,
            };
            journal.segments.insert(number as u32, entry);
        }
        for place in replay.doubtful {
            drafts.push((place, journal.read_draft(place)?));
        }
        Ok((journal, drafts, replay.recovery))
    }

    /// Whether a record with a body of this length can go to the head.
    pub fn has_room(&self, body: usize) -> bool {
        let Some(head) = &self.head else {
            return false;
        };
        let len = self.segments[&head.segment].len;
        !head.used || len + room(body) as u64 <= self.segment_size
    }

    /// Makes the first of `drafts`, as many as fit but at least `together` and
    /// one, durable: one write, one sync. Says where they are. On any error the
    /// head is given up, and the next group needs a new segment.
    pub fn write_group(&mut self, drafts: &[&Draft], together: usize) -> Result<Vec<Place>, Error> {
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
        let (bytes, places) = encode_group(drafts, head.segment, segment, self.next_sequence);
        self.next_sequence += places.len() as u64;
        let path = self.storage.path(&segment.name);
        let written = write_all(&self.storage, &segment.name, segment.len, &bytes)
            .map_err(Error::io("write", &path))
            .and_then(|()| {
                let synced = self.storage.sync(&segment.name);
                synced.map_err(Error::io("sync", &path))
            });
        if let Err(error) = written {
            if !head.used {
                self.discard(head.segment);
            }
            return Err(error);
        }
        segment.len += bytes.len() as u64;
        self.last = self.next_sequence - 1;
        self.head = Some(Head { used: true, ..head });
        Ok(places)
    }

    /// Makes a new head, in whose header segments older than number `oldest` are
    /// not needed. The old head is never written again, whatever happens: the new
    /// header voids what would come after `self.last` in it.
    pub fn start_segment(&mut self, oldest: Option<u32>) -> Result<(), Error> {
        self.head = None;
        let number = self.next_segment;
        self.next_segment += 1;
        let name = self.create_file()?;
        let first = self.next_sequence;
        let oldest = oldest.and_then(|number| self.segments.get(&number));
        let oldest = oldest.map_or(first, |segment| segment.first);
        let header = Header {
            first,
            after: self.last,
            epoch: self.random.hash_one(first),
            oldest: self.partial_from.unwrap_or(oldest),
        };
        let segment = Segment {
            name: name.clone(),
            first,
            epoch: header.epoch,
            len: BLOCK as u64,
        };
        self.segments.insert(number, segment);
        let (storage, path) = (&self.storage, self.storage.path(&name));
        let result = write_all(storage, &name, 0, &header.encode())
            .map_err(Error::io("write", &path))
            .and_then(|()| storage.sync(&name).map_err(Error::io("sync", &path)))
            .and_then(|()| {
                let synced = storage.sync_directory();
                synced.map_err(Error::io("sync the directory of", &path))
            });
        if result.is_err() {
            self.next_sequence += 1;
            self.discard(number);
            return result;
        }
        self.head = Some(Head {
            segment: number,
            used: false,
        });
        Ok(())
    }

    /// Creates the file for a segment that begins with the next sequence number.
    fn create_file(&mut self) -> Result<String, Error> {
        let mut tries = 0;
        loop {
            let name = segment_name(self.next_sequence);
            match self.storage.create(&name) {
                Ok(()) => return Ok(name),
                // An unfinished one of an earlier process, or a stranger's.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < 100 => {
                    self.next_sequence += 1;
                    tries += 1;
                }
                Err(error) => return Err(Error::io("create", &self.storage.path(&name))(error)),
            }
        }
    }

    /// Drops a segment that never held anything durable. It does not matter
    /// whether its file goes: the next header voids it.
    fn discard(&mut self, number: u32) {
        if let Some(segment) = self.segments.remove(&number) {
            let _ = self.storage.remove(&segment.name);
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
        let names = older.into_values().map(|segment| segment.name);
        self.superseded.extend(names);
        let storage = &self.storage;
        self.superseded.retain(|name| match storage.remove(name) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        });
    }

    /// The body of the record at `place`.
    pub fn read(&self, place: Place) -> Result<Vec<u8>, Error> {
        self.read_record(place).map(|(_, _, body)| body)
    }

    /// The record at `place`, to be written again.
    pub fn read_draft(&self, place: Place) -> Result<Draft, Error> {
        let (kind, flags, body) = self.read_record(place)?;
        let copy = flags & COPY != 0;
        Ok(Draft { kind, copy, body })
    }

    fn read_record(&self, place: Place) -> Result<(u8, u8, Vec<u8>), Error> {
        let segment = &self.segments[&place.segment];
        let path = self.storage.path(&segment.name);
        let mut bytes = vec![0; place.len as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            let at = place.offset + filled as u64;
            match self
                .storage
                .read_at(&segment.name, at, &mut bytes[filled..])
            {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &path)(error)),
            }
        }
        match Frame::decode(&bytes, 0, segment.epoch) {
            Some(frame) => Ok((frame.kind, frame.flags, frame.body.to_vec())),
            None => Err(Error::Damaged {
                path,
                offset: place.offset,
            }),
        }
    }

    /// Its segments, oldest first: number and length.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = (u32, u64)> + '_ {
        let entries = self.segments.iter();
        entries.map(|(number, segment)| (*number, segment.len))
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.len).sum()
    }

    /// Hands all records to `visit`, as they are on the disk now.
    pub fn visit(&self, visit: &mut dyn FnMut(Place, &Frame<'_>)) -> Result<(), Error> {
        replay(&self.storage, visit).map(drop)
    }
}

/// How many of `drafts` have room in `left` bytes.
fn fitting(drafts: &[&Draft], left: u64) -> usize {
    let mut total = 0;
    let fitting = drafts.iter().take_while(|draft| {
        total += room(draft.body.len()) as u64;
        total <= left
    });
    fitting.count()
}

fn encode_group(
    drafts: &[&Draft],
    number: u32,
    segment: &Segment,
    first_sequence: u64,
) -> (Vec<u8>, Vec<Place>) {
    let mut bytes = Vec::new();
    let mut places = Vec::with_capacity(drafts.len());
    for (i, draft) in drafts.iter().enumerate() {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let last = i + 1 == drafts.len();
        let frame = Frame {
            offset: 0,
            sequence: first_sequence + i as u64,
            kind: draft.kind,
            flags: flag(i == 0, FIRST) | flag(last, LAST) | flag(draft.copy, COPY),
            body: &draft.body,
        };
        places.push(Place {
            segment: number,
            offset: segment.len + bytes.len() as u64,
            len: frame.len() as u32,
        });
        frame.encode(segment.epoch, &mut bytes);
    }
    (bytes, places)
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

fn segment_name(first: u64) -> String {
    format!("seg.{first:020}")
}

fn is_segment_name(name: &str) -> bool {
    let digits = name.strip_prefix("seg.");
    digits.is_some_and(|d| d.len() == 20 && d.bytes().all(|b| b.is_ascii_digit()))
}

/// What reading a journal brought.
pub(crate) struct Replay {
    segments: Vec<FoundSegment>,
    /// Files that were never finished as segments.
    unfinished: Vec<String>,
    /// Records that may not be durable.
    doubtful: Vec<Place>,
    /// Sequence number of the last record before those.
    durable: u64,
    /// Highest sequence number ever used.
    highest: u64,
    /// The first one of the oldest segment that is needed.
    oldest: u64,
    /// For people.
    pub(crate) recovery: Recovery,
}

struct FoundSegment {
    name: String,
    header: Header,
    len: u64,
    /// Whether it voids what is behind `header.after` in earlier segments.
    effective: bool,
    /// Records up to this number count; later segments void the others.
    limit: u64,
}

/// Reads a journal; needs no lock and changes nothing.
pub(crate) fn replay(
    storage: &impl Storage,
    visit: &mut dyn FnMut(Place, &Frame<'_>),
) -> Result<Replay, Error> {
    let mut replay = find_segments(storage)?;
    let mut walk = Walk::new(replay.segments.first().map_or(0, |s| s.header.after));
    for (number, segment) in replay.segments.iter_mut().enumerate() {
        let (bytes, unreadable) = read_whole(storage, &segment.name)?;
        segment.len = bytes.len() as u64;
        walk.enter(segment);
        for item in Items::new(&bytes, &segment.header) {
            match item {
                Item::Gap { offset, len } => walk.gap(segment, offset, len),
                Item::Record(frame) => {
                    replay.highest = replay.highest.max(frame.sequence);
                    if frame.sequence > segment.limit {
                        continue;
                    }
                    let place = Place {
                        segment: number as u32,
                        offset: frame.offset as u64,
                        len: frame.len() as u32,
                    };
                    walk.record(segment, place, &frame);
                    replay.recovery.records += 1;
                    if !is_prologue(frame.kind) || segment.effective {
                        visit(place, &frame);
                    }
                }
            }
        }
        for offset in unreadable {
            walk.damage(&segment.name, offset, PIECE as u64, UNREADABLE);
            replay.recovery.unread += PIECE as u64;
        }
    }
    walk.finish(&mut replay);
    Ok(replay)
}

/// The state of a walk through the segments in their order.
struct Walk {
    /// Sequence number of the last record seen that counts.
    last: u64,
    /// Sequence number of the last record before `doubtful`.
    durable: u64,
    doubtful: Vec<Place>,
    /// Bytes without a valid record behind them so far.
    trailing: Option<Damage>,
    cut: u64,
    /// With the sequence number of the last record before each.
    damages: Vec<(u64, Damage)>,
}

impl Walk {
    fn new(last: u64) -> Self {
        Self {
            last,
            durable: last,
            doubtful: Vec::new(),
            trailing: None,
            cut: 0,
            damages: Vec::new(),
        }
    }

    fn enter(&mut self, segment: &FoundSegment) {
        let trailing = self.trailing.take();
        let after = segment.header.after.min(segment.limit);
        if !segment.effective {
            self.cut += trailing.map_or(0, |damage| damage.len);
        } else if after > self.last {
            let why = format!("records {} to {after} are missing", self.last + 1);
            let damage = trailing.unwrap_or_else(|| Damage {
                segment: segment.name.clone(),
                offset: 0,
                len: 0,
                why: String::new(),
            });
            self.damages.push((self.last, Damage { why, ..damage }));
        }
    }

    fn gap(&mut self, segment: &FoundSegment, offset: usize, len: usize) {
        self.trailing = Some(Damage {
            segment: segment.name.clone(),
            offset: offset as u64,
            len: len as u64,
            why: String::new(),
        });
    }

    fn record(&mut self, segment: &FoundSegment, place: Place, frame: &Frame<'_>) {
        if let Some(damage) = self.trailing.take() {
            let lost = frame.sequence.saturating_sub(self.last + 1);
            let why = format!("no valid record where {lost} should be");
            self.damages.push((self.last, Damage { why, ..damage }));
        }
        // A group begins only after the one before it was made durable. The first
        // of a segment that is not effective may be another try of that one.
        if frame.flags & FIRST != 0 && segment.effective {
            self.durable = self.last;
            self.doubtful.clear();
        }
        if !is_prologue(frame.kind) {
            self.doubtful.push(place);
        }
        self.last = frame.sequence;
    }

    fn damage(&mut self, segment: &str, offset: u64, len: u64, why: &str) {
        let damage = Damage {
            segment: segment.to_owned(),
            offset,
            len,
            why: why.to_owned(),
        };
        self.damages.push((self.last, damage));
    }

    fn finish(self, replay: &mut Replay) {
        replay.durable = self.durable;
        replay.recovery.segments = replay.segments.len();
        replay.recovery.cut = self.cut + self.trailing.map_or(0, |damage| damage.len);
        for (after, mut damage) in self.damages {
            let last_group = after >= self.durable && !self.doubtful.is_empty();
            if last_group && damage.why != UNREADABLE {
                damage.why.push_str(", perhaps of an interrupted write");
            }
            replay.recovery.damages.push(damage);
        }
        replay.doubtful = self.doubtful;
        if replay.recovery.unread > 0 {
            // The disk may give those bytes another time. What is written from now
            // on must not void the records in them, so their numbers are left free.
            // Doubtful records are then there twice, which is no harm.
            replay.highest += replay.recovery.unread / room(0) as u64 + 1;
            replay.durable = replay.highest;
        }
    }
}

/// Finds the segments, in their order, and which records of them count.
fn find_segments(storage: &impl Storage) -> Result<Replay, Error> {
    let mut replay = Replay {
        segments: Vec::new(),
        unfinished: Vec::new(),
        doubtful: Vec::new(),
        durable: 0,
        highest: 0,
        oldest: 0,
        recovery: Recovery::default(),
    };
    for name in list_segments(storage)? {
        let (bytes, unreadable) = read_prefix(storage, &name, BLOCK as u64)?;
        match Header::decode(&bytes) {
            Ok(header) => {
                replay.highest = replay.highest.max(header.first).max(header.after);
                replay.segments.push(FoundSegment {
                    effective: is_effective(storage, &name, &header)?,
                    name,
                    header,
                    len: 0,
                    limit: u64::MAX,
                });
            }
            Err(HeaderError::NewerFormat(format)) => {
                let path = storage.path(&name);
                return Err(Error::NewerFormat { path, format });
            }
            Err(HeaderError::Invalid) => {
                let (bytes, more) = read_whole(storage, &name)?;
                let written = bytes.iter().skip(BLOCK).any(|b| *b != 0);
                let readable = unreadable.is_empty() && more.is_empty();
                if !written && readable {
                    replay.unfinished.push(name);
                    continue;
                }
                if !readable {
                    let first = name.trim_start_matches("seg.").parse().unwrap_or(0);
                    replay.highest = replay.highest.max(first);
                    replay.recovery.unread += bytes.len() as u64;
                }
                replay.recovery.damages.push(Damage {
                    segment: name,
                    offset: 0,
                    len: bytes.len() as u64,
                    why: if readable {
                        "no valid header"
                    } else {
                        "cannot be read"
                    }
                    .to_owned(),
                });
            }
        }
    }
    drop_unneeded(&mut replay);
    replay.segments.sort_by_key(|segment| segment.header.first);
    let mut limit = u64::MAX;
    for segment in replay.segments.iter_mut().rev() {
        segment.limit = limit;
        if segment.effective {
            limit = limit.min(segment.header.after);
        }
    }
    Ok(replay)
}

/// Leaves out segments that a later one says are not needed.
fn drop_unneeded(replay: &mut Replay) {
    let effective = replay.segments.iter().filter(|segment| segment.effective);
    let oldest = effective.map(|segment| segment.header.oldest).max();
    let oldest = oldest.unwrap_or(0);
    replay.oldest = oldest;
    let unneeded = replay
        .segments
        .extract_if(.., |segment| segment.header.first < oldest);
    replay
        .unfinished
        .extend(unneeded.map(|segment| segment.name));
    // Without a valid header only the name says where a segment stood.
    let unreadable = replay
        .recovery
        .damages
        .extract_if(.., |damage| damage.segment < segment_name(oldest));
    replay
        .unfinished
        .extend(unreadable.map(|damage| damage.segment));
}

fn list_segments(storage: &impl Storage) -> Result<Vec<String>, Error> {
    let mut names = storage
        .list()
        .map_err(Error::io("list", &storage.path("")))?;
    names.retain(|name| is_segment_name(name));
    names.sort();
    Ok(names)
}

/// Whether the first group of a segment was certainly durable: it is there
/// whole, or another group comes after it.
fn is_effective(storage: &impl Storage, name: &str, header: &Header) -> Result<bool, Error> {
    let mut len = 1 << 16;
    loop {
        let (bytes, _) = read_prefix(storage, name, len)?;
        let mut whole = true;
        for item in Items::new(&bytes, header) {
            match item {
                Item::Gap { .. } => whole = false,
                Item::Record(frame) => {
                    let later_group = frame.flags & FIRST != 0 && frame.sequence > header.first;
                    if later_group || (whole && frame.flags & LAST != 0) {
                        return Ok(true);
                    }
                }
            }
        }
        if (bytes.len() as u64) < len {
            return Ok(false);
        }
        len *= 8;
    }
}

fn read_whole(storage: &impl Storage, name: &str) -> Result<(Vec<u8>, Vec<u64>), Error> {
    read_prefix(storage, name, MAX_SEGMENT)
}

/// The first `limit` bytes of a file, and where pieces of it could not be read.
/// Those are zeros.
fn read_prefix(
    storage: &impl Storage,
    name: &str,
    limit: u64,
) -> Result<(Vec<u8>, Vec<u64>), Error> {
    let path = storage.path(name);
    let len = storage.len(name).map_err(Error::io("open", &path))?;
    let mut bytes = vec![0; len.min(limit) as usize];
    let mut unreadable = Vec::new();
    let mut at = 0;
    let mut failures = 0;
    while at < bytes.len() {
        // Everything at once as long as that works, then piece by piece.
        let end = match failures {
            0 => bytes.len(),
            _ => (at / PIECE * PIECE + PIECE).min(bytes.len()),
        };
        match storage.read_at(name, at as u64, &mut bytes[at..end]) {
            Ok(0) => {
                bytes.truncate(at);
                break;
            }
            Ok(count) => {
                at += count;
                failures = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if failures < 2 => failures += 1,
            Err(_) => {
                unreadable.push(at as u64);
                bytes[at..end].fill(0);
                at = end;
                failures = 1;
            }
        }
    }
    Ok((bytes, unreadable))
}
