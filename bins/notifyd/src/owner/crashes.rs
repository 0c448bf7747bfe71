//! A site with lanes that ends at any moment, by a kill or by a loss of power: at
//! every operation of its disk, and at every attempt between its record and its
//! beginning. Afterwards everything has ended once, in order, and what was
//! delivered twice was delivered when the site ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, SiteId};
use spool::record::Event;
use spool::sim::SimulatedDisk;
use spool::{End, Options, Queue, SpoolDirectory};

use super::{Owner, Request};
use crate::clock;
use crate::config::Configuration;
use crate::delivery::{Outcome, Task, Verdict, Work};
use crate::route::Incoming;
use crate::stop::Stop;

/// Rounds after which everything must have ended.
const PATIENCE: u32 = 2000;

/// What the far side of a lane says to an attempt.
type Answers = fn(lane: &str, work: &Work) -> Verdict;

struct Story {
    name: &'static str,
    lanes: &'static str,
    answers: Answers,
    /// How everything ends at the first lane.
    end: End,
    /// How many are delivered at once at most.
    together: usize,
    holds: bool,
}

fn everything_works(_: &str, _: &Work) -> Verdict {
    Verdict::Delivered
}

/// Every other object fails at first.
fn some_fail_first(_: &str, work: &Work) -> Verdict {
    match jobs(work)[0] {
        (id, 1) if id.as_bytes()[15].is_multiple_of(2) => Verdict::Temporary,
        _ => Verdict::Delivered,
    }
}

fn all_fail_first(_: &str, work: &Work) -> Verdict {
    match jobs(work)[0] {
        (_, 1) => Verdict::Temporary,
        _ => Verdict::Delivered,
    }
}

fn the_first_lane_refuses(lane: &str, _: &Work) -> Verdict {
    match lane {
        "first" => Verdict::Permanent,
        _ => Verdict::Delivered,
    }
}

const STORIES: [Story; 6] = [
    Story {
        name: "places",
        lanes: "places = 3",
        answers: some_fail_first,
        end: End::Delivered,
        together: 1,
        holds: false,
    },
    Story {
        name: "bulk",
        lanes: "[lane.bulk]\nby = 'rule'\ninterval = '3s'\ncount = 4",
        answers: some_fail_first,
        end: End::Delivered,
        together: 4,
        holds: false,
    },
    Story {
        name: "storm",
        lanes: "[lane.storm]\nat_most = [{count = 2, within = '20s'}]",
        answers: everything_works,
        end: End::Delivered,
        together: 8,
        holds: false,
    },
    Story {
        name: "superseded",
        lanes: "retry = '5s'\nsupersede_after = '0s'",
        answers: all_fail_first,
        end: End::Superseded,
        together: 2,
        holds: false,
    },
    Story {
        name: "held",
        lanes: "places = 3\non_unknown = 'hold'",
        answers: some_fail_first,
        end: End::Delivered,
        together: 1,
        holds: true,
    },
    Story {
        name: "refused",
        lanes: "on_failure = 'second'\n[[lane]]\nname = 'second'\nmaildir = '/m'\nplaces = 2",
        answers: the_first_lane_refuses,
        end: End::Refused,
        together: 1,
        holds: false,
    },
];

/// When the site ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Crash {
    Never,
    /// At this operation of the disk.
    AtOperation(u64),
    /// Before this attempt begins, after its record.
    BeforeAttempt(usize),
}

#[test]
fn whenever_a_site_ends_its_lanes_lose_nothing_and_double_what_ran_only() {
    for story in &STORIES {
        let whole = Site::new(story).run(Crash::Never, false);
        assert!(
            whole.attempts > 0 && whole.operations > 10,
            "{}",
            story.name
        );
        for power in [false, true] {
            for at in 0..whole.operations {
                Site::new(story).run(Crash::AtOperation(at), power);
            }
            for at in 0..whole.attempts {
                Site::new(story).run(Crash::BeforeAttempt(at), power);
            }
        }
    }
}

struct Site<'a> {
    story: &'a Story,
    directory: tempfile::TempDir,
    configuration: Configuration,
    disk: SimulatedDisk,
    notifications: Vec<Notification>,
    owner: Option<Owner<SimulatedDisk>>,
    tasks: Vec<Receiver<Task>>,
    now: Instant,
    attempts: usize,
    /// What came out of each lane, in order: with which attempt, and whether that
    /// is said to have been the last one of this run.
    told: Vec<(String, NotificationId, u32)>,
    is_crashed: bool,
    /// Held by the start after the crash.
    held: BTreeSet<NotificationId>,
}

struct Whole {
    operations: u64,
    attempts: usize,
}

