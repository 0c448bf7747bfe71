//! What must hold after a crash, row by row. The sender's steps: A1 write a file
//! in `tmp/`, A2 sync it, A3 rename it to `new/`, A4 sync `new/`, A5 exit 0, A6 the
//! daemon reads and assigns, A7 send, A8 receive the acknowledgement, A9 record
//! "stored by peer", A10 remove. The receiver's: B1 read the frame, B2 check and
//! de-duplicate, B3 write to the journal, B4 sync, B5 acknowledge, B6 decide who
//! gets it, B7 record that, B8 record the start of an attempt, B9 the plugin runs,
//! B10 record the result.
//!
//! Here are the rows about storage. What happens on the link is in the tests of
//! the daemon; A3 and A4 with a real file system are in `tests/replay`.

use std::time::{Duration, SystemTime};

use objects::{Envelope, NotificationId, SiteId, UnixTime};
use spool::drop_box::{self, Found, Submitted};
use spool::record::Event;
use spool::sim::{SimulatedDisk, Wrong};
use spool::{
    Accepted, DirectoryStorage, End, Known, Options, Queue, Settled, Space, SpoolDirectory, Target,
    Verdict,
};

fn options() -> Options {
    Options {
        segment_size: 16 << 10,
        reserve: 40_000,
        ahead: 8 << 10,
        ..Options::default()
    }
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_795_217_983)
}

fn id(number: u8) -> NotificationId {
    NotificationId::from_bytes([number; 16])
}

fn remote() -> SiteId {
    SiteId::new("remote").unwrap()
}

fn central() -> Target {
    Target::Peer(SiteId::new("central").unwrap())
}

fn lane() -> Target {
    Target::Lane("ops".into())
}

fn recover(disk: &SimulatedDisk) -> Queue<SimulatedDisk> {
    let (queue, recovery) = Queue::recover(disk.clone(), options()).unwrap();
    assert_eq!(queue.failing(), None);
    let told = |damage: &spool::Damage| damage.why.contains("interrupted");
    assert!(recovery.damages.iter().all(told), "{recovery:?}");
    queue
}

fn accept(queue: &mut Queue<SimulatedDisk>, number: u8, from: Option<&SiteId>) -> Accepted {
    let body = vec![number; 700];
    queue.accept(id(number), from, None, &body, now()).unwrap()
}

fn is_open(queue: &Queue<SimulatedDisk>, number: u8) -> bool {
    match queue.knows(id(number)) {
        Some(Known::Open) => {
            assert_eq!(queue.body(id(number)).unwrap(), Some(vec![number; 700]));
            true
        }
        _ => false,
    }
}

/// What may remain of a disk: the process was killed, or the power was lost.
fn afterwards(disk: &SimulatedDisk) -> impl Iterator<Item = (String, SimulatedDisk)> + '_ {
    let killed = disk.fork();
    killed.restart();
    let crashed = (0..100).map(|seed| {
        let crashed = disk.fork();
        crashed.crash(seed);
        (format!("power lost, seed {seed}"), crashed)
    });
    std::iter::once(("killed".to_owned(), killed)).chain(crashed)
}

/// A spool in a real directory.
struct Real {
    _temporary: tempfile::TempDir,
    directory: SpoolDirectory,
}

impl Real {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let directory = SpoolDirectory::open(&temporary.path().join("spool")).unwrap();
        Self {
            _temporary: temporary,
            directory,
        }
    }

    fn body(number: u8) -> String {
        let id = id(number);
        format!(
            "{{\"v\":1,\"id\":\"{id}\",\"kind\":\"raw\",\"created_us\":1795217983000000,\
             \"site\":\"remote\",\"path\":[],\"context\":{{\"HOSTNAME\":\"h\"}}}}"
        )
    }

    fn submit(&self, number: u8) -> Submitted {
        let body = Self::body(number);
        drop_box::submit(self.directory.path(), id(number), body.as_bytes()).unwrap()
    }

    fn queue(&self) -> Queue<DirectoryStorage> {
        let journal = self.directory.journal().unwrap();
        Queue::recover(journal, options()).unwrap().0
    }

    /// Takes in what is dropped; removes the files if `remove`.
    fn absorb(&self, queue: &mut Queue<DirectoryStorage>, remove: bool) -> Vec<Accepted> {
        let drop_box = self.directory.drop_box().unwrap();
        let mut accepted = Vec::new();
        for name in drop_box.names(100).unwrap() {
            let Found::File(file) = drop_box.look(&name).unwrap() else {
                panic!("{name:?}");
            };
            let text = String::from_utf8(file.body.clone()).unwrap();
            let id = Envelope::parse(&text).unwrap().id;
            accepted.push(queue.accept(id, None, None, &file.body, now()).unwrap());
            queue.commit().unwrap();
            if remove {
                drop_box.remove(&file).unwrap();
            }
        }
        accepted
    }
}

