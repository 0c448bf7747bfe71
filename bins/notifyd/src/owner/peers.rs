//! The owner's side of the links: what goes to which peer, and what a peer is
//! told after each commit.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use net::{Command, Messages};
use objects::notification::Kind;
use objects::{NotificationId, SiteId};
use program::log::EACH;
use spool::{End, Space, Storage};
use tokio::sync::mpsc::UnboundedSender;
use wire::{Disk, Event, Health, RefusalCode, Window};

use super::pace::Pace;
use super::{FromLink, Owner, Said, now};
use crate::clock;
use crate::config::Peer;
use crate::route::{Incoming, Refusal};

/// Bytes of messages that a link is told of at once.
const AT_ONCE: usize = 128 << 10;
/// The pause we ask a peer to make whose second connection we close.
const DUPLICATE_PAUSE: Duration = Duration::from_secs(60);

/// One peer.
pub(super) struct PeerWork {
    peer: Peer,
    link: Option<Link>,
    /// Whether both ends knew results when it was here last.
    results: Option<bool>,
}

/// The link that is up, and what it is told after the next commit.
struct Link {
    number: u64,
    outgoing: bool,
    accepts: bool,
    commands: UnboundedSender<Command>,
    /// What may be sent: nothing before the peer's RESUME.
    window: Option<Window>,
    /// Sent and not settled: how long each body is, and when it was sent.
    in_doubt: HashMap<NotificationId, (u64, Instant)>,
    /// The sum of those.
    bytes_in_doubt: u64,
    /// Those of them that the link has not been told of.
    sending: Messages,
    /// How many bytes it was told of last: the next are as many, most of the time.
    told_bytes: usize,
    pace: Pace,
    /// What the next commit makes true.
    true_next: Truths,
    /// What the one makes true that is under way.
    under_way: Truths,
    ping: bool,
}

/// What a peer is told when it is durable.
#[derive(Default)]
struct Truths {
    /// Up to this number everything is stored, but for what is refused.
    stored: Option<u64>,
    refused: Vec<(u64, Refusal)>,
    /// What the peer has, and is recorded to have.
    settled: Vec<NotificationId>,
}

impl Truths {
    /// With those that come after them.
    fn and(mut self, later: Self) -> Self {
        self.stored = later.stored.or(self.stored);
        self.refused.extend(later.refused);
        self.settled.extend(later.settled);
        self
    }
}

impl Link {
    fn tell(&self, command: Command) {
        // A link that is gone reports it itself.
        let _ = self.commands.send(command);
    }

    fn has_room(&self) -> bool {
        self.window.is_some_and(|window| {
            self.accepts
                && self.in_doubt.len() < window.msgs as usize
                && self.bytes_in_doubt < window.bytes
                && self.pace.allows(self.bytes_in_doubt)
        })
    }

    fn send(&mut self, id: NotificationId, body: &[u8], now: Instant) {
        let len = body.len() as u64;
        // It may be in doubt here from before another peer took over.
        let before = self.in_doubt.insert(id, (len, now));
        self.bytes_in_doubt += len - before.map_or(0, |(len, _)| len);
        if self.sending.is_empty() {
            self.sending.reserve(self.told_bytes);
        }
        self.sending.push(id, body);
        // While these are under way the next ones are read.
        if self.sending.bytes() >= AT_ONCE {
            self.tell_sending();
        }
    }

    fn tell_sending(&mut self) {
        if !self.sending.is_empty() {
            let messages = std::mem::take(&mut self.sending);
            self.told_bytes = messages.bytes();
            self.tell(Command::Send(messages));
        }
    }

    /// It is durable now.
    fn tell_truths(&mut self, truths: Truths) {
        for (seq, refusal) in truths.refused {
            self.tell(Command::Refuse {
                seq,
                code: refusal.code,
                text: refusal.why,
            });
        }
        if let Some(seq) = truths.stored {
            self.tell(Command::Stored(seq));
        }
        self.tell_settled(truths.settled);
    }

