//! Whatever a disk does wrong and whenever the process or the machine stops:
//! what was accepted has ended in one of the known ways, or is open, and each is
//! counted once. A hold lasts until it is released.
//!
//! A failing run prints its seed. More of them:
//! `SITEWIRE_SEEDS=300..20000 cargo test -p spool --test sum_rule`.

use std::collections::BTreeMap;

use objects::{NotificationId, SiteId, UnixTime};
use spool::segment::{Frame, Header, Item, Items};
use spool::sim::{Chance, SimulatedDisk, Wrong};
use spool::{Begun, Commit, End, Known, Options, Queue, Storage, Syncing, Target, Totals};

fn options() -> Options {
    Options {
        segment_size: 10 << 10,
        keep_segments: 2,
        compact_above: 3,
        peer_ids: 10_000,
        all_ids: 10_000,
        limit: None,
        reserve: 3000,
        ahead: 20_000,
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

/// The one way in which a message ends here, so that it is known afterwards.
fn end_of(number: u64) -> End {
    End::ALL[number as usize % End::ALL.len()]
}

fn from(number: u64) -> Option<SiteId> {
    number
        .is_multiple_of(3)
        .then(|| SiteId::new("remote1").unwrap())
}

fn lane() -> Target {
    Target::Lane("ops".into())
}

/// What was said to the queues of one disk.
#[derive(Default)]
struct Said {
    accepted: u64,
    holds: BTreeMap<u64, Holds>,
    /// A recovery came upon something unreadable: ids that it did not see may be
    /// forgotten, so that they cannot be counted here.
    unread: bool,
    /// Makes the commit durable that is under way.
    syncing: Option<Syncing>,
}

/// What was said about the hold of one message.
#[derive(Default)]
struct Holds {
    certain: bool,
    /// Said since, and perhaps durable.
    maybe: Vec<bool>,
    /// So many of those had been said when the commit that is under way began.
    under_way: usize,
    /// Said, and not found by a recovery: a segment that was given up may be back
    /// after a crash, until another is there.
    ghosts: Vec<bool>,
}

impl Said {
    fn hold<S: Storage>(&mut self, queue: &mut Queue<S>, n: u64, hold: bool) {
        let done = match hold {
            true => queue.hold(id(n), "by ann: storm", now()),
            false => queue.release(id(n), "by ann", now()),
        };
        if done {
            self.holds.entry(n).or_default().maybe.push(hold);
        }
    }

    fn commit<S: Storage>(&mut self, queue: &mut Queue<S>) {
        if let Ok(commit) = queue.commit() {
            self.committed(queue, commit);
        }
    }

    /// The sync is made some time after the next words.
    fn commit_in_two_steps<S: Storage>(&mut self, queue: &mut Queue<S>) {
        if let Some(sync) = self.syncing.take() {
            if let Ok(commit) = queue.finish_commit(sync()) {
                self.committed(queue, commit);
            }
            return;
        }
        match queue.begin_commit() {
            Ok(Begun::Done(commit)) => self.committed(queue, commit),
            Ok(Begun::UnderWay(sync)) => {
                self.syncing = Some(sync);
                for holds in self.holds.values_mut() {
                    holds.under_way = holds.maybe.len();
                }
            }
            Err(_) => {}
        }
    }

    fn committed<S: Storage>(&mut self, queue: &Queue<S>, commit: Commit) {
        let all = queue.figures().pending == 0;
        for holds in self.holds.values_mut() {
            let durable = match all {
                true => holds.maybe.len(),
                false => std::mem::take(&mut holds.under_way),
            };
            holds.certain = holds
                .maybe
                .drain(..durable)
                .next_back()
                .unwrap_or(holds.certain);
            if commit.records > 0 {
                holds.ghosts.clear();
            }
        }
    }

    fn check<S: Storage>(&mut self, queue: &Queue<S>) -> Result<(), String> {
        check_sum(queue)?;
        let expected = self.count(queue);
        if !self.unread && queue.totals() != expected {
            return Err(format!("{:?}, but found {expected:?}", queue.totals()));
        }
        for n in 1..=self.accepted {
            let Some(message) = queue.message(id(n)) else {
                continue;
            };
            let holds = self.holds.entry(n).or_default();
            let mut said = holds.maybe.iter().chain(&holds.ghosts);
            if message.held != holds.certain && !said.any(|held| *held == message.held) {
                return Err(format!("message {n} is held: {}", message.held));
            }
            holds.ghosts.append(&mut holds.maybe);
            // Recovery makes what it found durable, unless the disk refuses.
            match queue.failing() {
                None => holds.certain = message.held,
                Some(_) => holds.maybe.push(message.held),
            }
        }
        Ok(())
    }

    /// Counts messages one by one.
    fn count<S: Storage>(&self, queue: &Queue<S>) -> Totals {
        let (mut counter, _) = Queue::recover(SimulatedDisk::new(), options()).unwrap();
        for n in 1..=self.accepted {
            let known = queue.knows(id(n));
            if known.is_some() {
                counter
                    .accept(id(n), from(n).as_ref(), None, b"", now())
                    .unwrap();
            }
            if known == Some(Known::Ended) {
                assert!(counter.end(id(n), end_of(n), "", now()));
            }
        }
        counter.totals()
    }
}

fn check_sum<S: Storage>(queue: &Queue<S>) -> Result<(), String> {
    let (totals, open) = (queue.totals(), queue.figures().open as u64);
    if totals.accepted() != totals.ended_in_all() + open || totals.lost(open) != 0 {
        return Err(format!("the sum is wrong: {totals:?} and {open} open"));
    }
    Ok(())
}

/// How a process commits.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Commits {
    AtOnce,
    InTwoSteps,
}

/// One process, from recovery to its end.
fn live(
    disk: &SimulatedDisk,
    said: &mut Said,
    chance: &mut Chance,
    commits: Commits,
) -> Result<(), String> {
    let (mut queue, recovery) = match Queue::recover(disk.clone(), options()) {
        Ok(recovered) => recovered,
        // It did not get as far as that.
        Err(spool::Error::Io { .. }) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    // What it could not read it cannot count, until the disk gives it out.
    if recovery.unread > 0 {
        said.unread = true;
        return Ok(());
    }
    said.check(&queue)?;
    for _ in 0..chance.below(80) {
        let oldest = said.accepted.saturating_sub(20);
        let n = oldest + chance.below(said.accepted - oldest + 1);
        match chance.below(12) {
            0..=3 => {
                said.accepted += 1;
                let n = said.accepted;
                let body = vec![b'x'; chance.below(900) as usize];
                queue
                    .accept(id(n), from(n).as_ref(), None, &body, now())
                    .unwrap();
                if !n.is_multiple_of(4) {
                    queue.assign(id(n), &[lane()], now());
                }
            }
            4 | 5 => {
                queue.end(id(n), end_of(n), "by ann: no use", now());
            }
            6 => {
                queue.settle(id(n), &lane(), end_of(n), "", now());
            }
            7 => said.hold(&mut queue, n, true),
            8 => said.hold(&mut queue, n, false),
            9 => {
                queue.ask_retry(id(n), "by ann", now());
            }
            _ => match commits {
                Commits::AtOnce => said.commit(&mut queue),
                Commits::InTwoSteps => said.commit_in_two_steps(&mut queue),
            },
        }
        check_sum(&queue)?;
    }
    // The sync may have been made when nobody is there any more to hear of it.
    if let Some(sync) = said.syncing.take()
        && chance.below(2) == 0
    {
        let _ = sync();
    }
    Ok(())
}

/// The life of a disk: processes come and go, the machine crashes, writes fail.
fn lives(seed: u64, commits: Commits) -> Result<Totals, String> {
    let mut chance = Chance::new(seed);
    let disk = SimulatedDisk::new();
    let mut said = Said::default();
    for _ in 0..8 {
        for _ in 0..chance.below(3) {
            let wrong = [Wrong::Error, Wrong::NoSpace, Wrong::Short][chance.below(3) as usize];
            disk.fail(chance.below(120), 1 + chance.below(9), wrong);
        }
        match chance.below(4) {
            0 => disk.kill_at(chance.below(120)),
            1 => disk.set_capacity(Some(20_000 + chance.below(60_000))),
            _ => disk.set_capacity(None),
        }
        live(&disk, &mut said, &mut chance, commits)?;
        match chance.below(3) {
            0 => disk.restart(),
            _ => disk.crash(chance.below(u64::MAX)),
        }
    }
    disk.set_capacity(None);
    live(&disk, &mut said, &mut chance, commits)?;
    let (queue, _) = Queue::recover(disk, options()).map_err(|error| error.to_string())?;
    Ok(queue.totals())
}

#[test]
fn accepted_is_ended_plus_open_after_any_crash() {
    let text = std::env::var("SITEWIRE_SEEDS").unwrap_or("0..300".to_owned());
    let (from, to) = text.split_once("..").expect("SITEWIRE_SEEDS is FROM..TO");
    let mut ended = BTreeMap::new();
    for seed in from.parse::<u64>().unwrap()..to.parse().unwrap() {
        for commits in [Commits::AtOnce, Commits::InTwoSteps] {
            match lives(seed, commits) {
                Ok(totals) => End::ALL
                    .iter()
                    .for_each(|end| *ended.entry(*end).or_insert(0) += totals.ended(*end)),
                Err(what) => panic!("seed {seed}, commits {commits:?}: {what}"),
            }
        }
    }
    // The lives were long enough to say something.
    assert!(
        ended.values().all(|count| *count > 0) && ended.len() == End::ALL.len(),
        "{ended:?}"
    );
}

#[test]
fn lives_that_once_went_wrong_go_well() {
    for (seed, what) in [
        (3324, "a spare file had the name of a segment, too"),
        (384, "all of the last group was written again"),
        (727, "the same, after a full disk"),
        (2268, "the hold came before what was written again twice"),
        (
            3038,
            "what repeated the last group was void, and that group lost",
        ),
        (3556, "a copy that was written again forgot a hold"),
        (6204, "a release that was written again undid a hold"),
        (
            21075,
            "an attempt of another process was back, with a higher number",
        ),
    ] {
        lives(seed, Commits::AtOnce).unwrap_or_else(|error| panic!("seed {seed}, {what}: {error}"));
    }
}

/// The end of a message and what lets its segment go may come into two groups.
#[test]
fn a_segment_is_needed_until_the_ends_of_its_messages_are_durable() {
    let fill = |queue: &mut Queue<SimulatedDisk>| {
        for n in 1..=40 {
            queue
                .accept(id(n), None, None, &[b'x'; 700], now())
                .unwrap();
            queue.commit().unwrap();
        }
    };
    // More than a segment, at once: new ones first, then all that was there ends.
    let end = |queue: &mut Queue<SimulatedDisk>| {
        for n in 41..=60 {
            queue
                .accept(id(n), None, None, &[b'x'; 700], now())
                .unwrap();
        }
        for n in 1..=40 {
            assert!(queue.end(id(n), end_of(n), "", now()));
        }
    };
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
    fill(&mut queue);
    let before = disk.operations();
    end(&mut queue);
    queue.commit().unwrap();
    let operations = disk.operations() - before;
    assert!(operations > 6, "{operations}");
    for at in 0..operations {
        let disk = SimulatedDisk::new();
        let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
        fill(&mut queue);
        disk.kill_at(disk.operations() + at);
        end(&mut queue);
        let _ = queue.commit();
        drop(queue);
        disk.restart();
        let (queue, _) = Queue::recover(disk, options()).unwrap();
        check_sum(&queue).unwrap_or_else(|what| panic!("killed at {at}: {what}"));
        for n in 1..=40 {
            assert!(queue.knows(id(n)).is_some(), "killed at {at}: {n}");
        }
    }
}

/// Accepts, ends all but the first, and so makes segments come and go.
fn work(queue: &mut Queue<SimulatedDisk>, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        queue
            .accept(id(n), from(n).as_ref(), None, &[b'x'; 700], now())
            .unwrap();
        if n == 1 {
            queue.assign(id(n), &[lane()], now());
            assert!(queue.hold(id(n), "by ann", now()));
        } else {
            assert!(queue.end(id(n), end_of(n), "", now()));
        }
        queue.commit().unwrap();
    }
}

#[test]
fn totals_and_holds_outlive_the_records_they_were_made_from() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
    work(&mut queue, 1..=200);
    assert!(queue.figures().segments < 6, "{:?}", queue.figures());
    drop(queue);
    let (mut queue, _) = Queue::recover(disk, options()).unwrap();
    let totals = queue.totals();
    assert_eq!((totals.submitted, totals.received), (134, 66));
    assert_eq!(totals.ended_in_all(), 199);
    let trace = format!("{:?}", queue.history(id(1)).unwrap());
    assert!(
        trace.contains("Standing") && !trace.contains("Held"),
        "{trace}"
    );
    assert!(queue.message(id(1)).unwrap().held);
    assert!(!queue.hold(id(1), "", now()), "it is held already");
    assert!(queue.release(id(1), "", now()));
    assert!(!queue.release(id(1), "", now()), "it is released already");
    assert!(!queue.hold(id(2), "", now()), "it has ended");
}