#[test]
fn a1_a2_nothing_is_accepted_and_old_leftovers_go() {
    let real = Real::new();
    let tmp = real.directory.path().join("tmp");
    std::fs::write(tmp.join("half"), &Real::body(1)[..50]).unwrap();
    let drop_box = real.directory.drop_box().unwrap();
    assert!(drop_box.names(100).unwrap().is_empty());
    let hour = Duration::from_secs(3600);
    let now = SystemTime::now();
    assert_eq!(drop_box.remove_leftovers(now, hour).unwrap(), 0);
    let later = now + 2 * hour;
    assert_eq!(drop_box.remove_leftovers(later, hour).unwrap(), 1);
}

#[test]
fn a3_a_renamed_file_is_whole_or_not_there() {
    let real = Real::new();
    real.submit(1);
    let file = real.directory.path().join("new").join(id(1).to_string());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), Real::body(1));
    // Not there: nobody was told that it is.
    std::fs::remove_file(&file).unwrap();
    assert!(real.absorb(&mut real.queue(), true).is_empty());
}

#[test]
fn a4_done_and_a5_not_the_same_id_again_is_a_success() {
    let real = Real::new();
    assert_eq!(real.submit(1), Submitted::New);
    assert_eq!(real.submit(1), Submitted::AlreadyThere);
    let mut queue = real.queue();
    assert_eq!(real.absorb(&mut queue, true), [Accepted::New]);
    // The daemon has it already.
    real.submit(1);
    let again = real.absorb(&mut queue, true);
    assert_eq!(again, [Accepted::Duplicate(Known::Open)]);
    assert_eq!(queue.open().count(), 1);
}

#[test]
fn a6_what_was_read_and_not_removed_is_read_again_with_the_same_id() {
    let real = Real::new();
    real.submit(1);
    let mut queue = real.queue();
    assert_eq!(real.absorb(&mut queue, false), [Accepted::New]);
    drop(queue);
    let mut queue = real.queue();
    let again = real.absorb(&mut queue, true);
    assert_eq!(again, [Accepted::Duplicate(Known::Open)]);
    let open: Vec<_> = queue.open().map(|message| message.id).collect();
    assert_eq!(open, [id(1)]);
    assert!(
        real.directory
            .drop_box()
            .unwrap()
            .names(9)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a8_received_and_a9_not_recorded_it_is_sent_again_and_the_ring_swallows_it() {
    let (sender, receiver) = (SimulatedDisk::new(), SimulatedDisk::new());
    let mut queue = recover(&sender);
    accept(&mut queue, 1, None);
    queue.assign(id(1), &[central()], now());
    queue.commit().unwrap();
    let mut other = recover(&receiver);
    accept(&mut other, 1, Some(&remote()));
    other.commit().unwrap();
    other.end(id(1), End::Delivered, "", now());
    other.commit().unwrap();
    // The acknowledgement came; the process ends within the commit.
    queue.settle(id(1), &central(), End::StoredByPeer, "", now());
    sender.kill_at(sender.operations() + 1);
    assert!(queue.commit().is_err());
    for (what, disk) in afterwards(&sender) {
        let queue = recover(&disk);
        let again = is_open(&queue, 1);
        assert!(again || queue.knows(id(1)) == Some(Known::Ended), "{what}");
    }
    let known = accept(&mut other, 1, Some(&remote()));
    assert_eq!(known, Accepted::Duplicate(Known::Ended));
}

#[test]
fn a9_recorded_and_a10_not_done_it_is_not_sent() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    for number in [1, 2] {
        accept(&mut queue, number, None);
        queue.assign(id(number), &[central()], now());
    }
    queue.commit().unwrap();
    let settled = queue.settle(id(1), &central(), End::StoredByPeer, "", now());
    assert_eq!(settled, Settled::Ended);
    queue.commit().unwrap();
    for (what, disk) in afterwards(&disk) {
        let queue = recover(&disk);
        assert_eq!(queue.knows(id(1)), Some(Known::Ended), "{what}");
        assert!(is_open(&queue, 2), "{what}");
        assert_eq!(queue.waiting_for(&central()), 1, "{what}");
    }
}

#[test]
fn a_restored_sender_sends_again_and_the_window_swallows_it() {
    let sender = SimulatedDisk::new();
    let mut queue = recover(&sender);
    accept(&mut queue, 1, None);
    queue.commit().unwrap();
    let backup = sender.fork();
    queue.end(id(1), End::StoredByPeer, "", now());
    queue.commit().unwrap();
    let mut receiver = recover(&SimulatedDisk::new());
    accept(&mut receiver, 1, Some(&remote()));
    receiver.commit().unwrap();
    assert!(is_open(&recover(&backup), 1));
    let again = accept(&mut receiver, 1, Some(&remote()));
    assert_eq!(again, Accepted::Duplicate(Known::Open));
}

#[test]
fn b1_b2_nothing_is_stored() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 1, Some(&remote()));
    for (what, disk) in afterwards(&disk) {
        let mut queue = recover(&disk);
        assert_eq!(queue.knows(id(1)), None, "{what}");
        assert_eq!(accept(&mut queue, 1, Some(&remote())), Accepted::New);
    }
}

