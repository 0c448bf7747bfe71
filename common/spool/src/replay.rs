//! Reading a journal: which segments count, which records of them, what is damaged.
//! Needs no lock and changes nothing.

use std::collections::BTreeSet;
use std::io;

use crate::journal::{Damage, Place, Recovery};
use crate::record::{Record, is_prologue};
use crate::segment::{BLOCK, Bytes, FIRST, Frame, Header, HeaderError, Item, LAST, Walk, room};
use crate::window::{PIECE, Window};
use crate::{Error, Storage};

/// Longest segment that is read; what is beyond was not written by us.
pub(crate) const MAX_SEGMENT: u64 = 256 << 20;

/// The room for what is in memory of a segment. Little of it is ever used; but so
/// long a piece of memory is the system's own, and goes back to it whole, where a
/// shorter one would leave a hole before what was read in the meantime.
const SPACE: usize = 64 << 20;

/// Why a place that the disk does not give is set aside.
const UNREADABLE: &str = "cannot be read";

/// What reading a journal brought.
pub(crate) struct Replay {
    pub(crate) segments: Vec<FoundSegment>,
    /// Files that were never finished as segments.
    pub(crate) unfinished: Vec<String>,
    /// Records that may not be durable.
    pub(crate) doubtful: Vec<Found>,
    /// Whether one of them was visited.
    pub(crate) is_told: bool,
    /// Sequence number of the last record before those.
    pub(crate) durable: u64,
    /// Highest sequence number ever used.
    pub(crate) highest: u64,
    /// The first number of the oldest segment that is needed.
    pub(crate) oldest: u64,
    /// The last segment with records that are written again.
    pub(crate) repeats: Option<u32>,
    /// For people.
    pub(crate) recovery: Recovery,
}

/// A record that may not be durable.
pub(crate) struct Found {
    pub(crate) place: Place,
    /// The number it was written under first.
    pub(crate) first: u64,
    /// Whether that one is there, and counts.
    pub(crate) is_repeated: bool,
}

pub(crate) struct FoundSegment {
    pub(crate) name: String,
    pub(crate) header: Header,
    /// Length of the file. Behind the last record is what was never written, or
    /// what was there before the file became this segment.
    pub(crate) size: u64,
    /// Where the last record that counts ends.
    pub(crate) len: u64,
    /// Whether something in it is damaged.
    pub(crate) damaged: bool,
    /// Whether it voids what is behind `header.after` in earlier segments.
    effective: bool,
    /// Records up to this number count; later segments void the others.
    limit: u64,
}

/// What is done with each record that counts, and whether it is the first of
/// those that may not be durable: with another one that is the first all before
/// that are.
pub(crate) type Visit<'a> = dyn FnMut(Place, &Frame<'_>, bool) + 'a;

/// Reads a journal.
pub(crate) fn replay(storage: &impl Storage, visit: &mut Visit<'_>) -> Result<Replay, Error> {
    let mut bytes = Vec::with_capacity(SPACE);
    let mut replay = find_segments(storage, &mut bytes)?;
    let mut track = Track::new(replay.segments.first().map_or(0, |s| s.header.after));
    for (number, segment) in replay.segments.iter_mut().enumerate() {
        let name = segment.name.clone();
        let mut items = Walk::new(Window::open(storage, &name, &mut bytes)?, &segment.header);
        track.enter(segment);
        while let Some(item) = items.next() {
            match item {
                Item::Gap { offset, len } => track.gap(segment, offset, len),
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
                    segment.len = frame.end() as u64;
                    replay.recovery.records += 1;
                    let counts = track.counts(&frame, number as u32);
                    let is_doubtful = track.record(segment, place, &frame, counts);
                    if counts && (!is_prologue(frame.kind) || segment.effective) {
                        visit(place, &frame, is_doubtful);
                    }
                }
            }
        }
        let window = items.into_bytes();
        segment.size = window.end() as u64;
        for offset in window.into_unreadable() {
            track.damage(&segment.name, offset as u64, PIECE as u64, UNREADABLE);
            replay.recovery.unread += PIECE as u64;
        }
        still_the_same(storage, segment, &mut bytes)?;
    }
    track.finish(&mut replay);
    for segment in &mut replay.segments {
        let mut damages = replay.recovery.damages.iter();
        segment.damaged = damages.any(|damage| damage.segment == segment.name);
    }
    Ok(replay)
}

