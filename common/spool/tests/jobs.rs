//! Several jobs of one message in one lane, through restarts and copies.

use std::collections::HashSet;

use objects::{NotificationId, UnixTime};
use spool::record::{Event, MAX_DETAILS};
use spool::sim::SimulatedDisk;
use spool::{End, Job, Options, Queue, Settled, Target, Verdict};

fn id(number: u16) -> NotificationId {
    let mut bytes = [7; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_795_217_983)
}

fn job(lane: &str, detail: &str) -> Target {
    Target::Job(Job::new(lane, detail))
}

fn recover(disk: &SimulatedDisk) -> Queue<SimulatedDisk> {
    let options = Options {
        segment_size: 8 << 10,
        keep_segments: 2,
        compact_above: 1,
        reserve: 4096,
        ahead: 1024,
        ..Options::default()
    };
    Queue::recover(disk.clone(), options).unwrap().0
}

/// So much that what is open is copied, and its first records are gone.
fn push_out(queue: &mut Queue<SimulatedDisk>) {
    for number in 1000..2000 {
        queue
            .accept(id(number), None, None, &[b'x'; 100], now())
            .unwrap();
        queue.end(id(number), End::Dropped, "", now());
        queue.commit().unwrap();
    }
}

/// Lane, detail, attempts and end at each target.
fn stands(queue: &Queue<SimulatedDisk>, number: u16) -> Vec<(String, String, u32, Option<End>)> {
    let message = queue.message(id(number)).unwrap();
    let targets = message.targets.into_iter().map(|state| {
        let detail = match &state.target {
            Target::Job(job) => job.detail().unwrap_or("gone").to_owned(),
            _ => String::new(),
        };
        (
            state.target.name().to_owned(),
            detail,
            state.attempts,
            state.end,
        )
    });
    targets.collect()
}

#[test]
fn each_job_of_a_lane_has_its_own_attempts_and_its_own_end() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    let (anna, joe) = (job("mail", "anna"), job("mail", "joe"));
    let plain = Target::Lane("mail".into());
    queue.accept(id(1), None, None, b"{}", now()).unwrap();
    assert!(queue.assign(id(1), &[anna.clone(), joe.clone(), plain.clone()], now()));
    assert!(
        queue.assign(id(1), std::slice::from_ref(&joe), now()),
        "known"
    );
    queue.commit().unwrap();
    queue.attempt(id(1), &anna, 1, now());
    queue.result(id(1), &anna, 1, Verdict::Success, b"250 ok", now());
    queue.settle(id(1), &anna, End::Delivered, "", now());
    queue.attempt(id(1), &joe, 1, now());
    queue.commit().unwrap();
    // Records that only name a job tell its detail, too.
    let history = queue.history(id(1)).unwrap();
    let named = history.iter().filter_map(|(_, event)| match event {
        Event::Attempt {
            target: Target::Job(job),
            ..
        } => job.detail(),
        _ => None,
    });
    assert_eq!(named.collect::<Vec<_>>(), ["anna", "joe"]);
    assert_eq!(queue.waiting_for(&plain), 2, "a lane means its jobs");
    assert_eq!(queue.waiting_for(&joe), 1);
    drop(queue);

    let want = [
        ("mail".into(), "anna".into(), 1, Some(End::Delivered)),
        ("mail".into(), "joe".into(), 1, None),
        ("mail".into(), String::new(), 0, None),
    ];
    let mut queue = recover(&disk);
    assert_eq!(stands(&queue, 1), want);
    // So many that its records are copied, and those before them are gone.
    push_out(&mut queue);
    assert_eq!(stands(&queue, 1), want);
    drop(queue);
    let mut queue = recover(&disk);
    assert_eq!(stands(&queue, 1), want);
    let history = queue.history(id(1)).unwrap();
    let standing = history
        .iter()
        .any(|(_, event)| matches!(event, Event::Standing(_)));
    assert!(standing, "{history:?}");

    assert_eq!(
        queue.settle(id(1), &anna, End::Delivered, "", now()),
        Settled::Unknown,
        "settled already"
    );
    assert_eq!(
        queue.settle(id(1), &joe, End::Delivered, "", now()),
        Settled::Open
    );
    assert_eq!(
        queue.settle(id(1), &plain, End::Delivered, "", now()),
        Settled::Ended
    );
    queue.commit().unwrap();
    assert_eq!(queue.figures().open, 0);
    assert_eq!(queue.waiting_for(&plain), 0);
}

