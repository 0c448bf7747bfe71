//! What can be seen of a running notifyd: the figures that the state file shows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use objects::{SiteId, UnixTime};
use spool::Totals;

use crate::config::Peer;

/// How many there are, and how old they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) count: u64,
    pub(crate) oldest: Option<UnixTime>,
    pub(crate) youngest: Option<UnixTime>,
}

impl Stack {
    pub(crate) fn add(&mut self, time: UnixTime) {
        self.count += 1;
        self.oldest = Some(self.oldest.map_or(time, |oldest| oldest.min(time)));
        self.youngest = Some(self.youngest.map_or(time, |youngest| youngest.max(time)));
    }
}

/// What one lane or one peer still has to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) waiting: u64,
    pub(crate) processing: u64,
}

/// One lane.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LaneFigures {
    pub(crate) line: Line,
    /// How many are delivered at the same time.
    pub(crate) places: usize,
    /// Those of the waiting that are collected, to be delivered together.
    pub(crate) collected: u64,
    pub(crate) breaker: Option<OpenBreaker>,
    pub(crate) paused: Option<Paused>,
}

/// The lane does not work, and is tried now and then.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenBreaker {
    pub(crate) since: UnixTime,
    /// Until the next attempt; none while it runs.
    pub(crate) next: Option<Duration>,
    /// What the last attempt said.
    pub(crate) why: String,
}

/// Somebody wants nothing delivered for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paused {
    pub(crate) since: UnixTime,
    /// None: until somebody resumes it.
    pub(crate) until: Option<UnixTime>,
    /// Who, and why.
    pub(crate) hand: String,
}

impl LaneFigures {
    /// What people should know of it, if anything.
    pub(crate) fn warning(&self) -> Option<String> {
        let name = &self.line.name;
        if let Some(paused) = &self.paused {
            let until = match paused.until {
                Some(until) => format!("until {until}"),
                None => "until it is resumed".to_owned(),
            };
            return Some(format!("lane {name} is paused {until}, {}", paused.hand));
        }
        let breaker = self.breaker.as_ref()?;
        Some(format!(
            "lane {name} does not work, one is tried now and then: {}",
            breaker.why
        ))
    }
}

/// What became of notifications that only prove that the way is open.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CanaryFigures {
    /// How often this site sends one, and how long it may take.
    pub(crate) every: Option<Duration>,
    pub(crate) within: Duration,
    /// Since the start: sent here; come through, as far as is known here; arrived
    /// here, to go no further.
    pub(crate) sent: u64,
    pub(crate) came_through: u64,
    pub(crate) arrived: u64,
    pub(crate) last_sent: Option<UnixTime>,
    pub(crate) last_came_through: Option<UnixTime>,
    /// There and back.
    pub(crate) round_trip: Option<Duration>,
    /// Since when none has come through that should have.
    pub(crate) overdue_since: Option<UnixTime>,
}

/// What the journal's owner knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueFigures {
    /// Dropped files, and notifications that no attempt was made for yet.
    pub(crate) new: Stack,
    /// Notifications that wait for another attempt.
    pub(crate) deferred: Stack,
    /// Files that could not be read.
    pub(crate) corrupted: Stack,
    pub(crate) lanes: Vec<LaneFigures>,
    pub(crate) forwards: Vec<Line>,
    /// Sites of which nothing is heard, and since when.
    pub(crate) silent: BTreeMap<SiteId, UnixTime>,
    /// Since when most of them are, perhaps because this site cannot be reached.
    pub(crate) cut_off: Option<UnixTime>,
    pub(crate) canary: CanaryFigures,
    /// Over the life of the spool.
    pub(crate) totals: Totals,
    /// Notifications that have not ended, and those of them that are held.
    pub(crate) open: u64,
    pub(crate) held: u64,
    /// Since the start.
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    /// Why the journal cannot be written, while it cannot.
    pub(crate) disk_error: Option<String>,
    /// What is to be said about the file system of the spool.
    pub(crate) disk_warning: Option<String>,
    /// What waits because the rules cannot be followed, and why.
    pub(crate) undecided: Option<String>,
}