/// What is noted on the walk through the segments in their order.
struct Track {
    /// Sequence number of the last record seen that counts.
    last: u64,
    /// Sequence number of the last record before `doubtful`.
    durable: u64,
    doubtful: Vec<Found>,
    /// Records before those that may not be durable, although others are behind them.
    unproven: Vec<Found>,
    /// At the first record of a segment.
    entering: bool,
    /// Whether one of `doubtful` was said to be the first.
    is_told: bool,
    /// Sequence numbers of records that were there: from, and to.
    seen: Vec<(u64, u64)>,
    /// Of those that were not, but whose repetition was.
    repeated: BTreeSet<u64>,
    /// The last segment with repetitions.
    repeats: Option<u32>,
    /// Bytes without a valid record behind them so far.
    trailing: Option<Damage>,
    cut: u64,
    /// With the sequence number of the last record before each.
    damages: Vec<(u64, Damage)>,
}

impl Track {
    fn new(last: u64) -> Self {
        Self {
            last,
            durable: last,
            doubtful: Vec::new(),
            unproven: Vec::new(),
            entering: false,
            is_told: false,
            seen: Vec::new(),
            repeated: BTreeSet::new(),
            repeats: None,
            trailing: None,
            cut: 0,
            damages: Vec::new(),
        }
    }

