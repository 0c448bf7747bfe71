//! Comments and downtimes of one host or service. They stand beside its state,
//! so that whoever looks at the object has them at hand.
//!
//! Nothing here needs a timer: whether a downtime is in effect is a question
//! about a moment, and what is over is removed when somebody comes by.

use bstr::BString;
use objects::{AcknowledgementType, StateCode, UnixTime};

use crate::check::{Source, State};

/// Most comments and downtimes of one object.
const MAX_ENTRIES: usize = 1000;

/// What people have said about an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Annotations {
    /// In the order of their ids.
    pub(crate) comments: Vec<Comment>,
    /// In the order of their ids.
    pub(crate) downtimes: Vec<Downtime>,
}

/// A comment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comment {
    /// Names it among all comments and downtimes of all sites.
    pub(crate) id: u64,
    pub(crate) author: BString,
    pub(crate) comment: BString,
    pub(crate) entry_time: UnixTime,
    pub(crate) entry_type: EntryType,
    /// Whether it outlives the acknowledgement that it belongs to.
    pub(crate) persistent: bool,
}

/// Why there is a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryType {
    /// Somebody wrote it: 1.
    User,
    /// It came with an acknowledgement: 4.
    Acknowledgement,
}

/// A downtime.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Downtime {
    /// Names it among all comments and downtimes of all sites.
    pub(crate) id: u64,
    pub(crate) author: BString,
    pub(crate) comment: BString,
    pub(crate) entry_time: UnixTime,
    pub(crate) start_time: UnixTime,
    pub(crate) end_time: UnixTime,
    /// Length of a flexible one, in seconds.
    pub(crate) duration: i64,
    pub(crate) kind: DowntimeKind,
}

/// When a downtime is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DowntimeKind {
    /// From start to end.
    Fixed,
    /// From the first problem between start and end, for its duration.
    Flexible {
        /// When that problem was.
        began: Option<UnixTime>,
    },
}

impl Annotations {
    /// Whether there is a comment or downtime of that id.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.comments.iter().any(|comment| comment.id == id)
            || self.downtimes.iter().any(|downtime| downtime.id == id)
    }
}

impl EntryType {
    /// The number in the `entry_type` column.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::User => 1,
            Self::Acknowledgement => 4,
        }
    }

    /// The type of that number.
    pub(crate) fn from_code(code: i64) -> Option<Self> {
        match code {
            1 => Some(Self::User),
            4 => Some(Self::Acknowledgement),
            _ => None,
        }
    }
}

impl Downtime {
    /// Whether it is in effect at that moment.
    pub(crate) fn is_in_effect(&self, now: UnixTime) -> bool {
        match self.kind {
            DowntimeKind::Fixed => self.start_time <= now && now < self.end_time,
            DowntimeKind::Flexible { began } => {
                began.is_some_and(|began| began <= now && now < self.after(began))
            }
        }
    }

    /// Whether it will never be in effect again.
    pub(crate) fn is_over(&self, now: UnixTime) -> bool {
        match self.kind {
            DowntimeKind::Flexible { began: Some(began) } => now >= self.after(began),
            _ => now >= self.end_time,
        }
    }

