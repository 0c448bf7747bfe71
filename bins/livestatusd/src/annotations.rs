//! Comments and downtimes of one host or service. They stand beside its state,
//! so that whoever looks at the object has them at hand.
//!
//! What is in effect is a question about a moment, so a query is right without
//! any timer. [`Annotated::settle`] does what a moment brings: it marks what
//! began, and removes what is over.

use bstr::BString;
pub(crate) use objects::EntryType;
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
    /// When it vanishes by itself, unless never.
    pub(crate) expire_time: UnixTime,
    pub(crate) origin: Origin,
}

/// Who has the say over a comment or downtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was given here.
    Here,
    /// It is what the object's site said in a dump.
    Site {
        /// Its id there.
        id: u64,
        /// The dump that named it last, as [`State::dump`] counts them.
        dump: u64,
    },
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
    /// The comment that came with it, or 0.
    pub(crate) comment_id: u64,
    /// Whether it was seen to begin.
    pub(crate) has_begun: bool,
    pub(crate) origin: Origin,
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
    /// From the beginning of another one.
    Triggered {
        /// That other one.
        by: u64,
        /// Until its end; else for its duration.
        fixed: bool,
        /// When the other one began.
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

impl Comment {
    /// What a site has said, under an id of ours.
    pub(crate) fn of_site(comment: objects::Comment, id: u64, dump: u64) -> Self {
        Self {
            id,
            origin: Origin::Site {
                id: comment.id,
                dump,
            },
            author: comment.author,
            comment: comment.comment,
            entry_time: comment.entry_time,
            entry_type: comment.entry_type,
            persistent: comment.persistent,
            expire_time: comment.expire_time,
        }
    }

    /// Whether its time has come.
    pub(crate) fn is_over(&self, now: UnixTime) -> bool {
        !self.expire_time.is_never() && now >= self.expire_time
    }
}

impl Downtime {
    /// What a site has said, under an id of ours.
    pub(crate) fn of_site(downtime: objects::Downtime, id: u64, dump: u64) -> Self {
        Self {
            id,
            origin: Origin::Site {
                id: downtime.id,
                dump,
            },
            author: downtime.author,
            comment: downtime.comment,
            entry_time: downtime.entry_time,
            start_time: downtime.start_time,
            end_time: downtime.end_time,
            duration: downtime.duration,
            kind: match downtime.kind {
                objects::DowntimeKind::Fixed => DowntimeKind::Fixed,
                objects::DowntimeKind::Flexible { began } => DowntimeKind::Flexible { began },
            },
            comment_id: 0,
            has_begun: false,
        }
    }

    /// Whether it is in effect at that moment.
    pub(crate) fn is_in_effect(&self, now: UnixTime) -> bool {
        let (from, until) = self.span();
        from.is_some_and(|from| from <= now) && now < until
    }

    /// Whether it will never be in effect again.
    pub(crate) fn is_over(&self, now: UnixTime) -> bool {
        now >= self.span().1
    }

    /// Whether it lasts from start to end, not for its duration.
    pub(crate) fn is_fixed(&self) -> bool {
        match self.kind {
            DowntimeKind::Fixed => true,
            DowntimeKind::Flexible { .. } => false,
            DowntimeKind::Triggered { fixed, .. } => fixed,
        }
    }

    /// The downtime that triggers it, or 0.
    pub(crate) fn triggered_by(&self) -> u64 {
        match self.kind {
            DowntimeKind::Triggered { by, .. } => by,
            DowntimeKind::Fixed | DowntimeKind::Flexible { .. } => 0,
        }
    }

    /// From when, if that is known, and until when it is in effect.
    fn span(&self) -> (Option<UnixTime>, UnixTime) {
        match self.kind {
            DowntimeKind::Fixed => (Some(self.start_time), self.end_time),
            DowntimeKind::Flexible { began: Some(began) }
            | DowntimeKind::Triggered {
                fixed: false,
                began: Some(began),
                ..
            } => (Some(began), self.after(began)),
            DowntimeKind::Triggered { began, .. } => (began, self.end_time),
            DowntimeKind::Flexible { began: None } => (None, self.end_time),
        }
    }

    /// When it begins or ends next.
    fn due(&self, now: UnixTime) -> UnixTime {
        match self.span() {
            (Some(from), _) if from > now => from,
            (_, until) => until,
        }
    }

    /// The downtime that triggers it begins.
    fn see_trigger(&mut self, id: u64, at: UnixTime) {
        if let DowntimeKind::Triggered { by, began, .. } = &mut self.kind
            && *by == id
            && began.is_none()
        {
            *began = Some(at);
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
    /// Removes the downtimes that `which` names, with their comments.
    fn remove_downtimes(&mut self, which: &dyn Fn(&Downtime) -> bool, at: UnixTime);
    /// A downtime begins, perhaps one that others here wait for.
    fn trigger(&mut self, id: u64, at: UnixTime);
    /// Whether it is known to be in a downtime.
    fn is_in_downtime(&self) -> bool;
    /// Does what this moment brings. Returns the downtimes that begin.
    fn settle(&mut self, now: UnixTime) -> Vec<u64>;
    /// The next moment that brings something.
    fn due(&self, now: UnixTime) -> Option<UnixTime>;
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
        self.touch(at);
        let comments = &mut self.annotations.get_or_insert_default().comments;
        let place = comments.partition_point(|other| other.id < comment.id);
        comments.insert(place, comment);
        true
    }

    fn add_downtime(&mut self, mut downtime: Downtime, at: UnixTime) -> bool {
        if self.is_full() {
            return false;
        }
        if self.has_problem() {
            downtime.see_problem(at);
        }
        self.touch(at);
        let downtimes = &mut self.annotations.get_or_insert_default().downtimes;
        let place = downtimes.partition_point(|other| other.id < downtime.id);
        downtimes.insert(place, downtime);
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
            &|comment| {
                // What a site has said it takes back itself.
                comment.entry_type == EntryType::Acknowledgement
                    && !comment.persistent
                    && comment.origin == Origin::Here
            },
            at,
        );
        self.touch(at);
    }

    fn remove_comments(&mut self, which: &dyn Fn(&Comment) -> bool, at: UnixTime) {
        self.change_annotations(at, |all| all.comments.retain(|comment| !which(comment)));
    }

    fn remove_downtimes(&mut self, which: &dyn Fn(&Downtime) -> bool, at: UnixTime) {
        self.change_annotations(at, |all| {
            let removed = all.downtimes.extract_if(.., |downtime| which(downtime));
            let comments: Vec<u64> = removed.map(|downtime| downtime.comment_id).collect();
            all.comments
                .retain(|comment| !comments.contains(&comment.id));
        });
    }

    fn trigger(&mut self, id: u64, at: UnixTime) {
        let downtimes = self.downtimes_mut();
        downtimes.for_each(|downtime| downtime.see_trigger(id, at));
    }

    fn is_in_downtime(&self) -> bool {
        match self.source {
            Source::Shadow => self.now.scheduled_downtime_depth > 0,
            Source::Passive => {
                let mut downtimes = self.annotations().downtimes.iter();
                downtimes.any(|downtime| downtime.origin == Origin::Here && downtime.has_begun)
            }
        }
    }

    fn settle(&mut self, now: UnixTime) -> Vec<u64> {
        let mut began = Vec::new();
        for downtime in self.downtimes_mut() {
            if !downtime.has_begun && downtime.is_in_effect(now) {
                downtime.has_begun = true;
                began.push(downtime.id);
            }
        }
        let all = self.annotations();
        if all.downtimes.iter().any(|downtime| downtime.is_over(now)) {
            self.remove_downtimes(&|downtime| downtime.is_over(now), now);
        }
        if self
            .annotations()
            .comments
            .iter()
            .any(|comment| comment.is_over(now))
        {
            self.expire_comments(now);
        }
        began
    }

    fn due(&self, now: UnixTime) -> Option<UnixTime> {
        let all = self.annotations.as_deref()?;
        let comments = all.comments.iter().map(|comment| comment.expire_time);
        let comments = comments.filter(|time| !time.is_never());
        let downtimes = all.downtimes.iter().map(|downtime| downtime.due(now));
        comments.chain(downtimes).min()
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
            .filter(|downtime| downtime.origin == Origin::Here && downtime.is_in_effect(now))
            .count() as u32
    }

    /// A problem was seen: flexible downtimes begin.
    pub(crate) fn begin_downtimes(&mut self, at: UnixTime) {
        let downtimes = self.downtimes_mut();
        downtimes.for_each(|downtime| downtime.see_problem(at));
    }

    /// Removes comments whose time has come, and the acknowledgement that one
    /// of them is about.
    fn expire_comments(&mut self, now: UnixTime) {
        let mut acknowledgement_over = false;
        self.change_annotations(now, |all| {
            for comment in &mut all.comments {
                let of_acknowledgement =
                    comment.entry_type == EntryType::Acknowledgement && comment.is_over(now);
                acknowledgement_over |= of_acknowledgement && comment.origin == Origin::Here;
                if of_acknowledgement && comment.persistent {
                    comment.expire_time = UnixTime::NEVER;
                }
            }
            all.comments.retain(|comment| !comment.is_over(now));
        });
        if acknowledgement_over {
            self.now.acknowledgement = None;
        }
    }

    fn downtimes_mut(&mut self) -> impl Iterator<Item = &mut Downtime> {
        let all = self.annotations.iter_mut();
        all.flat_map(|all| &mut all.downtimes)
    }

    fn change_annotations(&mut self, at: UnixTime, change: impl FnOnce(&mut Annotations)) {
        let Some(all) = &mut self.annotations else {
            return;
        };
        change(all);
        if **all == NONE {
            self.annotations = None;
        }
        self.touch(at);
    }

    /// Something changed, perhaps before the last change.
    fn touch(&mut self, at: UnixTime) {
        let last_update = &mut self.now.past.last_update;
        *last_update = at.max(*last_update);
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
            comment_id: 0,
            has_begun: false,
            origin: Origin::Here,
        }
    }

    #[test]
    fn a_downtime_is_in_effect_when_it_should_be() {
        let flexible = |began| DowntimeKind::Flexible { began };
        let triggered = |fixed, began| DowntimeKind::Triggered {
            by: 7,
            fixed,
            began,
        };
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
            (triggered(true, None), 15, false, false),
            (triggered(true, None), 20, false, true),
            (triggered(true, Some(secs(5))), 6, true, false),
            (triggered(true, Some(secs(5))), 20, false, true),
            (triggered(false, Some(secs(5))), 54, true, false),
            (triggered(false, Some(secs(5))), 55, false, true),
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
