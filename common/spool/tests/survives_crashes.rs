//! Whatever a disk does wrong and whenever the process or the machine stops:
//! every accepted message is there again, once, whole; what ended stays ended.
//!
//! A failing run prints its seed; give it a test of its own then. More seeds
//! than usual: `SITEWIRE_SEEDS=500..20000 cargo test -p spool`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use objects::{NotificationId, SiteId, UnixTime};
use spool::sim::{Chance, SimulatedDisk, Wrong};
use spool::{Accepted, End, Known, Options, Queue, Settled, Storage, Target};

fn options() -> Options {
    Options {
        segment_size: 12 << 10,
        keep_segments: 2,
        compact_above: 4,
        peer_ids: 1000,
        all_ids: 10_000,
        limit: None,
        reserve: 3000,
        ahead: 40_000,
    }
}

fn now() -> UnixTime {
    UnixTime::from_secs(1_795_217_983)
}

/// Something that was said to the queue about message number `.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    Accepted(u64),
    Assigned(u64),
    Attempt(u64, u8, u32),
    Settled(u64, u8),
    Ended(u64),
}

/// What must be, and what may be.
#[derive(Default, Clone)]
struct Model {
    next: u64,
    /// Covered by a commit that succeeded.
    certain: BTreeSet<Fact>,
    /// Said, but not known to be durable.
    maybe: BTreeSet<Fact>,
    /// Said once, never acknowledged, and not found by a recovery. A segment that
    /// was given up may be back after a crash, until another is there.
    ghosts: BTreeSet<Fact>,
    /// A recovery came upon something unreadable.
    unread: bool,
}

