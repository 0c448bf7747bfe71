//! Pauses of delivery, asked for by hand: notifications are taken, kept and
//! forwarded as always, and delivered later. A pause survives a restart: it
//! stands in a file of the spool before it is acknowledged.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use objects::UnixTime;
use serde_json::{Value, json};
use spool::Storage;
use spool::control::{Answer, Hand};

use super::kept::Kept;
use super::{Owner, now};
use crate::clock;
use crate::figures::Paused;

/// In the spool directory.
const FILE: &str = "paused";
/// A pause without an end.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// All pauses.
pub(super) struct Pauses {
    file: Kept,
    all: Vec<Pause>,
}

struct Pause {
    /// None: all lanes.
    lane: Option<String>,
    what: Paused,
    /// The same by the clock that never goes back.
    end: Instant,
}

impl Pauses {
    /// Those of an earlier run. A file that cannot be read pauses nothing.
    pub(super) fn load(spool: &Path) -> Self {
        let file = Kept::new(spool, FILE);
        let list = file.load("nothing is paused");
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        let all = list.iter().filter_map(Pause::parse).collect();
        Self { file, all }
    }

    fn store(&self) -> io::Result<()> {
        let list: Vec<Value> = self.all.iter().map(Pause::print).collect();
        self.file.store(&Value::from(list))
    }

    /// Replaces one for the same.
    fn set(&mut self, pause: Pause) -> io::Result<()> {
        self.all.retain(|other| other.lane != pause.lane);
        self.all.push(pause);
        self.store()
    }

    /// Ends one, or all.
    fn clear(&mut self, lane: Option<&str>) -> io::Result<usize> {
        let before = self.all.len();
        self.all
            .retain(|pause| lane.is_some() && pause.lane.as_deref() != lane);
        self.store()?;
        Ok(before - self.all.len())
    }

    /// What pauses a lane longest.
    fn of(&self, lane: &str) -> Option<&Pause> {
        let is_meant = |pause: &&Pause| pause.lane.as_deref().is_none_or(|name| name == lane);
        let meant = self.all.iter().filter(is_meant);
        meant.max_by_key(|pause| pause.end)
    }

    /// What people should know of a lane.
    pub(super) fn paused(&self, lane: &str) -> Option<Paused> {
        self.of(lane).map(|pause| pause.what.clone())
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.all.iter().map(|pause| pause.end).min()
    }
}

impl Pause {
    fn new(lane: Option<String>, length: Option<Duration>, hand: &Hand) -> Self {
        let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        let until = length.map(|length| now().micros().saturating_add(micros(length)));
        Self {
            lane,
            what: Paused {
                since: now(),
                until: until.map(UnixTime::from_micros),
                hand: hand.to_string(),
            },
            end: end(length),
        }
    }

    fn print(&self) -> Value {
        json!({
            "lane": self.lane,
            "since_us": self.what.since.micros(),
            "until_us": self.what.until.map(UnixTime::micros),
            "hand": self.what.hand,
        })
    }

    fn parse(value: &Value) -> Option<Self> {
        let until = value["until_us"].as_i64();
        let left = until.map(|until| {
            let left = until.saturating_sub(now().micros());
            Duration::from_micros(u64::try_from(left).unwrap_or(0))
        });
        Some(Self {
            lane: value["lane"].as_str().map(str::to_owned),
            what: Paused {
                since: UnixTime::from_micros(value["since_us"].as_i64()?),
                until: until.map(UnixTime::from_micros),
                hand: value["hand"].as_str()?.to_owned(),
            },
            end: end(left),
        })
    }

    fn lane(&self) -> &str {
        self.lane.as_deref().unwrap_or("all lanes")
    }
}

fn end(length: Option<Duration>) -> Instant {
    let length = length.unwrap_or(FOR_EVER).min(FOR_EVER);
    clock::instant() + length
}

impl<S: Storage> Owner<S> {
    /// Nothing is delivered for a while, or until it is resumed.
    pub(super) fn pause(
        &mut self,
        lane: Option<String>,
        length: Option<Duration>,
        hand: &Hand,
    ) -> Answer {
        if let Some(unknown) = self.unknown_lane(lane.as_deref()) {
            return unknown;
        }
        let pause = Pause::new(lane, length, hand);
        tracing::warn!(lane = pause.lane(), ?length, "delivery is paused {hand}");
        let stored = self.pauses.set(pause).map(|()| 1);
        self.paused(stored)
    }