/// A process that cannot read a segment writes the last group before it again,
/// behind what that segment says of its messages.
#[test]
fn a_hold_outlives_a_process_that_could_not_read_it() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
    let mut accepted = 0;
    while queue.figures().segments < 2 {
        accepted += 1;
        queue
            .accept(id(accepted), None, None, &[b'x'; 700], now())
            .unwrap();
        queue.commit().unwrap();
    }
    for n in 1..=accepted {
        assert!(queue.hold(id(n), "by ann", now()));
    }
    queue.commit().unwrap();
    drop(queue);
    let names = disk.list().unwrap();
    let second = names.iter().filter(|name| name.starts_with("seg.")).nth(1);
    disk.spoil(second.unwrap(), 0, 1 << 20);
    let (_, recovery) = Queue::recover(disk.clone(), options()).unwrap();
    assert!(recovery.unread > 0);
    // What could not be read then can be read again.
    let disk = disk.fork();
    let (mut queue, recovery) = Queue::recover(disk.clone(), options()).unwrap();
    assert_eq!(recovery.unread, 0);
    for number in 101..=200 {
        work(&mut queue, number..=number);
        let (queue, _) = Queue::recover(disk.fork(), options()).unwrap();
        for n in 1..=accepted {
            assert!(queue.message(id(n)).unwrap().held, "{n} after {number}");
        }
    }
}

