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
//! | 48 | `u32` 1 if the file was another segment before, otherwise 0 |
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
//! | 17 | `u8` flags: 1 first of its group, 2 last of its group, 4 copied from an older segment |
//! | 18 | `u16` 0 |
//! | 20 | body |
//!
//! All numbers are little-endian. The epoch in the checksum makes the old
//! records of a recycled segment invalid.

/// Format number that this release writes. Before 2 there were no jobs.
pub const FORMAT: u32 = 2;
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
        header[48..52].copy_from_slice(&u32::from(self.recycled).to_le_bytes());
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
        Ok(Self {
            first,
            after: u64_at(bytes, 24).ok_or(invalid)?,
            epoch: u64_at(bytes, 32).ok_or(invalid)?,
            oldest: u64_at(bytes, 40).ok_or(invalid)?,
            recycled: u32_at(bytes, 48).ok_or(invalid)? == 1,
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
    /// [`FIRST`], [`LAST`], [`COPY`].
    pub flags: u8,
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
        Some(Self {
            offset,
            sequence: u64_at(bytes, 8)?,
            kind: bytes[16],
            flags: bytes[17],
            body: &bytes[RECORD_HEADER..],
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
        let start = out.len();
        let len = RECORD_HEADER + self.body.len();
        out.extend_from_slice(&(len as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[self.kind, self.flags, 0, 0]);
        out.extend_from_slice(self.body);
        let crc = checksum(epoch, &out[start..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        out.resize(start + padded(len), 0);
    }

    /// Length of header and body, without padding.
    #[expect(clippy::len_without_is_empty, reason = "a record is never empty")]
    pub fn len(&self) -> usize {
        RECORD_HEADER + self.body.len()
    }

    /// Where the next record begins.
    pub fn end(&self) -> usize {
        self.offset + padded(RECORD_HEADER + self.body.len())
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

/// Goes through the records of a segment, past damaged ones.
pub struct Items<'a> {
    segment: &'a [u8],
    epoch: u64,
    at: usize,
    next_sequence: u64,
    recycled: bool,
    /// How many bytes may still be summed up in search of the next valid
    /// record; a bound for a segment made to look like records everywhere.
    search: usize,
    found: Option<Frame<'a>>,
}

impl<'a> Items<'a> {
    /// The records of `segment`, which begins with `header`.
    pub fn new(segment: &'a [u8], header: &Header) -> Self {
        Self {
            segment,
            epoch: header.epoch,
            at: BLOCK,
            next_sequence: header.first,
            recycled: header.recycled,
            search: segment.len().saturating_mul(16),
            found: None,
        }
    }

    fn yield_record(&mut self, frame: Frame<'a>) -> Item<'a> {
        self.at = frame.end();
        self.next_sequence = frame.sequence.saturating_add(1);
        Item::Record(frame)
    }

    /// How many bytes of `rest`, behind the last record, an interrupted write left.
    fn torn(&self, rest: &[u8]) -> usize {
        if self.recycled {
            // The rest of the old segment is no trace of a write. One that is torn
            // where it begins looks the same, and is not told.
            let len = u32_at(rest, 0).map_or(0, |len| len as usize);
            let begun = u64_at(rest, 8) == Some(self.next_sequence);
            return if begun {
                padded(len).min(rest.len())
            } else {
                0
            };
        }
        // What was never written reads as zeros.
        let last = rest.iter().rposition(|b| *b != 0);
        last.map_or(0, |last| last + 1)
    }

    /// The next valid record after `self.at`, where there is none.
    fn search(&mut self) -> Option<Frame<'a>> {
        let mut at = self.at + 8;
        while at + RECORD_HEADER <= self.segment.len() {
            let len = u32_at(self.segment, at)? as usize;
            let sequence = u64_at(self.segment, at + 8)?;
            let most = ((at - self.at) / padded(RECORD_HEADER)) as u64;
            let plausible = (RECORD_HEADER..=MAX_RECORD).contains(&len)
                && sequence
                    .checked_sub(self.next_sequence)
                    .is_some_and(|skipped| skipped <= most);
            if plausible {
                self.search = self.search.checked_sub(len)?;
                if let Some(frame) = Frame::decode(self.segment, at, self.epoch) {
                    return Some(frame);
                }
            }
            at += 8;
        }
        None
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if let Some(frame) = self.found.take() {
            return Some(self.yield_record(frame));
        }
        let rest = self.segment.get(self.at..)?;
        match Frame::decode(self.segment, self.at, self.epoch) {
            Some(frame) if frame.sequence == self.next_sequence => {
                return Some(self.yield_record(frame));
            }
            _ => {}
        }
        let offset = self.at;
        self.found = self.search();
        let end = match &self.found {
            Some(frame) => frame.offset,
            None => {
                self.at = self.segment.len();
                offset + self.torn(rest)
            }
        };
        (end > offset).then_some(Item::Gap {
            offset,
            len: end - offset,
        })
    }
}