    /// Everything is delivered again, or in one lane.
    pub(super) fn resume(&mut self, lane: Option<&str>, hand: &Hand) -> Answer {
        if let Some(unknown) = self.unknown_lane(lane) {
            return unknown;
        }
        if lane.is_some() && self.pauses.all.iter().any(|pause| pause.lane.is_none()) {
            return Answer::Error {
                why: "all lanes are paused together, and can be resumed only so".to_owned(),
                again: false,
            };
        }
        let lane_name = lane.unwrap_or("all lanes");
        tracing::info!(lane = lane_name, "delivery is resumed {hand}");
        let cleared = self.pauses.clear(lane);
        self.paused(cleared)
    }

    fn unknown_lane(&self, lane: Option<&str>) -> Option<Answer> {
        let lane = lane?;
        let mut lanes = self.lanes.iter().filter(|lane| !lane.retired);
        match lanes.any(|known| known.name == lane) {
            true => None,
            false => Some(Answer::Error {
                why: format!("there is no lane {lane}"),
                again: false,
            }),
        }
    }

    fn paused(&mut self, stored: io::Result<usize>) -> Answer {
        self.apply_pauses();
        self.changes.note();
        match stored {
            Ok(count) => Answer::Done {
                done: count as u64,
                not: Vec::new(),
            },
            Err(error) => Answer::Error {
                why: format!("it holds until notifyd is started again only: {error}"),
                again: true,
            },
        }
    }

    /// Tells the lanes.
    pub(super) fn apply_pauses(&mut self) {
        for lane in &mut self.lanes {
            let pause = self.pauses.of(&lane.name);
            lane.line.pause(pause.map(|pause| pause.end));
        }
    }

    /// What has had its time ends.
    pub(super) fn end_pauses(&mut self) {
        let at = clock::instant();
        if self.pauses.next_end().is_none_or(|end| end > at) {
            return;
        }
        for pause in self.pauses.all.extract_if(.., |pause| pause.end <= at) {
            tracing::info!(lane = pause.lane(), "delivery goes on, the pause is over");
        }
        if let Err(error) = self.pauses.store() {
            tracing::error!("{}: {error}", self.pauses.file);
        }
        self.apply_pauses();
        self.changes.note();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand() -> Hand {
        Hand {
            by: "ann".to_owned(),
            why: String::new(),
        }
    }

    #[test]
    fn pauses_survive_and_the_longest_counts() {
        let spool = tempfile::tempdir().unwrap();
        let mut pauses = Pauses::load(spool.path());
        assert!(pauses.next_end().is_none());
        let minute = Duration::from_secs(60);
        let ops = Some("ops".to_owned());
        pauses.set(Pause::new(ops, Some(minute), &hand())).unwrap();
        assert!(pauses.paused("mail").is_none());
        pauses
            .set(Pause::new(None, Some(2 * minute), &hand()))
            .unwrap();
        let again = Pauses::load(spool.path());
        for lane in ["ops", "mail"] {
            assert_eq!(again.paused(lane), pauses.paused(lane), "{lane}");
            assert_eq!(again.of(lane).unwrap().lane, None, "the longer one");
        }
        assert_eq!(pauses.clear(Some("ops")).unwrap(), 1);
        assert_eq!(pauses.clear(None).unwrap(), 1);
        let again = Pauses::load(spool.path());
        assert!(again.paused("ops").is_none());
    }

    #[test]
    fn one_without_an_end_has_none_after_a_restart_either() {
        let spool = tempfile::tempdir().unwrap();
        let mut pauses = Pauses::load(spool.path());
        pauses.set(Pause::new(None, None, &hand())).unwrap();
        let again = Pauses::load(spool.path());
        assert_eq!(again.paused("x").unwrap().until, None);
        assert!(again.next_end().unwrap() > clock::instant() + FOR_EVER / 2);
    }

    #[test]
    fn a_file_that_is_none_pauses_nothing() {
        let spool = tempfile::tempdir().unwrap();
        for text in ["", "7", "[7]", "[{}]", "[{\"since_us\":1}]"] {
            std::fs::write(spool.path().join(FILE), text).unwrap();
            assert!(Pauses::load(spool.path()).paused("x").is_none(), "{text}");
        }
    }
}