/// The journal as a release without totals and holds writes it: the same
/// records, without those kinds.
fn as_of_early_release(disk: &SimulatedDisk) -> SimulatedDisk {
    const OF_THIS_RELEASE: [u8; 4] = [7, 8, 9, 129];
    let early = SimulatedDisk::new();
    let mut names = disk.list().unwrap();
    names.retain(|name| name.starts_with("seg."));
    for name in names {
        let mut bytes = vec![0; disk.len(&name).unwrap() as usize];
        disk.read_at(&name, 0, &mut bytes).unwrap();
        let header = Header::decode(&bytes).unwrap();
        let mut out = header.encode().to_vec();
        for item in Items::new(&bytes, &header) {
            let Item::Record(frame) = item else {
                panic!("{item:?}");
            };
            // Ends did not say their order. What is of another kind keeps its
            // place, because the numbers must not have gaps.
            let body = match frame.kind {
                6 => &frame.body[..frame.body.len() - 8],
                _ => frame.body,
            };
            let kind = match OF_THIS_RELEASE.contains(&frame.kind) {
                true => 99,
                false => frame.kind,
            };
            Frame {
                kind,
                body,
                ..frame
            }
            .encode(header.epoch, &mut out);
        }
        early.put(&name, &out);
    }
    early
}

#[test]
fn a_journal_without_totals_is_counted_as_far_as_it_goes() {
    let disk = SimulatedDisk::new();
    let (mut queue, _) = Queue::recover(disk.clone(), options()).unwrap();
    work(&mut queue, 1..=50);
    drop(queue);
    let (mut queue, recovery) = Queue::recover(as_of_early_release(&disk), options()).unwrap();
    assert_eq!(recovery.damages, []);
    check_sum(&queue).unwrap();
    let before = queue.totals();
    assert_eq!(queue.figures().open, 1);
    assert!((2..50).contains(&before.accepted()), "{before:?}");
    work(&mut queue, 51..=100);
    check_sum(&queue).unwrap();
    assert_eq!(queue.totals().accepted(), before.accepted() + 50);
}