impl<'a> Site<'a> {
    fn new(story: &'a Story) -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        let text = format!(
            "[site]\nname = 'a'\n[spool]\ndirectory = '{}'\n[[lane]]\nname = 'first'\nscript = '/bin/true'\n{}\n",
            directory.path().join("spool").display(),
            story.lanes
        );
        let now = Instant::now();
        clock::stop_simulating();
        clock::simulate(now);
        Self {
            story,
            configuration: Configuration::parse("simulated", &text).unwrap(),
            directory,
            disk: SimulatedDisk::new(),
            notifications: (0..8).map(notification).collect(),
            owner: None,
            tasks: Vec::new(),
            now,
            attempts: 0,
            told: Vec::new(),
            is_crashed: false,
            held: BTreeSet::new(),
        }
    }

    fn run(mut self, crash: Crash, power: bool) -> Whole {
        let what = format!("{}: {crash:?}, power {power}", self.story.name);
        if let Crash::AtOperation(at) = crash {
            self.disk.kill_at(at);
        }
        self.start(&what);
        let mut rounds = 0;
        while !self.round(crash, &what) {
            if self.disk.is_killed() || self.is_lost(crash) {
                self.end(power, &what);
            }
            rounds += 1;
            assert!(rounds < PATIENCE, "{what}: no end");
        }
        let whole = Whole {
            operations: self.disk.operations(),
            attempts: self.attempts,
        };
        // Faults to come are not those of who reads the journal now.
        self.disk.restart();
        self.check(power, &what);
        clock::stop_simulating();
        whole
    }

    fn is_lost(&self, crash: Crash) -> bool {
        !self.is_crashed
            && crash == Crash::BeforeAttempt(self.attempts)
            && self.tasks.iter().any(|tasks| tasks.try_recv().is_ok())
    }

    /// A start that ends before it is one is followed by another.
    fn start(&mut self, what: &str) {
        let mut owner = loop {
            match self.try_start() {
                Ok(owner) => break owner,
                Err(_) if self.disk.is_killed() => {
                    self.is_crashed = true;
                    self.disk.restart();
                }
                Err(error) => panic!("{what}: {error}"),
            }
        };
        // Whoever was not told that it is stored submits it again.
        for notification in &self.notifications {
            let body = notification.print().unwrap();
            let incoming = Incoming::read(body.as_bytes(), &owner.site).unwrap();
            owner.accept(incoming, None).unwrap();
        }
        let open: Vec<_> = owner.queue.open().filter(|message| message.held).collect();
        self.held.extend(open.iter().map(|message| message.id));
        self.owner = Some(owner);
    }

    fn try_start(&mut self) -> Result<Owner<SimulatedDisk>, spool::Error> {
        let directory = open_spool(&self.directory.path().join("spool"));
        let options = Options {
            segment_size: 256 << 10,
            keep_segments: 1000,
            ahead: 0,
            reserve: 0,
            ..Options::default()
        };
        let (queue, _) = Queue::recover(self.disk.clone(), options)?;
        let lanes = self.configuration.lanes.iter();
        let (senders, tasks): (Vec<_>, Vec<_>) = lanes.map(|_| channel()).unzip();
        self.tasks = tasks;
        let (configuration, stop) = (&self.configuration, Stop::default());
        Owner::new(configuration, directory, queue, senders, stop)
    }

    fn end(&mut self, power: bool, what: &str) {
        self.is_crashed = true;
        self.owner = None;
        match power {
            true => self.disk.crash(self.disk.operations()),
            false => self.disk.restart(),
        }
        self.start(what);
    }

    /// Whether everything has ended.
    fn round(&mut self, crash: Crash, what: &str) -> bool {
        self.now += Duration::from_secs(1);
        clock::simulate(self.now);
        let owner = self.owner.as_mut().unwrap();
        owner.round();
        for at in 0..self.tasks.len() {
            if !self.is_crashed && crash == Crash::BeforeAttempt(self.attempts) {
                return false;
            }
            let Ok(task) = self.tasks[at].try_recv() else {
                continue;
            };
            let lane = self.configuration.lanes[at].name.clone();
            let verdict = (self.story.answers)(&lane, &task.work);
            self.attempts += 1;
            let jobs = jobs(&task.work);
            assert!(jobs.len() <= self.story.together, "{what}");
            if verdict != Verdict::Temporary {
                let told = jobs.iter().map(|(id, n)| (lane.clone(), *id, *n));
                self.told.extend(told);
            }
            owner.handle(Request::Finished {
                lane: at,
                work: task.number,
                outcome: Outcome::new(verdict, "so"),
            });
        }
        owner.round();
        !self.disk.is_killed()
            && owner.queue.failing().is_none()
            && owner.queue.figures().open == self.held.len()
            && owner.queue.figures().pending == 0
            && self.attempts > 0
    }

    fn check(&self, power: bool, what: &str) {
        let owner = self.owner.as_ref().unwrap();
        let mut twice = 0;
        for notification in &self.notifications {
            let id = notification.id;
            let history = owner.queue.history(id).unwrap();
            let accepted = |(_, event): &&(_, Event<'_>)| matches!(event, Event::Accepted { .. });
            assert!(history.iter().filter(accepted).count() >= 1, "{what}: {id}");
            let first = self
                .told
                .iter()
                .filter(|(lane, of, _)| lane == "first" && *of == id);
            let attempts: Vec<u32> = first.map(|(.., attempt)| *attempt).collect();
            assert!(
                attempts.is_sorted_by(|a, b| a < b),
                "{what}: {id} {attempts:?}"
            );
            if self.held.contains(&id) {
                assert!(attempts.len() <= 1, "{what}: {id} held after {attempts:?}");
                continue;
            }
            assert!(!attempts.is_empty(), "{what}: {id} not delivered");
            twice += attempts.len() - 1;
            let ends = history.iter().filter_map(|(_, event)| match event {
                Event::Settled { target, end, .. } if target.name() == "first" => Some(*end),
                _ => None,
            });
            // What is written again after a crash is the same.
            let mut ends: BTreeSet<End> = ends.collect();
            if ends.is_empty() {
                // A group of records that was torn may lack its first ones.
                ends.extend(history.iter().filter_map(|(_, event)| match event {
                    Event::Ended { end, .. } => Some(*end),
                    _ => None,
                }));
            }
            // Or only the end of the recovery is left of it: then the problem, which
            // was told with that one, comes again by itself.
            let alone = power && self.story.end == End::Superseded && attempts.len() > 1;
            let is_alone = alone && ends == BTreeSet::from([End::Delivered]);
            let wanted = BTreeSet::from([self.story.end]);
            assert!(ends == wanted || is_alone, "{what}: {id}: {ends:?}");
            self.check_tale(owner, id, what);
        }
        let at_once = self.story.together * self.configuration.lanes[0].flow.places;
        // What is refused runs, and then waits until it is told of.
        let at_once = at_once * if self.story.end == End::Refused { 2 } else { 1 };
        assert!(twice <= at_once, "{what}: {twice} came twice");
        assert!(
            twice == 0 || self.is_crashed && !self.story.holds,
            "{what}: {twice}"
        );
        assert!(
            self.held.is_empty() || self.is_crashed && self.story.holds,
            "{what}"
        );
        self.check_order(what);
        let totals = owner.queue.totals();
        let open = owner.queue.figures().open as u64;
        assert_eq!(totals.lost(open), 0, "{what}: {totals:?}");
        assert_eq!(totals.accepted(), totals.ended_in_all() + open, "{what}");
    }

    /// What was refused is told of by another lane, as one notification.
    fn check_tale(&self, owner: &Owner<SimulatedDisk>, id: NotificationId, what: &str) {
        if self.story.end != End::Refused {
            return;
        }
        let tales = self.told.iter().filter(|(lane, of, _)| {
            let name = format!("{id} lane first");
            let tale = NotificationId::named(&owner.site, name.as_bytes());
            lane == "second" && *of == tale
        });
        assert!((1..=2).contains(&tales.count()), "{what}: {id}");
        assert_eq!(owner.queue.totals().submitted, 16, "{what}");
    }

    /// Of one object, nothing overtakes anything when it comes for the first time.
    fn check_order(&self, what: &str) {
        let mut last = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (_, id, _) in self.told.iter().filter(|(lane, ..)| lane == "first") {
            if !seen.insert(*id) {
                continue;
            }
            let number = id.as_bytes()[14];
            let before = last.insert(object_of(*id), number);
            assert!(before.is_none_or(|before| before < number), "{what}: {id}");
        }
    }
}