impl QueueFigures {
    /// Who is silent, and what does not come through.
    pub(crate) fn watch_warnings(&self) -> Vec<String> {
        let cut_off = self.cut_off.map(|since| {
            format!("most sites are silent since {since}, perhaps as this one cannot be reached")
        });
        // Then the list of the peers says which.
        let silent = self.silent.iter().filter(|_| cut_off.is_none());
        let silent = silent.map(|(site, since)| format!("site {site} is silent since {since}"));
        let silent: Vec<String> = silent.collect();
        let overdue = self.canary.overdue_since;
        let overdue = overdue.map(|since| format!("no canary has come through since {since}"));
        cut_off.into_iter().chain(silent).chain(overdue).collect()
    }
}

/// Counts what is worth a new state file before its time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<AtomicU64>);

impl Changes {
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What people should know of, by what it is about, and some dates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<Notes>>);

#[derive(Debug, Clone, Default)]
struct Notes {
    warnings: BTreeMap<&'static str, Vec<String>>,
    expires: Option<UnixTime>,
    configured: Option<UnixTime>,
    listening: Option<i32>,
}

impl Notices {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All there is to say about `what` now; nothing if it is in order.
    pub(crate) fn set(&self, what: &'static str, warnings: Vec<String>) {
        self.lock().warnings.insert(what, warnings);
    }

    /// Everything that is to be said.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.lock().warnings.values().flatten().cloned().collect()
    }

    /// Until when our certificate is valid.
    pub(crate) fn expires(&self) -> Option<UnixTime> {
        self.lock().expires
    }

    pub(crate) fn set_expires(&self, at: Option<UnixTime>) {
        self.lock().expires = at;
    }

    /// When the configuration was read again, if it was.
    pub(crate) fn configured(&self) -> Option<UnixTime> {
        self.lock().configured
    }

    /// The descriptor of the first listener, if there is one.
    pub(crate) fn listening(&self) -> Option<i32> {
        self.lock().listening
    }

    pub(crate) fn set_listening(&self, descriptor: Option<i32>) {
        self.lock().listening = descriptor;
    }

    pub(crate) fn set_configured(&self, at: UnixTime) {
        self.lock().configured = Some(at);
    }
}

/// The four words that Checkmk's check knows, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Never up since the start.
    Initial,
    Connecting,
    Established,
    /// Down, with a pause before the next attempt; for a peer that connects
    /// to us: down since it went away.
    Cooldown,
}

impl LinkState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Connecting => "connecting",
            Self::Established => "established",
            Self::Cooldown => "cooldown",
        }
    }
}

/// The link to one peer.
#[derive(Debug, Clone)]
pub(crate) struct LinkFigures {
    /// The connections that are up, by their numbers: more than one for a
    /// moment, when the peer comes back or both connect.
    pub(crate) up: Vec<u64>,
    /// Where it was last connected to or from; empty if never.
    pub(crate) address: String,
    pub(crate) outgoing: bool,
    pub(crate) state: LinkState,
    /// Why it is in this state; may come from outside, so it is escaped.
    pub(crate) message: String,
    pub(crate) since: UnixTime,
    pub(crate) connect_time: Option<Duration>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) in_doubt: u64,
    pub(crate) heartbeat: Duration,
    pub(crate) last_incoming: UnixTime,
    pub(crate) last_heartbeat: UnixTime,
    pub(crate) clock_skew_us: Option<i64>,
    /// Whether the peer takes no notification now, though the link is up.
    pub(crate) paused: bool,
    /// The descriptor of the newest connection that is up.
    pub(crate) socket: Option<i32>,
}

impl LinkFigures {
    fn new(peer: &Peer, now: UnixTime) -> Self {
        let connect = peer.connect.as_ref().map(ToString::to_string);
        Self {
            up: Vec::new(),
            outgoing: connect.is_some(),
            address: connect.unwrap_or_default(),
            state: LinkState::Initial,
            message: String::new(),
            since: now,
            connect_time: None,
            sent: 0,
            received: 0,
            in_doubt: 0,
            heartbeat: Duration::ZERO,
            last_incoming: UnixTime::NEVER,
            last_heartbeat: UnixTime::NEVER,
            clock_skew_us: None,
            paused: false,
            socket: None,
        }
    }
}