    fn enter(&mut self, segment: &FoundSegment) {
        let trailing = self.trailing.take();
        let after = segment.header.after.min(segment.limit);
        self.entering = true;
        if !segment.effective {
            self.cut += trailing.map_or(0, |damage| damage.len);
        } else if after > self.last && !segment.header.partial {
            // Who could not read all left numbers free for what it did not see.
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

    /// Whether this one says something: what is written again by a process that could
    /// not read all may have been said in the right place before.
    fn counts(&mut self, frame: &Frame<'_>, segment: u32) -> bool {
        match self.seen.last_mut() {
            Some((_, to)) if *to + 1 == frame.sequence => *to = frame.sequence,
            _ => self.seen.push((frame.sequence, frame.sequence)),
        }
        let Some(first) = frame.again else {
            return true;
        };
        self.repeats = Some(segment);
        let behind = self.seen.partition_point(|(from, _)| *from <= first);
        let was_there = self.seen[..behind]
            .last()
            .is_some_and(|(_, to)| first <= *to);
        !was_there && self.repeated.insert(first)
    }

    /// Whether this one is the first of those that may not be durable, so far.
    fn record(
        &mut self,
        segment: &FoundSegment,
        place: Place,
        frame: &Frame<'_>,
        counts: bool,
    ) -> bool {
        if let Some(damage) = self.trailing.take() {
            let lost = frame.sequence.saturating_sub(self.last + 1);
            let why = format!("no valid record where {lost} should be");
            self.damages.push((self.last, Damage { why, ..damage }));
        }
        // A group begins only after the one before it was made durable. The first
        // of a segment that is not effective may be another try of that one.
        let is_entering = std::mem::take(&mut self.entering);
        if frame.flags & FIRST != 0 && segment.effective {
            if !segment.header.partial {
                self.unproven.clear();
            } else if is_entering {
                // Its writer may not have read that one. So it is written again,
                // but counts here.
                let before = self.doubtful.drain(..);
                let before = before.map(|found| Found {
                    is_repeated: true,
                    ..found
                });
                self.unproven.extend(before);
            }
            self.durable = self.last;
            self.doubtful.clear();
            self.is_told = false;
        }
        self.last = frame.sequence;
        if is_prologue(frame.kind) {
            return false;
        }
        self.doubtful.push(Found {
            place,
            first: frame.again.unwrap_or(frame.sequence),
            is_repeated: !counts,
        });
        counts && !std::mem::replace(&mut self.is_told, counts)
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
        replay.doubtful = self.unproven;
        replay.doubtful.extend(self.doubtful);
        replay.is_told = self.is_told;
        replay.repeats = self.repeats;
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
fn find_segments(storage: &impl Storage, bytes: &mut Vec<u8>) -> Result<Replay, Error> {
    let mut replay = Replay {
        segments: Vec::new(),
        unfinished: Vec::new(),
        doubtful: Vec::new(),
        is_told: false,
        durable: 0,
        highest: 0,
        oldest: 0,
        repeats: None,
        recovery: Recovery::default(),
    };
    for name in list_segments(storage)? {
        let mut window = Window::open(storage, &name, bytes)?;
        match Header::decode(window.from(0, BLOCK)) {
            Ok(header) => {
                replay.highest = replay.highest.max(header.first).max(header.after);
                let (effective, unread) = is_effective(window, &header);
                replay.recovery.unread += unread;
                replay.segments.push(FoundSegment {
                    effective,
                    name,
                    header,
                    size: 0,
                    len: BLOCK as u64,
                    damaged: false,
                    limit: u64::MAX,
                });
            }
            Err(HeaderError::NewerFormat(format)) => {
                let path = storage.path(&name);
                return Err(Error::NewerFormat { path, format });
            }
            Err(HeaderError::Invalid) => {
                let written = is_written(&mut window);
                let (len, readable) = (window.end() as u64, window.unread() == 0);
                if !written && readable {
                    replay.unfinished.push(name);
                    continue;
                }
                if !readable {
                    let first = name.trim_start_matches("seg.").parse().unwrap_or(0);
                    replay.highest = replay.highest.max(first);
                    replay.recovery.unread += len;
                }
                replay.recovery.damages.push(Damage {
                    segment: name,
                    offset: 0,
                    len,
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
    drop_second_names(&mut replay);
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

/// Where a file cannot be renamed in one step, a crash may leave it two names.
fn drop_second_names(replay: &mut Replay) {
    let segments = std::mem::take(&mut replay.segments);
    for segment in segments {
        match replay.segments.last_mut() {
            Some(last) if last.header == segment.header => {
                let is_right = segment.name == segment_name(segment.header.first);
                let other = if is_right {
                    std::mem::replace(last, segment)
                } else {
                    segment
                };
                replay.unfinished.push(other.name);
            }
            _ => replay.segments.push(segment),
        }
    }
}

/// How many messages were open when the newest segment was begun, if it says so: about
/// as many are going to be found.
pub(crate) fn were_open(storage: &impl Storage) -> Result<u64, Error> {
    let names = list_segments(storage)?;
    let Some(newest) = names.last() else {
        return Ok(0);
    };
    let mut bytes = Vec::new();
    let mut window = Window::open(storage, newest, &mut bytes)?;
    let Ok(header) = Header::decode(window.from(0, BLOCK)) else {
        return Ok(0);
    };
    let mut items = Walk::new(window, &header);
    while let Some(Item::Record(frame)) = items.next() {
        if let Record::Totals { totals, .. } = Record::read(frame.kind, frame.body) {
            let open = totals.accepted().saturating_sub(totals.ended_in_all());
            // Whoever wrote that: there are no more than there is room for.
            let most = names.len() as u64 * (MAX_SEGMENT / room(0) as u64);
            return Ok(open.min(most));
        }
        if !is_prologue(frame.kind) {
            break;
        }
    }
    Ok(0)
}

pub(crate) fn list_segments(storage: &impl Storage) -> Result<Vec<String>, Error> {
    let mut names = storage
        .list()
        .map_err(Error::io("list", &storage.path("")))?;
    names.retain(|name| is_segment_name(name));
    names.sort();
    Ok(names)
}

/// Whether the first group of a segment was certainly durable: it is there
/// whole, or another group comes after it. And how many bytes could not be read
/// to find that out.
fn is_effective<S: Storage>(window: Window<'_, S>, header: &Header) -> (bool, u64) {
    let mut items = Walk::new(window, header);
    let mut whole = true;
    let mut effective = false;
    while let Some(item) = items.next() {
        match item {
            Item::Gap { .. } => whole = false,
            Item::Record(frame) => {
                let later_group = frame.flags & FIRST != 0 && frame.sequence > header.first;
                effective = later_group || (whole && frame.flags & LAST != 0);
            }
        }
        if effective {
            break;
        }
    }
    (effective, items.into_bytes().unread())
}

/// Whether there is anything behind where the header would be.
fn is_written<S: Storage>(window: &mut Window<'_, S>) -> bool {
    let mut at = BLOCK;
    let mut written = false;
    while at < window.end() {
        let piece = window.from(at, 1);
        written |= piece.iter().any(|b| *b != 0);
        at += piece.len().max(1);
    }
    written
}

/// A segment that was not needed any more may have become another one while it
/// was read. Only who reads without the lock meets that; it begins again.
fn still_the_same(
    storage: &impl Storage,
    segment: &FoundSegment,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut window = Window::open(storage, &segment.name, bytes)?;
    match Header::decode(window.from(0, BLOCK)) {
        Ok(header) if header != segment.header => {
            let path = storage.path(&segment.name);
            Err(Error::io("read", &path)(io::ErrorKind::NotFound.into()))
        }
        _ => Ok(()),
    }
}

pub(crate) fn segment_name(first: u64) -> String {
    format!("seg.{first:020}")
}

fn is_segment_name(name: &str) -> bool {
    let digits = name.strip_prefix("seg.");
    digits.is_some_and(|d| d.len() == 20 && d.bytes().all(|b| b.is_ascii_digit()))
}
