//! The rows of the failure table between acceptance and delivery: rules are
//! followed (B6), their jobs are recorded (B7), a lane has them (B8 to B10). The
//! process is killed, or the machine loses power, at every operation of the disk;
//! by the next start the rules say something else.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, SiteId, UnixTime};
use spool::record::Event;
use spool::sim::SimulatedDisk;
use spool::submission::{Answer, Submission};
use spool::{Options, Queue, SpoolDirectory};
use tokio::sync::mpsc::unbounded_channel;

use super::{Owner, Request};
use crate::config::Configuration;
use crate::delivery::{Outcome, Task, Verdict, Work};
use crate::stop::Stop;
use crate::submit::Submitted;

const LANES: [&str; 2] = ["mail", "sms"];

/// A site whose rules tell `who`.
fn configure(directory: &Path, who: &str) -> Configuration {
    let rules = format!(
        "match = 'all'\n[[contact]]\nname = '{who}'\nemail = '{who}@example.org'\n\
         [[rule]]\nname = 'one'\ncontacts = '{who}'\nlanes = ['mail', 'sms']\n\
         [[rule]]\nname = 'two'\ncontacts = '{who}'\nlanes = 'sms'\nparameters = {{ urgent = true }}\n"
    );
    std::fs::write(directory.join("rules.toml"), rules).unwrap();
    let path = directory.join("notifyd.toml");
    let at = directory.display();
    let lanes = LANES.map(|lane| format!("[[lane]]\nname = '{lane}'\nscript = '/bin/true'\n"));
    let text = format!(
        "[site]\nname = 'central'\n[spool]\ndirectory = '{at}/spool'\n[rules]\nfile = 'rules.toml'\n{}",
        lanes.concat()
    );
    std::fs::write(&path, text).unwrap();
    Configuration::read(&path).unwrap()
}

fn submission(number: u64) -> Notification {
    let id = NotificationId::from_bytes([number as u8; 16]);
    Notification {
        id,
        kind: Kind::Raw,
        created: UnixTime::from_secs(1_795_217_983),
        expires: None,
        site: SiteId::new("remote1").unwrap(),
        context: Context::from([("HOSTNAME".to_owned(), format!("h{number}").into())]),
    }
}

/// One life of the process.
struct Life<'l> {
    owner: Owner<SimulatedDisk>,
    lanes: Vec<Receiver<Task>>,
    disk: &'l SimulatedDisk,
    /// Jobs that lanes were given, with the number of the attempt.
    given: Vec<(String, u32)>,
}

impl<'l> Life<'l> {
    fn new(disk: &'l SimulatedDisk, directory: &Path, who: &str) -> Option<Self> {
        let configuration = configure(directory, who);
        let spool = SpoolDirectory::open(&directory.join("spool")).unwrap();
        let options = Options {
            ahead: 0,
            reserve: 0,
            ..Options::default()
        };
        let (queue, _) = Queue::recover(disk.clone(), options).ok()?;
        let (jobs, lanes) = LANES.iter().map(|_| channel()).unzip();
        let owner = Owner::new(&configuration, spool, queue, jobs, Stop::default());
        Some(Self {
            owner: owner.ok()?,
            lanes,
            disk,
            given: Vec::new(),
        })
    }

    /// Submits these, and works until there is nothing to do or the process is
    /// dead. Returns those that were answered.
    fn run(&mut self, asking: &BTreeSet<u64>) -> BTreeSet<u64> {
        let (reply, mut replies) = unbounded_channel();
        let submissions = asking.iter().map(|number| {
            let body = submission(*number).print().unwrap().into_bytes();
            let number = *number;
            let submission = Submission {
                number,
                body: &body,
            };
            Submitted::new(submission, &self.owner.site)
        });
        let submissions = submissions.collect();
        self.owner.handle(Request::Submitted { submissions, reply });
        let mut answered = BTreeSet::new();
        for _ in 0..100 {
            self.owner.round();
            if self.disk.is_killed() {
                break;
            }
            let replies = std::iter::from_fn(|| replies.try_recv().ok());
            for reply in replies.flatten() {
                assert!(matches!(reply.answer, Answer::Stored(_) | Answer::Known(_)));
                answered.insert(reply.number);
            }
            self.deliver();
        }
        answered
    }

