//! The owner of the journal: one thread through which everything goes that
//! must be durable.
//!
//! It takes all that waits for it, applies it to the queue, commits once, and
//! only then answers: acknowledges to peers, starts deliveries, removes dropped
//! files. While the disk refuses commits nothing is answered and nothing more
//! is taken in; what was said so far is kept and committed when it heals.

mod account;
mod alarms;
mod assign;
mod canary;
mod control;
#[cfg(test)]
mod crashes;
mod failures;
mod fallback;
mod forwards;
mod kept;
#[cfg(test)]
mod kills;
mod lanes;
mod own;
mod pace;
mod pauses;
mod peers;
mod reconfigure;
mod request;
mod restore;
mod results;
#[cfg(test)]
mod simulation;
mod submitters;
mod tokens;
mod under_way;
mod watch;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use objects::{NotificationId, SiteId, UnixTime};
use program::exit::chain;
use program::log::EACH;
use rules::Rules;
use spool::drop_box::Dropped;
use spool::ground::Ground;
use spool::{Accepted, DirectoryStorage, Queue, Space, SpoolDirectory, Storage, Target};
use wire::{RefusalCode, Window};

use crate::clock;
use crate::config::{Configuration, Lane};
use crate::delivery::Task;
use crate::figures::Changes;
use crate::forward_line::Ages;
use crate::intake::Intake;
use crate::link::window;
use crate::route::{Incoming, Refusal};
use crate::stop::Stop;

use alarms::Alarms;
use control::Asked;
use failures::Told;
use fallback::Fallback;
use forwards::ForwardWork;
use lanes::LaneWork;
use pauses::Pauses;
use peers::PeerWork;
pub(crate) use request::{FromLink, LaneChange, Request, Said};
use restore::read_route;
use submitters::{Answered, Held};
use tokens::Tokens;
use under_way::{Syncs, UnderWay};
use watch::Watch;
pub(crate) use watch::Watched;

/// Most notifications, or other requests, answered by one commit.
const GROUP: usize = 4096;
/// While the disk refuses, it is asked again after this long.
const DISK_RETRY: Duration = Duration::from_secs(1);
/// How often the room on the disk is looked at.
const SPACE_LOOK: Duration = Duration::from_secs(1);

