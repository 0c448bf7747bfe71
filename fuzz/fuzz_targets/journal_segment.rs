//! Any bytes as a segment of the journal: never a panic, never a record whose
//! checksum is wrong, never one that lies outside or over another.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spool::record::Record;
use spool::segment::{BLOCK, Frame, Header, Item, Items};
use spool::sim::SimulatedDisk;
use spool::{Options, Queue};

fuzz_target!(|bytes: &[u8]| {
    // As they are, and behind a valid header, where most of them get further.
    let header = Header {
        first: 1,
        after: 0,
        epoch: 0,
        oldest: 1,
        recycled: false,
        partial: false,
    };
    let mut segment = header.encode().to_vec();
    segment.extend_from_slice(bytes);
    for segment in [bytes, &segment] {
        check(segment);
        let disk = SimulatedDisk::new();
        disk.put("seg.00000000000000000001", segment);
        if let Ok((queue, recovery)) = Queue::recover(disk, options()) {
            assert_eq!(recovery.open, queue.figures().open);
            for message in queue.open() {
                assert!(queue.body(message.id).is_ok());
            }
        }
    }
});

/// As little as possible beside the segment: what is written ahead and kept for a
/// full disk would take nearly all of the time.
fn options() -> Options {
    Options {
        segment_size: 64 << 10,
        reserve: 0,
        ahead: 0,
        limit: Some(u64::MAX),
        ..Options::default()
    }
}

fn check(segment: &[u8]) {
    let Ok(header) = Header::decode(segment) else {
        return;
    };
    let mut at = BLOCK;
    for item in Items::new(segment, &header) {
        match item {
            Item::Record(frame) => {
                assert!(frame.offset >= at && frame.offset + frame.len() <= segment.len());
                assert_eq!(
                    checksum(segment, &frame, header.epoch),
                    stored(segment, &frame)
                );
                at = frame.end();
                let _ = Record::read(frame.kind, frame.body);
            }
            Item::Gap { offset, len } => {
                assert!(offset >= at && len > 0 && offset + len <= segment.len());
                at = offset + len;
            }
        }
    }
}

/// Computed here on its own, not by the code under test.
fn checksum(segment: &[u8], frame: &Frame<'_>, epoch: u64) -> u32 {
    let record = &segment[frame.offset..frame.offset + frame.len()];
    let covered = [&epoch.to_le_bytes()[..], &record[..4], &record[8..]].concat();
    crc32c::crc32c(&covered)
}

fn stored(segment: &[u8], frame: &Frame<'_>) -> u32 {
    let bytes = &segment[frame.offset + 4..frame.offset + 8];
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}
