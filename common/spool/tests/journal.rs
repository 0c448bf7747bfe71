//! What becomes of a journal in particular situations: damage, a disk that
//! refuses, other releases, old segments, readers without the lock.

use std::sync::Arc;

use objects::{NotificationId, SiteId, UnixTime};
use spool::record::Event;
use spool::segment::{FIRST, Frame, Header, Item, Items, LAST};
use spool::sim::{SimulatedDisk, Wrong};
use spool::{
    Accepted, Commit, DirectoryStorage, End, Error, Known, Options, Queue, Recovery, Settled,
    SpoolDirectory, Storage, Target, Verdict, history,
};

fn now() -> UnixTime {
    UnixTime::from_secs(1_795_217_983)
}

fn id(number: u8) -> NotificationId {
    NotificationId::from_bytes([number; 16])
}

fn body(number: u8) -> Vec<u8> {
    vec![number; 300]
}

fn lane() -> Target {
    Target::Lane("ops".into())
}

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn options() -> Options {
    Options {
        reserve: 4096,
        ahead: 64 << 10,
        ..Options::default()
    }
}

fn recover(disk: &SimulatedDisk) -> (Queue<SimulatedDisk>, Recovery) {
    Queue::recover(disk.clone(), options()).unwrap()
}

/// Accepts each in a commit of its own.
fn accept(queue: &mut Queue<SimulatedDisk>, numbers: impl IntoIterator<Item = u8>) {
    for number in numbers {
        let accepted = queue.accept(id(number), None, None, &body(number), now());
        assert_eq!(accepted.unwrap(), Accepted::New);
        queue.commit().unwrap();
    }
}

fn open(queue: &Queue<impl Storage>) -> Vec<u8> {
    queue
        .open()
        .map(|message| message.id.as_bytes()[0])
        .collect()
}

/// The names of the segments, the newest last.
fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.list().unwrap();
    names.retain(|name| name.starts_with("seg."));
    names
}

/// The name of the newest segment.
fn last_segment(disk: &SimulatedDisk) -> String {
    segments(disk).pop().unwrap()
}

/// Where the record about a message begins.
fn offset_of(disk: &SimulatedDisk, segment: &str, number: u8) -> (usize, usize) {
    let bytes = disk.content(segment).unwrap();
    let header = Header::decode(&bytes).unwrap();
    let found = Items::new(&bytes, &header).find_map(|item| match item {
        Item::Record(frame) if frame.body.starts_with(&[number; 16]) => {
            Some((frame.offset, frame.end()))
        }
        _ => None,
    });
    found.unwrap()
}

#[test]
fn one_commit_is_one_write_and_one_sync() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    accept(&mut queue, [1]);
    let before = disk.operations();
    for number in 2..100 {
        queue
            .accept(id(number), None, None, &body(number), now())
            .unwrap();
    }
    let commit = queue.commit().unwrap();
    assert_eq!(commit.records, 98);
    let log = disk.log().split_off(before as usize);
    let words: Vec<&str> = log.iter().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["write", "sync"]);
    assert_eq!(queue.commit().unwrap(), Commit::default());
}

#[test]
fn a_damaged_record_in_the_middle_is_set_aside_and_the_rest_is_used() {
    for (name, at) in [("its length", 0), ("its body", 100), ("its sequence", 9)] {
        let disk = SimulatedDisk::new();
        let (mut queue, _) = recover(&disk);
        accept(&mut queue, 1..=5);
        let segment = last_segment(&disk);
        let (from, to) = offset_of(&disk, &segment, 3);
        disk.damage(&segment, from + at, b"\xfe\xfe");
        let (queue, recovery) = recover(&disk);
        assert_eq!(open(&queue), [1, 2, 4, 5], "{name}");
        let [damage] = &recovery.damages[..] else {
            panic!("{name}: {recovery:?}");
        };
        assert_eq!(damage.segment, segment, "{name}");
        let (offset, len) = (damage.offset as usize, damage.len as usize);
        assert_eq!((offset, len), (from, to - from), "{name}");
        // It is told again, and nothing else changes.
        let (queue, again) = recover(&disk);
        assert_eq!(open(&queue), [1, 2, 4, 5], "{name}");
        assert_eq!(again.damages, recovery.damages, "{name}");
    }
}

#[test]
fn a_damaged_record_within_a_group_does_not_take_the_group_along() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    for number in 1..=5 {
        queue
            .accept(id(number), None, None, &body(number), now())
            .unwrap();
    }
    queue.commit().unwrap();
    let segment = last_segment(&disk);
    let (from, _) = offset_of(&disk, &segment, 3);
    disk.damage(&segment, from + 50, b"\xfe");
    let (queue, recovery) = recover(&disk);
    assert_eq!(open(&queue), [1, 2, 4, 5]);
    assert_eq!(recovery.damages.len(), 1);
}