#[test]
fn details_of_jobs_that_are_done_are_forgotten_and_their_numbers_used_again() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    for number in 0..500 {
        let one = job("mail", &format!("who: {number}"));
        let two = job("mail", &format!("who: {}", number / 2));
        queue.accept(id(number), None, None, b"{}", now()).unwrap();
        queue.assign(id(number), &[one.clone(), two.clone()], now());
        queue.attempt(id(number), &two, 1, now());
        queue.settle(id(number), &two, End::Delivered, "", now());
        queue.settle(id(number), &one, End::Delivered, "", now());
        queue.commit().unwrap();
        assert_eq!(queue.figures().open, 0);
        assert_eq!(queue.waiting_for(&one), 0);
    }
    // One that is not open adds nothing.
    assert!(!queue.assign(id(3), &[job("mail", "late")], now()));
}

#[test]
fn details_have_a_limit_together() {
    let mut queue = recover(&SimulatedDisk::new());
    queue.accept(id(1), None, None, b"{}", now()).unwrap();
    let half = "x".repeat(MAX_DETAILS / 2);
    assert!(queue.assign(id(1), &[job("a", &half)], now()));
    assert!(queue.assign(id(1), &[job("a", &half)], now()), "known");
    assert!(queue.assign(id(1), &[job("b", &half)], now()));
    assert!(!queue.assign(id(1), &[job("c", "x")], now()));
    queue.commit().unwrap();
    assert_eq!(queue.message(id(1)).unwrap().targets.len(), 2);
}

#[test]
fn attempts_without_an_end_are_known_after_a_restart() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    let (ops, mail) = (Target::Lane("ops".into()), job("mail", "anna"));
    let targets = [ops, mail.clone()];
    for number in 1..=5 {
        queue.accept(id(number), None, None, b"{}", now()).unwrap();
        queue.assign(id(number), &targets, now());
        queue.attempt(id(number), &mail, 1, now());
    }
    let result = |queue: &mut Queue<SimulatedDisk>, number, attempt| {
        queue.result(id(number), &mail, attempt, Verdict::Temporary, b"", now())
    };
    // 1: no end; 2: one; 3: one, and then another start; 4: released since then;
    // 5: it has ended.
    for number in [2, 3] {
        assert!(result(&mut queue, number, 1));
    }
    queue.attempt(id(3), &mail, 2, now());
    assert!(queue.hold(id(4), "", now()) && queue.release(id(4), "", now()));
    queue.end(id(5), End::Dropped, "", now());
    queue.commit().unwrap();
    for _ in 0..2 {
        let known: HashSet<_> = queue.running().map(|(id, to)| (id, to.clone())).collect();
        let expected = [1, 3].map(|number| (id(number), mail.clone()));
        assert_eq!(known, expected.into());
        queue = recover(&disk);
    }
    // Nor when their records were copied, and those before them are gone.
    push_out(&mut queue);
    for _ in 0..2 {
        let known: Vec<_> = queue.running().map(|(id, _)| id).collect();
        assert_eq!(known.len(), 2, "{known:?}");
        queue = recover(&disk);
    }
}

#[test]
fn what_is_noted_of_a_job_is_there_until_it_is_settled() {
    let disk = SimulatedDisk::new();
    let mut queue = recover(&disk);
    let (anna, joe) = (job("mail", "anna"), job("mail", "joe"));
    queue.accept(id(1), None, None, b"{}", now()).unwrap();
    queue.assign(id(1), &[anna.clone(), joe.clone()], now());
    for text in [&b"both"[..], b"joe@example.org"] {
        queue.attempt(id(1), &joe, 1, now());
        queue.result(id(1), &joe, 1, Verdict::Temporary, b"450", now());
        assert!(queue.note(id(1), &joe, text, now()));
        queue.commit().unwrap();
    }
    assert!(!queue.note(id(2), &joe, b"x", now()), "it is not there");
    push_out(&mut queue);
    for _ in 0..2 {
        assert_eq!(queue.noted(id(1), &joe), Some(&b"joe@example.org"[..]));
        assert_eq!(queue.noted(id(1), &anna), None);
        queue = recover(&disk);
    }
    queue.settle(id(1), &joe, End::Delivered, "", now());
    assert_eq!(queue.noted(id(1), &joe), None);
    queue.settle(id(1), &anna, End::Delivered, "", now());
    queue.commit().unwrap();
    queue = recover(&disk);
    assert_eq!(queue.noted(id(1), &joe), None);
    assert_eq!(queue.figures().open, 0);
}
