//! Reads the journal of a spool as sitewire-spool(5) describes it, without any
//! code of ours: what the judge of the fault tests believes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a journal says of one notification.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// Each acceptance: its place in the order, the body. More than one is a
    /// notification that was stored twice.
    pub accepted: Vec<(u64, Vec<u8>)>,
    /// The peer it came from; empty if it was submitted there.
    pub from: String,
    /// The ends of the whole, by number.
    pub ends: Vec<u8>,
}

/// Ends, by the number in the journal.
pub const STORED_BY_PEER: u8 = 1;
/// Delivered by a lane.
pub const DELIVERED: u8 = 2;

const BLOCK: usize = 4096;
const HEADER: usize = 20;
const FIRST: u8 = 1;
const LAST: u8 = 2;
const COPY: u8 = 4;
const AGAIN: u8 = 8;

/// All notifications in the journal of `spool`, by their ids in hexadecimal.
pub fn read(spool: &Path) -> BTreeMap<String, Told> {
    let segments = segments(spool);
    let mut counting = Vec::new();
    let mut limit = u64::MAX;
    for segment in segments.iter().rev() {
        let records = segment.records.iter();
        counting.extend(records.filter(|record| record.sequence <= limit));
        if segment.effective {
            limit = limit.min(segment.after);
        }
    }
    counting.sort_by_key(|record| record.sequence);
    // What is written again says nothing where the first one is there.
    let mut there: BTreeSet<u64> = counting.iter().map(|record| record.sequence).collect();
    let mut all = BTreeMap::new();
    for record in counting {
        if record.again.is_none_or(|first| there.insert(first)) {
            record.tell(&mut all);
        }
    }
    all
}

/// How many notifications were accepted with each sync of the journal that
/// accepted any.
pub fn accepted_per_sync(spool: &Path) -> Vec<usize> {
    let mut counts = Vec::new();
    for record in segments(spool).iter().flat_map(|s| &s.records) {
        if record.flags & FIRST != 0 {
            counts.push(0);
        }
        if record.kind == 1
            && let Some(count) = counts.last_mut()
        {
            *count += 1;
        }
    }
    counts.retain(|count| *count > 0);
    counts
}

/// When each notification ended, by its id in hexadecimal: in microseconds since
/// 1970, as the daemon noted it.
pub fn ended_at(spool: &Path) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for record in segments(spool).iter().flat_map(|s| &s.records) {
        if record.kind == 6 && record.body.len() >= 24 {
            all.insert(hex(&record.body[..16]), u64_at(&record.body, 16));
        }
    }
    all
}

/// The segments that are needed, in their order.
fn segments(spool: &Path) -> Vec<Segment> {
    let mut segments: Vec<Segment> = std::fs::read_dir(spool.join("journal"))
        .map(|entries| entries.flatten().collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_str().unwrap_or("");
            name.len() == 24 && name.starts_with("seg.")
        })
        .filter_map(|entry| Segment::read(&std::fs::read(entry.path()).ok()?))
        .collect();
    let effective = segments.iter().filter(|segment| segment.effective);
    let oldest = effective.map(|segment| segment.oldest).max().unwrap_or(0);
    segments.retain(|segment| segment.first >= oldest);
    segments.sort_by_key(|segment| segment.first);
    segments
}

struct Segment {
    first: u64,
    /// Records of earlier segments beyond this do not count.
    after: u64,
    oldest: u64,
    /// Whether its first group is there whole.
    effective: bool,
    records: Vec<Record>,
}

struct Record {
    sequence: u64,
    kind: u8,
    flags: u8,
    /// The number of the record that this one repeats.
    again: Option<u64>,
    body: Vec<u8>,
    /// With the next record's place.
    len: usize,
}

impl Segment {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = [0, BLOCK / 2]
            .into_iter()
            .filter_map(|at| bytes.get(at..at + 56))
            .find(|header| {
                header.starts_with(b"SITEWJNL")
                    && crc32c::crc32c(&header[..52]) == u32_at(header, 52)
            })?;
        let epoch = u64_at(header, 32);
        let mut at = BLOCK;
        let mut records = Vec::<Record>::new();
        while at + HEADER <= bytes.len() {
            let newer = |record: &Record| {
                records
                    .last()
                    .is_none_or(|last| record.sequence > last.sequence)
            };
            // What is damaged is passed over.
            match Record::read(&bytes[at..], epoch).filter(newer) {
                Some(record) => {
                    at += record.len;
                    records.push(record);
                }
                None => at += 8,
            }
        }
        let first = u64_at(header, 16);
        let ends = |record: &Record| {
            record.flags & LAST != 0 || (record.flags & FIRST != 0 && record.sequence > first)
        };
        Some(Self {
            first,
            after: u64_at(header, 24),
            oldest: u64_at(header, 40),
            effective: records.iter().any(ends),
            records,
        })
    }
}