#[test]
fn a_torn_tail_is_cut_and_said_in_one_line() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    accept(&mut queue, 1..=3);
    let segment = last_segment(&disk);
    let (from, to) = offset_of(&disk, &segment, 3);
    disk.damage(&segment, from + 200, &vec![0; to - from - 200]);
    let (queue, recovery) = recover(&disk);
    assert_eq!(open(&queue), [1, 2]);
    assert!(
        recovery.damages.is_empty() && recovery.cut > 0,
        "{recovery:?}"
    );
    let line = recovery.to_string();
    assert!(
        line.contains("2 open messages") && line.contains("cut"),
        "{line}"
    );
    let (queue, recovery) = recover(&disk);
    assert_eq!(open(&queue), [1, 2]);
    assert_eq!(recovery.cut, 0);
}

#[test]
fn one_bad_copy_of_a_header_loses_nothing_and_two_are_told() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    accept(&mut queue, 1..=3);
    let segment = last_segment(&disk);
    disk.damage(&segment, 8, &[0xff; 40]);
    assert_eq!(open(&recover(&disk.fork()).0), [1, 2, 3]);
    disk.damage(&segment, 2048, &[0xff; 40]);
    let (queue, recovery) = recover(&disk);
    assert!(open(&queue).is_empty());
    assert_eq!(recovery.damages[0].why, "no valid header");
    assert!(disk.content(&segment).is_some());
}

#[test]
fn a_failed_sync_moves_the_group_to_a_new_segment() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    accept(&mut queue, 1..=3);
    let first = last_segment(&disk);
    disk.fail(disk.operations() + 1, 1, Wrong::Error);
    accept(&mut queue, [4]);
    assert_eq!(queue.failing(), None);
    // The first segment is neither written nor synced any more.
    let log = disk.log();
    let failed = format!("sync {first}");
    let failed = log.iter().rposition(|l| *l == failed).unwrap();
    let after = &log[failed + 1..];
    assert!(after.iter().any(|l| l.starts_with("sync seg")), "{after:?}");
    assert!(after.iter().all(|l| !l.contains(&first)), "{after:?}");
    disk.crash(1);
    assert_eq!(open(&recover(&disk).0), [1, 2, 3, 4]);
}

#[test]
fn a_disk_that_fails_for_a_while_accepts_nothing_and_then_everything() {
    for wrong in [Wrong::Error, Wrong::NoSpace] {
        let disk = SimulatedDisk::new();
        let (mut queue, _) = recover(&disk);
        accept(&mut queue, [1]);
        disk.fail(disk.operations(), 40, wrong);
        queue
            .accept(id(2), Some(&site("a")), None, &body(2), now())
            .unwrap();
        let error = queue.commit().unwrap_err();
        assert!(error.is_temporary());
        assert!(queue.failing().unwrap().contains("simulated/"));
        // Known, so that it is not taken twice, but not offered to anybody.
        assert_eq!(queue.knows(id(2)), Some(Known::Open));
        assert_eq!(open(&queue), [1]);
        assert!(queue.accepted_from(&site("a")).is_empty());
        let crashed = disk.fork();
        crashed.crash(7);
        assert!(open(&recover(&crashed).0).starts_with(&[1]));
        while queue.commit().is_err() {}
        assert_eq!(open(&queue), [1, 2]);
        assert_eq!(queue.accepted_from(&site("a")), [id(2)]);
        disk.crash(8);
        assert_eq!(open(&recover(&disk).0), [1, 2]);
    }
}

#[test]
fn a_group_without_sync_is_made_durable_before_it_counts() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    accept(&mut queue, [1]);
    // The write arrives in the cache, the sync fails, the process dies.
    queue.accept(id(2), None, None, &body(2), now()).unwrap();
    disk.kill_at(disk.operations() + 1);
    assert!(queue.commit().is_err());
    disk.restart();
    let (mut queue, _) = recover(&disk);
    let known = queue.accept(id(2), None, None, &body(2), now()).unwrap();
    assert_eq!(known, Accepted::Duplicate(Known::Open));
    // It may be acknowledged now.
    queue.commit().unwrap();
    for seed in 0..20 {
        let crashed = disk.fork();
        crashed.crash(seed);
        assert_eq!(open(&recover(&crashed).0), [1, 2]);
    }
}