/// Everything the thread has.
pub(crate) struct Owner<S: Storage = DirectoryStorage> {
    site: SiteId,
    directory: SpoolDirectory,
    queue: Queue<S>,
    intake: Intake,
    lanes: Vec<LaneWork>,
    pauses: Pauses,
    alarms: Alarms,
    tokens: Tokens,
    watch: Watch,
    /// What is told of after the next commit, and what is told of.
    telling: Vec<Told>,
    told: Vec<Told>,
    /// At the start: attempts that the end of the earlier run interrupted.
    interrupted: HashSet<(NotificationId, Target)>,
    peers: BTreeMap<SiteId, PeerWork>,
    forwards: Vec<ForwardWork>,
    /// How long what waits for them has waited.
    ages: Ages,
    /// Without them everything goes to every lane.
    rules: Option<Arc<Rules>>,
    /// What is open and has no targets, as the rules cannot be followed, and why.
    undecided: BTreeMap<NotificationId, String>,
    fallback: Fallback,
    /// What a peer may have in doubt here.
    window: Window,
    stop: Stop,
    /// Dropped files that are in the journal after the next commit.
    absorbed: Vec<Dropped>,
    /// Submissions that wait for the drop box to be read.
    held: Vec<Held>,
    /// Who is answered after the next commit.
    submitted: Vec<Answered>,
    asked: Vec<Asked>,
    /// Who makes syncs while we work on; none: all are made here.
    syncs: Option<Syncs>,
    /// Of the commit whose sync is made there now.
    under_way: Option<UnderWay>,
    /// While the disk refuses commits: when it is asked again.
    failing: Option<Instant>,
    space: Space,
    /// What is to be said about the file system.
    disk_warning: Option<String>,
    /// When the room is looked at next.
    space_look: Instant,
    stopping: bool,
    counters: Counters,
    corrupt: PathBuf,
    changes: Changes,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counters {
    accepted: u64,
    duplicates: u64,
    delivered: u64,
    failed: u64,
}

fn now() -> UnixTime {
    clock::time()
}

impl<S: Storage> Owner<S> {
    /// Takes over a recovered queue: what is open in it gets its places in the
    /// lines again. `tasks` leads to the threads of each lane.
    pub(crate) fn new(
        configuration: &Configuration,
        directory: SpoolDirectory,
        queue: Queue<S>,
        tasks: Vec<Sender<Task>>,
        stop: Stop,
    ) -> Result<Self, spool::Error> {
        let lane = |(lane, tasks): (&Lane, _)| LaneWork::new(lane.clone(), tasks);
        let peers = configuration.peers.iter();
        let forwards = configuration.forwards().into_iter();
        let mut owner = Self {
            site: configuration.site.clone(),
            intake: Intake::new(directory.drop_box()?, clock::instant()),
            lanes: configuration.lanes.iter().zip(tasks).map(lane).collect(),
            peers: peers
                .map(|peer| (peer.site.clone(), PeerWork::new(peer.clone())))
                .collect(),
            forwards: forwards
                .map(|forward| ForwardWork::new(forward, clock::instant()))
                .collect(),
            ages: Ages::default(),
            rules: configuration.followed(),
            undecided: BTreeMap::new(),
            fallback: Fallback::new(configuration),
            window: window(configuration.peers.len()),
            stop,
            absorbed: Vec::new(),
            held: Vec::new(),
            submitted: Vec::new(),
            asked: Vec::new(),
            syncs: None,
            under_way: None,
            failing: None,
            space: Space::Ok,
            disk_warning: match spool::ground::of(directory.path()) {
                Ok(Ground::Doubtful(doubt)) => Some(doubt.to_string()),
                Ok(Ground::Unfit(unfit)) => Some(unfit.to_string()),
                Ok(Ground::Safe) | Err(_) => None,
            },
            space_look: clock::instant(),
            stopping: false,
            counters: Counters::default(),
            changes: Changes::default(),
            pauses: Pauses::load(directory.path()),
            alarms: Alarms::load(directory.path()),
            tokens: Tokens::new(directory.path()),
            watch: Watch::new(configuration, clock::instant()),
            telling: Vec::new(),
            told: Vec::new(),
            interrupted: HashSet::new(),
            corrupt: directory.path().join("corrupt"),
            directory,
            queue,
        };
        owner.apply_pauses();
        owner.restore_tokens();
        owner.queue.end_settled(now());
        owner.find_interrupted();
        let mut orphans = BTreeMap::<String, usize>::new();
        let mut next = 0;
        while let Some(page) = owner.open_page(&mut next) {
            for message in &page {
                let age = now().micros().saturating_sub(message.accepted.micros());
                let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
                owner.ages.push(message.order, age, clock::instant());
                owner.restore(message, &mut orphans)?;
            }
        }
        owner.interrupted = HashSet::new();
        owner.repeat_alarms();
        for (target, count) in orphans {
            tracing::warn!(
                "{count} notifications wait for {target}, which is not in the configuration"
            );
        }
        Ok(owner)
    }

    /// Where it is noted that the disk refuses or takes records again.
    pub(crate) fn noting(mut self, changes: &Changes) -> Self {
        self.changes = changes.clone();
        self
    }

    /// With a thread for the syncs of large commits. `owner` leads to where this one
    /// is asked.
    pub(crate) fn with_syncs_beside(mut self, owner: Sender<Request>) -> io::Result<Self> {
        self.syncs = Some(Syncs::start(owner)?);
        Ok(self)
    }

