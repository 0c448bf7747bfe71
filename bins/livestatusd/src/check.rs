//! What one check does to the state of a host or service: a passive result
//! goes through soft and hard attempts here, a shadow state has been through
//! them at its own site.

use objects::{
    CheckResult, Past, ShadowState, StateCode, StateType, UnixTime, state::AcknowledgementType,
};

use crate::annotations::{Annotated, Annotations};

/// The state of one object, with what a core remembers beside it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct State<S> {
    /// The state as of the last check, with what was before it. The time of
    /// the last update is that of the last change here.
    pub(crate) now: ShadowState<S>,
    /// Who checked last.
    pub(crate) source: Source,
    /// Number of the dump that named the object last.
    pub(crate) dump: u64,
    /// Comments and downtimes, if there are any.
    pub(crate) annotations: Option<Box<Annotations>>,
}

/// What a change of is worth a line in the log: state, whether it is confirmed,
/// and the attempt on the way there.
pub(crate) type Phase<S> = (S, StateType, u32);

/// Where a state comes from, as `check_type` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// A check result handed in: 1.
    Passive,
    /// A dump of the site that checks it: 2.
    #[default]
    Shadow,
}

impl Source {
    /// The number in `check_type`.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Passive => 1,
            Self::Shadow => 2,
        }
    }
}

/// A check result older than the last one is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OlderThanLastCheck;

impl<S: StateCode> State<S> {
    /// The state as far as the log is concerned; none while pending.
    pub(crate) fn phase(&self) -> Option<Phase<S>> {
        let now = &self.now;
        let attempt = match now.state_type {
            StateType::Soft => now.current_attempt,
            StateType::Hard => 0,
        };
        now.has_been_checked
            .then_some((now.state, now.state_type, attempt))
    }

    /// The state before the last check; the present one if there was none.
    pub(crate) fn last_state(&self) -> S {
        self.now.past.last_state.unwrap_or(self.now.state)
    }

    /// The last confirmed state; the present one if there was none.
    pub(crate) fn last_hard_state(&self) -> S {
        self.now.past.last_hard_state.unwrap_or(self.now.state)
    }

    /// Takes a state as another site computed it. What that site does not
    /// remember is what was seen here.
    pub(crate) fn take_shadow(&mut self, mut state: ShadowState<S>, dump: u64, at: UnixTime) {
        let (before, past) = (&self.now, &mut state.past);
        let first = !before.has_been_checked;
        past.last_state = past.last_state.or(if first {
            Some(state.state)
        } else if before.last_check != state.last_check {
            Some(before.state)
        } else {
            before.past.last_state
        });
        past.last_hard_state = match state.state_type {
            StateType::Hard => Some(state.state),
            // A soft state is on its way from or to the good one, whatever was seen of it here.
            StateType::Soft if first => past.last_hard_state.or(S::from_code(0)),
            StateType::Soft => past.last_hard_state.or(before.past.last_hard_state),
        };
        for (time, seen_here) in past.last_time.iter_mut().zip(before.past.last_time) {
            *time = seen_here.max(*time);
        }
        self.source = Source::Shadow;
        self.dump = dump;
        let is_acknowledged = state.acknowledgement.is_some();
        self.see(state, at);
        if !is_acknowledged {
            self.remove_acknowledgement(at);
        }
    }

    /// Takes the time of another check of a shadow after which it is as it was.
    /// False if it is none.
    pub(crate) fn take_check_time(&mut self, time: UnixTime, dump: u64, at: UnixTime) -> bool {
        if self.source != Source::Shadow || !self.now.has_been_checked {
            return false;
        }
        self.now.last_check = time;
        if let Some(last_time) = self
            .now
            .past
            .last_time
            .get_mut(usize::from(self.now.state.code()))
        {
            *last_time = time.max(*last_time);
        }
        self.now.staleness = None;
        self.now.past.last_update = at;
        self.dump = dump;
        true
    }

    /// Takes back a state that survived a restart.
    pub(crate) fn restore(&mut self, source: Source, state: ShadowState<S>) {
        // Older snapshots do not have it.
        let at = state.past.last_update.max(state.last_check);
        self.take_shadow(state, 0, at);
        self.source = source;
    }

