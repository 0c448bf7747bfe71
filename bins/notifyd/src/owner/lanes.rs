//! The owner's side of delivery: whose turn it is in each lane, the record
//! before an attempt and the record after it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bstr::ByteSlice;
use objects::{NotificationId, UnixTime};
use program::exit::chain;
use program::log::EACH;
use rules::Told;
use spool::record::MAX_TEXT;
use spool::{End, Message, Storage, Target};

use super::{Owner, now};
use crate::clock;
use crate::config::{By, Flow, Lane, OnUnknown};
use crate::delivery::{Job, Outcome, Task, Verdict, Why, Work};
use crate::figures::{LaneFigures, Line as LineFigures, OpenBreaker};
use crate::route::Route;
use crate::waiting::{Aim, Line, Matter, New, NextTry, Object, Ticket, Together, Turn};

/// So many aims are kept before those that nothing has any more are let go.
const MANY_AIMS: usize = 1000;

/// One lane.
pub(super) struct LaneWork {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) line: Line,
    tasks: Sender<Task>,
    attempts: BTreeMap<u64, Attempt>,
    aims: HashMap<(Target, Box<[u8]>), Arc<Aim>>,
    /// What the last attempt that failed said.
    last_failure: String,
    /// It is not in the configuration any more: what waits for it stays.
    pub(super) retired: bool,
}

/// What the line calls a work, recorded.
struct Attempt {
    tickets: Vec<Ticket>,
    why: Option<Together>,
    /// It starts after the commit.
    is_running: bool,
}

impl LaneWork {
    pub(super) fn new(lane: Lane, tasks: Sender<Task>) -> Self {
        Self {
            target: Target::Lane(lane.name.clone()),
            name: lane.name,
            line: Line::new(lane.flow),
            tasks,
            attempts: BTreeMap::new(),
            aims: HashMap::new(),
            last_failure: String::new(),
            retired: false,
        }
    }

    /// It has other settings now, and other threads. An attempt that runs ends
    /// as it would have.
    pub(super) fn change(&mut self, lane: Lane, tasks: Sender<Task>) {
        self.line.change(lane.flow, clock::instant());
        self.tasks = tasks;
        self.retired = false;
    }

    /// Whether there are attempts that start after the next commit.
    pub(super) fn is_starting(&self) -> bool {
        self.attempts.values().any(|attempt| !attempt.is_running)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.line.is_idle()
    }

    pub(super) fn flow(&self) -> &Flow {
        self.line.flow()
    }

    pub(super) fn next_tries(&self, now: Instant) -> impl Iterator<Item = NextTry<'_>> {
        self.line.next_tries(now)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        match self.retired {
            true => None,
            false => self.line.next_due(),
        }
    }

    pub(super) fn figures(&self) -> LaneFigures {
        let counts = self.line.counts();
        let at = clock::instant();
        let ago = |since: Instant| at.saturating_duration_since(since).as_micros() as i64;
        let breaker = self.line.breaker().open().map(|(since, next)| OpenBreaker {
            since: UnixTime::from_micros(now().micros() - ago(since)),
            next: next.map(|next| next.saturating_duration_since(at)),
            why: self.last_failure.clone(),
        });
        LaneFigures {
            line: LineFigures {
                name: self.name.clone(),
                waiting: counts.waiting,
                processing: counts.working,
            },
            places: self.flow().places,
            collected: match self.flow().bulk {
                Some(_) => counts.waiting,
                None => counts.in_digests,
            },
            breaker,
            paused: None,
        }
    }

    /// What stands for the target of a notification in this lane.
    fn aim(&mut self, target: &Target, route: &Route) -> Result<Arc<Aim>, String> {
        let own = route.own_contact();
        let key = (target.clone(), own.as_bytes().into());
        if let Some(aim) = self.aims.get(&key) {
            return Ok(Arc::clone(aim));
        }
        if self.aims.len() >= MANY_AIMS {
            self.aims.retain(|_, aim| Arc::strong_count(aim) > 1);
        }
        let told = match target {
            Target::Job(job) => {
                let detail = job.detail().ok_or("what the rules said of it is gone")?;
                Told::parse(detail)?
            }
            Target::Peer(_) | Target::Lane(_) => Told::default(),
        };
        let aim = Arc::new(Aim {
            target: target.clone(),
            recipients: recipients(&told, &own),
            contacts: contacts(&told, route),
            told: Arc::new(told),
        });
        self.aims.insert(key, Arc::clone(&aim));
        Ok(aim)
    }

    /// What keeps its order in this lane, or belongs together in it.
    fn stream(&self, aim: &Aim, route: &Route) -> Object {
        let Some(bulk) = &self.flow().bulk else {
            return Object::named([
                route.site.as_str().as_bytes(),
                route.object.as_bytes(),
                &aim.recipients,
            ]);
        };
        let rules = aim.told.rules.join(",");
        let entry = |name: &str| route.context().get(name).map_or(&b""[..], |v| v.as_slice());
        let part = |by: &By| match by {
            By::Host => entry("HOSTNAME"),
            By::Service => entry("SERVICEDESC"),
            By::Site => route.site.as_str().as_bytes(),
            // Those have their own in any case.
            By::Contact => b"",
            By::Rule => rules.as_bytes(),
            By::State if entry("SERVICESTATE").is_empty() => entry("HOSTSTATE"),
            By::State => entry("SERVICESTATE"),
            By::Entry(name) => entry(name),
        };
        Object::named(bulk.by.iter().map(part).chain([&*aim.recipients]))
    }
}

