//! A journal of several segments whose records are valid but say anything: who reads
//! it without its lock finds what its owner finds, nobody panics, and a second start
//! finds the same again.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use objects::NotificationId;
use spool::segment::{Frame, Header};
use spool::sim::SimulatedDisk;
use spool::{Options, Queue, history};

/// Where the files are; in memory, if there is such a place.
static SPOOL: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() {
        memory
    } else {
        std::env::temp_dir()
    };
    base.join(format!("sitewire-fuzz-{}", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    let segments = segments(&mut Bytes(bytes));
    let journal = SPOOL.join("journal");
    let _ = std::fs::remove_dir_all(&*SPOOL);
    if std::fs::create_dir_all(&journal).is_err() {
        return;
    }
    let disk = SimulatedDisk::new();
    for (first, bytes) in &segments {
        let name = format!("seg.{first:020}");
        disk.put(&name, bytes);
        let _ = std::fs::write(journal.join(name), bytes);
    }
    let read = history::snapshot(&SPOOL);
    let owned = Queue::recover(disk.fork(), options());
    let _ = std::fs::remove_dir_all(&*SPOOL);
    let (Ok(read), Ok((queue, recovery))) = (read, owned) else {
        return;
    };
    assert_eq!(read.recovery, recovery);
    let seen: Vec<NotificationId> = read.open.iter().map(|message| message.id).collect();
    let open = |queue: &Queue<SimulatedDisk>| -> Vec<NotificationId> {
        queue.open().map(|message| message.id).collect()
    };
    assert_eq!(open(&queue), seen);
    for id in &seen {
        let _ = queue.body(*id);
        let _ = queue.history(*id);
    }
    let Ok((again, _)) = Queue::recover(disk, options()) else {
        panic!("what was read once is read again");
    };
    assert_eq!(open(&again), seen);
});

fn options() -> Options {
    Options {
        segment_size: 64 << 10,
        reserve: 0,
        ahead: 0,
        limit: Some(u64::MAX),
        ..Options::default()
    }
}

/// Takes numbers from the input; zeros when it is at its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken.to_vec()
    }
}

/// A few segments: headers that refer to each other, records with right checksums,
/// some gaps.
fn segments(bytes: &mut Bytes<'_>) -> Vec<(u64, Vec<u8>)> {
    let mut segments = Vec::new();
    let mut next = 1;
    let mut last = 0;
    for _ in 0..=bytes.next() % 4 {
        let flags = bytes.next();
        let back = |by: u8| u64::from(by % 16);
        let first: u64 = next + back(bytes.next());
        let header = Header {
            first,
            after: u64::saturating_sub(last, back(bytes.next())),
            epoch: u64::from(bytes.next()),
            oldest: first.saturating_sub(u64::from(bytes.next())),
            recycled: flags & 1 != 0,
            partial: flags & 2 != 0,
        };
        let mut segment = header.encode().to_vec();
        let mut sequence = first;
        for _ in 0..bytes.next() % 16 {
            let (kind, flags, len) = (bytes.next(), bytes.next(), bytes.next());
            let again = (flags & 8 != 0).then(|| u64::from(bytes.next()));
            let body = bytes.take(usize::from(len));
            let frame = Frame {
                offset: 0,
                sequence,
                kind,
                flags,
                again,
                body: &body,
            };
            frame.encode(header.epoch, &mut segment);
            if flags & 16 != 0 {
                segment.extend_from_slice(&[0x55; 24]);
            }
            last = sequence;
            sequence += 1 + u64::from(flags >> 6);
        }
        next = sequence + 1;
        segments.push((first, segment));
    }
    segments
}
