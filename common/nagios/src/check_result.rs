//! Check result files: what Nagios and Naemon read from their spool, and the
//! state dump that is made of the same records.
//!
//! ```text
//! # sitewire 1 state site=remote1 seq=1795217983000000 epoch=0 mode=full time=1795217983
//! host_name=db1
//! service_description=Disk /
//! check_type=1
//! check_options=0
//! latency=0.000000
//! start_time=1795217980.250000
//! finish_time=1795217980.300000
//! return_code=2
//! output=DISK CRITICAL|/=98%;80;90
//!
//! # sitewire-end records=1 crc32c=89ab12cd
//! ```
//!
//! To the cores every line with a `#` is a comment, so an unmodified core takes
//! the whole as it is. What a check result cannot say stands in such lines too,
//! as `# full`, `# acknowledgement` and `# downtime` inside a record; it is for
//! a loader that brings the core there by other means. An object that was never
//! checked has only those lines and its names: without `output` a core drops the
//! record.
//!
//! The two cores undo escapes in different ways; see [`Core`].

mod escape;
mod full;
mod print;
mod read;

use bstr::BString;
use objects::{AcknowledgementType, Comment, Downtime, StateType, UnixTime};

pub use print::{Printer, print};
pub use read::{Begin, Event, Limits, Reader, Refused};

/// For which core a check result file is written: what they read differs where
/// there are backslashes.
///
/// Naemon cannot be told of a backslash before the letter n in a plugin's
/// output; such a one is written as a slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Core {
    /// Nagios 4, which reads `\\` as a backslash and `\n` as a line feed.
    #[default]
    Nagios,
    /// Naemon, which reads `\n` as a line feed and leaves other backslashes.
    Naemon,
}

impl Core {
    /// The word in the frame and on command lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nagios => "nagios",
            Self::Naemon => "naemon",
        }
    }

    /// The core of that word.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"nagios" => Some(Self::Nagios),
            b"naemon" => Some(Self::Naemon),
            _ => None,
        }
    }
}

/// One record: the result of a check, and what more is known of the object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckResult {
    /// The host.
    pub host_name: BString,
    /// The service, or `None` for the host itself.
    pub service_description: Option<BString>,
    /// 0 to 2 for hosts, 0 to 3 for services. Of an object that was never
    /// checked, it says nothing.
    pub return_code: u8,
    /// When the check began.
    pub start_time: UnixTime,
    /// When it ended.
    pub finish_time: UnixTime,
    /// How late the check was, in seconds.
    pub latency: f64,
    /// The first line of the output, without performance data.
    pub plugin_output: BString,
    /// The further lines, with line feeds between them.
    pub long_plugin_output: BString,
    /// Performance data.
    pub perf_data: BString,
    /// What a check result cannot say.
    pub full: Option<Full>,
}

impl CheckResult {
    /// Whether there is a result at all.
    pub fn has_been_checked(&self) -> bool {
        self.full.as_ref().is_none_or(|full| full.has_been_checked)
    }
}

/// What makes a check result a complete state.
#[derive(Debug, Clone, PartialEq)]
pub struct Full {
    /// False while the object is pending.
    pub has_been_checked: bool,
    /// Soft or hard.
    pub state_type: StateType,
    /// Attempt within the current state, from 1.
    pub current_attempt: u32,
    /// Attempts that make a hard state; 0 if the source does not say.
    pub max_check_attempts: u32,
    /// Time of the last change between states.
    pub last_state_change: UnixTime,
    /// Time of the last change between hard states.
    pub last_hard_state_change: UnixTime,
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
    /// What was said when it was acknowledged, the newest last. Empty where the
    /// source does not keep it.
    pub acknowledgement_comments: Vec<Comment>,
    /// Its downtimes, also those that have not begun.
    pub downtimes: Vec<Downtime>,
}

impl Default for Full {
    fn default() -> Self {
        Self {
            has_been_checked: true,
            state_type: StateType::Hard,
            current_attempt: 1,
            max_check_attempts: 0,
            last_state_change: UnixTime::NEVER,
            last_hard_state_change: UnixTime::NEVER,
            is_flapping: false,
            percent_state_change: None,
            acknowledgement: None,
            scheduled_downtime_depth: 0,
            staleness: None,
            acknowledgement_comments: Vec::new(),
            downtimes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