/// Whoever is told, and how, in bytes that are the same for the same.
fn recipients(told: &Told, own: &Object) -> Box<[u8]> {
    let mut all: Vec<&[u8]> = Vec::new();
    for (name, value) in &told.parameters {
        all.extend([name.as_bytes(), value.as_bytes()]);
    }
    for contact in &told.contacts {
        all.extend([&*contact.name, &*contact.email, &*contact.pager].map(|text| text.as_slice()));
    }
    if told.contacts.is_empty() {
        all.push(own.as_bytes());
    }
    Object::named(all).as_bytes().into()
}

fn contacts(told: &Told, route: &Route) -> Vec<String> {
    if told.contacts.is_empty() {
        let own = route.context().get("CONTACTNAME");
        return vec![own.map(ToString::to_string).unwrap_or_default()];
    }
    told.names().map(ToString::to_string).collect()
}

/// When things happen to a notification, told by durations: clocks of two sites
/// differ, and clocks jump.
struct Times {
    accepted: Instant,
    expires: Instant,
    happened: Instant,
}

impl Times {
    fn of(accepted: UnixTime, expire: Duration, route: &Route) -> Self {
        let (at, wall) = (clock::instant(), now());
        let micros = |us: i64| Duration::from_micros(u64::try_from(us).unwrap_or(0));
        let age = |time: UnixTime| micros(wall.micros().saturating_sub(time.micros()));
        let ago = |time: UnixTime| at.checked_sub(age(time)).unwrap_or(at);
        let lifetime = route.lifetime_us.map_or(expire, micros);
        let left = lifetime.saturating_sub(age(accepted));
        Self {
            accepted: ago(accepted),
            // An absurd lifetime is a long one.
            expires: at
                .checked_add(left)
                .unwrap_or(at + Duration::from_secs(10 * 365 * 86_400)),
            happened: ago(route.created),
        }
    }
}

impl<S: Storage> Owner<S> {
    /// Puts a notification into the line of `target`, which is a lane or a job of
    /// one; `false` if there is no such lane any more.
    pub(super) fn push_lane(
        &mut self,
        target: &Target,
        id: NotificationId,
        accepted: UnixTime,
        attempts: u32,
        route: &Route,
    ) -> bool {
        let is_it = |lane: &&mut LaneWork| target.is_meant_by(&lane.target);
        let Some(lane) = self.lanes.iter_mut().find(is_it) else {
            return false;
        };
        let aim = match lane.aim(target, route) {
            Ok(aim) => aim,
            Err(why) => {
                tracing::error!(%id, %target, "cannot be delivered: {why}");
                self.queue.settle(id, target, End::Refused, &why, now());
                return true;
            }
        };
        let times = Times::of(accepted, lane.flow().retry.expire, route);
        let new = New {
            id,
            stream: lane.stream(&aim, route),
            aim,
            matter: Matter::of(route.context()),
            size: route.size,
            attempts,
            accepted: times.accepted,
            expires: times.expires,
            happened: times.happened,
        };
        lane.line.push(new, clock::instant());
        true
    }

    /// Attempts that began in an earlier run and have no end.
    pub(super) fn find_interrupted(&mut self) {
        let running = self.queue.running();
        self.interrupted = running.map(|(id, target)| (id, target.clone())).collect();
    }

    /// Somebody has to look at what may or may not have been delivered, where the
    /// lane says so.
    pub(super) fn hold_interrupted(&mut self, message: &Message) -> bool {
        let holds = |target: &Target| {
            let mut lanes = self.lanes.iter();
            let lane = lanes.find(|lane| target.is_meant_by(&lane.target));
            lane.is_some_and(|lane| lane.flow().on_unknown == OnUnknown::Hold)
        };
        let mut open = message.targets.iter().filter(|state| state.end.is_none());
        let found = open.find(|state| {
            let key = (message.id, state.target.clone());
            self.interrupted.contains(&key) && holds(&state.target)
        });
        let Some(state) = found else {
            return false;
        };
        let (target, attempt) = (&state.target, state.attempts);
        let detail = format!("by notifyd: nobody knows how attempt {attempt} of {target} ended");
        tracing::warn!(id = %message.id, "held {detail}");
        self.queue.hold(message.id, &detail, now())
    }

