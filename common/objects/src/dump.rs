//! The frame of a dump: how it begins and how it ends.
//!
//! A state dump carries these as commands, a configuration dump as comment
//! lines; sitewire-dump(5) has both forms.

use crate::{SiteId, UnixTime};

/// Number of the frame's format.
pub const FORMAT: u32 = 1;

/// What a dump carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpContent {
    /// Hosts and services as configured; taken in whole or not at all.
    Configuration,
    /// Their states; taken in record by record.
    State,
}

/// How a dump relates to what the receiver has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpMode {
    /// It names every object of the site.
    Full,
    /// It names what changed since the dump with sequence `base`.
    Delta {
        /// Sequence of the dump that this one builds upon.
        base: u64,
    },
}

/// The first thing a dump says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpBegin {
    /// The site it claims to come from. At the centre the ingest socket decides.
    pub site: SiteId,
    /// Configuration or state.
    pub content: DumpContent,
    /// Changes when a site was rebuilt and its sequence began anew; a greater
    /// epoch is newer.
    pub epoch: u64,
    /// Orders the dumps of one epoch: the start of the dump in microseconds.
    pub sequence: u64,
    /// Full, or the difference to an earlier one.
    pub mode: DumpMode,
    /// The source's clock when the dump began.
    pub time: UnixTime,
    /// SHA-256 of the configuration dump this state belongs to, in hexadecimal.
    pub config_hash: Option<String>,
}

/// The last thing a dump says. A dump without it is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DumpEnd {
    /// The sequence given at the beginning.
    pub sequence: u64,
    /// How many objects it carried.
    pub records: u64,
    /// CRC-32C of all bytes between beginning and end.
    pub crc32c: u32,
}

impl DumpContent {
    /// The word in the frame.
    pub fn word(self) -> &'static str {
        match self {
            Self::Configuration => "config",
            Self::State => "state",
        }
    }

    /// The content of that word.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"config" => Some(Self::Configuration),
            b"state" => Some(Self::State),
            _ => None,
        }
    }
}