impl Record {
    fn read(bytes: &[u8], epoch: u64) -> Option<Self> {
        let len = u32_at(bytes.get(..HEADER)?, 0) as usize;
        let record = bytes.get(..len).filter(|_| len >= HEADER)?;
        let crc = crc32c::crc32c(&epoch.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &record[..4]);
        let crc = crc32c::crc32c_append(crc, &record[8..]);
        if crc != u32_at(record, 4) {
            return None;
        }
        let again = record[17] & AGAIN != 0;
        let before = HEADER + usize::from(again) * 8;
        Some(Self {
            sequence: u64_at(record, 8),
            kind: record[16],
            flags: record[17],
            again: again.then(|| u64_at(record, HEADER)),
            body: record.get(before..)?.to_vec(),
            len: len.next_multiple_of(8),
        })
    }

    fn tell(&self, all: &mut BTreeMap<String, Told>) {
        let (Some(id), Some(rest)) = (self.body.get(..16), self.body.get(24..)) else {
            return;
        };
        match self.kind {
            1 => {
                let order = u64_at(rest, 0);
                let len = usize::from(rest[8]);
                let from = String::from_utf8_lossy(&rest[9..9 + len]).into_owned();
                let before = u32_at(rest, 9 + len) as usize;
                let body = rest[9 + len + 4 + before..].to_vec();
                let told = all.entry(hex(id)).or_default();
                told.from = from;
                if self.flags & COPY == 0 || told.accepted.is_empty() {
                    // Written again after a failed sync it is the same.
                    if !told.accepted.iter().any(|(known, _)| *known == order) {
                        told.accepted.push((order, body));
                    }
                }
            }
            6 => all.entry(hex(id)).or_default().ends.push(rest[0]),
            _ => {}
        }
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record, for the tests of the judge.
    #[derive(Clone, Copy)]
    pub(crate) enum Line<'a> {
        Accepted(&'a str, u64, &'a [u8]),
        Ended(&'a str, u8),
    }

    /// Makes a spool whose journal has one segment with these records.
    pub(crate) fn write(spool: &Path, lines: &[Line<'_>]) {
        let mut bytes = vec![0; BLOCK];
        bytes[..8].copy_from_slice(b"SITEWJNL");
        bytes[8] = 1;
        bytes[12] = 56;
        bytes[16] = 1;
        bytes[40] = 1;
        let crc = crc32c::crc32c(&bytes[..52]);
        bytes[52..56].copy_from_slice(&crc.to_le_bytes());
        for (number, line) in (1_u64..).zip(lines) {
            let (kind, id, rest) = match line {
                Line::Accepted(id, order, body) => {
                    let head = [&order.to_le_bytes()[..], b"\x07remote1", &[0; 4]];
                    (1, id, [&head.concat()[..], body].concat())
                }
                Line::Ended(id, end) => (6, id, vec![*end, 0, 0]),
            };
            let id = u128::from_str_radix(&id.replace('-', ""), 16).unwrap();
            let body = [&id.to_be_bytes()[..], &[0; 8], &rest].concat();
            let mut record = ((HEADER + body.len()) as u32).to_le_bytes().to_vec();
            record.extend([0; 4]);
            record.extend(number.to_le_bytes());
            record.extend([kind, FIRST | LAST, 0, 0]);
            record.extend(&body);
            let crc = crc32c::crc32c(&[0; 8]);
            let crc = crc32c::crc32c_append(crc, &record[..4]);
            let crc = crc32c::crc32c_append(crc, &record[8..]);
            record[4..8].copy_from_slice(&crc.to_le_bytes());
            record.resize(record.len().next_multiple_of(8), 0);
            bytes.extend(record);
        }
        std::fs::create_dir_all(spool.join("journal")).unwrap();
        std::fs::write(spool.join("journal/seg.00000000000000000001"), bytes).unwrap();
    }
}
