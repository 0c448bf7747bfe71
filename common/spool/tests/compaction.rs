//! A journal does not grow with what it has seen, but with what is open: ten times as
//! much may end as stays.

use objects::{NotificationId, UnixTime};
use spool::sim::SimulatedDisk;
use spool::{DirectoryStorage, End, Options, Queue, Storage, Target};

const SEGMENT: u64 = 64 << 10;

fn options() -> Options {
    Options {
        segment_size: SEGMENT,
        keep_segments: 4,
        compact_above: 16,
        peer_ids: 100,
        all_ids: 1000,
        limit: None,
        reserve: 0,
        ahead: 16 << 10,
    }
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_795_217_983)
}

fn id(number: u64) -> NotificationId {
    let mut bytes = [0x70; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn body(number: u64) -> Vec<u8> {
    vec![number as u8; 300 + number as usize % 200]
}

fn lane() -> Target {
    Target::Lane("mail".to_owned())
}

/// Groups of ten are accepted and delivered, but for what `stays`. Says how many bytes
/// were on the disk at most.
fn run<S: Storage>(
    queue: &mut Queue<S>,
    numbers: std::ops::Range<u64>,
    stays: impl Fn(u64) -> bool,
    used: impl Fn() -> u64,
) -> u64 {
    let mut most = 0;
    let numbers: Vec<u64> = numbers.collect();
    for group in numbers.chunks(10) {
        for n in group {
            queue.accept(id(*n), None, None, &body(*n), now()).unwrap();
            queue.assign(id(*n), &[lane()], now());
        }
        queue.commit().unwrap();
        for n in group.iter().filter(|n| !stays(**n)) {
            queue.settle(id(*n), &lane(), End::Delivered, "", now());
        }
        queue.commit().unwrap();
        assert_eq!(queue.failing(), None);
        most = most.max(used());
    }
    most
}

fn check<S: Storage>(queue: &Queue<S>, want: &[u64], accepted: u64) {
    let open: Vec<NotificationId> = queue.open().map(|message| message.id).collect();
    let want_ids: Vec<NotificationId> = want.iter().copied().map(id).collect();
    assert_eq!(open, want_ids, "in the order of acceptance");
    for n in want {
        assert_eq!(queue.body(id(*n)).unwrap().unwrap(), body(*n));
        assert_eq!(queue.message(id(*n)).unwrap().targets.len(), 1);
    }
    let totals = queue.totals();
    assert_eq!(totals.accepted(), accepted);
    assert_eq!(totals.ended(End::Delivered), accepted - want.len() as u64);
    assert_eq!(totals.lost(want.len() as u64), 0);
}

/// What the segments of so many messages that stay may take, with what has ended in
/// between, what is kept for tracing and what stands ready.
fn bound(open: u64) -> u64 {
    let live = open * 700;
    2 * live + (16 + 4 + 4) * SEGMENT
}

#[test]
fn where_nine_of_ten_have_ended_the_journal_is_compacted() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
    // Far more segments than that are kept if all stay; then nine of ten end.
    run(&mut queue, 0..6000, |_| true, || disk.used());
    let full = disk.used();
    assert!(queue.figures().segments > 40, "{:?}", queue.figures());
    for n in (0..6000).filter(|n| n % 10 != 0) {
        queue.settle(id(n), &lane(), End::Delivered, "", now());
    }
    queue.commit().unwrap();
    // Each commit copies some, so that none is long.
    run(&mut queue, 6000..7000, |_| false, || disk.used());
    assert!(queue.figures().segments <= 18, "{:?}", queue.figures());
    assert!(disk.used() < bound(600), "{} of {full}", disk.used());
    assert!(disk.used() < full / 2, "{} of {full}", disk.used());
    let want: Vec<u64> = (0..6000).step_by(10).collect();
    check(&queue, &want, 7000);
    drop(queue);
    let (queue, recovery) = Queue::recover(disk, options()).unwrap();
    assert_eq!(recovery.damages, []);
    check(&queue, &want, 7000);
}

#[test]
fn a_long_run_takes_no_more_of_the_disk_than_what_is_open() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
    let mut most = 0;
    // Every tenth of a hundred waits until a hundred later ones came.
    let old: Vec<u64> = (0..300).step_by(3).collect();
    run(&mut queue, 0..300, |n| n % 3 == 0, || disk.used());
    for round in 0..40 {
        let from = 300 + round * 500;
        most = most.max(run(
            &mut queue,
            from..from + 500,
            |n| n % 10 == 0,
            || disk.used(),
        ));
        for n in (from..from + 500).step_by(10) {
            queue.settle(id(n), &lane(), End::Delivered, "", now());
        }
        queue.commit().unwrap();
    }
    let accepted = 300 + 40 * 500;
    // It has written ten times that.
    assert!(most < bound(150), "{most}");
    assert!(accepted * 700 > 7 * bound(150));
    check(&queue, &old, accepted);
    drop(queue);
    let (queue, _) = Queue::recover(disk, options()).unwrap();
    check(&queue, &old, accepted);
}

#[test]
fn so_it_is_in_a_real_directory() {
    let directory = tempfile::tempdir().unwrap();
    let open = || DirectoryStorage::open(directory.path()).unwrap();
    let used = || -> u64 {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        entries.map(|e| e.unwrap().metadata().unwrap().len()).sum()
    };
    let (mut queue, _) = Queue::recover(open(), options()).unwrap();
    let most = run(&mut queue, 0..6000, |n| n % 50 == 0, used);
    assert!(most < bound(120), "{most}");
    let want: Vec<u64> = (0..6000).step_by(50).collect();
    check(&queue, &want, 6000);
    drop(queue);
    let (queue, _) = Queue::recover(open(), options()).unwrap();
    check(&queue, &want, 6000);
}

/// A record that is longer than what is written at once, with ids and with a body,
/// is there after a start as any other.
#[test]
fn what_is_too_long_to_be_written_at_once_is_kept_too() {
    const IDS: u64 = 50_000;
    let options = Options {
        segment_size: 4 << 20,
        all_ids: IDS as usize,
        ..options()
    };
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options.clone()).unwrap();
    let numbers: Vec<u64> = (0..2 * IDS).collect();
    for group in numbers.chunks(1000) {
        for n in group {
            queue.accept(id(*n), None, None, &body(*n), now()).unwrap();
            queue.end(id(*n), End::NobodyToNotify, "", now());
        }
        queue.commit().unwrap();
    }
    let long: Vec<u8> = (0..1_500_001).map(|n| (n % 251) as u8).collect();
    let last = 2 * IDS;
    queue.accept(id(last), None, None, &long, now()).unwrap();
    queue
        .accept(id(last + 1), None, None, b"{}", now())
        .unwrap();
    queue.commit().unwrap();
    for _ in 0..2 {
        let (queue, recovery) = Queue::recover(disk.clone(), options.clone()).unwrap();
        assert_eq!(recovery.damages, []);
        // The group that was accepted last is not in a checkpoint.
        let remembered = numbers.iter().filter(|n| queue.knows(id(**n)).is_some());
        assert!(remembered.count() as u64 >= IDS - 2);
        assert!(queue.knows(id(2 * IDS - 1)).is_some());
        assert_eq!(queue.body(id(last)).unwrap().unwrap(), long);
        assert_eq!(queue.body(id(last + 1)).unwrap().unwrap(), b"{}");
    }
}
