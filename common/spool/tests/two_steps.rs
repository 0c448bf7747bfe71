//! Commits that are begun by one and synced by another, while more is said.

use objects::{NotificationId, UnixTime};
use spool::sim::{SimulatedDisk, Wrong};
use spool::{Begun, Commit, End, Options, Queue, Storage, Syncing};

fn now() -> UnixTime {
    UnixTime::from_secs(1_795_217_983)
}

fn id(number: u8) -> NotificationId {
    NotificationId::from_bytes([number; 16])
}

fn options() -> Options {
    Options {
        segment_size: 16 << 10,
        reserve: 0,
        ahead: 0,
        ..Options::default()
    }
}

fn recover(disk: &SimulatedDisk) -> Queue<SimulatedDisk> {
    Queue::recover(disk.clone(), options()).unwrap().0
}

fn accept(queue: &mut Queue<SimulatedDisk>, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        queue
            .accept(id(number), None, None, &[number; 300], now())
            .unwrap();
    }
}

fn open(queue: &Queue<impl Storage>) -> Vec<u8> {
    let open = queue.open();
    open.map(|message| message.id.as_bytes()[0]).collect()
}

fn begin(queue: &mut Queue<SimulatedDisk>) -> Syncing {
    match queue.begin_commit().unwrap() {
        Begun::UnderWay(sync) => sync,
        Begun::Done(commit) => panic!("{commit:?}"),
    }
}

/// A queue with message 1, and a head that takes more.
fn start(disk: &SimulatedDisk) -> Queue<SimulatedDisk> {
    let mut queue = recover(disk);
    accept(&mut queue, [1]);
    queue.commit().unwrap();
    queue
}

#[test]
fn what_is_said_while_a_sync_is_made_belongs_to_the_next_commit() {
    let disk = SimulatedDisk::new();
    let mut queue = start(&disk);
    accept(&mut queue, 2..=4);
    let sync = begin(&mut queue);
    accept(&mut queue, [5]);
    queue.end(id(1), End::Dropped, "", now());
    // Nothing of it is offered to anybody.
    assert!(open(&queue).is_empty());
    assert_eq!(queue.body(id(3)).unwrap(), Some(vec![3; 300]));
    let before = disk.fork();
    sync().unwrap();
    let after = disk.fork();
    assert!(open(&queue).is_empty());
    let commit = queue.finish_commit(Ok(())).unwrap();
    assert_eq!(commit.records, 3);
    assert_eq!(open(&queue), [2, 3, 4]);
    for seed in 0..50 {
        let crashed = before.fork();
        crashed.crash(seed);
        let found = open(&recover(&crashed));
        assert!(found.starts_with(&[1]) && !found.contains(&5), "{found:?}");
        let crashed = after.fork();
        crashed.crash(seed);
        assert_eq!(open(&recover(&crashed)), [1, 2, 3, 4]);
    }
    assert_eq!(queue.commit().unwrap().records, 2);
    disk.crash(1);
    assert_eq!(open(&recover(&disk)), [2, 3, 4, 5]);
}

#[test]
fn a_sync_that_failed_takes_what_was_said_since_along() {
    let disk = SimulatedDisk::new();
    let mut queue = start(&disk);
    accept(&mut queue, 2..=4);
    let sync = begin(&mut queue);
    accept(&mut queue, [5]);
    disk.fail(disk.operations(), 1, Wrong::Error);
    let failed = sync();
    assert!(failed.is_err());
    let mut segments = disk.list().unwrap();
    segments.retain(|name| name.starts_with("seg."));
    let before = disk.log().len();
    assert_ne!(queue.finish_commit(failed).unwrap(), Commit::default());
    assert_eq!(open(&queue), [1, 2, 3, 4, 5]);
    assert_eq!(queue.commit().unwrap(), Commit::default());
    // The segment whose sync failed is neither written nor synced any more.
    let after = &disk.log()[before..];
    let touched = |line: &String| segments.iter().any(|name| line.contains(name.as_str()));
    assert!(!after.iter().any(touched), "{after:?}");
    disk.crash(1);
    assert_eq!(open(&recover(&disk)), [1, 2, 3, 4, 5]);
}

#[test]
fn a_disk_that_goes_on_refusing_acknowledges_neither() {
    let disk = SimulatedDisk::new();
    let mut queue = start(&disk);
    accept(&mut queue, 2..=4);
    let sync = begin(&mut queue);
    accept(&mut queue, [5]);
    disk.fail(disk.operations(), 30, Wrong::Error);
    let failed = sync();
    assert!(queue.finish_commit(failed).unwrap_err().is_temporary());
    assert!(queue.failing().is_some());
    assert_eq!(open(&queue), [1]);
    // Nothing is under way while the disk refuses: each try is a whole one.
    while !matches!(queue.begin_commit(), Ok(Begun::Done(_))) {}
    assert_eq!(open(&queue), [1, 2, 3, 4, 5]);
    disk.crash(1);
    assert_eq!(open(&recover(&disk)), [1, 2, 3, 4, 5]);
}

/// What is not only a write to the head is done at once.
#[test]
fn a_commit_that_needs_a_new_segment_is_made_at_once() {
    let disk = SimulatedDisk::new();
    let mut queue = start(&disk);
    let (mut at_once, mut under_way) = (0, 0);
    for number in 2..100 {
        accept(&mut queue, [number]);
        if number > 4 {
            queue.end(id(number - 3), End::Delivered, "", now());
        }
        match queue.begin_commit().unwrap() {
            Begun::Done(_) => at_once += 1,
            Begun::UnderWay(sync) => {
                under_way += 1;
                queue.finish_commit(sync()).unwrap();
            }
        }
    }
    assert!(
        at_once > 0 && under_way > 10 * at_once,
        "{at_once} {under_way}"
    );
    disk.crash(1);
    assert_eq!(open(&recover(&disk)), [1, 97, 98, 99]);
}
