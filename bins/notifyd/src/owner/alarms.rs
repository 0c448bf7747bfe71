//! What notifyd tells people of its own accord, until it is over: a PROBLEM, once,
//! and a RECOVERY. Which problems there are stands in a file of the spool before
//! people are told, and longer than that: so a restart tells nothing again, and
//! forgets nobody's recovery.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use objects::notification::{Context, Kind};
use objects::{Notification, NotificationId, SiteId, UnixTime};
use serde_json::{Value, json};
use spool::Storage;

use super::kept::Kept;
use super::{Owner, now};

/// In the spool directory.
const FILE: &str = "alarms";

/// What a problem is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    /// Nothing is heard of this site.
    Silent(SiteId),
    /// Nothing is heard of most sites at once: perhaps it is we who cannot be
    /// reached.
    CutOff,
    /// What this site sends to prove that the way is open does not come back.
    Canary,
}

/// One problem.
#[derive(Debug, Clone)]
struct Alarm {
    about: About,
    since: UnixTime,
    text: String,
    told: Told,
}

/// How far people know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The PROBLEM is durable with the next commit.
    Beginning,
    Problem,
    /// The RECOVERY is durable with the next commit.
    Ending,
}

/// All problems.
pub(super) struct Alarms {
    file: Kept,
    all: Vec<Alarm>,
    complaint: String,
}

impl Alarms {
    /// Those of an earlier run. A file that cannot be read says that there are none.
    pub(super) fn load(spool: &Path) -> Self {
        let file = Kept::new(spool, FILE);
        let list = file.load("taken for empty");
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        Self {
            file,
            all: list.iter().filter_map(Alarm::parse).collect(),
            complaint: String::new(),
        }
    }

    /// Since when there is this problem.
    pub(super) fn since(&self, about: &About) -> Option<UnixTime> {
        let mut all = self.all.iter();
        let found = all.find(|alarm| alarm.about == *about && alarm.told != Told::Ending);
        found.map(|alarm| alarm.since)
    }

    /// The sites of which nothing is heard, and since when.
    pub(super) fn silent(&self) -> impl Iterator<Item = (&SiteId, UnixTime)> {
        let all = self.all.iter().filter(|alarm| alarm.told != Told::Ending);
        all.filter_map(|alarm| match &alarm.about {
            About::Silent(site) => Some((site, alarm.since)),
            About::CutOff | About::Canary => None,
        })
    }

    /// Whether something is told of that is durable after the next commit.
    pub(super) fn is_telling(&self) -> bool {
        self.all.iter().any(|alarm| alarm.told != Told::Problem)
    }

    /// What was told is durable. Whether anything was.
    fn committed(&mut self) -> bool {
        let before = self.all.len();
        self.all.retain(|alarm| alarm.told != Told::Ending);
        let mut has_changed = self.all.len() != before;
        for alarm in &mut self.all {
            has_changed |= alarm.told == Told::Beginning;
            alarm.told = Told::Problem;
        }
        has_changed
    }

    fn store(&mut self) {
        let list: Vec<Value> = self.all.iter().map(Alarm::print).collect();
        let stored = self.file.store(&Value::from(list));
        let complaint = stored
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        if !complaint.is_empty() && complaint != self.complaint {
            tracing::error!("{}: {complaint}", self.file);
        }
        self.complaint = complaint;
    }
}

impl Alarm {
    fn print(&self) -> Value {
        json!({
            "silent": match &self.about {
                About::Silent(site) => Some(site.as_str()),
                About::CutOff | About::Canary => None,
            },
            "cut_off": self.about == About::CutOff,
            "since_us": self.since.micros(),
            "text": self.text,
            "told": self.told != Told::Beginning,
        })
    }

    fn parse(value: &Value) -> Option<Self> {
        let about = match &value["silent"] {
            Value::Null if value["cut_off"] == true => About::CutOff,
            Value::Null => About::Canary,
            site => About::Silent(SiteId::new(site.as_str()?).ok()?),
        };
        Some(Self {
            about,
            since: UnixTime::from_micros(value["since_us"].as_i64()?),
            text: value["text"].as_str()?.to_owned(),
            told: match value["told"].as_bool()? {
                true => Told::Problem,
                false => Told::Beginning,
            },
        })
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(site) => write!(f, "silence of {site}"),
            Self::CutOff => f.write_str("silence of most"),
            Self::Canary => f.write_str("canary"),
        }
    }
}

impl<S: Storage> Owner<S> {
    /// There are these problems, each with the moment it began and a text, unless
    /// people know of them.
    pub(super) fn raise_alarms(&mut self, new: Vec<(About, UnixTime, String)>) {
        let unknown = |(about, ..): &(About, _, _)| {
            let mut all = self.alarms.all.iter();
            !all.any(|alarm| alarm.about == *about)
        };
        let new: Vec<Alarm> = new
            .into_iter()
            .filter(unknown)
            .map(|(about, since, text)| Alarm {
                about,
                since,
                text,
                told: Told::Beginning,
            })
            .collect();
        if new.is_empty() {
            return;
        }
        self.alarms.all.extend(new.iter().cloned());
        self.alarms.store();
        self.changes.note();
        for alarm in &new {
            tracing::warn!("{}", alarm.text);
            self.tell_alarm(alarm, "PROBLEM", &alarm.text);
        }
    }

