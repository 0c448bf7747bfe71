//! How records lie in a segment of the journal: bytes in, records out.
//!
//! A segment begins with a block of [`BLOCK`] bytes that holds its header twice,
//! at 0 and at half of the block, so that one bad sector does not lose it:
//!
//! | at | |
//! |---|---|
//! | 0 | magic `SITEWJNL` |
//! | 8 | `u32` format number |
//! | 12 | `u32` length of this header, checksum included |
//! | 16 | `u64` sequence number of the first record |
//! | 24 | `u64` sequence number of the last good record before it |
//! | 32 | `u64` epoch, random |
//! | 40 | `u64` sequence number of the first record of the oldest segment that is needed |
//! | 48 | `u32` 1 if the file was another segment before, 2 if its writer could not read all before it |
//! | 52 | `u32` CRC-32C of all before it |
//!
//! Then records, each aligned to 8:
//!
//! | at | |
//! |---|---|
//! | 0 | `u32` length of header and body, without padding; 0 ends the segment |
//! | 4 | `u32` CRC-32C of the epoch, the length, and all from 8 on |
//! | 8 | `u64` sequence number, one more than that of the record before |
//! | 16 | `u8` kind |
//! | 17 | `u8` flags: 1 first of its group, 2 last of its group, 4 copied from an older segment, 8 written again |
//! | 18 | `u16` 0 |
//! | 20 | if written again: `u64` the number under which it was written first |
//! | 20 or 28 | body |
//!
//! All numbers are little-endian. The epoch in the checksum makes the old
//! records of a recycled segment invalid.

/// Format number that this release writes. Before 2 there were no jobs, before 3
/// no records that say which one they repeat.
pub const FORMAT: u32 = 3;
/// Length of the block in front of the records.
pub const BLOCK: usize = 4096;
/// Length of a record's header.
pub const RECORD_HEADER: usize = 20;
/// Longest record, header included.
pub const MAX_RECORD: usize = 4 << 20;

/// No journal gets as far as this; counting on from here never overflows.
const MAX_SEQUENCE: u64 = 1 << 62;
const MAGIC: &[u8; 8] = b"SITEWJNL";
const HEADER: usize = 56;

/// First record of what was written and synced at once.
pub const FIRST: u8 = 1;
/// Last record of what was written and synced at once.
pub const LAST: u8 = 2;
/// Copied from an older segment that is going to be removed.
pub const COPY: u8 = 4;
/// Written again by a process that could not read all of the journal: where the
/// first one is there, this one says nothing.
pub const AGAIN: u8 = 8;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Sequence number of its first record.
    pub first: u64,
    /// Sequence number of the last good record of the segments before it: what
    /// they hold after that was never acknowledged, or is written again here.
    pub after: u64,
    /// In the checksum of every record.
    pub epoch: u64,
    /// Segments that begin before this are not needed; if they are there,
    /// their removal did not come to pass.
    pub oldest: u64,
    /// Whether the file was another segment before. What it held then is behind
    /// the last record, and no damage.
    pub recycled: bool,
    /// Whether its writer could not read all of the segments before it.
    pub partial: bool,
}

/// Why a segment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// Neither copy of the header is valid.
    Invalid,
    /// A newer release wrote it.
    NewerFormat(u32),
}