    /// Frees the places of what is recorded now.
    fn tell_settled(&mut self, settled: Vec<NotificationId>) {
        let now = clock::instant();
        for id in &settled {
            if let Some((len, sent)) = self.in_doubt.remove(id) {
                self.bytes_in_doubt -= len;
                self.pace.settled(len, now.saturating_duration_since(sent));
            }
        }
        if !settled.is_empty() {
            self.tell(Command::Settled(settled));
        }
    }

    fn go_away(&self, reason: &str, retry_after: Duration) {
        self.tell(Command::GoAway {
            reason: reason.to_owned(),
            retry_after,
        });
    }
}

impl PeerWork {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            link: None,
            results: None,
        }
    }

    /// The configuration has changed.
    pub(super) fn set(&mut self, peer: Peer) {
        self.peer = peer;
    }

    /// What this peer may not send.
    fn forbids(&self, incoming: &Incoming) -> Option<Refusal> {
        let refusal = |why| Refusal {
            code: RefusalCode::ForbiddenSite,
            why,
        };
        if !self.peer.receive {
            return Some(refusal(format!("{} may not send", self.peer.site)));
        }
        // Who passes a result on speaks for nobody: what it tells of came from here.
        if incoming.route.kind == Kind::Result && self.wants_results() {
            return None;
        }
        let mut origins = incoming.route.origins.iter();
        let origin = origins.find(|origin| !self.peer.may_claim(origin))?;
        let origin = program::log::quote(origin, 64);
        Some(refusal(format!(
            "{} may not speak for site {origin}",
            self.peer.site
        )))
    }

    /// Whether results are to go to it: as far as is known before it has come.
    pub(super) fn wants_results(&self) -> bool {
        self.peer.results && self.results.unwrap_or(true)
    }

    /// It is no peer any more.
    pub(super) fn dismiss(&self) {
        if let Some(link) = &self.link {
            link.go_away("not a peer any more", Duration::ZERO);
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.link.is_none()
    }

    /// Whether notifications can be sent to it now, or soon.
    pub(super) fn can_take(&self) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|link| {
            link.accepts && link.window.is_some_and(|w| w.msgs > 0 && w.bytes > 0)
        })
    }

    /// Whether there is something of which only it knows whether it has it.
    pub(super) fn in_doubt(&self) -> bool {
        let link = self.link.as_ref();
        link.is_some_and(|link| !link.in_doubt.is_empty())
    }

    pub(super) fn has_room(&self) -> bool {
        self.link.as_ref().is_some_and(Link::has_room)
    }

    /// Sends it, with those before it, or at the latest when told to
    /// [`Self::send_rest`].
    pub(super) fn send(&mut self, id: NotificationId, body: &[u8], now: Instant) {
        if let Some(link) = &mut self.link {
            link.send(id, body, now);
        }
    }

    pub(super) fn send_rest(&mut self) {
        if let Some(link) = &mut self.link {
            link.tell_sending();
        }
    }
}

impl<S: Storage> Owner<S> {
    pub(super) fn handle_link(&mut self, peer: &SiteId, number: u64, what: FromLink) {
        if let FromLink::Up {
            commands,
            outgoing,
            accepts,
            results,
        } = what
        {
            if let Some(work) = self.peers.get_mut(peer) {
                work.results = Some(results);
            }
            self.link_up(peer, number, commands, outgoing, accepts);
            // Nobody has to wait for the next look.
            self.end_silences();
            return;
        }
        let Some(work) = self.peers.get_mut(peer) else {
            return;
        };
        if work.link.as_ref().is_none_or(|link| link.number != number) {
            return;
        }
        match what {
            FromLink::Up { .. } => {}
            FromLink::Down => {
                work.link = None;
                self.restart_line(peer);
            }
            FromLink::Said(said) => {
                for said in said {
                    self.handle_said(peer, said);
                }
            }
        }
    }

