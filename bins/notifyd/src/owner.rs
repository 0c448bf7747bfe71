//! The owner of the journal: one thread through which everything goes that
//! must be durable.
//!
//! It takes all that waits for it, applies it to the queue, commits once, and
//! only then answers: acknowledges to peers, starts deliveries, removes dropped
//! files. While the disk refuses commits nothing is answered and nothing more
//! is taken in; what was said so far is kept and committed when it heals.

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

use objects::{Envelope, NotificationId, SiteId, UnixTime};
use program::exit::chain;
use program::log::EACH;
use rules::Rules;
use spool::control::{Answer, Question};
use spool::drop_box::Dropped;
use spool::ground::Ground;
use spool::{
    Accepted, DirectoryStorage, End, Message, Queue, Space, SpoolDirectory, Storage, Target,
    TargetState,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use wire::{RefusalCode, Window};

use crate::clock;
use crate::config::{Configuration, Forward, Lane, Peer};
use crate::delivery::{Outcome, Task};
use crate::figures::{Changes, QueueFigures, Stack};
use crate::forward_line::Ages;
use crate::intake::Intake;
use crate::link::window;
use crate::route::{Incoming, Refusal, Route};
use crate::stop::Stop;
use crate::submit::{Reply, Submitted};

use alarms::Alarms;
use control::Asked;
use failures::Told;
use fallback::Fallback;
use forwards::ForwardWork;
use lanes::LaneWork;
use pauses::Pauses;
use peers::PeerWork;
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

/// What the owner is asked. The channel needs no bound of its own: a peer has
/// at most a window in it, a lane one outcome, everybody else one question.
pub(crate) enum Request {
    /// Something may have been dropped.
    LookIntoDropBox,
    /// From one submitter.
    Submitted {
        submissions: Vec<Submitted>,
        reply: UnboundedSender<Vec<Reply>>,
    },
    /// From the link with this number to this peer.
    Link {
        peer: SiteId,
        number: u64,
        what: FromLink,
    },
    /// A lane's attempt has ended.
    Finished {
        lane: usize,
        /// What the lane's line calls it.
        work: u64,
        outcome: Outcome,
    },
    /// The configuration has changed.
    Reconfigure {
        peers: Vec<Peer>,
        forwards: Vec<Forward>,
        lanes: Vec<LaneChange>,
        rules: Option<Arc<Rules>>,
        fallback_after: Option<Duration>,
        watched: Watched,
    },
    /// From somebody at the control socket.
    Question {
        question: Question,
        to: oneshot::Sender<Answer>,
    },
    /// The sync of the commit that was under way has come to this.
    Synced(io::Result<()>),
    /// For the state file.
    Figures(Sender<QueueFigures>),
    /// The daemon is to end.
    Stop,
}

/// What becomes of a lane.
pub(crate) struct LaneChange {
    pub(crate) number: usize,
    /// Its settings and its new threads; none if there is no such lane any more.
    pub(crate) now: Option<(Lane, Sender<Task>)>,
}

/// What a link tells.
pub(crate) enum FromLink {
    /// The peer has introduced itself.
    Up {
        commands: UnboundedSender<net::Command>,
        /// Whether we opened the connection.
        outgoing: bool,
        /// Whether the peer takes messages.
        accepts: bool,
        /// Whether both ends know results.
        results: bool,
    },
    Said(Vec<Said>),
    Down,
}

/// What a peer said.
pub(crate) enum Said {
    /// A message, as it is to be stored; the link has looked at it already, so
    /// that this is not done one by one between two syncs.
    Message {
        seq: u64,
        id: NotificationId,
        read: Result<Incoming, Refusal>,
    },
    Other(wire::Event),
}

impl Said {
    /// What `event` means to site `own`.
    pub(crate) fn of(event: wire::Event, own: &SiteId) -> Self {
        match event {
            wire::Event::Message { seq, id, body } => Self::Message {
                seq,
                id,
                read: Incoming::read(&body, own),
            },
            other => Self::Other(other),
        }
    }
}

impl Request {
    /// How many notifications it is about, more or less.
    fn weight(&self) -> usize {
        match self {
            Self::Submitted { submissions, .. } => submissions.len(),
            Self::Link {
                what: FromLink::Said(said),
                ..
            } => said.len(),
            _ => 1,
        }
    }
}

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

    /// Puts an open message of an earlier run, or one that was held, into its
    /// lines. Its body is read only if no more is known of it than that. An error
    /// if the disk does not give it out now.
    fn restore(
        &mut self,
        message: &Message,
        orphans: &mut BTreeMap<String, usize>,
    ) -> Result<(), spool::Error> {
        if message.held {
            return Ok(());
        }
        if message.targets.is_empty() {
            // The records were torn apart between acceptance and assignment.
            if let Some(route) = self.stored_route(message.id)? {
                self.assign(message.id, message.accepted, &route);
            }
            return Ok(());
        }
        if self.hold_interrupted(message) {
            return Ok(());
        }
        let is_open = |target: &&TargetState| target.end.is_none();
        let is_lane = |target: &&TargetState| !matches!(target.target, Target::Peer(_));
        let mut open = message.targets.iter().filter(is_open);
        // Lanes have to know more of it than its label says.
        let (label, route) = match message.label {
            Some(label) if !open.any(|target| is_lane(&target)) => (label, None),
            _ => match self.stored_route(message.id)? {
                Some(route) => (route.label, Some(route)),
                None => return Ok(()),
            },
        };
        for peer in self.restore_forwards(message, label) {
            *orphans.entry(format!("peer {peer}")).or_default() += 1;
        }
        self.restore_fallback(message);
        let Some(route) = route else { return Ok(()) };
        for target in message.targets.iter().filter(is_open).filter(is_lane) {
            let (lane, accepted, attempts) = (&target.target, message.accepted, target.attempts);
            if !self.push_lane(lane, message.id, accepted, attempts, &route) {
                *orphans.entry(format!("lane {}", lane.name())).or_default() += 1;
            }
        }
        Ok(())
    }

    /// What the body of an open message says. One that says nothing has ended.
    fn stored_route(&mut self, id: NotificationId) -> Result<Option<Route>, spool::Error> {
        let body = match self.queue.body(id) {
            Err(error) if error.is_temporary() => return Err(error),
            other => other.map_err(|error| chain(&error)),
        };
        match body.and_then(|body| read_route(body.unwrap_or_default())) {
            Ok(route) => {
                self.queue.set_label(id, route.label);
                Ok(Some(route))
            }
            Err(why) => {
                tracing::error!(%id, "stored body cannot be used: {why}");
                self.queue.end(id, End::Refused, &why, now());
                Ok(None)
            }
        }
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

    /// Open messages from `next` on, which becomes the place behind them. Some at
    /// a time: of a million there is no room for all. Those that the disk refuses
    /// now are among them, as it may take them later.
    fn open_page(&self, next: &mut u64) -> Option<Vec<Message>> {
        let open = self.queue.open_or_pending_from(*next);
        let page: Vec<Message> = open.take(GROUP).collect();
        *next = page.last()?.order.saturating_add(1);
        Some(page)
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
                for file in std::mem::take(&mut self.absorbed) {
                    self.intake.absorbed(&file);
                }
                self.answer_submitters();
                self.answer_questions();
                self.answer_links();
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

    fn figures(&self) -> QueueFigures {
        let waits_for_retry = self.deferred();
        let mut deferred = Stack::default();
        for id in &waits_for_retry {
            if let Some(message) = self.queue.message(*id) {
                deferred.add(message.accepted);
            }
        }
        // The first and the last of those in order of acceptance: this is asked
        // for often, and there may be a million.
        let is_new = |message: &Message| !waits_for_retry.contains(&message.id);
        let accepted = |message: Message| message.accepted;
        let open = self.queue.figures().open as u64;
        let mut new = Stack {
            count: open.saturating_sub(deferred.count) + self.intake.count(),
            oldest: self.queue.open().find(is_new).map(accepted),
            youngest: self.queue.open().rev().find(is_new).map(accepted),
        };
        if new.count > 0 {
            // What is in the drop box only has just come, as far as is known.
            new.oldest.get_or_insert_with(now);
            new.youngest.get_or_insert_with(now);
        }
        QueueFigures {
            new,
            deferred,
            corrupted: files_in(&self.corrupt),
            lanes: self.lane_figures(),
            forwards: self.forward_figures(),
            silent: self.silent_sites(),
            cut_off: self.cut_off_since(),
            canary: self.canary_figures(),
            totals: self.queue.totals(),
            open,
            held: self.queue.figures().held as u64,
            accepted: self.counters.accepted,
            duplicates: self.counters.duplicates,
            delivered: self.counters.delivered,
            failed: self.counters.failed,
            disk_warning: self.disk_warning.clone(),
            undecided: self.undecided_warning(),
            disk_error: match (self.queue.failing(), self.space) {
                (Some(why), _) => Some(why.to_owned()),
                (None, Space::Full) => Some("no space is left, nothing is taken in".to_owned()),
                (None, Space::Low | Space::Ok) => None,
            },
        }
    }
}

fn read_route(body: Vec<u8>) -> Result<Route, String> {
    let body = String::from_utf8(body).map_err(|error| error.to_string())?;
    let body = Arc::new(body);
    let envelope = Envelope::parse(&body).map_err(|error| chain(&error))?;
    Route::of(&envelope, body.len(), Arc::clone(&body)).map_err(|error| chain(&error))
}

/// The files of a directory, but for the reasons beside them.
fn files_in(directory: &std::path::Path) -> Stack {
    let mut stack = Stack::default();
    let Ok(entries) = std::fs::read_dir(directory) else {
        return stack;
    };
    for entry in entries.flatten() {
        if entry
            .path()
            .extension()
            .is_none_or(|ending| ending != "why")
            && let Ok(time) = entry.metadata().and_then(|metadata| metadata.modified())
        {
            stack.add(time.into());
        }
    }
    stack
}