impl Header {
    /// The whole block in front of the records.
    pub fn encode(&self) -> [u8; BLOCK] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[12..16].copy_from_slice(&(HEADER as u32).to_le_bytes());
        header[16..24].copy_from_slice(&self.first.to_le_bytes());
        header[24..32].copy_from_slice(&self.after.to_le_bytes());
        header[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        header[40..48].copy_from_slice(&self.oldest.to_le_bytes());
        let flags = u32::from(self.recycled) | u32::from(self.partial) << 1;
        header[48..52].copy_from_slice(&flags.to_le_bytes());
        let crc = crc32c::crc32c(&header[..HEADER - 4]);
        header[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        let mut block = [0; BLOCK];
        block[..HEADER].copy_from_slice(&header);
        block[BLOCK / 2..BLOCK / 2 + HEADER].copy_from_slice(&header);
        block
    }

    /// Reads the header from the beginning of a segment.
    pub fn decode(segment: &[u8]) -> Result<Self, HeaderError> {
        let first = Self::decode_copy(segment);
        if first != Err(HeaderError::Invalid) {
            return first;
        }
        Self::decode_copy(segment.get(BLOCK / 2..).unwrap_or_default())
    }

    fn decode_copy(bytes: &[u8]) -> Result<Self, HeaderError> {
        let invalid = HeaderError::Invalid;
        if bytes.get(..8) != Some(MAGIC) {
            return Err(invalid);
        }
        let format = u32_at(bytes, 8).ok_or(invalid)?;
        let len = u32_at(bytes, 12).ok_or(invalid)? as usize;
        // A later format may have a longer header, but keeps these two members
        // and the checksum at its end.
        if !(HEADER..=BLOCK / 2).contains(&len) {
            return Err(invalid);
        }
        let crc = u32_at(bytes, len - 4).ok_or(invalid)?;
        if crc32c::crc32c(&bytes[..len - 4]) != crc {
            return Err(invalid);
        }
        if format > FORMAT {
            return Err(HeaderError::NewerFormat(format));
        }
        let first = u64_at(bytes, 16).ok_or(invalid)?;
        if first > MAX_SEQUENCE {
            return Err(invalid);
        }
        let flags = u32_at(bytes, 48).ok_or(invalid)?;
        Ok(Self {
            first,
            after: u64_at(bytes, 24).ok_or(invalid)?,
            epoch: u64_at(bytes, 32).ok_or(invalid)?,
            oldest: u64_at(bytes, 40).ok_or(invalid)?,
            recycled: flags & 1 != 0,
            partial: flags & 2 != 0,
        })
    }
}

/// A valid record in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where it begins.
    pub offset: usize,
    /// Its sequence number.
    pub sequence: u64,
    /// What it is: see [`crate::record`].
    pub kind: u8,
    /// [`FIRST`], [`LAST`], [`COPY`], [`AGAIN`].
    pub flags: u8,
    /// With [`AGAIN`]: the sequence number of the record that this one repeats.
    pub again: Option<u64>,
    /// What it says.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the record at `offset`, if a valid one is there.
    pub fn decode(segment: &'a [u8], offset: usize, epoch: u64) -> Option<Self> {
        let bytes = segment.get(offset..)?;
        let bytes = bytes.get(..Self::length(bytes)?)?;
        if u32_at(bytes, 4)? != checksum(epoch, bytes) || bytes[18..20] != [0, 0] {
            return None;
        }
        Self::of_valid(bytes, offset)
    }

    /// Of the bytes of a valid record.
    fn of_valid(bytes: &'a [u8], offset: usize) -> Option<Self> {
        let flags = *bytes.get(17)?;
        let (again, at) = match flags & AGAIN {
            0 => (None, RECORD_HEADER),
            _ => (Some(u64_at(bytes, RECORD_HEADER)?), RECORD_HEADER + 8),
        };
        Some(Self {
            offset,
            sequence: u64_at(bytes, 8)?,
            kind: *bytes.get(16)?,
            flags,
            again,
            body: bytes.get(at..)?,
        })
    }