    /// Works until told to stop and everything is in order, or until the time
    /// for that is over.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let pause = self.next_due().saturating_duration_since(clock::instant());
            let held = self.held.len();
            let mut next = match requests.recv_timeout(pause) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut weight = 0;
            while let Some(request) = next {
                weight += request.weight();
                self.handle(request);
                next = match weight < GROUP {
                    true => requests.try_recv().ok(),
                    false => None,
                };
            }
            if self.held.len() > held {
                self.intake.wake_if_changed(clock::instant());
            }
            self.look_at_space();
            self.round();
            let idle = self.peers.values().all(PeerWork::is_down)
                && self.lanes.iter().all(LaneWork::is_idle)
                && self.telling.is_empty()
                && self.told.is_empty()
                && self.under_way.is_none();
            if self.stopping && (idle || self.stop.is_over(clock::instant())) {
                // What the last commit did not take, the next start finds
                // where it came from.
                self.store_tokens(true);
                return;
            }
        }
    }

    /// Everything that follows from what was asked, and the commit.
    fn round(&mut self) {
        self.end_told();
        self.work();
        self.take_submitted();
        self.commit();
    }

    fn next_due(&self) -> Instant {
        let now = clock::instant();
        if !self.told.is_empty() && self.failing.is_none() {
            return now;
        }
        if self.failing.is_some() || self.stopping {
            return self.failing.unwrap_or(now + DISK_RETRY);
        }
        let takes_files = self.takes_files();
        if !self.held.is_empty() && takes_files {
            return now;
        }
        let lanes = self.lanes.iter().filter_map(LaneWork::next_due);
        let forwards = self.forwards.iter().filter_map(ForwardWork::due);
        let intake = match self.space {
            // Nobody tells when there is room again.
            Space::Full => self.space_look,
            // The end of a sync is told.
            _ if !takes_files => self.space_look,
            Space::Low => self.intake.next_due(now).min(self.space_look),
            Space::Ok => self.intake.next_due(now),
        };
        let others = self
            .pauses
            .next_end()
            .into_iter()
            .chain(self.fallback.next_due())
            .chain(self.watch.next_due())
            .chain(self.tokens_due());
        let all = lanes.chain(forwards).chain(others);
        all.fold(intake, Instant::min)
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::LookIntoDropBox => self.intake.wake(clock::instant()),
            Request::Submitted { submissions, reply } => self.hold_submitted(submissions, reply),
            Request::Link { peer, number, what } => self.handle_link(&peer, number, what),
            Request::Reconfigure {
                peers,
                forwards,
                lanes,
                rules,
                fallback_after,
                watched,
            } => {
                self.fallback.set(fallback_after);
                self.watch.set(watched, clock::instant());
                self.reconfigure(peers, forwards, lanes);
                self.follow(rules);
                self.end_silences();
            }
            Request::Question { question, to } => self.handle_question(question, to),
            Request::Finished {
                lane,
                work,
                outcome,
            } => self.handle_finished(lane, work, outcome),
            Request::Synced(result) => self.synced(result),
            Request::Figures(reply) => {
                // Who asked may have given up waiting.
                let _ = reply.send(self.figures());
            }
            Request::Stop => {
                self.stopping = true;
                self.send_links_away();
            }
        }
    }

    /// What is to do without being asked.
    fn work(&mut self) {
        if self.stopping || self.failing.is_some() {
            return;
        }
        if self.space < Space::Full
            && self.takes_files()
            && let Err(error) = self.absorb()
        {
            self.intake.failed(&error, clock::instant());
        }
        self.end_pauses();
        self.watch();
        self.fall_back();
        self.take_turns();
    }

    /// Peers wait while the room is low, everybody waits while it is used up.
    fn look_at_space(&mut self) {
        let now = clock::instant();
        if now >= self.space_look {
            self.space_look = now + SPACE_LOOK;
            if let Err(error) = self.queue.look_at_space() {
                tracing::debug!("{}", chain(&error));
            }
        }
        // A commit may have found it full in the meantime.
        let space = self.queue.space();
        if space == self.space {
            return;
        }
        self.space = space;
        self.changes.note();
        match space {
            Space::Ok => tracing::info!("there is enough space again"),
            Space::Low => tracing::warn!("space is low: nothing is taken from peers"),
            Space::Full => tracing::error!("no space is left: nothing more is taken in"),
        }
        self.grant_all();
    }

    /// Takes a group of dropped files in.
    fn absorb(&mut self) -> Result<(), spool::Error> {
        let at = clock::instant();
        for file in self.intake.next_group(at)? {
            match Incoming::read(&file.body, &self.site) {
                Ok(incoming) => match self.accept(incoming, None) {
                    Ok(_) => self.absorbed.push(file),
                    Err(refusal) => self.intake.set_aside(&file.name, &refusal.why)?,
                },
                Err(refusal) if refusal.code == RefusalCode::Corrupt => {
                    self.intake.not_yet(&file.name, &refusal.why, at)?;
                }
                Err(refusal) => self.intake.set_aside(&file.name, &refusal.why)?,
            }
        }
        Ok(())
    }

    /// Stores a notification and decides where it goes, unless it is known.
    fn accept(&mut self, incoming: Incoming, from: Option<&SiteId>) -> Result<Accepted, Refusal> {
        let Incoming { id, body, route } = incoming;
        let place = self.queue.next_order();
        let label = Some(route.label);
        let accepted = self.queue.accept_shared(id, from, label, body, now());
        let accepted = accepted.map_err(|error| Refusal {
            code: RefusalCode::TooLarge,
            why: chain(&error),
        })?;
        match &accepted {
            Accepted::New => {
                self.counters.accepted += 1;
                self.ages.push(place, Duration::ZERO, clock::instant());
                let object = &route.object;
                match from {
                    Some(peer) => {
                        tracing::info!(target: EACH, "received {id} ({object}) from {peer}");
                    }
                    None => tracing::info!(target: EACH, "spooled {id} ({object})"),
                }
                self.assign(id, now(), &route);
            }
            Accepted::Duplicate(_) => {
                self.counters.duplicates += 1;
                tracing::debug!(%id, "known already");
            }
        }
        Ok(accepted)
    }

    /// Keeps the body of what can never be delivered, for people to look at.
    /// Must come before the record that lets the body go.
    fn keep_refused(&self, id: NotificationId, why: &str) {
        let stored = self.queue.body(id).and_then(|body| match body {
            Some(body) => self.directory.store_refused(&id.to_string(), &body, why),
            None => Ok(()),
        });
        if let Err(error) = stored {
            tracing::error!(%id, "cannot keep a refused notification: {}", chain(&error));
        }
    }

    /// Makes everything durable; answers if that worked.
    fn commit(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        // Each try takes a new segment: not one for every request.
        if self.failing.is_some_and(|again| clock::instant() < again) {
            self.put_off_questions("the disk refuses records");
            self.pong_links();
            return;
        }
        match self.begin_commit() {
            Ok(false) => {}
            Ok(true) => {
                if self.failing.take().is_some() {
                    self.changes.note();
                    tracing::info!("the disk takes records again");
                    self.grant_all();
                }
                self.told.append(&mut self.telling);
                self.alarms_committed();
                self.arrived();
                self.answer_questions();
                self.start_jobs();
                self.store_tokens(false);
            }
            Err(error) => self.disk_refuses(&error),
        }
    }

    /// Nothing of the last commit is acknowledged.
    fn disk_refuses(&mut self, error: &spool::Error) {
        if self.failing.is_none() {
            tracing::error!("disk error, nothing is acknowledged: {}", chain(error));
            self.failing = Some(clock::instant());
            self.changes.note();
            self.grant_all();
        }
        self.failing = Some(clock::instant() + DISK_RETRY);
        self.put_off_questions("the disk refuses records; it is done when it takes them again");
        self.pong_links();
    }
}