fn notification(n: u8) -> Notification {
    let mut bytes = *NotificationId::new(clock::time()).as_bytes();
    (bytes[14], bytes[15]) = (n, n / 2);
    let entries = [
        ("HOSTNAME", format!("h{}", n / 2)),
        (
            "NOTIFICATIONTYPE",
            ["PROBLEM", "RECOVERY"][usize::from(n % 2)].to_owned(),
        ),
    ];
    let entries = entries.map(|(name, value)| (name.to_owned(), value.into()));
    Notification {
        id: NotificationId::from_bytes(bytes),
        kind: Kind::Raw,
        created: clock::time(),
        expires: None,
        site: SiteId::new("a").unwrap(),
        context: Context::from(entries),
    }
}

fn object_of(id: NotificationId) -> u8 {
    id.as_bytes()[15]
}

fn jobs(work: &Work) -> Vec<(NotificationId, u32)> {
    let all = match work {
        Work::One(job) => std::slice::from_ref(job),
        Work::Together { jobs, .. } => jobs,
    };
    all.iter().map(|job| (job.id, job.attempt)).collect()
}

fn open_spool(path: &std::path::Path) -> SpoolDirectory {
    loop {
        match SpoolDirectory::open(path) {
            Err(spool::Error::Locked { .. }) => std::thread::yield_now(),
            other => return other.unwrap(),
        }
    }
}