#[test]
fn b3_a_torn_write_is_cut_and_what_is_sent_again_is_stored_once() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 9, Some(&remote()));
    queue.commit().unwrap();
    for number in 1..=5 {
        accept(&mut queue, number, Some(&remote()));
    }
    // Written, and killed before the sync.
    disk.kill_at(disk.operations() + 1);
    assert!(queue.commit().is_err());
    let (mut all, mut none, mut some) = (0, 0, 0);
    for (what, disk) in afterwards(&disk) {
        let mut queue = recover(&disk);
        assert!(is_open(&queue, 9), "{what}");
        let there = (1..=5).filter(|number| is_open(&queue, *number)).count();
        *match there {
            0 => &mut none,
            5 => &mut all,
            _ => &mut some,
        } += 1;
        for number in 1..=5 {
            accept(&mut queue, number, Some(&remote()));
        }
        queue.commit().unwrap();
        let mut open: Vec<_> = recover(&disk).open().map(|message| message.id).collect();
        open.sort_unstable();
        assert_eq!(open, [1, 2, 3, 4, 5, 9].map(id), "{what}");
    }
    assert!(all > 0 && none > 0 && some > 0, "{all} {none} {some}");
}

/// What a torn group leaves looks like damage in one that was acknowledged, so it is
/// kept. Nobody was told that it is stored: who sends the group again has those that
/// are lost behind those that were kept, and each once.
#[test]
fn b3_what_is_lost_of_a_torn_group_comes_behind_what_was_kept() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 9, Some(&remote()));
    queue.commit().unwrap();
    for number in 1..=5 {
        accept(&mut queue, number, Some(&remote()));
    }
    disk.kill_at(disk.operations() + 1);
    assert!(queue.commit().is_err());
    let mut overtaken = 0;
    for (what, disk) in afterwards(&disk) {
        let mut queue = recover(&disk);
        let known: Vec<NotificationId> = queue.accepted_from(&remote());
        let kept: Vec<u8> = (1..=5).filter(|n| is_open(&queue, *n)).collect();
        let lost: Vec<u8> = (1..=5).filter(|n| !kept.contains(n)).collect();
        for number in 1..=5 {
            // The peer learns of what was kept when it connects again.
            assert_eq!(
                known.contains(&id(number)),
                kept.contains(&number),
                "{what}"
            );
            let again = accept(&mut queue, number, Some(&remote()));
            let is_new = again == Accepted::New;
            assert_eq!(is_new, lost.contains(&number), "{what}: {number}");
        }
        queue.commit().unwrap();
        overtaken += usize::from(lost.first() < kept.last() && !lost.is_empty());
        let want: Vec<_> = [&[9], &kept[..], &lost[..]].concat();
        let want: Vec<_> = want.into_iter().map(id).collect();
        for queue in [queue, recover(&disk)] {
            let open: Vec<_> = queue.open().map(|message| message.id).collect();
            assert_eq!(open, want, "{what}");
            assert_eq!(queue.totals().received, 6, "{what}");
        }
    }
    assert!(overtaken > 0, "no group lost its beginning only");
}