    fn handle_said(&mut self, peer: &SiteId, said: Said) {
        let event = match said {
            Said::Message { seq, id, read } => return self.message_from(peer, seq, id, read),
            Said::Other(event) => event,
        };
        let work = self.peers.get_mut(peer);
        let Some(link) = work.and_then(|work| work.link.as_mut()) else {
            return;
        };
        match event {
            Event::Resumed { have, window } => {
                link.window = Some(window);
                self.restart_line(peer);
                if let Some(forward) = self.forwards.iter_mut().find(|f| f.goes_to(peer)) {
                    have.iter().for_each(|id| forward.line.end(*id));
                }
                self.stored_by_peer(peer, have);
            }
            Event::Acknowledged { ids } => {
                if let Some(forward) = self.forwards.iter_mut().find(|f| f.goes_to(peer)) {
                    ids.iter().for_each(|id| forward.line.end(*id));
                }
                self.stored_by_peer(peer, ids);
            }
            Event::Refused { id, code, text } => self.refused_by_peer(peer, id, &code, &text),
            Event::Window(window) => link.window = Some(window),
            Event::Ping { .. } => link.ping = true,
            Event::PeerHello(_)
            | Event::Message { .. }
            | Event::PeerSettled { .. }
            | Event::Pong { .. }
            | Event::GoAway { .. } => {}
        }
    }

    fn link_up(
        &mut self,
        peer: &SiteId,
        number: u64,
        commands: UnboundedSender<Command>,
        outgoing: bool,
        accepts: bool,
    ) {
        let have = self.queue.accepted_from(peer);
        let takes = self.takes_from_peers();
        let own = self.site.clone();
        let Some(work) = self.peers.get_mut(peer) else {
            return;
        };
        let new = Link {
            number,
            outgoing,
            accepts,
            commands,
            window: None,
            in_doubt: HashMap::new(),
            bytes_in_doubt: 0,
            sending: Messages::default(),
            told_bytes: 0,
            pace: Pace::default(),
            true_next: Truths::default(),
            under_way: Truths::default(),
            ping: false,
        };
        if let Some(old) = &work.link {
            // Both connect to each other: the connection that the smaller site
            // opened stays. Of two in one direction the peer knows only the
            // newer one.
            let opened_by_smaller = new.outgoing == (own < *peer);
            if old.outgoing != new.outgoing && !opened_by_smaller {
                new.go_away("duplicate", DUPLICATE_PAUSE);
                return;
            }
            old.go_away("duplicate", DUPLICATE_PAUSE);
        }
        // What does not fit into the window any more cannot be in doubt.
        let recent = have.len().saturating_sub(self.window.msgs as usize);
        new.tell(Command::Resume(have[recent..].to_vec()));
        if !takes {
            new.tell(Command::Grant(Window::CLOSED));
        }
        if self.stopping {
            new.go_away("stopping", Duration::ZERO);
        }
        work.link = Some(new);
    }

    /// A new link, or none any more: what the last one was handed goes again.
    fn restart_line(&mut self, peer: &SiteId) {
        let mut forwards = self.forwards.iter_mut();
        if let Some(forward) = forwards.find(|forward| forward.active() == peer) {
            forward.line.restart();
        }
    }

    fn stored_by_peer(&mut self, peer: &SiteId, ids: Vec<NotificationId>) {
        for id in &ids {
            tracing::info!(target: EACH, "forwarded {id} to {peer}");
            self.take_fallback_back(*id, peer);
            self.settle_forward(*id, peer, End::StoredByPeer, "");
        }
        let work = self.peers.get_mut(peer);
        if let Some(link) = work.and_then(|work| work.link.as_mut()) {
            link.true_next.settled.extend(ids);
        }
    }