    /// Takes a passive result. `max_check_attempts` is 1 for hosts: nobody
    /// will check again, so what was said is confirmed.
    pub(crate) fn take_result(
        &mut self,
        state: S,
        result: CheckResult,
        max_check_attempts: u32,
        at: UnixTime,
    ) -> Result<(), OlderThanLastCheck> {
        let time = if result.time.is_never() {
            at
        } else {
            result.time.min(at)
        };
        // Commands carry whole seconds.
        if self.now.has_been_checked && time.secs() < self.now.last_check.secs() {
            return Err(OlderThanLastCheck);
        }
        let before = &self.now;
        let (state_type, current_attempt) = next_attempt(before, state, max_check_attempts);
        let first = !before.has_been_checked;
        let changed = first || before.state != state;
        let hard_changed =
            state_type == StateType::Hard && (first || self.last_hard_state() != state);
        let past = Past {
            last_state: Some(if first { state } else { before.state }),
            last_hard_state: match state_type {
                StateType::Hard => Some(state),
                StateType::Soft => before.past.last_hard_state.or(S::from_code(0)),
            },
            ..before.past
        };
        let next = ShadowState {
            has_been_checked: true,
            state,
            state_type,
            current_attempt,
            last_check: time,
            last_state_change: if changed {
                time
            } else {
                before.last_state_change
            },
            last_hard_state_change: if hard_changed {
                time
            } else {
                before.last_hard_state_change
            },
            execution_time: Some(0.0),
            latency: Some((at.as_secs_f64() - time.as_secs_f64()).max(0.0)),
            is_flapping: false,
            percent_state_change: Some(0.0),
            acknowledgement: kept_acknowledgement(before, state, changed),
            scheduled_downtime_depth: before.scheduled_downtime_depth,
            staleness: None,
            plugin_output: result.plugin_output,
            long_plugin_output: result.long_plugin_output,
            perf_data: result.perf_data,
            past,
        };
        self.source = Source::Passive;
        let acknowledgement_ended =
            before.acknowledgement.is_some() && next.acknowledgement.is_none();
        self.see(next, at);
        if acknowledgement_ended {
            self.remove_acknowledgement(at);
        }
        if !state.is_ok() {
            self.begin_downtimes(at);
        }
        Ok(())
    }

    fn see(&mut self, mut state: ShadowState<S>, at: UnixTime) {
        let past = &mut state.past;
        if state.has_been_checked
            && let Some(time) = past.last_time.get_mut(usize::from(state.state.code()))
        {
            *time = state.last_check;
        }
        past.last_update = at;
        self.now = state;
    }
}

/// Soft or hard, and which attempt, as the cores count them.
fn next_attempt<S: StateCode>(
    before: &ShadowState<S>,
    state: S,
    max_check_attempts: u32,
) -> (StateType, u32) {
    let in_problem = before.has_been_checked && !before.state.is_ok();
    match (in_problem, before.state_type, state.is_ok()) {
        // Recovered from what was never confirmed: the cores call that soft once.
        (true, StateType::Soft, true) => (StateType::Soft, 1),
        (_, _, true) => (StateType::Hard, 1),
        (true, StateType::Hard, false) => (StateType::Hard, before.current_attempt.max(1)),
        (true, StateType::Soft, false) => attempt(before.current_attempt + 1, max_check_attempts),
        (false, _, false) => attempt(1, max_check_attempts),
    }
}

fn attempt(number: u32, max_check_attempts: u32) -> (StateType, u32) {
    if number >= max_check_attempts.max(1) {
        (StateType::Hard, max_check_attempts.max(1))
    } else {
        (StateType::Soft, number)
    }
}

fn kept_acknowledgement<S: StateCode>(
    before: &ShadowState<S>,
    state: S,
    changed: bool,
) -> Option<AcknowledgementType> {
    match before.acknowledgement {
        _ if state.is_ok() => None,
        Some(AcknowledgementType::Normal) if changed => None,
        kept => kept,
    }
}

#[cfg(test)]
mod tests {
    use objects::ServiceState::{self, Crit, Ok as Good, Warn};
    use objects::StateType::{Hard, Soft};

    use super::*;

    fn result(time: i64) -> CheckResult {
        CheckResult {
            host_name: "h".into(),
            service_description: Some("s".into()),
            time: UnixTime::from_secs(time),
            return_code: 0,
            plugin_output: "out".into(),
            long_plugin_output: "".into(),
            perf_data: "".into(),
        }
    }

    #[test]
    fn problems_are_confirmed_by_attempts() {
        let mut state = State::<ServiceState>::default();
        for (
            time,
            given,
            state_type,
            attempt,
            last_state_change,
            last_hard_state_change,
            last_hard_state,
        ) in [
            (100, Good, Hard, 1, 100, 100, Good),
            (110, Crit, Soft, 1, 110, 100, Good),
            (120, Warn, Soft, 2, 120, 100, Good),
            (130, Warn, Hard, 3, 120, 130, Warn),
            (140, Warn, Hard, 3, 120, 130, Warn),
            (150, Crit, Hard, 3, 150, 150, Crit),
            (160, Good, Hard, 1, 160, 160, Good),
            (170, Warn, Soft, 1, 170, 160, Good),
            (180, Good, Soft, 1, 180, 160, Good),
            (190, Good, Hard, 1, 180, 160, Good),
        ] {
            let before = state.now.state;
            let first = !state.now.has_been_checked;
            state
                .take_result(given, result(time), 3, UnixTime::from_secs(1000))
                .unwrap();
            let now = &state.now;
            assert_eq!(
                (now.state, now.state_type, now.current_attempt),
                (given, state_type, attempt),
                "at {time}"
            );
            assert_eq!(now.last_state_change.secs(), last_state_change, "at {time}");
            assert_eq!(
                now.last_hard_state_change.secs(),
                last_hard_state_change,
                "at {time}"
            );
            assert_eq!(state.last_hard_state(), last_hard_state, "at {time}");
            assert_eq!(now.last_check.secs(), time);
            assert_eq!(
                state.now.past.last_time[usize::from(given.code())].secs(),
                time
            );
            if !first {
                assert_eq!(state.last_state(), before, "at {time}");
            }
        }
        assert_eq!(state.source.code(), 1);
    }