    /// This one is over, if there is one.
    pub(super) fn end_alarm(&mut self, about: &About, text: &str) {
        let mut all = self.alarms.all.iter_mut();
        let found = all.find(|alarm| alarm.about == *about && alarm.told != Told::Ending);
        let Some(alarm) = found else { return };
        alarm.told = Told::Ending;
        let alarm = alarm.clone();
        self.changes.note();
        tracing::info!("{text}");
        self.tell_alarm(&alarm, "RECOVERY", text);
    }

    /// What the end of an earlier run may have left untold is told.
    pub(super) fn repeat_alarms(&mut self) {
        let all = self.alarms.all.iter();
        let untold: Vec<Alarm> = all.filter(|a| a.told == Told::Beginning).cloned().collect();
        for alarm in untold {
            self.tell_alarm(&alarm, "PROBLEM", &alarm.text);
        }
    }

    /// What was told is durable.
    pub(super) fn alarms_committed(&mut self) {
        if self.alarms.committed() {
            self.alarms.store();
        }
    }

    /// Its id is made of what it says: told again, it is the same.
    fn tell_alarm(&mut self, alarm: &Alarm, kind: &str, text: &str) {
        let since = alarm.since;
        let name = format!("{kind} {} {}", alarm.about, since.micros());
        let (host, service, tell) = match &alarm.about {
            About::Silent(site) => (site.as_str(), "Site connection", None),
            About::CutOff => (self.site.as_str(), "Site connections", None),
            About::Canary => (
                self.site.as_str(),
                "Notification canary",
                self.watch.canary().tell.clone(),
            ),
        };
        let notification = Notification {
            id: NotificationId::named(&self.site, name.as_bytes()),
            kind: Kind::Raw,
            created: now(),
            expires: None,
            site: self.site.clone(),
            context: self.alarm_context(kind, (host, service), since, text),
        };
        if let Err(why) = self.tell(notification, tell.as_deref()) {
            tracing::error!("nobody is told of it: {why}");
        }
    }

    fn alarm_context(
        &self,
        kind: &str,
        (host, service): (&str, &str),
        since: UnixTime,
        text: &str,
    ) -> Context {
        let is_problem = kind == "PROBLEM";
        let (state, id, before) = match is_problem {
            true => ("CRITICAL", "2", "OK"),
            false => ("OK", "0", "CRITICAL"),
        };
        let at = now();
        let changed = if is_problem { since } else { at };
        let mut context = Context::new();
        for (name, value) in [
            ("NOTIFICATIONTYPE", kind),
            ("WHAT", "SERVICE"),
            ("OMD_SITE", self.site.as_str()),
            ("HOSTNAME", host),
            ("HOSTALIAS", host),
            ("HOSTSTATE", "UP"),
            ("SERVICEDESC", service),
            ("SERVICESTATE", state),
            ("SERVICESTATEID", id),
            ("LASTSERVICESTATE", before),
            ("PREVIOUSSERVICEHARDSTATE", before),
            ("SERVICEOUTPUT", text),
            ("SERVICEATTEMPT", "1"),
            ("SERVICENOTIFICATIONNUMBER", "1"),
            // What mails of one problem have in common.
            ("SERVICEPROBLEMID", &since.secs().to_string()),
            ("LASTSERVICESTATECHANGE", &changed.secs().to_string()),
            ("MICROTIME", &at.micros().to_string()),
        ] {
            context.insert(name.to_owned(), value.into());
        }
        context
    }
}

/// `40 s`, `12 min`, `3 h`
pub(super) fn words(length: Duration) -> String {
    match length.as_secs() {
        secs @ ..120 => format!("{secs} s"),
        secs @ 120..7200 => format!("{} min", secs / 60),
        secs => format!("{} h", secs / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(site: &str, told: Told) -> Alarm {
        Alarm {
            about: About::Silent(SiteId::new(site).unwrap()),
            since: UnixTime::from_secs(7),
            text: "nothing heard".to_owned(),
            told,
        }
    }

    #[test]
    fn what_was_told_survives_and_what_is_over_goes_with_the_commit() {
        let spool = tempfile::tempdir().unwrap();
        let mut alarms = Alarms::load(spool.path());
        alarms.all.push(alarm("a", Told::Beginning));
        alarms.all.push(alarm("b", Told::Ending));
        alarms.all.push(Alarm {
            about: About::CutOff,
            ..alarm("c", Told::Problem)
        });
        alarms.store();
        let again = Alarms::load(spool.path());
        assert!(again.since(&About::CutOff).is_some());
        assert!(again.since(&About::Canary).is_none());
        let told: Vec<Told> = again.all.iter().map(|alarm| alarm.told).collect();
        let want = [Told::Beginning, Told::Problem, Told::Problem];
        assert_eq!(told, want, "nothing is lost");
        assert!(alarms.committed());
        assert!(!alarms.committed(), "that is no news");
        let silent: Vec<&str> = alarms.silent().map(|(site, _)| site.as_str()).collect();
        assert_eq!(silent, ["a"]);
        alarms.store();
        let again = Alarms::load(spool.path());
        assert_eq!(again.all.len(), 2);
        assert_eq!(again.all[0].told, Told::Problem);
    }

    #[test]
    fn a_file_that_is_none_tells_of_no_problem() {
        let spool = tempfile::tempdir().unwrap();
        for text in ["", "7", "[7]", "[{}]", "[{\"since_us\":1}]"] {
            std::fs::write(spool.path().join(FILE), text).unwrap();
            assert!(Alarms::load(spool.path()).all.is_empty(), "{text}");
        }
    }
}