fn id(number: u64) -> NotificationId {
    let mut bytes = [0x70; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

fn number(id: NotificationId) -> u64 {
    u64::from_be_bytes(id.as_bytes()[..8].try_into().unwrap())
}

fn body(number: u64) -> Vec<u8> {
    let mut chance = Chance::new(number);
    let len = chance.below(1500) as usize;
    vec![chance.below(256) as u8; len]
}

fn from(number: u64) -> Option<SiteId> {
    let name = ["a", "b"].get(number as usize % 3)?;
    Some(SiteId::new(name).unwrap())
}

fn target(which: u8) -> Target {
    match which {
        0 => Target::Peer(SiteId::new("central").unwrap()),
        n => Target::Lane(format!("lane{n}")),
    }
}

/// Every message goes to one, two or three targets.
fn targets(number: u64) -> Vec<u8> {
    (0..=(number % 3) as u8).collect()
}

impl Model {
    fn is_here(&self, fact: Fact) -> bool {
        self.certain.contains(&fact) || self.maybe.contains(&fact)
    }

    fn knows(&self, fact: Fact) -> bool {
        self.is_here(fact) || self.ghosts.contains(&fact)
    }

    fn commit<S: Storage>(&mut self, queue: &mut Queue<S>) {
        if let Ok(commit) = queue.commit() {
            self.certain.append(&mut self.maybe);
            if commit.records > 0 {
                self.ghosts.clear();
            }
        }
    }

    fn accept<S: Storage>(&mut self, queue: &mut Queue<S>) {
        self.next += 1;
        self.accept_number(queue, self.next);
    }

    fn accept_number<S: Storage>(&mut self, queue: &mut Queue<S>, n: u64) {
        let from = from(n);
        let accepted = match String::from_utf8(body(n)) {
            Ok(body) => queue.accept_shared(id(n), from.as_ref(), None, body.into(), now()),
            Err(_) => queue.accept(id(n), from.as_ref(), None, &body(n), now()),
        };
        assert_eq!(accepted.unwrap(), Accepted::New);
        let targets: Vec<Target> = targets(n).into_iter().map(target).collect();
        assert!(queue.assign(id(n), &targets, now()));
        self.maybe.insert(Fact::Accepted(n));
        self.maybe.insert(Fact::Assigned(n));
    }

    fn attempt<S: Storage>(&mut self, queue: &mut Queue<S>, n: u64, which: u8) {
        let Some(message) = queue.message(id(n)) else {
            return;
        };
        let state = message.targets.iter().find(|t| t.target == target(which));
        let next = state.map_or(0, |state| state.attempts) + 1;
        if queue.attempt(id(n), &target(which), next, now()) {
            self.maybe.insert(Fact::Attempt(n, which, next));
        }
    }

    fn settle<S: Storage>(&mut self, queue: &mut Queue<S>, n: u64, which: u8) {
        match queue.settle(id(n), &target(which), End::Delivered, "", now()) {
            Settled::Unknown => return,
            Settled::Open => {}
            Settled::Ended => {
                self.maybe.insert(Fact::Ended(n));
            }
        }
        self.maybe.insert(Fact::Settled(n, which));
    }

    /// Compares with what a recovery found, and takes that for the truth.
    fn check<S: Storage>(&mut self, queue: &Queue<S>) -> Result<(), String> {
        // Also those that a failing disk did not let it make durable again.
        let numbers: BTreeSet<u64> = (1..=self.next).collect();
        let mut found = BTreeSet::new();
        let mut orders = BTreeMap::new();
        for n in numbers {
            let Some(message) = queue.message(id(n)) else {
                self.check_absent(queue, n)?;
                continue;
            };
            if !self.knows(Fact::Accepted(n)) || self.certain.contains(&Fact::Ended(n)) {
                return Err(format!("message {n} should not be open: {message:?}"));
            }
            found.insert(Fact::Accepted(n));
            orders.insert(message.order, n);
            if message.from != from(n) {
                return Err(format!("message {n} is from {:?}", message.from));
            }
            match queue.body(id(n)) {
                Ok(stored) if stored == Some(body(n)) => {}
                // The disk may still do what it was told to.
                Err(spool::Error::Io { .. }) => {}
                other => return Err(format!("message {n} has another body: {other:?}")),
            }
            self.check_targets(n, &message, &mut found)?;
        }
        let by_order: Vec<u64> = orders.into_values().collect();
        if !by_order.is_sorted() {
            return Err(format!("order of acceptance is {by_order:?}"));
        }
        let open: Vec<u64> = queue.open().map(|message| number(message.id)).collect();
        if queue.failing().is_none() && open != by_order {
            return Err(format!("open messages are {open:?}, not {by_order:?}"));
        }
        let ended = |fact: &Fact| match fact {
            Fact::Accepted(n)
            | Fact::Assigned(n)
            | Fact::Attempt(n, ..)
            | Fact::Settled(n, _)
            | Fact::Ended(n) => queue.knows(id(*n)) == Some(Known::Ended),
        };
        self.ghosts.append(&mut self.maybe);
        let (here, ghosts) = std::mem::take(&mut self.ghosts)
            .into_iter()
            .partition(|fact| found.contains(fact) || ended(fact));
        self.ghosts = ghosts;
        if queue.failing().is_none() {
            self.certain.extend::<BTreeSet<Fact>>(here);
        } else {
            self.maybe = here;
        }
        Ok(())
    }

    fn check_absent<S: Storage>(&self, queue: &Queue<S>, n: u64) -> Result<(), String> {
        let accepted = self.certain.contains(&Fact::Accepted(n));
        if accepted && !self.knows(Fact::Ended(n)) {
            return Err(format!("message {n} is lost"));
        }
        if accepted && queue.knows(id(n)) != Some(Known::Ended) {
            return Err(format!("message {n} is forgotten"));
        }
        Ok(())
    }

    fn check_targets(
        &self,
        n: u64,
        message: &spool::Message,
        found: &mut BTreeSet<Fact>,
    ) -> Result<(), String> {
        // A group that was not acknowledged may be there in part.
        if message.targets.is_empty() && !self.certain.contains(&Fact::Assigned(n)) {
            return Ok(());
        }
        found.insert(Fact::Assigned(n));
        for which in targets(n) {
            let state = message.targets.iter().find(|t| t.target == target(which));
            let state = state.ok_or(format!("message {n} lost target {which}: {message:?}"))?;
            let settled = Fact::Settled(n, which);
            match state.end {
                None if self.certain.contains(&settled) => {
                    return Err(format!("message {n} is not settled at {which}"));
                }
                Some(_) if !self.knows(settled) => {
                    return Err(format!("message {n} is settled at {which}"));
                }
                Some(_) => {
                    found.insert(settled);
                }
                None => {}
            }
            let attempts = state.attempts;
            if self
                .certain
                .contains(&Fact::Attempt(n, which, attempts + 1))
                || attempts > 0 && !self.knows(Fact::Attempt(n, which, attempts))
            {
                return Err(format!("message {n} has {attempts} attempts at {which}"));
            }
            found.extend((1..=attempts).map(|a| Fact::Attempt(n, which, a)));
        }
        Ok(())
    }
}

/// One process, from recovery to its end.
fn live<S: Storage>(storage: S, model: &mut Model, chance: &mut Chance) -> Result<(), String> {
    let (mut queue, recovery) = match Queue::recover(storage, options()) {
        Ok(recovered) => recovered,
        // It did not get as far as that.
        Err(spool::Error::Io { .. }) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    // What it could not read it does not know. It must not make that final.
    if recovery.damages.iter().any(|d| d.why == "cannot be read") {
        model.unread = true;
        return Ok(());
    }
    let unexplained = |damage: &&spool::Damage| {
        // It leaves numbers free for what it could not read.
        let left_free = model.unread && damage.why.contains("missing");
        !left_free && !damage.why.contains("interrupted")
    };
    if let Some(damage) = recovery.damages.iter().find(unexplained) {
        return Err(format!("damage without cause: {damage}"));
    }
    model.check(&queue)?;
    for _ in 0..chance.below(60) {
        let n = chance.below(model.next.max(1)) + 1;
        let n = n.max(model.next.saturating_sub(15));
        let which = chance.below(3) as u8;
        match chance.below(10) {
            0..=3 => model.accept(&mut queue),
            4 if model.is_here(Fact::Accepted(n)) => {
                let again = queue.accept(id(n), None, None, b"again", now()).unwrap();
                if again == Accepted::New {
                    return Err(format!("message {n} is accepted twice"));
                }
            }
            5 if targets(n).contains(&which) => model.attempt(&mut queue, n, which),
            6 | 7 => model.settle(&mut queue, n, which),
            _ => model.commit(&mut queue),
        }
    }
    Ok(())
}

/// The life of a disk: processes come and go, the machine crashes, writes fail.
fn lives<S: Storage>(seed: u64, wrap: impl Fn(SimulatedDisk) -> S) -> Result<(), String> {
    let mut chance = Chance::new(seed);
    let disk = SimulatedDisk::new();
    let mut model = Model::default();
    for _ in 0..8 {
        for _ in 0..chance.below(3) {
            let wrong = [Wrong::Error, Wrong::NoSpace, Wrong::Short][chance.below(3) as usize];
            // Reading is tried twice: only a disk that heals is a fair one.
            let count = 1 + chance.below(2) * chance.below(20) * u64::from(wrong != Wrong::Error);
            disk.fail(chance.below(120), count, wrong);
        }
        match chance.below(4) {
            0 => disk.kill_at(chance.below(120)),
            1 => disk.set_capacity(Some(20_000 + chance.below(60_000))),
            _ => disk.set_capacity(None),
        }
        live(wrap(disk.clone()), &mut model, &mut chance)?;
        match chance.below(3) {
            0 => disk.restart(),
            _ => disk.crash(chance.below(u64::MAX)),
        }
    }
    // At last everything heals.
    disk.set_capacity(None);
    live(wrap(disk), &mut model, &mut chance)
}

fn seeds() -> std::ops::Range<u64> {
    let text = std::env::var("SITEWIRE_SEEDS").unwrap_or("0..500".to_owned());
    let (from, to) = text.split_once("..").expect("SITEWIRE_SEEDS is FROM..TO");
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn every_accepted_message_is_recovered_once_and_whole() {
    for seed in seeds() {
        if let Err(what) = lives(seed, |disk| disk) {
            panic!("seed {seed}: {what}");
        }
    }
}

/// A disk that says it synced, and did not.
struct NoSync {
    disk: SimulatedDisk,
    files: bool,
    directory: bool,
}

impl Storage for NoSync {
    fn sync(&self, name: &str) -> std::io::Result<()> {
        if self.files {
            Ok(())
        } else {
            self.disk.sync(name)
        }
    }
    fn sync_later(&self, name: &str) -> spool::Syncing {
        let synced = self.sync(name);
        Box::new(|| synced)
    }
    fn sync_directory(&self) -> std::io::Result<()> {
        if self.directory {
            Ok(())
        } else {
            self.disk.sync_directory()
        }
    }
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> std::io::Result<()> {
        self.disk.create(name)
    }
    fn len(&self, name: &str) -> std::io::Result<u64> {
        self.disk.len(name)
    }
    fn has_other_names(&self, name: &str) -> std::io::Result<bool> {
        self.disk.has_other_names(name)
    }
    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
        self.disk.read_at(name, offset, into)
    }
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> std::io::Result<usize> {
        self.disk.write_at(name, offset, bytes)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.disk.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }
    fn allocate(&self, name: &str, len: u64) -> std::io::Result<()> {
        self.disk.allocate(name, len)
    }
    fn room(&self) -> std::io::Result<Option<spool::Room>> {
        self.disk.room()
    }
    fn drop_cache(&self, name: &str) {
        self.disk.drop_cache(name);
    }
    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

#[test]
fn without_the_syncs_messages_would_be_lost() {
    for (files, directory) in [(true, false), (false, true)] {
        let violated = (0..500).any(|seed| {
            let wrap = |disk| NoSync {
                disk,
                files,
                directory,
            };
            lives(seed, wrap).is_err()
        });
        assert!(violated, "files {files}, directory {directory}");
    }
}

/// Fills several segments, settles most, so that segments are removed, and
/// leaves one message open from the beginning, so that it has to be copied.
fn script(disk: &SimulatedDisk, model: &mut Model) {
    let Ok((mut queue, _)) = Queue::recover(disk.clone(), options()) else {
        return;
    };
    for round in 0..12 {
        for _ in 0..4 {
            model.accept(&mut queue);
        }
        model.commit(&mut queue);
        for n in model.next.saturating_sub(6)..=model.next {
            // Numbers 1 and 2 and every tenth stay open.
            if n > 2 && n % 10 != 0 {
                for which in targets(n) {
                    model.attempt(&mut queue, n, which);
                    model.settle(&mut queue, n, which);
                }
            }
        }
        model.attempt(&mut queue, 2, 1);
        if round % 2 == 0 {
            model.commit(&mut queue);
        }
    }
}

#[test]
fn the_script_recycles_segments_and_copies_open_messages() {
    let disk = SimulatedDisk::new();
    script(&disk, &mut Model::default());
    let log = disk.log();
    let recycled = |operation: &String| operation.starts_with("rename seg.");
    assert!(log.iter().any(recycled), "{log:?}");
    let (queue, _) = Queue::recover(disk, options()).unwrap();
    assert_eq!(queue.open().next().unwrap().id, id(1));
    assert!(
        queue
            .history(id(1))
            .unwrap()
            .iter()
            .any(|(_, event)| { matches!(event, spool::record::Event::Standing(_)) })
    );
}

/// Recovers, checks, and says what is open.
fn recover(disk: &SimulatedDisk, model: &Model, what: &str) -> Vec<spool::Message> {
    let (queue, _) = Queue::recover(disk.clone(), options()).unwrap();
    assert_eq!(queue.failing(), None, "{what}");
    if let Err(error) = model.clone().check(&queue) {
        panic!("{what}: {error}");
    }
    queue.open().collect()
}

#[test]
fn a_kill_at_any_operation_loses_nothing() {
    let whole = SimulatedDisk::new();
    script(&whole, &mut Model::default());
    let operations = whole.operations();
    assert!(operations > 60, "{operations}");
    for at in 0..operations {
        let disk = SimulatedDisk::new();
        let mut model = Model::default();
        disk.kill_at(at);
        script(&disk, &mut model);
        assert!(disk.is_killed());
        let killed = disk.fork();
        recover(&killed, &model, &format!("killed at {at}"));
        for seed in 0..4 {
            let crashed = disk.fork();
            crashed.crash(seed);
            let what = format!("killed at {at}, crashed with seed {seed}");
            recover(&crashed, &model, &what);
        }
    }
}

#[test]
fn a_recovery_killed_at_any_operation_is_repeated_with_the_same_result() {
    let whole = SimulatedDisk::new();
    script(&whole, &mut Model::default());
    for at in (0..whole.operations()).step_by(7) {
        let disk = SimulatedDisk::new();
        let mut model = Model::default();
        disk.kill_at(at);
        script(&disk, &mut model);
        if at % 2 == 0 {
            disk.crash(at);
        }
        let direct = disk.fork();
        let expected = recover(&direct, &model, &format!("killed at {at}"));
        for again in 0..direct.operations() {
            let what = format!("killed at {at}, recovery killed at {again}");
            let killed = disk.fork();
            killed.kill_at(again);
            let _ = Queue::recover(killed.clone(), options());
            let crashed = killed.fork();
            assert_eq!(recover(&killed.fork(), &model, &what), expected, "{what}");
            crashed.crash(again);
            recover(&crashed, &model, &what);
        }
    }
}

#[test]
fn a_write_or_sync_that_fails_at_any_operation_loses_nothing() {
    let whole = SimulatedDisk::new();
    script(&whole, &mut Model::default());
    for wrong in [Wrong::Error, Wrong::NoSpace, Wrong::Short] {
        for at in 0..whole.operations() {
            for count in [1, 2, 9] {
                let disk = SimulatedDisk::new();
                let mut model = Model::default();
                disk.fail(at, count, wrong);
                script(&disk, &mut model);
                let what = format!("{wrong:?} at {at}, {count} times");
                disk.crash(at);
                recover(&disk, &model, &what);
            }
        }
    }
}
