//! What a change of an object is worth in the history: another state, the
//! beginning and end of flapping and of downtimes.

use livestatus::Command;
use livestatus::query::Trigger;
use objects::{StateCode, UnixTime};

use crate::annotations::Annotated;
use crate::check::{Phase, State};
use crate::history::{Alert, Event, Step, Was, What};
use crate::owners::Owner;
use crate::store::Site;

/// An object before a change.
pub(crate) struct Before<S> {
    phase: Option<Phase<S>>,
    since: UnixTime,
    is_flapping: bool,
    in_downtime: bool,
}

/// What became of a change.
pub(crate) struct Noted {
    /// Whether there is another state now.
    pub(crate) is_new: bool,
    /// Downtimes that began.
    pub(crate) began: Vec<u64>,
    /// When something will happen to the object by itself.
    pub(crate) due: Option<UnixTime>,
}

impl Noted {
    /// Whether there is more to be done than to say that something was checked.
    pub(crate) fn is_remarkable(&self) -> bool {
        self.is_new || !self.began.is_empty() || self.due.is_some()
    }
}

impl<S: StateCode> Before<S> {
    /// The object as it is.
    pub(crate) fn of(state: &State<S>) -> Self {
        Self {
            phase: state.phase(),
            since: state.now.last_state_change,
            is_flapping: state.now.is_flapping,
            in_downtime: state.is_in_downtime(),
        }
    }
}

impl Site {
    /// Keeps in the history what has changed.
    pub(crate) fn note<S: StateCode>(
        &self,
        before: &Before<S>,
        state: &mut State<S>,
        owner: &dyn Fn() -> Owner,
    ) -> Noted {
        let now = state.now.past.last_update;
        let began = state.settle(now);
        let due = state.due(now);
        let after = state.phase();
        // What was good when it became known is no news.
        let is_news = match before.phase {
            None => after.is_some() && !state.now.state.is_ok(),
            phase => phase != after,
        };
        if is_news && self.history().is_some() {
            let was = before.phase.map(|(state, ..)| Was {
                state: state.code(),
                since: before.since,
            });
            let alert = Alert {
                was,
                state: state.now.state.code(),
                state_type: state.now.state_type,
                attempt: state.now.current_attempt,
                plugin_output: state.now.plugin_output.clone(),
            };
            self.keep(owner(), What::Alert(alert), now);
        }
        let flapping = Step::between(before.is_flapping, state.now.is_flapping, Step::Stopped);
        if let Some(step) = flapping {
            self.keep(owner(), What::Flapping(step), now);
        }
        let downtime = Step::between(before.in_downtime, state.is_in_downtime(), Step::Stopped);
        if let Some(step) = downtime {
            self.note_downtime(owner(), step, now);
        }
        Noted {
            is_new: before.phase.map(|(state, ..)| state) != after.map(|(state, ..)| state),
            began,
            due,
        }
    }

    /// Keeps in the history that an object enters or leaves downtimes.
    pub(crate) fn note_downtime(&self, owner: Owner, step: Step, now: UnixTime) {
        self.keep(owner, What::Downtime(step), now);
        self.annotations_changed(Trigger::Downtime);
    }

    /// Keeps in the history that somebody gave a command.
    pub(crate) fn note_command(&self, command: &Command, now: UnixTime) {
        let text = [&command.name[..], b";", &command.arguments].concat();
        self.keep(Owner::host(b""), What::Command(text.into()), now);
    }

    fn keep(&self, owner: Owner, what: What, time: UnixTime) {
        if let Some(history) = self.history() {
            history.note(&Event { time, owner, what });
            self.happened(Trigger::Log);
        }
    }
}