    /// The length of the record that begins with `bytes`, if it can be one.
    pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
        let len = u32_at(bytes, 0)? as usize;
        (RECORD_HEADER..=MAX_RECORD).contains(&len).then_some(len)
    }

    /// Appends the record to `out`, which begins at a multiple of 8, and pads it.
    /// The offset does not matter.
    pub fn encode(&self, epoch: u64, out: &mut Vec<u8>) {
        self.encode_with(std::iter::empty(), epoch, out);
    }

    /// The same, with `rest` behind the body.
    pub fn encode_with<'b>(
        &self,
        rest: impl Iterator<Item = &'b [u8]> + Clone,
        epoch: u64,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        self.encode_header(rest.clone(), epoch, out);
        out.extend_from_slice(self.body);
        rest.for_each(|part| out.extend_from_slice(part));
        let len = out.len() - start;
        out.resize(start + padded(len), 0);
    }

    /// What comes before the body, `rest` and the padding.
    pub fn encode_header<'b>(
        &self,
        rest: impl Iterator<Item = &'b [u8]> + Clone,
        epoch: u64,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        let len = self.len() + rest.clone().map(<[u8]>::len).sum::<usize>();
        out.extend_from_slice(&(len as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        let flags = match self.again {
            Some(_) => self.flags | AGAIN,
            None => self.flags & !AGAIN,
        };
        out.extend_from_slice(&[self.kind, flags, 0, 0]);
        if let Some(first) = self.again {
            out.extend_from_slice(&first.to_le_bytes());
        }
        let crc = checksum(epoch, &out[start..]);
        let crc = crc32c::crc32c_append(crc, self.body);
        let crc = rest.fold(crc, crc32c::crc32c_append);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Length of header and body, without padding.
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        RECORD_HEADER + self.again.map_or(0, |_| 8) + self.body.len()
    }

    /// Where the next record begins.
    pub fn end(&self) -> usize {
        self.offset + padded(self.len())
    }
}