#[test]
fn a_group_written_in_pieces_is_whole_whatever_becomes_of_one_of_them() {
    let text = |number: u8| Arc::new((number as char).to_string().repeat(300 << 10));
    let fill = |queue: &mut Queue<SimulatedDisk>| {
        for number in 2..=6 {
            let accepted = queue.accept_shared(id(number), None, None, text(number), now());
            assert_eq!(accepted.unwrap(), Accepted::New);
            let pending = queue.body(id(number)).unwrap();
            assert_eq!(pending.unwrap(), text(number).as_bytes());
        }
        queue.commit().is_ok()
    };
    let is_whole = |queue: &Queue<SimulatedDisk>, what: &str| {
        for message in queue.open().filter(|message| message.body_len > 300) {
            let body = queue.body(message.id).unwrap().unwrap();
            let number = message.id.as_bytes()[0];
            assert!(body == text(number).as_bytes(), "{what}: {number}");
        }
    };
    for at in 0..7 {
        let disk = SimulatedDisk::new();
        let (mut queue, _) = recover(&disk);
        accept(&mut queue, [1]);
        let (failing, before) = (disk.fork(), disk.operations());
        disk.kill_at(before + at);
        let acknowledged = fill(&mut queue);
        for seed in 0..10 {
            let crashed = disk.fork();
            crashed.crash(seed);
            let (queue, _) = recover(&crashed);
            let what = format!("killed at {at}, crashed with seed {seed}");
            is_whole(&queue, &what);
            let open = open(&queue);
            assert!(open.starts_with(&[1]), "{what}: {open:?}");
            assert!(
                !acknowledged || open == [1, 2, 3, 4, 5, 6],
                "{what}: {open:?}"
            );
        }
        // A write or sync that fails: all goes to another segment.
        for wrong in [Wrong::Error, Wrong::Short] {
            let disk = failing.fork();
            let (mut queue, _) = recover(&disk);
            disk.fail(disk.operations() + at, 1, wrong);
            assert!(fill(&mut queue));
            is_whole(&queue, "before the crash");
            disk.crash(at);
            let (queue, _) = recover(&disk);
            is_whole(&queue, "after it");
            assert_eq!(open(&queue), [1, 2, 3, 4, 5, 6]);
        }
    }
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    accept(&mut queue, [1]);
    let segment = last_segment(&disk);
    let mut bytes = disk.content(&segment).unwrap();
    for copy in [0, 2048] {
        bytes[copy + 8] = 4;
        let crc = crc32c::crc32c(&bytes[copy..copy + 52]);
        bytes[copy + 52..copy + 56].copy_from_slice(&crc.to_le_bytes());
    }
    let newer = SimulatedDisk::new();
    newer.put(&segment, &bytes);
    let error = Queue::recover(newer.clone(), options()).err().unwrap();
    assert!(matches!(error, Error::NewerFormat { format: 4, .. }));
    assert!(
        error
            .to_string()
            .contains("format 4, this release knows up to 3")
    );
    assert_eq!(newer.content(&segment).unwrap(), bytes);
    assert_eq!(newer.list().unwrap(), [segment]);
}

#[test]
fn records_of_a_recycled_segment_are_not_taken_for_new_ones() {
    let header = |epoch| Header {
        first: 1,
        after: 0,
        epoch,
        oldest: 1,
        recycled: false,
        partial: false,
    };
    let frame = |sequence, body| Frame {
        offset: 0,
        sequence,
        kind: 99,
        flags: FIRST | LAST,
        again: None,
        body,
    };
    let mut old = header(1).encode().to_vec();
    for sequence in 1..9 {
        frame(sequence, b"old record").encode(1, &mut old);
    }
    let mut new = header(2).encode().to_vec();
    frame(1, b"new record").encode(2, &mut new);
    old[..new.len()].copy_from_slice(&new);
    let items: Vec<_> = Items::new(&old, &header(2)).collect();
    let [Item::Record(record), Item::Gap { .. }] = items[..] else {
        panic!("{items:?}");
    };
    assert_eq!(record.body, b"new record");
}

