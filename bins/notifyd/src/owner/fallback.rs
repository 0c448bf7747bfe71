//! Delivery here of what was forwarded and not acknowledged in time. What was
//! delivered so is marked where it still has to go, so that nobody is told twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use objects::{Envelope, NotificationId, SiteId, UnixTime};
use program::exit::chain;
use rules::Told;
use spool::{End, Job, Message, Queue, Storage, Target};

use super::{Owner, now, read_route};
use crate::clock;
use crate::config::Configuration;
use crate::decision::Decided;
use crate::route::Route;

/// What could not be decided or read is looked at again after this long.
const AGAIN: Duration = Duration::from_secs(30);

/// Who waits for an acknowledgement, and until when.
#[derive(Default)]
pub(super) struct Fallback {
    after: Option<Duration>,
    waiting: BinaryHeap<Reverse<(Instant, NotificationId)>>,
}

impl Fallback {
    pub(super) fn new(configuration: &Configuration) -> Self {
        Self {
            after: configuration.fallback_after(),
            waiting: BinaryHeap::new(),
        }
    }

    /// The configuration has changed: what waits keeps its moment.
    pub(super) fn set(&mut self, after: Option<Duration>) {
        self.after = after;
    }

    pub(super) fn is_used(&self) -> bool {
        self.after.is_some()
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse((due, _))| *due)
    }

    /// Told by durations: a clock that jumps changes nothing of what waits.
    fn wait(&mut self, id: NotificationId, accepted: UnixTime, after: Duration) {
        let age = now().micros().saturating_sub(accepted.micros());
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        let due = clock::instant() + after.saturating_sub(age);
        self.waiting.push(Reverse((due, id)));
    }

    fn pop(&mut self, now: Instant) -> Option<NotificationId> {
        let due = self.next_due().is_some_and(|due| due <= now);
        due.then(|| self.waiting.pop().map(|Reverse((_, id))| id))?
    }
}

impl<S: Storage> Owner<S> {
    /// Whether the lanes are to wait for the acknowledgement of what is forwarded
    /// to `forwards` sites; then they do.
    pub(super) fn falls_back(
        &mut self,
        id: NotificationId,
        accepted: UnixTime,
        forwards: usize,
    ) -> bool {
        match self.fallback.after {
            Some(after) if forwards > 0 => {
                self.fallback.wait(id, accepted, after);
                true
            }
            _ => false,
        }
    }

    /// The same for what waited in an earlier run, or was held.
    pub(super) fn restore_fallback(&mut self, message: &Message) {
        let is_peer = |target: &Target| matches!(target, Target::Peer(_));
        let only_peers = message.targets.iter().all(|state| is_peer(&state.target));
        if let Some(after) = self.fallback.after
            && only_peers
        {
            self.fallback.wait(message.id, message.accepted, after);
        }
    }

    /// Hands to the lanes what was not acknowledged in time.
    pub(super) fn fall_back(&mut self) {
        while let Some(id) = self.fallback.pop(clock::instant()) {
            // What has ended was acknowledged, what is held waits for its release.
            let message = self.queue.message(id).filter(|message| !message.held);
            let Some(message) = message else { continue };
            let is_new = message
                .targets
                .iter()
                .all(|state| matches!(state.target, Target::Peer(_)) && state.end.is_none());
            if !is_new {
                continue;
            }
            let body = self.queue.body(id).map_err(|error| chain(&error));
            let route = body.and_then(|body| read_route(body.unwrap_or_default()));
            let why = match route {
                Err(why) => why,
                Ok(route) if !route.is_for_people() => continue,
                Ok(route) => match self.lanes_for(&route) {
                    // It is not for people.
                    Decided::To(lanes) if lanes.is_empty() => continue,
                    Decided::To(lanes) => {
                        self.deliver_here(&message, &route, lanes);
                        continue;
                    }
                    Decided::Nobody(why) => {
                        tracing::warn!(%id, "not acknowledged, and nobody to notify here: {why}");
                        continue;
                    }
                    Decided::NotYet(why) => why,
                },
            };
            tracing::error!(%id, "not acknowledged, and cannot be delivered here: {why}");
            let due = clock::instant() + AGAIN;
            self.fallback.waiting.push(Reverse((due, id)));
        }
    }

    fn deliver_here(&mut self, message: &Message, route: &Route, lanes: Vec<Target>) {
        let id = message.id;
        let lanes: Vec<Target> = lanes.into_iter().map(instead).collect();
        tracing::warn!(%id, "not acknowledged in time, delivered here");
        if !self.queue.assign(id, &lanes, now()) {
            tracing::error!(%id, "what the rules say of it is too long");
            return;
        }
        for lane in &lanes {
            self.push_lane(lane, id, message.accepted, 0, route);
        }
    }

    /// A peer has it now: what nobody has begun to deliver here need not be.
    pub(super) fn take_fallback_back(&mut self, id: NotificationId, peer: &SiteId) {
        if self.fallback.after.is_none() {
            return;
        }
        let targets = self.queue.message(id).map_or(Vec::new(), |m| m.targets);
        let unused = targets.iter().filter(|state| {
            state.end.is_none() && state.attempts == 0 && is_instead(&state.target)
        });
        let detail = format!("{peer} has it now");
        for state in unused {
            self.queue
                .settle(id, &state.target, End::Superseded, &detail, now());
        }
    }
}

/// The job of a lane that stands in for a peer.
fn instead(target: Target) -> Target {
    let told = match &target {
        Target::Job(job) => job.detail().and_then(|detail| Told::parse(detail).ok()),
        Target::Peer(_) | Target::Lane(_) => None,
    };
    let told = Told {
        instead: true,
        ..told.unwrap_or_default()
    };
    Target::Job(Job::new(target.name(), &told.print()))
}

fn is_instead(target: &Target) -> bool {
    match target {
        Target::Job(job) => job
            .detail()
            .and_then(|detail| Told::parse(detail).ok())
            .is_some_and(|told| told.instead),
        Target::Peer(_) | Target::Lane(_) => false,
    }
}

/// Whether it was delivered here although it was to be forwarded.
pub(super) fn was_delivered<S: Storage>(queue: &Queue<S>, id: NotificationId) -> bool {
    let targets = queue.message(id).map_or(Vec::new(), |m| m.targets);
    let delivered = |end| matches!(end, Some(End::Delivered));
    targets
        .iter()
        .any(|state| delivered(state.end) && is_instead(&state.target))
}

/// The body with the mark that `own` has delivered it already.
pub(super) fn marked(body: &[u8], own: &SiteId) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let marked = Envelope::parse(text).ok()?.mark_delivered(own)?;
    Some(marked.into_bytes())
}