    #[test]
    fn one_attempt_is_hard_at_once() {
        for max_check_attempts in [0, 1] {
            let mut state = State::<ServiceState>::default();
            state
                .take_result(Crit, result(5), max_check_attempts, UnixTime::from_secs(9))
                .unwrap();
            assert_eq!((state.now.state_type, state.now.current_attempt), (Hard, 1));
            assert_eq!(state.now.last_hard_state_change.secs(), 5);
        }
    }

    #[test]
    fn a_result_of_the_past_is_not_taken_and_one_of_the_future_is_of_now() {
        let mut state = State::<ServiceState>::default();
        state
            .take_result(Crit, result(50), 1, UnixTime::from_secs(40))
            .unwrap();
        assert_eq!(state.now.last_check.secs(), 40);
        let before = state.clone();
        assert_eq!(
            state.take_result(Good, result(39), 1, UnixTime::from_secs(60)),
            Err(OlderThanLastCheck)
        );
        assert_eq!(state, before);
    }

    #[test]
    fn an_acknowledgement_ends_as_its_type_says() {
        use AcknowledgementType::{Normal, Sticky};
        for (given, next, kept) in [
            (Normal, Crit, None),
            (Normal, Warn, Some(Normal)),
            (Sticky, Crit, Some(Sticky)),
            (Sticky, Good, None),
        ] {
            let mut state = State::<ServiceState>::default();
            state
                .take_result(Warn, result(1), 1, UnixTime::from_secs(9))
                .unwrap();
            state.now.acknowledgement = Some(given);
            state
                .take_result(next, result(2), 1, UnixTime::from_secs(9))
                .unwrap();
            assert_eq!(state.now.acknowledgement, kept, "{given:?} {next:?}");
        }
    }

    #[test]
    fn what_was_before_a_shadow_state_is_as_its_site_says_else_as_seen_here() {
        let secs = UnixTime::from_secs;
        let told = Past {
            last_state: Some(Warn),
            last_hard_state: Some(Warn),
            last_time: [1, 2, 3, 0].map(secs),
            last_update: secs(4),
        };
        let shadow = |state, last_check, past| ShadowState {
            has_been_checked: true,
            state,
            state_type: Soft,
            last_check: secs(last_check),
            past,
            ..ShadowState::default()
        };
        let mut state = State::<ServiceState>::default();
        state.take_shadow(shadow(Crit, 10, told), 1, secs(20));
        let want = Past {
            last_time: [1, 2, 10, 0].map(secs),
            last_update: secs(20),
            ..told
        };
        assert_eq!(state.now.past, want);
        // The same check once more, from a source that remembers nothing.
        state.take_shadow(shadow(Crit, 10, Past::default()), 2, secs(21));
        let want = Past {
            last_update: secs(21),
            ..want
        };
        assert_eq!(state.now.past, want);
        state.take_shadow(shadow(Warn, 11, Past::default()), 3, secs(22));
        let want = Past {
            last_state: Some(Crit),
            last_hard_state: Some(Warn),
            last_time: [1, 11, 10, 0].map(secs),
            last_update: secs(22),
        };
        assert_eq!(state.now.past, want);
    }

    #[test]
    fn a_shadow_state_is_taken_as_it_is() {
        let mut state = State::<ServiceState>::default();
        let soft = ShadowState {
            has_been_checked: true,
            state: Crit,
            state_type: Soft,
            current_attempt: 2,
            last_check: UnixTime::from_secs(7),
            ..ShadowState::default()
        };
        state.take_shadow(soft.clone(), 4, UnixTime::from_secs(9));
        let mut want = soft.clone();
        want.past = Past {
            last_state: Some(Crit),
            last_hard_state: Some(Good),
            last_time: [0, 0, 7, 0].map(UnixTime::from_secs),
            last_update: UnixTime::from_secs(9),
        };
        assert_eq!(state.now, want);
        assert_eq!(
            (state.last_hard_state(), state.source, state.dump),
            (Good, Source::Shadow, 4)
        );
        assert_eq!(state.now.past.last_time[2].secs(), 7);
        let hard = ShadowState {
            state_type: Hard,
            last_check: UnixTime::from_secs(8),
            ..soft
        };
        state.take_shadow(hard, 5, UnixTime::from_secs(10));
        assert_eq!((state.last_state(), state.last_hard_state()), (Crit, Crit));
    }
}
