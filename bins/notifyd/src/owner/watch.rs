//! Watching the other sites and the way to them: time counts as silence only while
//! we listen. What passes while notifyd does not run, is stopped, or hangs at the
//! disk is nobody's silence: so a centre that comes back raises no storm. Nor does
//! one whose own line is down: of most sites at once it tells once, and when they
//! are back each has all of its time again.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use objects::{SiteId, UnixTime};
use spool::Storage;

use super::alarms::{About, words};
use super::canary::Canaries;
use super::peers::PeerWork;
use super::{Owner, now};
use crate::clock;
use crate::config::{Canary, Configuration};

/// Limits of how often it is looked.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// The shortest of all limits is looked at so often in its time.
const LOOKS: u32 = 8;
/// Fewer sites are each silent for themselves.
const MANY: usize = 3;
/// So many of those that are silent at once are named.
const NAMED: usize = 10;

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
        self.count_silence(listened);
        let mut new = self.new_silences();
        new.extend(self.overdue_canary(listened));
        self.raise_alarms(new);
        self.end_silences();
        self.send_canary_if_due(at);
    }

    fn count_silence(&mut self, listened: Duration) {
        for site in self.watch.watched.silences.keys() {
            if is_up(&self.peers, site) {
                self.watch.quiet.remove(site);
            } else {
                *self.watch.quiet.entry(site.clone()).or_default() += listened;
            }
        }
    }

    /// The watched sites that no alarm of their own tells of.
    fn untold(&self) -> Vec<Untold<'_>> {
        let told: HashSet<&SiteId> = self.alarms.silent().map(|(site, _)| site).collect();
        let watched = self.watch.watched.silences.iter();
        let untold = watched.filter(|(site, _)| !told.contains(site));
        let untold = untold.map(|(site, after)| Untold {
            site,
            after: *after,
            quiet: match is_up(&self.peers, site) {
                true => None,
                false => Some(self.watch.quiet.get(site).copied().unwrap_or_default()),
            },
        });
        untold.collect()
    }

    /// Who has been silent for too long. When that is true of one, and most of the
    /// others have been silent for half of their time or half as long, it is told
    /// once, of all of them, and of none alone until that is over.
    fn new_silences(&self) -> Vec<(About, UnixTime, String)> {
        if self.alarms.since(&About::CutOff).is_some() {
            return Vec::new();
        }
        let untold = self.untold();
        let too_long = |one: &Untold<'_>| one.quiet.filter(|quiet| *quiet >= one.after);
        let due = untold.iter().filter_map(|one| Some((one, too_long(one)?)));
        let Some(longest) = due.clone().map(|(_, quiet)| quiet).max() else {
            return Vec::new();
        };
        let nearly = |one: &&Untold<'_>| {
            let long = one.after.min(longest);
            one.quiet.is_some_and(|quiet| 2 * quiet >= long)
        };
        let silent: Vec<&Untold<'_>> = untold.iter().filter(nearly).collect();
        if is_most(silent.len(), untold.len()) {
            let names: Vec<&str> = silent
                .iter()
                .take(NAMED)
                .map(|one| one.site.as_str())
                .collect();
            let more = match silent.len() - names.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let text = format!(
                "nothing heard of {} of {} sites for {}: perhaps it is {} that cannot be reached \
                 ({}{more})",
                silent.len(),
                untold.len(),
                words(longest),
                self.site,
                names.join(", "),
            );
            return vec![(About::CutOff, before(longest), text)];
        }
        let told = due.map(|(one, quiet)| {
            let text = format!("nothing heard of site {} for {}", one.site, words(quiet));
            (About::Silent(one.site.clone()), before(quiet), text)
        });
        told.collect()
    }

    /// All sites of which nothing is heard, and since when.
    pub(super) fn silent_sites(&self) -> BTreeMap<SiteId, UnixTime> {
        let told = self.alarms.silent();
        let mut all: BTreeMap<_, _> = told.map(|(site, since)| (site.clone(), since)).collect();
        if let Some(since) = self.alarms.since(&About::CutOff) {
            let untold = self.untold().into_iter();
            let down = untold.filter(|one| one.quiet.is_some());
            all.extend(down.map(|one| (one.site.clone(), since)));
        }
        all
    }

    /// Since when most sites may be silent because this one cannot be reached.
    pub(super) fn cut_off_since(&self) -> Option<UnixTime> {
        self.alarms.since(&About::CutOff)
    }

    /// Whoever is heard again, or not watched any more.
    pub(super) fn end_silences(&mut self) {
        let over: Vec<(SiteId, &str)> = self
            .alarms
            .silent()
            .filter_map(|(site, _)| {
                let word = match is_up(&self.peers, site) {
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
        if self.alarms.since(&About::CutOff).is_none() {
            return;
        }
        let untold = self.untold();
        let (up, all) = (
            untold.iter().filter(|one| one.quiet.is_none()).count(),
            untold.len(),
        );
        if !is_most(all - up, all) {
            let text = match all {
                0 => "no site is watched any more".to_owned(),
                _ => format!("{up} of {all} sites are heard again"),
            };
            // Those that are not were perhaps just as far away from us.
            self.watch.quiet.clear();
            self.end_alarm(&About::CutOff, &text);
        }
    }
}

/// A site that no alarm of its own tells of.
struct Untold<'a> {
    site: &'a SiteId,
    /// How long it may be silent.
    after: Duration,
    /// How long it has been; none: it is there.
    quiet: Option<Duration>,
}

/// Whether so many of them cannot all be silent for reasons of their own.
fn is_most(silent: usize, of: usize) -> bool {
    silent >= MANY && 2 * silent > of
}

fn is_up(peers: &BTreeMap<SiteId, PeerWork>, site: &SiteId) -> bool {
    peers.get(site).is_some_and(|peer| !peer.is_down())
}

/// The moment that is so long ago.
pub(super) fn before(length: Duration) -> UnixTime {
    let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    UnixTime::from_micros(now().micros().saturating_sub(micros))
}
