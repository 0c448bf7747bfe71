//! States of hosts and services, and everything that a state dump carries
//! about one of them.

use bstr::BString;

use crate::UnixTime;

/// A state that Livestatus shows as a small number.
pub trait StateCode: Copy + Eq + std::fmt::Debug {
    /// The number in the `state` column.
    fn code(self) -> u8;
    /// The state of that number, if there is one.
    fn from_code(code: i64) -> Option<Self>;
    /// The long word used in notifications: `DOWN`, `CRITICAL`.
    fn word(self) -> &'static str;
    /// Whether the object is healthy.
    fn is_ok(self) -> bool {
        self.code() == 0
    }
}

/// State of a host. Livestatus: 0 up, 1 down, 2 unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HostState {
    /// It answers.
    #[default]
    Up,
    /// It does not answer.
    Down,
    /// What lies in front of it does not answer.
    Unreachable,
}

impl StateCode for HostState {
    fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            0 => Self::Up,
            1 => Self::Down,
            2 => Self::Unreachable,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Unreachable => "UNREACHABLE",
        }
    }
}

/// State of a service. Livestatus: 0 ok, 1 warning, 2 critical, 3 unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ServiceState {
    /// As it should be.
    #[default]
    Ok,
    /// Above the warning threshold.
    Warn,
    /// Above the critical threshold.
    Crit,
    /// The check could not find out.
    Unknown,
}

impl StateCode for ServiceState {
    fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            0 => Self::Ok,
            1 => Self::Warn,
            2 => Self::Crit,
            3 => Self::Unknown,
            _ => return None,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARNING",
            Self::Crit => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Whether a state has been confirmed by enough attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StateType {
    /// Not yet confirmed: 0.
    Soft,
    /// Confirmed: 1.
    #[default]
    Hard,
}

/// How a problem was acknowledged. The absence of one is `None` around this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcknowledgementType {
    /// Ends with the next change of state: 1.
    Normal,
    /// Ends with recovery: 2.
    Sticky,
}

impl AcknowledgementType {
    /// The number in the `acknowledgement_type` column, 0 for none.
    pub fn code(acknowledgement: Option<Self>) -> u8 {
        match acknowledgement {
            None => 0,
            Some(Self::Normal) => 1,
            Some(Self::Sticky) => 2,
        }
    }
}

/// The complete state of one host or service, as a state dump carries it.
///
/// Members have the names of the Livestatus columns they come from. Numbers
/// that the source does not know are `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ShadowState<S> {
    /// False while pending; then everything below is meaningless.
    pub has_been_checked: bool,
    /// The current state.
    pub state: S,
    /// Soft or hard.
    pub state_type: StateType,
    /// Attempt within the current state, from 1.
    pub current_attempt: u32,
    /// Time of the last check at the site that made it.
    pub last_check: UnixTime,
    /// Time of the last change between states.
    pub last_state_change: UnixTime,
    /// Time of the last change between hard states.
    pub last_hard_state_change: UnixTime,
    /// Duration of the last check in seconds.
    pub execution_time: Option<f64>,
    /// Delay of the last check in seconds.
    pub latency: Option<f64>,
    /// Whether it is flapping.
    pub is_flapping: bool,
    /// How much it flaps, 0 to 100.
    pub percent_state_change: Option<f64>,
    /// Whether and how the problem was acknowledged.
    pub acknowledgement: Option<AcknowledgementType>,
    /// Number of downtimes in effect.
    pub scheduled_downtime_depth: u32,
    /// Age of the last check over the check interval, at the moment of the dump.
    pub staleness: Option<f64>,
    /// First line of what the plugin printed.
    pub plugin_output: BString,
    /// The further lines, with real line feeds between them.
    pub long_plugin_output: BString,
    /// Performance data.
    pub perf_data: BString,
    /// What was before.
    pub past: Past<S>,
}

/// What was before the present state, as far as anybody remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Past<S> {
    /// The state before the last check.
    pub last_state: Option<S>,
    /// The last confirmed state, which is the present one if that is confirmed.
    pub last_hard_state: Option<S>,
    /// When each state was last seen, by its number.
    pub last_time: [UnixTime; 4],
    /// When anything about the object changed at the place that tells of it.
    pub last_update: UnixTime,
}
