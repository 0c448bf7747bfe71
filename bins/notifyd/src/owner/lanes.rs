//! The owner's side of delivery: whose turn it is in each lane, the record
//! before an attempt and the record after it.

use std::collections::HashSet;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use bstr::ByteSlice;
use objects::{NotificationId, UnixTime};
use program::exit::chain;
use rules::Told;
use spool::{End, Label, Storage, Target};

use super::{Owner, now};
use crate::clock;
use crate::config::{Lane, Retry};
use crate::delivery::{Job, Outcome, Verdict, Work};
use crate::figures::Line;
use crate::object::Object;
use crate::waiting::{self, LaneLine, NextTry, Turn};

/// One lane.
pub(super) struct LaneWork {
    pub(super) name: String,
    pub(super) target: Target,
    retry: Retry,
    line: LaneLine,
    jobs: Sender<Work>,
    state: State,
    /// It is not in the configuration any more: what waits for it stays.
    pub(super) retired: bool,
}

/// What the lane's thread is doing.
#[derive(Clone)]
enum State {
    Idle,
    /// The attempt is recorded, and starts after the commit.
    Starting(Running),
    /// The attempt runs.
    Running(Running),
}

/// An attempt.
#[derive(Clone)]
struct Running {
    id: NotificationId,
    /// The lane, or one of its jobs.
    target: Target,
    attempt: u32,
}

impl LaneWork {
    pub(super) fn new(lane: Lane, jobs: Sender<Work>) -> Self {
        Self {
            target: Target::Lane(lane.name.clone()),
            name: lane.name,
            retry: lane.retry,
            line: LaneLine::default(),
            jobs,
            state: State::Idle,
            retired: false,
        }
    }

    /// It has other settings now, and another thread. An attempt that runs ends
    /// as it would have.
    pub(super) fn change(&mut self, lane: Lane, jobs: Sender<Work>) {
        self.retry = lane.retry;
        self.jobs = jobs;
        self.retired = false;
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Takes these out of the line; an attempt that runs goes on.
    pub(super) fn take_out(
        &mut self,
        ids: &HashSet<NotificationId>,
        objects: &HashSet<Object>,
        now: Instant,
    ) {
        self.line.take_out(ids, objects, now);
    }

    /// What waits for another attempt is tried now, of these objects.
    pub(super) fn hurry(&mut self, objects: &HashSet<Object>, now: Instant) {
        self.line.hurry(Some(objects), now);
    }

    /// The same of all; how many these are.
    pub(super) fn hurry_all(&mut self, now: Instant) -> u64 {
        self.line.hurry(None, now)
    }

    pub(super) fn retries(&self, now: Instant) -> impl Iterator<Item = NextTry> + '_ {
        self.line.retries(now)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        match self.retired {
            true => None,
            false => self.line.next_due(),
        }
    }

    pub(super) fn figures(&self) -> Line {
        let (waiting, processing) = self.line.counts();
        Line {
            name: self.name.clone(),
            waiting,
            processing,
        }
    }

    fn target_of(&self, job: Option<spool::Job>) -> Target {
        job.map_or_else(|| self.target.clone(), Target::Job)
    }

    /// The moment at which a notification accepted at `accepted` expires. Told
    /// by durations: clocks of two sites differ, and clocks jump.
    fn expires(&self, accepted: UnixTime, label: Label) -> Instant {
        let secs = |s: u32| Duration::from_secs(s.into());
        let lifetime = label.lifetime_s.map_or(self.retry.expire, secs);
        let age = now().micros().saturating_sub(accepted.micros());
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        let left = lifetime.saturating_sub(age);
        let at = clock::instant();
        // An absurd lifetime is a long one.
        at.checked_add(left)
            .unwrap_or(at + Duration::from_secs(10 * 365 * 86_400))
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
        label: Label,
    ) -> bool {
        let is_it = |lane: &&mut LaneWork| target.is_meant_by(&lane.target);
        let Some(lane) = self.lanes.iter_mut().find(is_it) else {
            return false;
        };
        let expires = lane.expires(accepted, label);
        let job = match target {
            Target::Job(job) => Some(job.clone()),
            Target::Peer(_) | Target::Lane(_) => None,
        };
        lane.line
            .push((id, job), label.into(), attempts, clock::instant(), expires);
        true
    }