#[test]
fn b4_done_and_b5_not_it_is_recognised_and_acknowledged() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 1, Some(&remote()));
    queue.commit().unwrap();
    for (what, disk) in afterwards(&disk) {
        let mut queue = recover(&disk);
        assert_eq!(queue.accepted_from(&remote()), [id(1)], "{what}");
        let again = accept(&mut queue, 1, Some(&remote()));
        assert_eq!(again, Accepted::Duplicate(Known::Open), "{what}");
    }
}

#[test]
fn b4_fails_nothing_is_acknowledged_and_the_file_is_not_trusted() {
    // Once: the group goes to a new segment, and that is a success. For a while, or
    // at some operations only: it is no success until all of it is durable.
    for wrong in [Wrong::Error, Wrong::NoSpace, Wrong::Short] {
        for (at, count) in [(1, 1), (0, 1), (0, 2), (1, 3), (2, 1), (0, 30), (1, 60)] {
            let disk = SimulatedDisk::new();
            let mut queue = recover(&disk);
            accept(&mut queue, 9, Some(&remote()));
            queue.commit().unwrap();
            disk.fail(disk.operations() + at, count, wrong);
            accept(&mut queue, 1, Some(&remote()));
            let mut failures = 0;
            while queue.commit().is_err() {
                failures += 1;
                assert!(queue.failing().is_some());
                assert!(queue.accepted_from(&remote()) == [id(9)]);
                for (what, disk) in afterwards(&disk).take(20) {
                    assert!(is_open(&recover(&disk), 9), "{wrong:?} {what}");
                }
                assert!(failures < 100);
            }
            for (what, disk) in afterwards(&disk) {
                let queue = recover(&disk);
                let what = format!("{wrong:?} at {at}, {count} times, {what}");
                assert!(is_open(&queue, 1) && is_open(&queue, 9), "{what}");
            }
        }
    }
}

#[test]
fn b4_fails_for_want_of_space_and_ends_are_recorded_all_the_same() {
    let disk = SimulatedDisk::new();
    disk.set_capacity(Some(200_000));
    let mut queue = recover(&disk);
    let mut number = 0;
    while queue.look_at_space().unwrap() == Space::Ok {
        number += 1;
        accept(&mut queue, number, Some(&remote()));
        queue.commit().unwrap();
    }
    assert_eq!(queue.space(), Space::Low);
    while queue.look_at_space().unwrap() < Space::Full {
        number += 1;
        accept(&mut queue, number, None);
        queue.commit().unwrap();
    }
    // Somebody else takes all the rest.
    disk.put("ballast", &[]);
    disk.set_capacity(Some(disk.used()));
    for number in 1..=number {
        assert!(queue.end(id(number), End::Delivered, "", now()));
        queue.commit().unwrap();
    }
    assert_eq!(queue.space(), Space::Full);
    for (what, disk) in afterwards(&disk).take(20) {
        disk.set_capacity(None);
        assert_eq!(recover(&disk).open().count(), 0, "{what}");
    }
    // There is room again: it is ready for the next time.
    disk.set_capacity(Some(400_000));
    assert!(queue.look_at_space().unwrap() < Space::Full);
    assert!(
        disk.content("reserve.2")
            .is_some_and(|bytes| bytes.len() == 20_000)
    );
}

#[test]
fn b4_goes_on_without_inodes() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 1, None);
    queue.commit().unwrap();
    let files = spool::Storage::list(&disk).unwrap().len();
    disk.set_most_files(Some(files));
    assert_eq!(queue.look_at_space().unwrap(), Space::Full);
    // Many times what all the segments hold.
    for number in 2..=200 {
        accept(&mut queue, number, None);
        queue.commit().unwrap();
        queue.end(id(number), End::Delivered, "", now());
        queue.commit().unwrap();
    }
    assert!(is_open(&recover(&disk), 1));
}

