//! Watching the other sites and the way to them: time counts as silence only while
//! we listen. What passes while notifyd does not run, is stopped, or hangs at the
//! disk is nobody's silence: so a centre that comes back raises no storm.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use objects::{SiteId, UnixTime};
use spool::Storage;

use super::alarms::{About, words};
use super::canary::Canaries;
use super::{Owner, now};
use crate::clock;
use crate::config::{Canary, Configuration};

/// Limits of how often it is looked.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// The shortest of all limits is looked at so often in its time.
const LOOKS: u32 = 8;

/// What is to be watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    /// How long nothing may be heard of each of these.
    pub(crate) silences: BTreeMap<SiteId, Duration>,
    pub(crate) canary: Canary,
}

impl Watched {
    pub(crate) fn of(configuration: &Configuration) -> Self {
        Self {
            silences: configuration.silences().into_iter().collect(),
            canary: configuration.canary.clone(),
        }
    }

    fn look(&self) -> Duration {
        let (least, most) = LOOK;
        let canary = self.canary.every.map(|_| self.canary.within);
        let shortest = self.silences.values().copied().chain(canary).min();
        shortest.map_or(most, |shortest| (shortest / LOOKS).clamp(least, most))
    }
}

/// What is watched.
pub(super) struct Watch {
    watched: Watched,
    looked: Instant,
    /// How long nothing has been heard of each.
    quiet: BTreeMap<SiteId, Duration>,
    pub(super) canaries: Canaries,
}

impl Watch {
    pub(super) fn new(configuration: &Configuration, now: Instant) -> Self {
        let watched = Watched::of(configuration);
        Self {
            canaries: Canaries::new(watched.canary.every.map(|_| now)),
            watched,
            looked: now,
            quiet: BTreeMap::new(),
        }
    }

    pub(super) fn canary(&self) -> &Canary {
        &self.watched.canary
    }

    pub(super) fn set(&mut self, watched: Watched, now: Instant) {
        if watched.canary.every != self.watched.canary.every {
            self.canaries.schedule(watched.canary.every.map(|_| now));
        }
        self.watched = watched;
        self.quiet
            .retain(|site, _| self.watched.silences.contains_key(site));
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let watches = !self.watched.silences.is_empty() || self.canaries.waits();
        let look = watches.then(|| self.looked + self.watched.look());
        look.into_iter().chain(self.canaries.due()).min()
    }

    /// How much of the time since the last look we have listened.
    fn listened(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.looked);
        self.looked = now;
        passed.min(2 * self.watched.look())
    }
}

impl<S: Storage> Owner<S> {
    /// Looks who is silent, and whether what was sent has come back in time.
    pub(super) fn watch(&mut self) {
        let at = clock::instant();
        if self.watch.next_due().is_none_or(|due| due > at) {
            return;
        }
        let listened = self.watch.listened(at);
        let mut new = Vec::new();
        for (site, after) in &self.watch.watched.silences {
            let is_up = self.peers.get(site).is_some_and(|peer| !peer.is_down());
            if is_up {
                self.watch.quiet.remove(site);
                continue;
            }
            let quiet = self.watch.quiet.entry(site.clone()).or_default();
            *quiet += listened;
            if *quiet >= *after {
                let about = About::Silent(site.clone());
                let text = format!("nothing heard of site {site} for {}", words(*quiet));
                new.push((about, before(*quiet), text));
            }
        }
        new.extend(self.overdue_canary(listened));
        self.raise_alarms(new);
        self.end_silences();
        self.send_canary_if_due(at);
    }

    /// Whoever is heard again, or not watched any more.
    fn end_silences(&mut self) {
        let over: Vec<(SiteId, &str)> = self
            .alarms
            .silent()
            .filter_map(|(site, _)| {
                let peer = self.peers.get(site);
                let word = match peer.is_some_and(|peer| !peer.is_down()) {
                    true => "is heard again",
                    false if self.watch.watched.silences.contains_key(site) => return None,
                    false => "is not watched any more",
                };
                Some((site.clone(), word))
            })
            .collect();
        for (site, word) in over {
            let text = format!("site {site} {word}");
            self.end_alarm(&About::Silent(site), &text);
        }
    }

    /// A link has come up: nobody has to wait for the next look.
    pub(super) fn heard(&mut self) {
        if self.alarms.silent().next().is_some() {
            self.end_silences();
        }
    }
}

/// The moment that is so long ago.
pub(super) fn before(length: Duration) -> UnixTime {
    let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    UnixTime::from_micros(now().micros().saturating_sub(micros))
}