    /// Records the start of every attempt whose turn it is.
    pub(super) fn take_turns(&mut self) {
        for at in 0..self.lanes.len() {
            while !self.lanes[at].retired
                && let Some(turn) = self.lanes[at].line.take(clock::instant())
            {
                match turn {
                    Turn::Expired(ticket) => {
                        let detail = match &ticket.answer {
                            Some(answer) => format!("not delivered in time; last: {answer}"),
                            None => "not delivered in time".to_owned(),
                        };
                        self.end_undelivered(at, &ticket, End::Expired, &detail);
                    }
                    Turn::TooLate(ticket) => {
                        let (id, target) = (ticket.id, &ticket.aim.target);
                        tracing::warn!(%id, %target, "too late, dropped");
                        let detail = "too late: the lane drops what is";
                        self.report(id, Some(target), 0, End::Dropped, detail.as_bytes());
                        self.queue.settle(id, target, End::Dropped, detail, now());
                    }
                    Turn::Try { work, tickets, why } => self.record_start(at, work, tickets, why),
                }
            }
        }
    }

    fn record_start(&mut self, at: usize, work: u64, tickets: Vec<Ticket>, why: Option<Together>) {
        let count = tickets.len();
        let queue = &mut self.queue;
        let is_open =
            |ticket: &Ticket| queue.attempt(ticket.id, &ticket.aim.target, ticket.attempt, now());
        let (open, gone): (Vec<_>, Vec<_>) = tickets.into_iter().partition(is_open);
        if !gone.is_empty() {
            let meant = names(&open);
            let line = &mut self.lanes[at].line;
            line.keep(work, clock::instant(), |ticket| {
                meant.contains(&(ticket.id, &ticket.aim.target))
            });
        }
        if open.is_empty() {
            return;
        }
        tracing::debug!(lane = self.lanes[at].name, work, "{count} to deliver");
        let attempt = Attempt {
            tickets: open,
            why,
            is_running: false,
        };
        self.lanes[at].attempts.insert(work, attempt);
    }

    /// Starts the attempts that are recorded now.
    pub(super) fn start_jobs(&mut self) {
        for at in 0..self.lanes.len() {
            let all = self.lanes[at].attempts.iter();
            let ready = all.filter(|(_, attempt)| !attempt.is_running);
            let ready: Vec<u64> = ready.map(|(number, _)| *number).collect();
            for number in ready {
                self.start_job(at, number);
            }
        }
    }

    fn start_job(&mut self, at: usize, number: u64) {
        let lane = &self.lanes[at];
        let Some(attempt) = lane.attempts.get(&number) else {
            return;
        };
        let jobs = attempt.tickets.iter().map(|ticket| self.job(ticket));
        let jobs: Result<Vec<Job>, _> = jobs.collect();
        let why = attempt.why;
        match jobs {
            Ok(jobs) => {
                let task = Task {
                    number,
                    work: work(jobs, why),
                };
                // A lane's threads end with the daemon only.
                let _ = lane.tasks.send(task);
                if let Some(attempt) = self.lanes[at].attempts.get_mut(&number) {
                    attempt.is_running = true;
                }
            }
            Err((id, why)) => {
                tracing::error!(%id, "what is stored cannot be read: {why}");
                self.handle_finished(at, number, Outcome::new(Verdict::Temporary, why));
            }
        }
    }

    fn job(&self, ticket: &Ticket) -> Result<Job, (NotificationId, String)> {
        let body = self.stored_text(ticket.id);
        Ok(Job {
            id: ticket.id,
            attempt: ticket.attempt,
            body: body.map_err(|why| (ticket.id, why))?,
            told: Arc::clone(&ticket.aim.told),
            is_late: ticket.is_late,
            left: self.left(ticket.id, &ticket.aim.target),
        })
    }

    /// Who still has to get what others have got; nobody named: all.
    fn left(&self, id: NotificationId, target: &Target) -> Vec<String> {
        let noted = self.queue.noted(id, target).unwrap_or_default();
        noted
            .lines()
            .map(|line| line.as_bstr().to_string())
            .collect()
    }

    /// Records that, so that the next attempt is for nobody else, whatever happens
    /// in between.
    fn note_left(&mut self, ticket: &Ticket, left: &[String]) {
        let (id, target, text) = (ticket.id, &ticket.aim.target, left.join("\n"));
        match text.len() {
            0 => {}
            1..=MAX_TEXT => {
                self.queue.note(id, target, text.as_bytes(), now());
            }
            _ => {
                let why = "those who are left are too many: it goes to all again";
                tracing::warn!(%id, %target, "{why}");
            }
        }
    }

