//! What people say about hosts and services: comments, acknowledgements,
//! which are comments of a kind, and downtimes.
//!
//! Nothing here needs a timer: whether a downtime is in effect is a question
//! about a moment.

use bstr::BString;

use crate::UnixTime;

/// Names a host or service within its site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectName {
    /// The host.
    pub host_name: BString,
    /// The service, or `None` for the host itself.
    pub service_description: Option<BString>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// Names it among all comments of the place where this value is.
    pub id: u64,
    /// The id at the site that it came from, if it came from another place.
    pub origin: Option<u64>,
    /// Who wrote it.
    pub author: BString,
    /// What it says.
    pub comment: BString,
    /// When it came.
    pub entry_time: UnixTime,
    /// Why there is one.
    pub entry_type: EntryType,
    /// Whether it outlives the acknowledgement that it belongs to.
    pub persistent: bool,
    /// When it ends by itself; never if it does not.
    pub expire_time: UnixTime,
}

/// Why there is a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// Somebody wrote it: 1.
    User,
    /// It came with a downtime: 2.
    Downtime,
    /// The object began to flap: 3.
    Flapping,
    /// It came with an acknowledgement: 4.
    Acknowledgement,
}

/// A downtime.
#[derive(Debug, Clone, PartialEq)]
pub struct Downtime {
    /// Names it among all downtimes of the place where this value is.
    pub id: u64,
    /// The id at the site that it came from, if it came from another place.
    pub origin: Option<u64>,
    /// Who scheduled it.
    pub author: BString,
    /// What for.
    pub comment: BString,
    /// When it was scheduled.
    pub entry_time: UnixTime,
    /// When it begins, or when a flexible one can begin.
    pub start_time: UnixTime,
    /// When it ends, or when a flexible one can begin no more.
    pub end_time: UnixTime,
    /// Length of a flexible one, in seconds.
    pub duration: i64,
    /// When it is in effect.
    pub kind: DowntimeKind,
}

/// When a downtime is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DowntimeKind {
    /// From start to end.
    Fixed,
    /// From the first problem between start and end, for its duration.
    Flexible {
        /// When that problem was.
        began: Option<UnixTime>,
    },
}

impl EntryType {
    /// The number in the `entry_type` column.
    pub fn code(self) -> i64 {
        match self {
            Self::User => 1,
            Self::Downtime => 2,
            Self::Flapping => 3,
            Self::Acknowledgement => 4,
        }
    }

    /// The type of that number.
    pub fn from_code(code: i64) -> Option<Self> {
        match code {
            1 => Some(Self::User),
            2 => Some(Self::Downtime),
            3 => Some(Self::Flapping),
            4 => Some(Self::Acknowledgement),
            _ => None,
        }
    }
}

impl Downtime {
    /// Whether it is in effect at that moment.
    pub fn is_in_effect(&self, now: UnixTime) -> bool {
        match self.kind {
            DowntimeKind::Fixed => self.start_time <= now && now < self.end_time,
            DowntimeKind::Flexible { began } => {
                began.is_some_and(|began| began <= now && now < self.after(began))
            }
        }
    }

    /// Whether it will never be in effect again.
    pub fn is_over(&self, now: UnixTime) -> bool {
        match self.kind {
            DowntimeKind::Flexible { began: Some(began) } => now >= self.after(began),
            _ => now >= self.end_time,
        }
    }

    /// A problem at that moment begins a flexible one.
    pub fn see_problem(&mut self, at: UnixTime) {
        if let DowntimeKind::Flexible { began: None } = self.kind
            && self.start_time <= at
            && at < self.end_time
        {
            self.kind = DowntimeKind::Flexible { began: Some(at) };
        }
    }

    fn after(&self, began: UnixTime) -> UnixTime {
        let micros = self.duration.saturating_mul(1_000_000);
        UnixTime::from_micros(began.micros().saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: i64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn downtime(kind: DowntimeKind) -> Downtime {
        Downtime {
            id: 1,
            origin: None,
            author: "me".into(),
            comment: "".into(),
            entry_time: secs(1),
            start_time: secs(10),
            end_time: secs(20),
            duration: 50,
            kind,
        }
    }

    #[test]
    fn a_downtime_is_in_effect_when_it_should_be() {
        let flexible = |began| DowntimeKind::Flexible { began };
        for (kind, now, in_effect, over) in [
            (DowntimeKind::Fixed, 9, false, false),
            (DowntimeKind::Fixed, 10, true, false),
            (DowntimeKind::Fixed, 19, true, false),
            (DowntimeKind::Fixed, 20, false, true),
            (flexible(None), 15, false, false),
            (flexible(None), 20, false, true),
            (flexible(Some(secs(15))), 15, true, false),
            (flexible(Some(secs(15))), 64, true, false),
            (flexible(Some(secs(15))), 65, false, true),
        ] {
            let downtime = downtime(kind);
            assert_eq!(
                downtime.is_in_effect(secs(now)),
                in_effect,
                "{kind:?} {now}"
            );
            assert_eq!(downtime.is_over(secs(now)), over, "{kind:?} {now}");
        }
    }

    #[test]
    fn a_problem_begins_a_flexible_downtime_once_and_only_within_its_window() {
        let flexible = DowntimeKind::Flexible { began: None };
        for (times, began) in [
            (&[9, 20][..], None),
            (&[10], Some(10)),
            (&[9, 12, 15], Some(12)),
        ] {
            let mut downtime = downtime(flexible);
            for at in times {
                downtime.see_problem(secs(*at));
            }
            let began = began.map(secs);
            assert_eq!(downtime.kind, DowntimeKind::Flexible { began }, "{times:?}");
        }
    }
}
