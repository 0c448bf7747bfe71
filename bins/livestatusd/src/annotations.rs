//! Comments and downtimes of one host or service. They stand beside its state,
//! so that whoever looks at the object has them at hand. What is over is removed
//! when somebody comes by.

use objects::{AcknowledgementType, Comment, Downtime, EntryType, StateCode, UnixTime};

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

impl Annotations {
    /// Whether there is a comment or downtime of that id.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.comments.iter().any(|comment| comment.id == id)
            || self.downtimes.iter().any(|downtime| downtime.id == id)
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
        self.now.past.last_update = at;
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
                    && comment.origin.is_none()
            },
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