    /// A problem at that moment begins a flexible one.
    fn see_problem(&mut self, at: UnixTime) {
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

static NONE: Annotations = Annotations {
    comments: Vec::new(),
    downtimes: Vec::new(),
};

/// A host or service as far as people can say something about it.
pub(crate) trait Annotated {
    /// Whether it is checked by what is handed in here. Of a shadow, its site
    /// has the say.
    fn is_own(&self) -> bool;
    /// What was said.
    fn annotations(&self) -> &Annotations;
    /// Adds a comment. False if there are too many.
    fn add_comment(&mut self, comment: Comment, at: UnixTime) -> bool;
    /// Adds a downtime. False if there are too many.
    fn add_downtime(&mut self, downtime: Downtime, at: UnixTime) -> bool;
    /// Acknowledges the problem. False if there is none.
    fn acknowledge(&mut self, how: AcknowledgementType, comment: Comment, at: UnixTime) -> bool;
    /// Takes the acknowledgement back, with its comments.
    fn remove_acknowledgement(&mut self, at: UnixTime);
    /// Removes the comments that `which` names.
    fn remove_comments(&mut self, which: &dyn Fn(&Comment) -> bool, at: UnixTime);
    /// Removes the downtimes that `which` names.
    fn remove_downtimes(&mut self, which: &dyn Fn(&Downtime) -> bool, at: UnixTime);
}

impl<S: StateCode> Annotated for State<S> {
    fn is_own(&self) -> bool {
        self.now.has_been_checked && self.source == Source::Passive
    }

    fn annotations(&self) -> &Annotations {
        self.annotations.as_deref().unwrap_or(&NONE)
    }

    fn add_comment(&mut self, comment: Comment, at: UnixTime) -> bool {
        if self.is_full() {
            return false;
        }
        self.now.past.last_update = at;
        self.annotations
            .get_or_insert_default()
            .comments
            .push(comment);
        true
    }

    fn add_downtime(&mut self, mut downtime: Downtime, at: UnixTime) -> bool {
        if self.is_full() {
            return false;
        }
        if self.has_problem() {
            downtime.see_problem(at);
        }
        self.now.past.last_update = at;
        self.annotations
            .get_or_insert_default()
            .downtimes
            .push(downtime);
        true
    }

    fn acknowledge(&mut self, how: AcknowledgementType, comment: Comment, at: UnixTime) -> bool {
        if !self.has_problem() {
            return false;
        }
        self.remove_acknowledgement(at);
        self.now.acknowledgement = Some(how);
        // Too many comments keep nobody from taking on a problem.
        self.add_comment(comment, at);
        true
    }

    fn remove_acknowledgement(&mut self, at: UnixTime) {
        self.now.acknowledgement = None;
        self.remove_comments(
            &|comment| comment.entry_type == EntryType::Acknowledgement && !comment.persistent,
            at,
        );
        self.now.past.last_update = at;
    }

    fn remove_comments(&mut self, which: &dyn Fn(&Comment) -> bool, at: UnixTime) {
        self.change_annotations(at, |all| all.comments.retain(|comment| !which(comment)));
    }

    fn remove_downtimes(&mut self, which: &dyn Fn(&Downtime) -> bool, at: UnixTime) {
        self.change_annotations(at, |all| all.downtimes.retain(|downtime| !which(downtime)));
    }
}

impl<S> State<S> {
    /// Number of downtimes in effect: as its site says, or those given here.
    pub(crate) fn downtime_depth(&self, now: UnixTime) -> u32 {
        if self.source == Source::Shadow {
            return self.now.scheduled_downtime_depth;
        }
        let downtimes = self.annotations.iter().flat_map(|all| &all.downtimes);
        downtimes
            .filter(|downtime| downtime.is_in_effect(now))
            .count() as u32
    }

    /// A problem was seen: flexible downtimes begin.
    pub(crate) fn begin_downtimes(&mut self, at: UnixTime) {
        let downtimes = self
            .annotations
            .iter_mut()
            .flat_map(|all| &mut all.downtimes);
        downtimes.for_each(|downtime| downtime.see_problem(at));
    }

    fn change_annotations(&mut self, at: UnixTime, change: impl FnOnce(&mut Annotations)) {
        let Some(all) = &mut self.annotations else {
            return;
        };
        change(all);
        if **all == NONE {
            self.annotations = None;
        }
        self.now.past.last_update = at;
    }

    fn is_full(&self) -> bool {
        self.annotations
            .as_ref()
            .is_some_and(|all| all.comments.len() + all.downtimes.len() >= MAX_ENTRIES)
    }
}

impl<S: StateCode> State<S> {
    fn has_problem(&self) -> bool {
        self.now.has_been_checked && !self.now.state.is_ok()
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
