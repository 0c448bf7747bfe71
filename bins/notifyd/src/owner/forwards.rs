//! Which of its peers a forward uses: the first that can take something, and
//! another only after the one in use has been away for a while.
//!
//! A notification is assigned to the peer in use when it is accepted, and to
//! another one when it is sent there; whichever stores it settles it for all.
//! Going back to a preferred peer waits until nothing is in doubt at the other:
//! so each object keeps its order. What is in doubt at a peer that is away is
//! sent to the next one, too; a site that both forward to takes it once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use objects::{NotificationId, SiteId};
use spool::{End, Label, Message, Queue, Settled, Storage, Target};

use super::fallback::{marked, was_delivered};
use super::peers::PeerWork;
use super::results::is_result;
use super::{Owner, now};
use crate::clock;
use crate::config::Forward;
use crate::figures::Line;
use crate::forward_line::{Backlog, ForwardLine, Waiting};
use crate::route::Route;

/// One forward.
pub(super) struct ForwardWork {
    /// In order of preference.
    peers: Vec<SiteId>,
    /// The same, as the journal names them.
    targets: Vec<Target>,
    failover_after: Duration,
    only_results: bool,
    pub(super) line: ForwardLine,
    /// The one in use, by its place in `peers`.
    active: usize,
    /// Since when each of them can take nothing.
    away: Vec<Option<Instant>>,
    /// When the next one takes over, if nothing else happens.
    due: Option<Instant>,
    /// The disk did not give something out: until when nothing is sent.
    pause: Option<Instant>,
}

/// A disk that did not give something out is asked again after this long.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl ForwardWork {
    pub(super) fn new(forward: Forward, now: Instant) -> Self {
        Self {
            away: vec![Some(now); forward.to.len()],
            targets: forward.to.iter().cloned().map(Target::Peer).collect(),
            peers: forward.to,
            failover_after: forward.failover_after,
            only_results: forward.only_results,
            line: ForwardLine::default(),
            active: 0,
            due: None,
            pause: None,
        }
    }

    pub(super) fn has_peers(&self, peers: &[SiteId]) -> bool {
        self.peers == peers
    }

    /// The same with other settings.
    pub(super) fn with(self, forward: &Forward) -> Self {
        Self {
            failover_after: forward.failover_after,
            only_results: forward.only_results,
            ..self
        }
    }

    pub(super) fn goes_to(&self, peer: &SiteId) -> bool {
        self.peers.contains(peer)
    }

    /// The peer in use.
    pub(super) fn active(&self) -> &SiteId {
        &self.peers[self.active]
    }

    pub(super) fn due(&self) -> Option<Instant> {
        [self.due, self.pause].into_iter().flatten().min()
    }

    /// Whether a notification that came this way is to go on here: not if one
    /// of these sites has had it.
    pub(super) fn wants(&self, route: &Route) -> bool {
        !self.only_results && !self.peers.iter().any(|peer| route.path.contains(peer))
    }

    /// The peer that is to be fed now, if one is.
    fn turn(&mut self, peers: &BTreeMap<SiteId, PeerWork>, now: Instant) -> Option<SiteId> {
        let work = |at: usize| peers.get(&self.peers[at]);
        for at in 0..self.peers.len() {
            let able = work(at).is_some_and(PeerWork::can_take);
            let since = self.away[at].unwrap_or(now);
            self.away[at] = (!able).then_some(since);
        }
        let best = self.away.iter().position(Option::is_none)?;
        self.due = None;
        if best > self.active
            && let Some(since) = self.away[self.active]
        {
            let due = since + self.failover_after;
            if now < due {
                self.due = Some(due);
                return None;
            }
            let (gone, secs) = (self.active(), now.duration_since(since).as_secs());
            tracing::warn!(
                "{gone} has been away for {secs} s: {} takes over",
                self.peers[best]
            );
        } else if best < self.active {
            let drains =
                self.away[self.active].is_none() && work(self.active).is_some_and(|w| w.in_doubt());
            if drains {
                return None;
            }
            tracing::info!("{} is back and takes over again", self.peers[best]);
        }
        if best != self.active {
            self.active = best;
            self.line.restart();
        }
        Some(self.peers[best].clone())
    }

    /// How many wait, those on their way included.
    pub(super) fn waiting<S: Storage>(&self, queue: &Queue<S>) -> u64 {
        queue.waiting_at_any(&self.targets)
    }

    fn figures<S: Storage>(&self, queue: &Queue<S>) -> Line {
        let processing = self.line.sent();
        let waiting = self.waiting(queue).saturating_sub(processing);
        Line {
            name: self
                .peers
                .iter()
                .map(SiteId::as_str)
                .collect::<Vec<_>>()
                .join(","),
            waiting,
            processing,
        }
    }
}

/// What waits for a forward, as the journal says.
struct Waits<'a, S: Storage> {
    queue: &'a Queue<S>,
    targets: &'a [Target],
}