    fn refused_by_peer(
        &mut self,
        peer: &SiteId,
        id: NotificationId,
        code: &RefusalCode,
        text: &str,
    ) {
        let text = program::log::quote(text.as_bytes(), 300);
        let why = format!(
            "{}: {text}",
            program::log::quote(code.word().as_bytes(), 40)
        );
        tracing::warn!(%id, %peer, "refused by peer: {why}");
        self.counters.failed += 1;
        self.keep_refused(id, &format!("peer {peer}: {why}"));
        self.settle_forward(id, peer, End::Refused, &why);
        if let Some(forward) = self.forwards.iter_mut().find(|f| f.goes_to(peer)) {
            forward.line.end(id);
        }
        let work = self.peers.get_mut(peer);
        if let Some(link) = work.and_then(|work| work.link.as_mut()) {
            link.true_next.settled.push(id);
        }
    }

    fn message_from(
        &mut self,
        peer: &SiteId,
        seq: u64,
        id: NotificationId,
        read: Result<Incoming, Refusal>,
    ) {
        let refusal = match read {
            Ok(incoming) if incoming.id != id => Some(Refusal {
                code: RefusalCode::Corrupt,
                why: format!("its body has the id {}", incoming.id),
            }),
            Ok(incoming) => {
                let forbidden = self
                    .peers
                    .get(peer)
                    .and_then(|work| work.forbids(&incoming));
                forbidden.or_else(|| self.accept(incoming, Some(peer)).err())
            }
            Err(refusal) => Some(refusal),
        };
        let link = self.peers.get_mut(peer).and_then(|work| work.link.as_mut());
        let Some(link) = link else { return };
        if let Some(refusal) = refusal {
            tracing::warn!(%id, %peer, "refused: {}", refusal.why);
            link.true_next.refused.push((seq, refusal));
        }
        link.true_next.stored = Some(seq);
    }

    /// A commit is under way with what was said to the links.
    pub(super) fn links_under_way(&mut self) {
        for link in self.links() {
            link.under_way = std::mem::take(&mut link.true_next);
        }
    }

    /// What was under way is durable now.
    pub(super) fn answer_links(&mut self) {
        for link in self.links() {
            let truths = std::mem::take(&mut link.under_way);
            link.tell_truths(truths);
        }
        self.pong_links();
        if !self.stopping {
            self.feed_forwards();
        }
    }

    /// What was under way is left to the next commit.
    pub(super) fn links_not_under_way(&mut self) {
        for link in self.links() {
            let later = std::mem::take(&mut link.true_next);
            link.true_next = std::mem::take(&mut link.under_way).and(later);
        }
    }

    fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        let all = self.peers.values_mut();
        all.filter_map(|work| work.link.as_mut())
    }

    /// How long the oldest open notification has been here.
    fn oldest_us(&self) -> u64 {
        let oldest = self.queue.open().next();
        let age = oldest.map_or(0, |oldest| {
            now().micros().saturating_sub(oldest.accepted.micros())
        });
        u64::try_from(age).unwrap_or(0)
    }

    pub(super) fn pong_links(&mut self) {
        let asked = |work: &PeerWork| work.link.as_ref().is_some_and(|link| link.ping);
        if !self.peers.values().any(asked) {
            return;
        }
        let health = Health {
            disk: match (self.failing, self.space) {
                (Some(_), _) | (_, Space::Full) => Disk::Full,
                (None, Space::Low) => Disk::Low,
                (None, Space::Ok) => Disk::Ok,
            },
            queued: self.queue.figures().open as u64,
            oldest_us: self.oldest_us(),
        };
        for link in self.links().filter(|link| link.ping) {
            link.ping = false;
            link.tell(Command::Pong(health));
        }
    }

    /// Whether the disk takes records and has room for more.
    fn takes_from_peers(&self) -> bool {
        self.failing.is_none() && self.space == Space::Ok
    }

    /// The window of every peer.
    pub(super) fn grant_all(&self) {
        let window = match self.takes_from_peers() {
            false => Window::CLOSED,
            true => self.window,
        };
        for link in self.peers.values().filter_map(|work| work.link.as_ref()) {
            link.tell(Command::Grant(window));
        }
    }

    pub(super) fn send_links_away(&self) {
        for link in self.peers.values().filter_map(|work| work.link.as_ref()) {
            link.go_away("stopping", Duration::ZERO);
        }
    }
}
