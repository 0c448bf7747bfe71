//! A file of the journal that has two names: a crash in the middle of a rename may
//! leave that where a rename is two steps, and so may a failed sync of names.

use std::path::Path;

use objects::{NotificationId, UnixTime};
use spool::{DirectoryStorage, Options, Queue, Storage};

fn id(number: u8) -> NotificationId {
    NotificationId::from_bytes([number; 16])
}

fn queue(path: &Path) -> Queue<DirectoryStorage> {
    let options = Options {
        segment_size: 8 << 10,
        reserve: 0,
        ..Options::default()
    };
    let storage = DirectoryStorage::open(path).unwrap();
    Queue::recover(storage, options).unwrap().0
}

fn accept(queue: &mut Queue<DirectoryStorage>, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let time = UnixTime::from_secs(1_795_217_983);
        let body = [b'x'; 2000];
        queue.accept(id(number), None, None, &body, time).unwrap();
        queue.commit().unwrap();
    }
}

#[test]
fn a_spare_file_that_is_a_segment_too_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    accept(&mut queue(path), 0..10);
    let storage = DirectoryStorage::open(path).unwrap();
    let mut names = storage.list().unwrap();
    names.retain(|name| name.starts_with("seg."));
    names.sort();
    assert!(names.len() > 2, "{names:?}");
    for (number, name) in names.iter().enumerate() {
        let spare = format!("spare.{:020}", 900 + number);
        std::fs::hard_link(path.join(name), path.join(spare)).unwrap();
    }
    accept(&mut queue(path), 10..30);
    let queue = queue(path);
    let open: Vec<NotificationId> = queue.open().map(|message| message.id).collect();
    assert_eq!(open, (0..30).map(id).collect::<Vec<_>>());
    assert_eq!(queue.totals().accepted(), 30);
}