    fn deliver(&mut self) {
        for (lane, jobs) in self.lanes.iter().enumerate() {
            while let Ok(Task { number, work }) = jobs.try_recv() {
                let Work::One(job) = work else {
                    panic!("several at once")
                };
                let name = format!("{} {}", LANES[lane], job.id_in(LANES[lane]));
                self.given.push((name, job.attempt));
                let outcome = Outcome::new(Verdict::Delivered, "");
                let finished = Request::Finished {
                    lane,
                    work: number,
                    outcome,
                };
                self.owner.handle(finished);
            }
        }
    }
}

/// The names of all jobs if the rules tell `who`.
fn jobs(who: &str, numbers: &BTreeSet<u64>) -> BTreeSet<String> {
    let urgent = [("URGENT".to_owned(), "True".to_owned())];
    let job = |number: &u64, lane: &str, parameters: &[(String, String)]| {
        let id = submission(*number).id;
        let contacts = [who.as_bytes()].into_iter();
        format!("{lane} {}", id.job_id_with(lane, parameters, contacts))
    };
    let of = |number| {
        [
            job(number, "mail", &[]),
            job(number, "sms", &[]),
            job(number, "sms", &urgent),
        ]
    };
    numbers.iter().flat_map(of).collect()
}

#[test]
fn rows_b6_to_b10_nothing_is_decided_twice_and_only_what_was_under_way_is_repeated() {
    let all: BTreeSet<u64> = (1..=2).collect();
    let (mut kills, mut stood, mut anew) = (0, 0, 0);
    for power in [false, true] {
        for at in 0.. {
            let directory = tempfile::tempdir().unwrap();
            let disk = SimulatedDisk::new();
            // The journal is there before.
            drop(Life::new(&disk, directory.path(), "anna"));
            disk.restart();
            disk.kill_at(at);
            let mut first = Life::new(&disk, directory.path(), "anna");
            let answered = first
                .as_mut()
                .map_or(BTreeSet::new(), |life| life.run(&all));
            let given = first.map_or(Vec::new(), |life| life.given);
            let row = format!("power {power}, killed at operation {at}");
            if !disk.is_killed() {
                assert_eq!(answered, all, "{row}");
                break;
            }
            kills += 1;
            match power {
                true => disk.crash(at),
                false => disk.restart(),
            }
            let mut second = Life::new(&disk, directory.path(), "joe").unwrap();
            let asking = all.difference(&answered).copied().collect();
            second.run(&asking);
            assert_eq!(second.owner.queue.figures().open, 0, "{row}");
            for number in &all {
                let one = BTreeSet::from([*number]);
                let (old, new) = (jobs("anna", &one), jobs("joe", &one));
                let is_old = |(name, _): &&(String, u32)| old.contains(name);
                let before: Vec<_> = given.iter().filter(is_old).collect();
                let mine = |name: &str| old.contains(name) || new.contains(name);
                let after: Vec<_> = second.given.iter().filter(|(name, _)| mine(name)).collect();
                let told: BTreeSet<String> = before
                    .iter()
                    .chain(&after)
                    .map(|(name, _)| name.clone())
                    .collect();
                // One decision, and all of it.
                assert!(told == old || told == new, "{row}: {told:?}");
                stood += u32::from(told == old);
                anew += u32::from(told == new);
                if answered.contains(number) {
                    assert!(told == old, "{row}: what was answered is decided");
                }
                for (name, attempt) in after {
                    let again = before.iter().any(|(known, _)| known == name);
                    // One whose start is recorded counts, though it may not have begun.
                    assert!(*attempt > 1 || !again, "{row}: {name} attempt {attempt}");
                }
                let id = submission(*number).id;
                let history = second.owner.queue.history(id).unwrap();
                let count = |is: fn(&Event<'_>) -> bool| {
                    history.iter().filter(|(_, event)| is(event)).count()
                };
                assert_eq!(count(|e| matches!(e, Event::Accepted { .. })), 1, "{row}");
                assert_eq!(count(|e| matches!(e, Event::Ended { .. })), 1, "{row}");
            }
        }
    }
    // Neither is by chance: decisions stand, and some were never made.
    assert!(
        kills > 20 && stood > 10 && anew > 2,
        "{kills} {stood} {anew}"
    );
}