impl<S: Storage> Backlog for Waits<'_, S> {
    fn from(&self, place: u64) -> impl Iterator<Item = Waiting> {
        let waiting = self.queue.waiting_from(place, self.targets);
        waiting.map(|(place, id, about)| Waiting { place, id, about })
    }

    fn len(&self) -> u64 {
        self.queue.waiting_at_any(self.targets)
    }
}

impl<S: Storage> Owner<S> {
    /// An open message of an earlier run, or one that was held, waits for the
    /// forwards it still has to go to; the targets that no forward leads to are
    /// returned.
    pub(super) fn restore_forwards(&mut self, message: &Message, label: Label) -> Vec<SiteId> {
        let peers = |ended: bool| {
            let targets = message.targets.iter();
            targets.filter_map(move |state| match &state.target {
                Target::Peer(peer) if state.end.is_some() == ended => Some(peer),
                _ => None,
            })
        };
        let mut orphans = Vec::new();
        let mut found = Vec::new();
        for peer in peers(false) {
            match self.forwards.iter().position(|f| f.goes_to(peer)) {
                Some(at) if !found.contains(&at) => found.push(at),
                Some(_) => {}
                None => orphans.push(peer.clone()),
            }
        }
        for at in found {
            // A crash came between the records of one end.
            let stored = peers(true).find(|peer| self.forwards[at].goes_to(peer));
            match stored {
                Some(peer) => {
                    self.settle_forward(message.id, peer, End::StoredByPeer, "");
                }
                None => self.put_in_forward(at, message.order, message.id, label),
            }
        }
        orphans
    }

    /// Lets a forward know of a message that waits for it, which may have come
    /// before others that went already.
    pub(super) fn put_in_forward(
        &mut self,
        at: usize,
        place: u64,
        id: NotificationId,
        label: Label,
    ) {
        let about = label.about;
        let line = &mut self.forwards[at].line;
        line.put_in(Waiting { place, id, about });
    }

    /// Records an end at `peer`, which is one for all peers of the forward.
    pub(super) fn settle_forward(
        &mut self,
        id: NotificationId,
        peer: &SiteId,
        end: End,
        detail: &str,
    ) -> Settled {
        let target = Target::Peer(peer.clone());
        let settled = self.queue.settle(id, &target, end, detail, now());
        let Some(forward) = self.forwards.iter().find(|f| f.goes_to(peer)) else {
            return settled;
        };
        for other in forward.peers.iter().filter(|other| *other != peer) {
            let target = Target::Peer(other.clone());
            let detail = format!("at {peer}");
            self.queue.settle(id, &target, end, &detail, now());
        }
        settled
    }

    /// Hands the peers in use as much as their windows take.
    pub(super) fn feed_forwards(&mut self) {
        let at = clock::instant();
        let old = self.ages.old(self.queue.next_order(), at);
        for forward in &mut self.forwards {
            if forward.pause.is_some_and(|until| at < until) {
                continue;
            }
            forward.pause = None;
            let Some(peer) = forward.turn(&self.peers, at) else {
                continue;
            };
            let Some(work) = self.peers.get_mut(&peer) else {
                continue;
            };
            while work.has_room() {
                let waits = Waits {
                    queue: &self.queue,
                    targets: &forward.targets,
                };
                let Some(id) = forward.line.take(old, &waits) else {
                    break;
                };
                let mark = self.fallback.is_used() && was_delivered(&self.queue, id);
                let takes_results = work.wants_results();
                let sent = self.queue.look_at_body(id, |body| {
                    if !takes_results && is_result(body) {
                        return false;
                    }
                    let marked = mark.then(|| marked(body, &self.site)).flatten();
                    work.send(id, marked.as_deref().unwrap_or(body), at);
                    true
                });
                match sent {
                    Ok(Some(false)) => {
                        let why = format!("{peer} takes no results");
                        self.queue.end(id, End::Dropped, &why, now());
                        forward.line.end(id);
                    }
                    Ok(Some(true)) if forward.peers.len() > 1 => {
                        let target = Target::Peer(peer.clone());
                        self.queue.assign(id, &[target], now());
                    }
                    Ok(Some(true)) => {}
                    Ok(None) => forward.line.end(id),
                    Err(error) if error.is_temporary() => {
                        let why = program::exit::chain(&error);
                        tracing::error!(%id, %peer, "cannot be read: {why}");
                        forward.line.give_back(id);
                        forward.pause = Some(at + READ_AGAIN);
                        break;
                    }
                    Err(error) => {
                        let why = program::exit::chain(&error);
                        tracing::error!(%id, "stored body cannot be used: {why}");
                        self.queue.end(id, End::Refused, &why, now());
                        forward.line.end(id);
                    }
                }
            }
            work.send_rest();
        }
    }

    pub(super) fn forward_figures(&self) -> Vec<Line> {
        let forwards = self.forwards.iter();
        let is_shown = |work: &&ForwardWork| !work.only_results || work.waiting(&self.queue) > 0;
        let shown = forwards.filter(is_shown);
        shown.map(|work| work.figures(&self.queue)).collect()
    }
}