    /// Records the start of every attempt whose turn it is.
    pub(super) fn take_turns(&mut self) {
        for lane in self
            .lanes
            .iter_mut()
            .filter(|lane| lane.is_idle() && !lane.retired)
        {
            while let Some(turn) = lane.line.take(clock::instant()) {
                match turn {
                    Turn::Expired { id, job } => {
                        let target = lane.target_of(job);
                        tracing::warn!(%id, lane = lane.name, "expired undelivered");
                        self.counters.failed += 1;
                        let detail = "not delivered in time";
                        self.queue.settle(id, &target, End::Expired, detail, now());
                    }
                    Turn::Try { id, job, attempt } => {
                        let target = lane.target_of(job);
                        if self.queue.attempt(id, &target, attempt, now()) {
                            lane.state = State::Starting(Running {
                                id,
                                target,
                                attempt,
                            });
                            break;
                        }
                        lane.line.end(clock::instant());
                    }
                }
            }
        }
    }

    /// Starts the attempts that are recorded now.
    pub(super) fn start_jobs(&mut self) {
        for at in 0..self.lanes.len() {
            let State::Starting(running) = self.lanes[at].state.clone() else {
                continue;
            };
            let id = running.id;
            let job = self.job(&running);
            self.lanes[at].state = State::Running(running);
            match job {
                Ok(job) => {
                    // A lane's thread ends with the daemon only.
                    let _ = self.lanes[at].jobs.send(Work::One(job));
                }
                Err(why) => {
                    tracing::error!(%id, "what is stored cannot be read: {why}");
                    self.handle_finished(at, Outcome::new(Verdict::Temporary, why));
                }
            }
        }
    }

    fn job(&self, running: &Running) -> Result<Job, String> {
        let detail = match &running.target {
            Target::Job(job) => job.detail().ok_or("what the rules said of it is gone")?,
            Target::Peer(_) | Target::Lane(_) => "{}",
        };
        Ok(Job {
            id: running.id,
            attempt: running.attempt,
            body: self.stored_text(running.id)?,
            told: Told::parse(detail)?.into(),
        })
    }

    fn stored_text(&self, id: NotificationId) -> Result<String, String> {
        match self.queue.body(id) {
            Ok(Some(body)) => String::from_utf8(body).map_err(|error| error.to_string()),
            Ok(None) => Err("it has ended".to_owned()),
            Err(error) => Err(chain(&error)),
        }
    }

    /// Records how an attempt went, and what follows from it.
    pub(super) fn handle_finished(&mut self, at: usize, outcome: Outcome) {
        let lane = &self.lanes[at];
        let State::Running(running) = lane.state.clone() else {
            return;
        };
        let Running {
            id,
            target,
            attempt,
        } = running;
        let pause = waiting::pause(lane.retry, attempt, id);
        let pause = outcome.retry_after.unwrap_or(pause);
        let verdict = match outcome.verdict {
            Verdict::Delivered => spool::Verdict::Success,
            Verdict::Temporary => spool::Verdict::Temporary,
            Verdict::Permanent => spool::Verdict::Permanent,
        };
        self.queue
            .result(id, &target, attempt, verdict, &outcome.text, now());
        let said = program::log::quote(outcome.text.lines().next().unwrap_or(b""), 300);
        match outcome.verdict {
            Verdict::Delivered => {
                tracing::debug!(%id, %target, attempt, "delivered: {said}");
                self.counters.delivered += 1;
                self.queue.settle(id, &target, End::Delivered, "", now());
            }
            Verdict::Temporary => {
                tracing::warn!(%id, %target, attempt, "next attempt in {} s: {said}", pause.as_secs());
            }
            Verdict::Permanent => {
                tracing::warn!(%id, %target, attempt, "refused: {said}");
                self.counters.failed += 1;
                self.keep_refused(id, &format!("{target}: {said}"));
                self.queue.settle(id, &target, End::Refused, &said, now());
            }
        }
        // It may have been dropped or held in the meantime.
        let again = outcome.verdict == Verdict::Temporary
            && self.queue.is_open_at(id, &target)
            && !self.queue.is_held(id);
        let lane = &mut self.lanes[at];
        lane.state = State::Idle;
        match again {
            true => lane.line.retry(clock::instant(), pause),
            false => lane.line.end(clock::instant()),
        }
    }

    /// All that wait for another attempt, in any lane.
    pub(super) fn deferred(&self) -> HashSet<NotificationId> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|lane| lane.line.deferred()).collect()
    }
}
