//! The append-only journal.
use std::fmt;

/// Sizes of a journal and of what it remembers.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length at which a segment is full.
    pub segment_size: u64,
    /// How many segments are always kept, for tracing what has ended.
    pub keep_segments: usize,
    /// Above how many segments open messages are copied out of the oldest.
    pub compact_above: usize,
    /// How many accepted ids are remembered per peer: at least four windows.
    pub peer_ids: usize,
    /// How many accepted ids are remembered altogether.
    pub all_ids: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: 64 << 20,
            keep_segments: 4,
            compact_above: 16,
            peer_ids: 4096,
            all_ids: 100_000,
        }
    }
}

/// A place in the journal that does not hold what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The name of the segment.
    pub segment: String,
    /// Where in it.
    pub offset: u64,
    /// How many bytes; 0 if records are missing altogether.
    pub len: u64,
    /// What is wrong, in words.
    pub why: String,
}

/// What recovery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments read.
    pub segments: usize,
    /// Valid records found.
    pub records: u64,
    /// Bytes of an interrupted write, cut from the end.
    pub cut: u64,
    /// What was set aside.
    pub damages: Vec<Damage>,
    /// Messages that have not ended.
    pub open: usize,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