#[test]
fn b7_not_recorded_it_is_decided_again() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 1, Some(&remote()));
    queue.commit().unwrap();
    queue.assign(id(1), &[lane()], now());
    for (what, disk) in afterwards(&disk) {
        let queue = recover(&disk);
        let message = queue.message(id(1)).unwrap();
        assert!(message.targets.is_empty(), "{what}");
    }
}

#[test]
fn b8_recorded_and_b9_not_started_the_next_attempt_is_the_second() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 1, Some(&remote()));
    queue.assign(id(1), &[lane()], now());
    queue.attempt(id(1), &lane(), 1, now());
    queue.commit().unwrap();
    for (what, disk) in afterwards(&disk) {
        let queue = recover(&disk);
        let target = &queue.message(id(1)).unwrap().targets[0];
        assert_eq!((target.attempts, target.end), (1, None), "{what}");
    }
}

#[test]
fn b9_succeeded_and_b10_not_recorded_it_may_be_delivered_twice_and_says_so() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 1, None);
    queue.assign(id(1), &[lane()], now());
    queue.attempt(id(1), &lane(), 1, now());
    queue.commit().unwrap();
    queue.result(id(1), &lane(), 1, Verdict::Success, b"sent", now());
    queue.settle(id(1), &lane(), End::Delivered, "", now());
    disk.kill_at(disk.operations() + 1);
    assert!(queue.commit().is_err());
    for (what, disk) in afterwards(&disk) {
        let queue = recover(&disk);
        let Some(message) = queue.message(id(1)) else {
            assert_eq!(queue.knows(id(1)), Some(Known::Ended), "{what}");
            continue;
        };
        // The result may be there without the end; the attempt always is.
        assert_eq!(message.targets[0].attempts, 1, "{what}");
    }
}

#[test]
fn a_restored_receiver_takes_what_is_sent_again() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    accept(&mut queue, 1, Some(&remote()));
    queue.commit().unwrap();
    let backup = disk.fork();
    accept(&mut queue, 2, Some(&remote()));
    queue.commit().unwrap();
    let mut restored = recover(&backup);
    assert_eq!(accept(&mut restored, 2, Some(&remote())), Accepted::New);
    let known = accept(&mut restored, 1, Some(&remote()));
    assert_eq!(known, Accepted::Duplicate(Known::Open));
}

#[test]
fn both_sites_lose_power_at_once_and_each_recovers_alone() {
    let (sender, receiver) = (SimulatedDisk::new(), SimulatedDisk::new());
    let (mut from, mut to) = (recover(&sender), recover(&receiver));
    for number in 1..=9 {
        accept(&mut from, number, None);
        from.assign(id(number), &[central()], now());
        from.commit().unwrap();
        accept(&mut to, number, Some(&remote()));
        to.commit().unwrap();
        from.settle(id(number), &central(), End::StoredByPeer, "", now());
    }
    from.commit().unwrap();
    accept(&mut from, 10, None);
    sender.kill_at(sender.operations() + 1);
    let _ = from.commit();
    for seed in 0..100 {
        let (sender, receiver) = (sender.fork(), receiver.fork());
        sender.crash(seed);
        receiver.crash(seed + 1000);
        let (from, to) = (recover(&sender), recover(&receiver));
        for number in 1..=9 {
            assert_eq!(from.knows(id(number)), Some(Known::Ended), "seed {seed}");
            assert!(is_open(&to, number), "seed {seed}");
        }
    }
}

#[test]
fn a_clock_that_jumps_changes_neither_order_nor_content() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    let year = 365 * 86_400;
    for (number, at) in [(1, 0), (2, year), (3, -year)] {
        let time = UnixTime::from_secs(1_795_217_983 + at);
        queue
            .accept(id(number), None, None, &[number; 700], time)
            .unwrap();
        queue.commit().unwrap();
    }
    for (what, disk) in afterwards(&disk) {
        let queue = recover(&disk);
        let open: Vec<_> = queue.open().map(|message| message.id).collect();
        assert_eq!(open, [1, 2, 3].map(id), "{what}");
        let history = queue.history(id(2)).unwrap();
        assert!(matches!(history[0].1, Event::Accepted { .. }), "{what}");
    }
}