#[test]
fn records_of_later_releases_are_kept_as_long_as_their_message() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    accept(&mut queue, 1..=2);
    // A later release adds two records to its own new segment.
    let bytes = disk.content(&last_segment(&disk)).unwrap();
    let items = Items::new(&bytes, &Header::decode(&bytes).unwrap());
    let sequences = items.filter_map(|item| match item {
        Item::Record(frame) => Some(frame.sequence),
        Item::Gap { .. } => None,
    });
    let after = sequences.last().unwrap();
    let header = Header {
        first: after + 1,
        after,
        epoch: 5,
        oldest: 1,
        recycled: false,
        partial: false,
    };
    let mut bytes = header.encode().to_vec();
    for (sequence, number, flags) in [(after + 1, 1, FIRST), (after + 2, 2, LAST)] {
        let frame = Frame {
            offset: 0,
            sequence,
            kind: 99,
            flags,
            again: None,
            body: &[number; 40],
        };
        frame.encode(5, &mut bytes);
    }
    disk.put(&format!("seg.{:020}", after + 1), &bytes);
    let options = || Options {
        segment_size: 8 << 10,
        keep_segments: 1,
        compact_above: 1,
        ..self::options()
    };
    let recover = || Queue::recover(disk.clone(), options()).unwrap();
    let (mut queue, _) = recover();
    let unknown = |queue: &Queue<SimulatedDisk>, number| {
        let history = queue.history(id(number)).unwrap();
        let found = history
            .into_iter()
            .filter(|(_, event)| matches!(event, Event::Unknown { kind: 99 }));
        found.count()
    };
    assert_eq!((unknown(&queue, 1), unknown(&queue, 2)), (1, 1));
    queue.end(id(2), End::Dropped, "", now());
    accept(&mut queue, 3..60);
    for number in 3..60 {
        queue.end(id(number), End::Dropped, "", now());
        queue.commit().unwrap();
    }
    accept(&mut queue, 60..90);
    let (queue, _) = recover();
    assert_eq!((unknown(&queue, 1), unknown(&queue, 2)), (1, 0));
}

#[test]
fn a_message_ends_with_its_last_target_and_its_trace_tells_the_story() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = recover(&disk);
    let central = Target::Peer(site("central"));
    queue
        .accept(id(1), Some(&site("a")), None, b"{}", now())
        .unwrap();
    assert!(queue.assign(id(1), &[central.clone(), lane()], now()));
    assert!(!queue.assign(id(2), &[lane()], now()));
    assert!(queue.attempt(id(1), &lane(), 1, now()));
    assert!(queue.result(id(1), &lane(), 1, Verdict::Success, b"ok \xff", now()));
    let settle =
        |queue: &mut Queue<_>, target: &Target, end| queue.settle(id(1), target, end, "", now());
    assert_eq!(settle(&mut queue, &lane(), End::Delivered), Settled::Open);
    assert_eq!(
        settle(&mut queue, &lane(), End::Delivered),
        Settled::Unknown
    );
    let message = queue.message(id(1)).unwrap();
    assert_eq!(message.from, Some(site("a")));
    let states: Vec<_> = message
        .targets
        .iter()
        .map(|t| (t.attempts, t.end))
        .collect();
    assert_eq!(states, [(0, None), (1, Some(End::Delivered))]);
    assert_eq!(settle(&mut queue, &central, End::Expired), Settled::Ended);
    assert!(!queue.attempt(id(1), &lane(), 2, now()));
    queue.commit().unwrap();
    let (queue, _) = recover(&disk);
    assert_eq!(queue.knows(id(1)), Some(Known::Ended));
    assert_eq!(queue.body(id(1)).unwrap(), None);
    let events = queue.history(id(1)).unwrap();
    let kinds: Vec<_> = events
        .iter()
        .map(|(_, event)| match event {
            Event::Accepted { .. } => "accepted",
            Event::Assigned { .. } => "assigned",
            Event::Attempt { .. } => "attempt",
            Event::Result { .. } => "result",
            Event::Settled { .. } => "settled",
            Event::Ended { end, .. } => end.words(),
            _ => "?",
        })
        .collect();
    let story = [
        "accepted", "assigned", "attempt", "result", "settled", "settled", "expired",
    ];
    assert_eq!(kinds, story);
}

#[test]
fn as_many_ids_are_remembered_as_promised_over_removed_segments_and_restarts() {
    let disk = SimulatedDisk::new();
    let options = || Options {
        segment_size: 16 << 10,
        keep_segments: 1,
        peer_ids: 50,
        all_ids: 80,
        ..self::options()
    };
    let id = |number: u16| {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        NotificationId::from_bytes(bytes)
    };
    let mut number = 0;
    for _ in 0..5 {
        let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
        for _ in 0..100 {
            number += 1;
            let from = [site("a"), site("b")];
            let from = &from[usize::from(number % 2)];
            queue
                .accept(id(number), Some(from), None, &[0; 200], now())
                .unwrap();
            queue.end(id(number), End::Dropped, "", now());
            queue.commit().unwrap();
        }
        let last = |peer: u16| {
            let mut ids: Vec<_> = (1..=number)
                .rev()
                .filter(|n| n % 2 == peer)
                .take(50)
                .map(id)
                .collect();
            ids.reverse();
            ids
        };
        for queue in [queue, Queue::recover(disk.clone(), options()).unwrap().0] {
            assert_eq!(queue.accepted_from(&site("a")), last(0));
            assert_eq!(queue.accepted_from(&site("b")), last(1));
            assert_eq!(queue.knows(id(number - 79)), Some(Known::Ended));
            assert_eq!(queue.knows(id(number.saturating_sub(100))), None);
        }
    }
    assert!(segments(&disk).len() <= 4, "{:?}", disk.list());
}