/// The links to all peers, shared between those who drive them and those who
/// show them.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    links: Arc<Mutex<BTreeMap<SiteId, LinkFigures>>>,
    changes: Changes,
}

impl Links {
    pub(crate) fn new(peers: &[Peer], now: UnixTime) -> Self {
        let links = peers
            .iter()
            .map(|peer| (peer.site.clone(), LinkFigures::new(peer, now)));
        Self {
            links: Arc::new(Mutex::new(links.collect())),
            changes: Changes::default(),
        }
    }

    /// The configuration has changed: those that stay keep their figures.
    pub(crate) fn set_peers(&self, peers: &[Peer]) {
        let now = std::time::SystemTime::now().into();
        let mut links = self.lock();
        links.retain(|site, _| peers.iter().any(|peer| peer.site == *site));
        for peer in peers {
            let site = peer.site.clone();
            links
                .entry(site)
                .or_insert_with(|| LinkFigures::new(peer, now));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SiteId, LinkFigures>> {
        // Whoever panicked while holding it left plain numbers behind.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts when a link changes its state.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The peer says whether it takes anything.
    pub(crate) fn pause(&self, site: &SiteId, paused: bool) {
        let mut was = paused;
        self.update(site, |link| {
            was = std::mem::replace(&mut link.paused, paused);
        });
        if was != paused {
            let what = if paused {
                "takes nothing now"
            } else {
                "takes notifications again"
            };
            tracing::info!(target: "notifyd::link", peer = %site, "{what}");
            self.changes.note();
        }
    }

    /// All links, by peer.
    pub(crate) fn all(&self) -> BTreeMap<SiteId, LinkFigures> {
        self.lock().clone()
    }

    /// Changes the figures of one link.
    pub(crate) fn update(&self, site: &SiteId, change: impl FnOnce(&mut LinkFigures)) {
        if let Some(link) = self.lock().get_mut(site) {
            change(link);
        }
    }

    /// A connection has ended. Whether it was the last one.
    pub(crate) fn remove(&self, site: &SiteId, number: u64) -> bool {
        let mut links = self.lock();
        let Some(link) = links.get_mut(site) else {
            return false;
        };
        link.up.retain(|up| *up != number);
        if link.up.is_empty() {
            link.socket = None;
        }
        link.up.is_empty()
    }

    pub(crate) fn is_established(&self, site: &SiteId) -> bool {
        let links = self.lock();
        let link = links.get(site);
        link.is_some_and(|link| link.state == LinkState::Established)
    }

    /// The one place where a link changes its state. Says so in the log, once
    /// per state and reason.
    pub(crate) fn enter(&self, site: &SiteId, state: LinkState, message: &str) {
        let message = program::log::quote(message.as_bytes(), 300);
        let mut links = self.lock();
        let Some(link) = links.get_mut(site) else {
            return;
        };
        let is_news = link.message != message && state != LinkState::Connecting;
        let old = link.state;
        if old != state {
            link.since = std::time::SystemTime::now().into();
            link.state = state;
        }
        // The reason of the last failure stays visible while we try again.
        if state != LinkState::Connecting {
            link.message.clone_from(&message);
        }
        link.paused = link.paused && state == LinkState::Established;
        drop(links);
        if old != state || is_news {
            self.changes.note();
        }
        let quiet = state == LinkState::Connecting || old == LinkState::Connecting && !is_news;
        if quiet && state != LinkState::Established {
            tracing::debug!(target: "notifyd::link", peer = %site, "{} -> {}: {message}", old.word(), state.word());
        } else if old != state || is_news {
            tracing::info!(target: "notifyd::link", peer = %site, "{} -> {}: {message}", old.word(), state.word());
        }
    }
}