    pub(super) fn stored_text(&self, id: NotificationId) -> Result<String, String> {
        match self.queue.body(id) {
            Ok(Some(body)) => String::from_utf8(body).map_err(|error| error.to_string()),
            Ok(None) => Err("it has ended".to_owned()),
            Err(error) => Err(chain(&error)),
        }
    }

    /// Records how an attempt went, and what follows from it.
    pub(super) fn handle_finished(&mut self, at: usize, work: u64, outcome: Outcome) {
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        let Some(attempt) = lane.attempts.remove(&work) else {
            return;
        };
        // It may have been dropped or held in the meantime.
        let queue = &self.queue;
        let is_meant = |ticket: &Ticket| {
            queue.is_open_at(ticket.id, &ticket.aim.target) && !queue.is_held(ticket.id)
        };
        let now = clock::instant();
        let Some(finished) = lane.line.finish(work, &outcome, now, is_meant) else {
            return;
        };
        let said = outcome.first_line();
        if !outcome.lane_works {
            lane.last_failure.clone_from(&said);
        }
        for ticket in &attempt.tickets {
            self.record_result(at, ticket, &outcome, finished.pause, attempt.why);
        }
        let lane = self.lanes[at].name.as_str();
        match finished.breaker {
            Some(true) => {
                self.changes.note();
                tracing::warn!(lane, "breaker opens, one is tried now and then: {said}");
            }
            Some(false) => {
                self.changes.note();
                tracing::info!(lane, "breaker closes, the lane works again");
            }
            None => {}
        }
    }

    fn record_result(
        &mut self,
        at: usize,
        ticket: &Ticket,
        outcome: &Outcome,
        pause: Option<Duration>,
        why: Option<Together>,
    ) {
        let (id, target, attempt) = (ticket.id, &ticket.aim.target, ticket.attempt);
        let verdict = match outcome.verdict {
            Verdict::Delivered => spool::Verdict::Success,
            Verdict::Temporary => spool::Verdict::Temporary,
            Verdict::Permanent => spool::Verdict::Permanent,
        };
        self.queue
            .result(id, target, attempt, verdict, &outcome.text, now());
        let said = outcome.first_line();
        if !outcome.refused.is_empty() {
            self.tell_refused(at, ticket, &outcome.refused);
        }
        match outcome.verdict {
            Verdict::Delivered => {
                tracing::info!(target: EACH, "delivered {id} by {target}, attempt {attempt}: {said}");
                self.counters.delivered += 1;
                let (end, detail) = match why {
                    None => (End::Delivered, ""),
                    Some(Together::Superseded) => {
                        (End::Superseded, "problem and recovery in one text")
                    }
                    Some(Together::Bulk) => (End::Delivered, "in a bulk"),
                    Some(Together::Storm | Together::Late) => (End::Delivered, "in a digest"),
                };
                self.report(id, Some(target), attempt, end, &outcome.text);
                self.queue.settle(id, target, end, detail, now());
            }
            Verdict::Temporary => {
                self.note_left(ticket, &outcome.left);
                let secs = pause.unwrap_or_default().as_secs();
                tracing::warn!(%id, %target, attempt, "next attempt in {secs} s: {said}");
            }
            Verdict::Permanent => {
                self.keep_refused(id, &format!("{target}: {said}"));
                self.end_undelivered(at, ticket, End::Refused, &said);
            }
        }
    }

    pub(super) fn lane_figures(&self) -> Vec<LaneFigures> {
        let figures = |lane: &LaneWork| LaneFigures {
            paused: self.pauses.paused(&lane.name),
            ..lane.figures()
        };
        self.lanes.iter().map(figures).collect()
    }

    /// All that wait for another attempt, in any lane, or for rules.
    pub(super) fn deferred(&self) -> HashSet<NotificationId> {
        let lanes = self.lanes.iter();
        let lanes = lanes.flat_map(|lane| lane.line.deferred());
        lanes.chain(self.undecided.keys().copied()).collect()
    }
}

fn names(tickets: &[Ticket]) -> HashSet<(NotificationId, &Target)> {
    let names = tickets.iter().map(|ticket| (ticket.id, &ticket.aim.target));
    names.collect()
}

fn work(mut jobs: Vec<Job>, why: Option<Together>) -> Work {
    let why = match why {
        None if jobs.len() == 1 => return Work::One(jobs.remove(0)),
        // One alone needs no digest, but a bulk is one whatever is in it.
        Some(Together::Storm | Together::Late) if jobs.len() == 1 => {
            return Work::One(jobs.remove(0));
        }
        Some(Together::Storm) | None => Why::Digest,
        Some(Together::Late) => Why::Late,
        Some(Together::Superseded) => Why::Superseded,
        Some(Together::Bulk) => Why::Bulk,
    };
    Work::Together { jobs, why }
}
