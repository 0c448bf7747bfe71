//! Why a connection cannot go on, by whose fault it is.

use std::fmt;
use std::time::Duration;

use objects::SiteId;

use crate::control::Range;

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer speaks something else: these were its first bytes. Display
    /// escapes them.
    NotThisProtocol {
        /// At most [`crate::frame::FIRST_BYTES`] of them.
        first: Vec<u8>,
    },
    /// These bytes are not a frame, or not what the frame's type promises.
    Malformed {
        /// What they should have been.
        what: &'static str,
        /// What was wrong.
        why: String,
    },
    /// A frame is longer than agreed.
    FrameTooLarge {
        /// Length it announced.
        len: u32,
        /// What was agreed.
        limit: u32,
    },
    /// A body did not arrive as it was sent.
    Checksum {
        /// The message.
        seq: u64,
    },
    /// The bytes were well formed, but the rules do not allow them here.
    Violation {
        /// Which rule, in words.
        what: String,
    },
    /// A type of frame that this release does not know and may not ignore.
    Unsupported {
        /// The type.
        kind: u8,
    },
    /// There is no protocol version that both speak.
    Version {
        /// What we speak.
        ours: Range,
        /// What the peer speaks.
        theirs: Range,
    },
    /// The peer says that it is another site than its certificate or our
    /// configuration says.
    WrongSite {
        /// The site we expect.
        expected: SiteId,
        /// The site it claims to be.
        claimed: SiteId,
    },
    /// The peer claims our own name, or we are connected to ourselves.
    OwnSite(SiteId),
    /// The peer ended the connection with this.
    Peer {
        /// For programs.
        code: String,
        /// For people; from outside. Display escapes it.
        text: String,
    },
    /// The peer closed in the middle.
    Closed {
        /// What we were waiting for.
        waiting_for: &'static str,
    },
    /// The peer did not introduce itself in time.
    HelloTimeout,
    /// Nothing came from the peer for this long.
    Silent(Duration),
    /// The peer's socket answers, but its journal did not for this long.
    JournalHangs(Duration),
    /// A call that is not allowed now; the connection is not affected.
    Misuse(&'static str),
}

/// Whom to ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Something that is not a spooler of ours: its owner, or whoever gave it
    /// the address.
    Stranger,
    /// Whoever made the peer's software.
    PeerBrokeRules,
    /// Whoever damaged the bytes on their way.
    Malformed,
    /// Whoever administers both sites: they have nothing in common.
    NothingInCommon,
    /// The peer's administrator: its log says more.
    PeerEnded,
    /// Whoever runs the network or the peer's machine.
    Dead,
    /// Us.
    Misuse,
}

impl Error {
    /// Whom to ring.
    pub fn cause(&self) -> Cause {
        match self {
            Self::NotThisProtocol { .. } => Cause::Stranger,
            Self::Malformed { .. } | Self::FrameTooLarge { .. } | Self::Checksum { .. } => {
                Cause::Malformed
            }
            Self::Violation { .. } | Self::Unsupported { .. } => Cause::PeerBrokeRules,
            Self::Version { .. } | Self::WrongSite { .. } | Self::OwnSite(_) => {
                Cause::NothingInCommon
            }
            Self::Peer { .. } => Cause::PeerEnded,
            Self::Closed { .. } | Self::HelloTimeout | Self::Silent(_) | Self::JournalHangs(_) => {
                Cause::Dead
            }
            Self::Misuse(_) => Cause::Misuse,
        }
    }

    /// The code of the ERROR frame that tells the peer, if it is told at all:
    /// a stranger and someone who is gone are not.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Malformed { .. } => Some("malformed"),
            Self::FrameTooLarge { .. } => Some("too_large"),
            Self::Checksum { .. } => Some("corrupt"),
            Self::Violation { .. } => Some("violation"),
            Self::Unsupported { .. } => Some("unsupported"),
            Self::Version { .. } => Some("version"),
            Self::WrongSite { .. } | Self::OwnSite(_) => Some("site"),
            Self::HelloTimeout | Self::Silent(_) | Self::JournalHangs(_) => Some("timeout"),
            Self::NotThisProtocol { .. }
            | Self::Peer { .. }
            | Self::Closed { .. }
            | Self::Misuse(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThisProtocol { first } => write!(
                f,
                "peer does not speak sitewire-notify, it began with \"{}\"",
                first.escape_ascii()
            ),
            Self::Malformed { what, why } => write!(f, "malformed {what}: {why}"),
            Self::FrameTooLarge { len, limit } => {
                write!(f, "frame of {len} bytes, the limit is {limit}")
            }
            Self::Checksum { seq } => write!(f, "checksum of message {seq} is wrong"),
            Self::Violation { what } => write!(f, "peer broke the rules: {what}"),
            Self::Unsupported { kind } => write!(f, "frame of unknown type {kind}"),
            Self::Version { ours, theirs } => write!(
                f,
                "no common protocol version: here {} to {}, peer {} to {}",
                ours.0, ours.1, theirs.0, theirs.1
            ),
            Self::WrongSite { expected, claimed } => {
                write!(f, "peer says it is site {claimed}, expected {expected}")
            }
            Self::OwnSite(site) => write!(f, "peer says it is site {site}, which we are"),
            Self::Peer { code, text } => write!(
                f,
                "peer ended the connection: {} ({})",
                text.escape_debug(),
                code.escape_debug()
            ),
            Self::Closed { waiting_for } => {
                write!(
                    f,
                    "peer closed the connection while we waited for {waiting_for}"
                )
            }
            Self::HelloTimeout => f.write_str("peer did not introduce itself in time"),
            Self::Silent(time) => write!(f, "nothing from the peer for {} s", time.as_secs()),
            Self::JournalHangs(time) => {
                write!(f, "peer's journal did not answer for {} s", time.as_secs())
            }
            Self::Misuse(what) => write!(f, "session used wrongly: {what}"),
        }
    }
}

impl std::error::Error for Error {}

pub(crate) fn violation(what: &str) -> Error {
    Error::Violation {
        what: what.to_owned(),
    }
}
