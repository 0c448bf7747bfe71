//! The room of a journal: what it does not need any more does not keep it from
//! taking in.

use objects::{NotificationId, SiteId, UnixTime};
use spool::sim::{SimulatedDisk, Wrong};
use spool::{Accepted, End, Options, Queue, Space, Target};

fn id(number: u64) -> NotificationId {
    let mut bytes = [0x70; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn options(limit: u64) -> Options {
    Options {
        segment_size: 64 << 10,
        limit: Some(limit),
        reserve: 3000,
        ahead: 40_000,
        ..Options::default()
    }
}

const COUNT: u64 = 60;

fn now() -> UnixTime {
    UnixTime::from_secs(1_795_217_983)
}

fn lane() -> Target {
    Target::Lane("mail".to_owned())
}

/// Makes segments with one message of this length in each, by syncs that fail.
fn litter(queue: &mut Queue<SimulatedDisk>, disk: &SimulatedDisk, len: usize) {
    let peer = SiteId::new("remote").unwrap();
    for number in 0..COUNT {
        let accepted = queue
            .accept(id(number), Some(&peer), None, &vec![7; len], now())
            .unwrap();
        assert!(matches!(accepted, Accepted::New));
        queue.assign(id(number), &[lane()], now());
        // The write comes before it.
        if number > 0 {
            disk.fail(disk.operations() + 1, 1, Wrong::Error);
        }
        while queue.commit().is_err() {}
    }
}

/// All but those that `stay` wants are delivered.
fn deliver(queue: &mut Queue<SimulatedDisk>, stay: impl Fn(u64) -> bool) {
    for number in (0..COUNT).filter(|number| !stay(*number)) {
        queue.settle(id(number), &lane(), End::Delivered, "", now());
    }
    queue.end_settled(now());
    queue.commit().unwrap();
}

#[test]
fn segments_that_syncs_have_failed_for_do_not_close_the_door_for_ever() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options(1 << 20)).unwrap();
    litter(&mut queue, &disk, 20_000);
    assert_eq!(queue.look_at_space().unwrap(), Space::Low);
    deliver(&mut queue, |_| false);
    assert_eq!(queue.figures().open, 0);
    // Nobody sends anything from now on, because the room was low.
    for _ in 0..3 {
        queue.look_at_space().unwrap();
    }
    assert_eq!(queue.space(), Space::Ok, "{:?}", queue.figures());
    drop(queue);
    let (mut queue, recovery) = Queue::recover(disk.clone(), options(1 << 20)).unwrap();
    assert!(recovery.damages.is_empty(), "{recovery:?}");
    assert_eq!(queue.look_at_space().unwrap(), Space::Ok);
    assert_eq!(queue.totals().received, COUNT);
}

#[test]
fn a_few_that_are_open_do_not_hold_all_the_room() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options(1 << 20)).unwrap();
    litter(&mut queue, &disk, 20_000);
    assert_eq!(queue.look_at_space().unwrap(), Space::Low);
    deliver(&mut queue, |number| number % 6 == 0);
    for _ in 0..60 {
        queue.look_at_space().unwrap();
    }
    assert_eq!(queue.space(), Space::Ok, "{:?}", queue.figures());
    drop(queue);
    let (queue, _) = Queue::recover(disk, options(1 << 20)).unwrap();
    let open: Vec<NotificationId> = queue.open().map(|message| message.id).collect();
    assert_eq!(open, (0..COUNT).step_by(6).map(id).collect::<Vec<_>>());
    for id in open {
        assert_eq!(queue.body(id).unwrap().unwrap(), [7; 20_000]);
    }
}