#[test]
fn a_real_directory_is_read_without_its_lock() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("spool");
    let directory = SpoolDirectory::open(&path).unwrap();
    let (mut queue, _) =
        Queue::<DirectoryStorage>::recover(directory.journal().unwrap(), Options::default())
            .unwrap();
    queue.accept(id(1), None, None, &body(1), now()).unwrap();
    queue.accept(id(2), None, None, &body(2), now()).unwrap();
    queue.assign(id(1), &[lane()], now());
    queue.end(id(2), End::NobodyToNotify, "", now());
    queue.commit().unwrap();
    let look = || {
        let open = history::snapshot(&path).unwrap().open;
        let open: Vec<_> = open.into_iter().map(|message| message.id).collect();
        (open, history::of(&path, id(2)).unwrap().len())
    };
    assert_eq!(look(), (vec![id(1)], 2));
    // What a crash may have left is no obstacle, and stays.
    let journal = path.join("journal");
    let segment = std::fs::read_dir(&journal)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes.extend_from_slice(&[0xee; 77]);
    std::fs::write(&segment, &bytes).unwrap();
    assert_eq!(look(), (vec![id(1)], 2));
    drop((queue, directory));
    assert_eq!(look(), (vec![id(1)], 2));
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn the_second_owner_is_told_who_the_first_is() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("spool");
    let first = SpoolDirectory::open(&path).unwrap();
    let error = SpoolDirectory::open(&path).unwrap_err();
    let said = error.to_string();
    assert!(
        said.ends_with(&format!("is in use by process {}", std::process::id())),
        "{said}"
    );
    assert!(error.is_temporary());
    drop(first);
    SpoolDirectory::open(&path).unwrap();
}

#[test]
fn damage_is_copied_to_corrupt_with_its_reason() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("spool");
    let directory = SpoolDirectory::open(&path).unwrap();
    std::fs::write(path.join("journal/seg.00000000000000000001"), b"0123456789").unwrap();
    let damage = spool::Damage {
        segment: "seg.00000000000000000001".into(),
        offset: 3,
        len: 4,
        why: "no valid record".into(),
    };
    for _ in 0..2 {
        directory.set_aside(&damage).unwrap();
        let copy = path.join("corrupt/seg.00000000000000000001.3");
        assert_eq!(std::fs::read(&copy).unwrap(), b"3456");
        let why = std::fs::read_to_string(copy.with_extension("3.why")).unwrap();
        assert!(why.contains("offset 3, 4 bytes: no valid record"), "{why}");
        assert_eq!(std::fs::read_dir(path.join("corrupt")).unwrap().count(), 2);
    }
}

/// A journal of format 1 as the first release wrote it: without zeros ahead,
/// without totals, with copies.
#[test]
fn a_journal_of_an_earlier_release_is_read() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-1");
    let disk = SimulatedDisk::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        disk.put(&name, &std::fs::read(entry.path()).unwrap());
    }
    for _ in 0..2 {
        let (queue, recovery) = recover(&disk);
        assert_eq!(recovery.damages, []);
        assert_eq!(open(&queue), [5, 10, 15, 20, 25, 30, 35, 40]);
        for message in queue.open() {
            let number = message.id.as_bytes()[0];
            let remote = number.is_multiple_of(2).then(|| site("remote1"));
            assert_eq!(message.from, remote);
            let targets: Vec<_> = message
                .targets
                .iter()
                .map(|t| (t.target.name(), t.attempts, t.end))
                .collect();
            let want = [("central", 0, Some(End::StoredByPeer)), ("ops", 1, None)];
            assert_eq!(targets, want);
            let body = queue.body(message.id).unwrap().unwrap();
            let begin = format!("{{\"v\":1,\"number\":{number},");
            assert!(body.starts_with(begin.as_bytes()));
        }
        assert_eq!(queue.knows(id(39)), Some(Known::Ended));
    }
}