/// How much room a record with a body of this length takes.
pub fn room(body: usize) -> usize {
    padded(RECORD_HEADER + body)
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

fn checksum(epoch: u64, record: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&epoch.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &record[..4]);
    crc32c::crc32c_append(crc, &record[8..])
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// What stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A valid record.
    Record(Frame<'a>),
    /// Bytes that are no valid record. The last item of a segment being so is
    /// the usual trace of an interrupted write.
    Gap {
        /// Where they begin.
        offset: usize,
        /// How many they are.
        len: usize,
    },
}

/// The bytes of a segment, of which not all need to be in memory.
pub trait Bytes {
    /// Where they end.
    fn end(&self) -> usize;
    /// Those from `at` on: at least `len`, or all that there are.
    fn from(&mut self, at: usize, len: usize) -> &[u8];
}

impl Bytes for &[u8] {
    fn end(&self) -> usize {
        self.len()
    }

    fn from(&mut self, at: usize, _: usize) -> &[u8] {
        self.get(at..).unwrap_or_default()
    }
}

/// Goes through the records of a segment, past damaged ones.
pub struct Walk<B> {
    bytes: B,
    epoch: u64,
    at: usize,
    next_sequence: u64,
    recycled: bool,
    /// How many bytes may still be summed up in search of the next valid
    /// record; a bound for a segment made to look like records everywhere.
    search: usize,
    found: Option<Valid>,
}

/// A valid record.
#[derive(Clone, Copy)]
struct Valid {
    offset: usize,
    len: usize,
    sequence: u64,
}

/// An [`Item`], by its place.
enum Step {
    Record(Valid),
    Gap { offset: usize, len: usize },
}

impl<B: Bytes> Walk<B> {
    /// Through the segment of these bytes, which begins with `header`.
    pub fn new(bytes: B, header: &Header) -> Self {
        Self {
            epoch: header.epoch,
            at: BLOCK,
            next_sequence: header.first,
            recycled: header.recycled,
            search: bytes.end().saturating_mul(16),
            bytes,
            found: None,
        }
    }

    /// What comes next; none at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it gives is not there any more when the next one is"
    )]
    pub fn next(&mut self) -> Option<Item<'_>> {
        match self.step()? {
            Step::Gap { offset, len } => Some(Item::Gap { offset, len }),
            Step::Record(Valid { offset, len, .. }) => {
                let bytes = self.bytes.from(offset, len).get(..len)?;
                Frame::of_valid(bytes, offset).map(Item::Record)
            }
        }
    }

    /// The bytes.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    fn step(&mut self) -> Option<Step> {
        if let Some(valid) = self.found.take() {
            return Some(self.go_behind(valid));
        }
        if self.at > self.bytes.end() {
            return None;
        }
        match self.valid(self.at) {
            Some(valid) if valid.sequence == self.next_sequence => {
                return Some(self.go_behind(valid));
            }
            _ => {}
        }
        let offset = self.at;
        self.found = self.search();
        let end = match &self.found {
            Some(valid) => valid.offset,
            None => {
                self.at = self.bytes.end();
                offset + self.torn(offset)
            }
        };
        (end > offset).then_some(Step::Gap {
            offset,
            len: end - offset,
        })
    }

    fn go_behind(&mut self, valid: Valid) -> Step {
        self.at = valid.offset + padded(valid.len);
        self.next_sequence = valid.sequence.saturating_add(1);
        Step::Record(valid)
    }

    /// The record at `offset`, if a valid one is there.
    fn valid(&mut self, offset: usize) -> Option<Valid> {
        let len = Frame::length(self.bytes.from(offset, RECORD_HEADER))?;
        let frame = Frame::decode(self.bytes.from(offset, len), 0, self.epoch)?;
        let sequence = frame.sequence;
        Some(Valid {
            offset,
            len,
            sequence,
        })
    }

    /// How many bytes from `offset` on, behind the last record, an interrupted
    /// write left.
    fn torn(&mut self, offset: usize) -> usize {
        let all = self.bytes.end() - offset;
        let head = self.bytes.from(offset, RECORD_HEADER);
        if self.recycled {
            // The rest of the old segment is no trace of a write. One that is torn
            // where it begins looks the same, and is not told.
            let len = u32_at(head, 0).map_or(0, |len| len as usize);
            let begun = u64_at(head, 8) == Some(self.next_sequence);
            return if begun { padded(len).min(all) } else { 0 };
        }
        // What was never written reads as zeros.
        let (mut at, mut torn) = (offset, 0);
        while at < self.bytes.end() {
            let piece = self.bytes.from(at, 1);
            if let Some(last) = piece.iter().rposition(|b| *b != 0) {
                torn = at + last + 1 - offset;
            }
            at += piece.len().max(1);
        }
        torn
    }

    /// The next valid record after `self.at`, where there is none.
    fn search(&mut self) -> Option<Valid> {
        let mut at = self.at + 8;
        while at + RECORD_HEADER <= self.bytes.end() {
            let head = self.bytes.from(at, RECORD_HEADER);
            let len = u32_at(head, 0)? as usize;
            let sequence = u64_at(head, 8)?;
            let most = ((at - self.at) / padded(RECORD_HEADER)) as u64;
            let plausible = (RECORD_HEADER..=MAX_RECORD).contains(&len)
                && sequence
                    .checked_sub(self.next_sequence)
                    .is_some_and(|skipped| skipped <= most);
            if plausible {
                self.search = self.search.checked_sub(len)?;
                let valid = self.valid(at);
                if valid.is_some() {
                    return valid;
                }
            }
            at += 8;
        }
        None
    }
}

/// The same of a segment that is in memory.
pub struct Items<'a> {
    segment: &'a [u8],
    walk: Walk<&'a [u8]>,
}

impl<'a> Items<'a> {
    /// The records of `segment`, which begins with `header`.
    pub fn new(segment: &'a [u8], header: &Header) -> Self {
        let walk = Walk::new(segment, header);
        Self { segment, walk }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match self.walk.step()? {
            Step::Gap { offset, len } => Some(Item::Gap { offset, len }),
            Step::Record(Valid { offset, len, .. }) => {
                let bytes = self.segment.get(offset..offset + len)?;
                Frame::of_valid(bytes, offset).map(Item::Record)
            }
        }
    }
}
