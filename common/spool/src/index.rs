//! What is known of each message, in memory.
use crate::{End, Target};
use objects::{NotificationId, SiteId, UnixTime};

/// A message that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: NotificationId,
    /// Counts acceptances: messages with a lower number came earlier.
    pub order: u64,
    /// When it was accepted here.
    pub accepted: UnixTime,
    /// The peer it came from; none if it was submitted here.
    pub from: Option<SiteId>,
    /// Length of its body, in bytes.
    pub body_len: usize,
    /// Where it is to go; empty as long as nothing was assigned.
    pub targets: Vec<TargetState>,
}

/// How far a message has come at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetState {
    /// Which.
    pub target: Target,
    /// The number of the last attempt; 0 for none.
    pub attempts: u32,
    /// How it ended there, if it did.
    pub end: Option<End>,
}
