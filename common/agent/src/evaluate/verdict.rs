//! What one service comes to: a state, a text, performance data.

use bstr::BString;
use objects::state::StateCode;
use objects::{Metric, Perfdata, ServiceState, Thresholds};

use crate::item::Missing;
use crate::words::rounded;

/// What one service comes to.
pub(super) struct Verdict {
    pub(super) state: ServiceState,
    pub(super) text: String,
    /// The text is a plugin's, which has its own words for the state.
    pub(super) by_plugin: bool,
    pub(super) long: BString,
    pub(super) perf_data: BString,
}

impl Missing {
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::unknown(match self {
            Self::NotRunning(name) => {
                return Verdict {
                    state: ServiceState::Crit,
                    ..Verdict::unknown(format!("{name} is not in the agent's document"))
                };
            }
            Self::CheckAbsent(key) => format!("the agent's document has no `{key}`"),
            Self::CheckFailed(error) => format!("the agent's check failed: {error}"),
            Self::ItemAbsent(name, None) if name.is_empty() => {
                "not in the agent's document".to_owned()
            }
            Self::ItemAbsent(name, None) => format!("{name} is not in the agent's document"),
            Self::ItemAbsent(name, Some(error)) => {
                format!("{name} is not in the agent's document: {error}")
            }
        })
    }
}

impl Verdict {
    pub(super) fn measured(thresholds: Thresholds, value: f64, text: String) -> Self {
        let state = thresholds.state(value);
        let beyond = match state {
            ServiceState::Crit => thresholds.crit,
            ServiceState::Warn => thresholds.warn,
            _ => None,
        };
        let text = match beyond {
            Some(range) => format!("{text} (threshold {range})"),
            None => text,
        };
        Self {
            state,
            ..Self::unknown(text)
        }
    }

    pub(super) fn unknown(text: String) -> Self {
        Self {
            state: ServiceState::Unknown,
            text,
            by_plugin: false,
            long: BString::default(),
            perf_data: BString::default(),
        }
    }

    pub(super) fn no_figure(key: &str) -> Self {
        Self::unknown(format!("the agent's document has no `{key}`"))
    }

    pub(super) fn plugin_output(&self) -> BString {
        match self.by_plugin {
            true => self.text.as_str().into(),
            false => one_line(format!("{} - {}", self.state.word(), self.text)),
        }
    }

    pub(super) fn metric(mut self, metric: Metric) -> Self {
        if !self.perf_data.is_empty() {
            self.perf_data.push(b' ');
        }
        let metrics = vec![metric];
        self.perf_data
            .extend_from_slice(&Perfdata { metrics }.print());
        self
    }

    /// Takes over `state` if it is worse.
    pub(super) fn worsen(&mut self, state: ServiceState) {
        let rank = |state| match state {
            ServiceState::Ok => 0,
            ServiceState::Unknown => 1,
            ServiceState::Warn => 2,
            ServiceState::Crit => 3,
        };
        if rank(state) > rank(self.state) {
            self.state = state;
        }
    }
}

/// Names and errors in a document can contain anything; a result's first line
/// is one line.
pub(super) fn one_line(text: String) -> BString {
    text.replace(char::is_control, " ").into()
}

pub(super) fn percent(label: &str, value: f64) -> Metric {
    Metric::new(label, rounded(value), "%").limits(Some(0.0), Some(100.0))
}

pub(super) fn size(label: &str, value: u64, max: u64) -> Metric {
    Metric::new(label, value as f64, "B").limits(Some(0.0), Some(max as f64))
}
