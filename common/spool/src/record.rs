//! What the journal says about a notification: the kinds of records and their
//! bodies. How records lie in a segment is in [`crate::segment`].
//!
//! All numbers are little-endian. The body of every record about one
//! notification (kinds below 128) begins with its id (16 bytes) and a time in
//! microseconds (`i64`). Texts are a length (`u8`, or `u16` where they are long)
//! and bytes. Readers ignore what follows the members they know, so a later
//! release may append some.
//!
//! | kind | name | then |
//! |---|---|---|
//! | 1 | accepted | `u64` order of acceptance, `u8` length and peer it came from (empty: submitted here), `u32` length of what stands before the notification, the notification |
//! | 2 | assigned | `u16` number of targets |
//! | 3 | attempt | target, `u32` number |
//! | 4 | result | target, `u32` number, `u8` verdict, `u16` length and text |
//! | 5 | settled | target, `u8` end, `u16` length and detail |
//! | 6 | ended | `u8` end, `u16` length and detail, `u64` order of acceptance |
//! | 7 | held | `u16` length and detail: who, and why |
//! | 8 | released | the same |
//! | 9 | retry asked for | the same |
//! | 10 | noted | target, `u16` length and what the next attempt there has to know, which means nothing to the spool |
//! | 128 | checkpoint | (no id, no time) `u8` length and peer (empty: the ring over all), `u32` number of ids, ids, oldest first |
//! | 129 | totals | (no id, no time) `u64` next order of acceptance, `u64` notifications submitted here, `u64` received from peers, `u8` number of ends, each `u8` end, `u64` how many ended so; `u8` 1 if not all before could be read |
//!
//! A target is a `u8` sort (1 peer, 2 lane, 3 and 4 job of a lane), `u8` length
//! and name of the site or lane. Behind the name of a job stand, where it is
//! assigned and in a copy (sort 3), a `u32` length and its detail, and where it is
//! only named (sort 4), the sixteen bytes that [`Job`] makes of lane and detail.
//!
//! Before the notification stands how far it had come, which is not empty in a
//! copy at the head of the journal only: `u16` number of targets, each target,
//! `u32` attempts, `u8` end or
//! 0; then `u8` 1 if it is held. Body and standing are one record, because a copy
//! of one without the other would be taken for both. Behind that stands its label:
//! `u8` 1, `u32` what it is about. Early releases wrote none: then the notification
//! has to be read. Behind that, or one byte 0 for no label, stands what only a few
//! have: `u16` number of targets, each target, `u8` 1 if an attempt runs there, `u16`
//! length and what was noted.
//!
//! Verdicts: 1 success, 2 temporary failure, 3 permanent failure. Ends: 1 stored
//! by peer, 2 delivered, 3 refused, 4 expired, 5 superseded, 6 dropped, 7 nobody
//! to notify.

mod body;
mod job;

use std::borrow::Cow;
use std::fmt;

use objects::{NotificationId, SiteId, UnixTime};

use crate::Label;
use crate::totals::Totals;

pub(crate) use body::checkpoint_head;
pub use job::Job;

/// Longest name of a lane, in bytes.
pub const MAX_LANE: usize = 255;
/// Longest text of a result or detail kept, in bytes; the rest is cut off.
pub const MAX_TEXT: usize = 4096;
/// Most targets of one notification.
pub const MAX_TARGETS: usize = 4096;
/// Most that the details of all jobs of one notification have together, in bytes.
pub const MAX_DETAILS: usize = 1 << 20;

/// Where a notification is to go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// To the spooler of this site.
    Peer(SiteId),
    /// To a plugin or mailbox here. Names longer than [`MAX_LANE`] are cut.
    Lane(String),
    /// The same, with a detail of what is to be done there. A notification can
    /// have several in one lane.
    Job(Job),
}

impl Target {
    /// The name of the site or lane.
    pub fn name(&self) -> &str {
        match self {
            Self::Peer(site) => site.as_str(),
            Self::Lane(lane) => lane,
            Self::Job(job) => job.lane(),
        }
    }

    /// Whether somebody who says `named` means this target: a lane means all of
    /// its jobs.
    pub fn is_meant_by(&self, named: &Self) -> bool {
        match (self, named) {
            (Self::Job(job), Self::Lane(lane)) => job.lane() == lane,
            (target, named) => target == named,
        }
    }

    /// How many bytes of detail it has.
    pub(crate) fn detail_len(&self) -> usize {
        match self {
            Self::Job(job) => job.detail().map_or(0, str::len),
            Self::Peer(_) | Self::Lane(_) => 0,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(site) => write!(f, "peer {site}"),
            Self::Lane(lane) => write!(f, "lane {lane}"),
            Self::Job(job) => write!(f, "lane {} (job {})", job.lane(), job.short()),
        }
    }
}

/// How a notification ended, at one target or altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum End {
    /// The peer has it durably.
    StoredByPeer = 1,
    /// The plugin or mailbox took it.
    Delivered = 2,
    /// It never can be delivered.
    Refused = 3,
    /// Its time was over before it could be delivered.
    Expired = 4,
    /// Another notification says it already.
    Superseded = 5,
    /// Somebody dropped it by hand.
    Dropped = 6,
    /// No peer and no lane wants it.
    NobodyToNotify = 7,
}

impl End {
    /// Every end there is.
    pub const ALL: [Self; 7] = [
        Self::StoredByPeer,
        Self::Delivered,
        Self::Refused,
        Self::Expired,
        Self::Superseded,
        Self::Dropped,
        Self::NobodyToNotify,
    ];

    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::StoredByPeer => "stored by peer",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Dropped => "dropped",
            Self::NobodyToNotify => "nobody to notify",
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|end| *end as u8 == code)
    }

    /// Which of two ends of targets names the end of the whole: the one that
    /// somebody should look at.
    pub(crate) fn graver(self, other: Self) -> Self {
        let weight = |end| match end {
            Self::StoredByPeer => 0,
            Self::Delivered => 1,
            Self::NobodyToNotify => 2,
            Self::Superseded => 3,
            Self::Dropped => 4,
            Self::Expired => 5,
            Self::Refused => 6,
        };
        if weight(other) > weight(self) {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// What one attempt to deliver brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// It was delivered.
    Success = 1,
    /// Trying again may help.
    Temporary = 2,
    /// Trying again will not help.
    Permanent = 3,
}

impl Verdict {
    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Temporary => "temporary failure",
            Self::Permanent => "permanent failure",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Success, Self::Temporary, Self::Permanent]
            .into_iter()
            .find(|verdict| *verdict as u8 == code)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// First kind that is not about one notification.
const FIRST_GLOBAL_KIND: u8 = 128;
/// The kind whose records hold remembered ids.
pub(crate) const CHECKPOINT: u8 = FIRST_GLOBAL_KIND;
/// The kind whose record holds the counts of everything before it.
const TOTALS: u8 = 129;
/// The kind whose record holds the notification.
pub(crate) const ACCEPTED: u8 = 1;
/// The kind whose record lets the notification go.
pub(crate) const ENDED: u8 = 6;

/// Whether a segment begins with records of this kind. They tell what is before
/// the first group of the segment and not what is in it: they are of use only if
/// that group is there whole, and each new segment has its own.
pub(crate) fn is_prologue(kind: u8) -> bool {
    matches!(kind, CHECKPOINT | TOTALS)
}

/// One record, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// About one notification.
    Message {
        /// Its id.
        id: NotificationId,
        /// When, by the clock of the daemon.
        time: UnixTime,
        /// What happened.
        event: Event<'a>,
    },
    /// The ids remembered of a peer, or of all.
    Checkpoint {
        /// The peer; none for the ring over all.
        peer: Option<SiteId>,
        /// Oldest first.
        ids: Vec<NotificationId>,
    },
    /// How many there were before this record.
    Totals {
        /// The order of the next acceptance.
        next_order: u64,
        /// So many.
        totals: Totals,
        /// Whether the disk did not give out everything there was before it.
        partial: bool,
    },
    /// Of a later release, and not about one notification.
    Unknown {
        /// Its kind.
        kind: u8,
    },
}

/// How far a notification had come when it was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// All its targets: attempts so far, and the end if there is one.
    pub targets: Vec<(Target, u32, Option<End>)>,
    /// Whether it was held by hand.
    pub held: bool,
    /// What is noted of some of the targets.
    pub notes: Vec<(Target, Note)>,
}

impl Standing {
    fn is_empty(&self) -> bool {
        self.targets.is_empty() && !self.held && self.notes.is_empty()
    }
}

/// What is known of a target between two attempts, or while one runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note {
    /// An attempt was started, and how it ended is not recorded.
    pub is_running: bool,
    /// What the next one has to know; empty for nothing.
    pub detail: Box<[u8]>,
}

/// What happened to a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It is stored here.
    Accepted {
        /// Counts acceptances; never changes, also when the record is copied.
        order: u64,
        /// The peer it came from; none if it was submitted here.
        from: Option<SiteId>,
        /// In a copy: how far it had come.
        standing: Standing,
        /// None in the records of early releases.
        label: Option<Label>,
        /// The notification.
        body: Cow<'a, [u8]>,
    },
    /// These targets are to get it, besides those assigned before.
    Assigned {
        /// The new ones.
        targets: Vec<Target>,
    },
    /// A delivery was started.
    Attempt {
        /// Whereto.
        target: Target,
        /// Which one, from 1.
        number: u32,
    },
    /// A delivery ended.
    Result {
        /// Whereto.
        target: Target,
        /// Which attempt.
        number: u32,
        /// How.
        verdict: Verdict,
        /// What the plugin or server said.
        text: Cow<'a, [u8]>,
    },
    /// One target needs it no more.
    Settled {
        /// Which.
        target: Target,
        /// How.
        end: End,
        /// In words.
        detail: Cow<'a, [u8]>,
    },
    /// Nobody needs it any more; the body may go.
    Ended {
        /// How.
        end: End,
        /// In words.
        detail: Cow<'a, [u8]>,
        /// Of its acceptance; 0 in records of early releases.
        order: u64,
    },
    /// How far it had come when it was copied to the head of the journal. Not a
    /// record of its own: [`crate::history`] tells it instead of those before it.
    Standing(Standing),
    /// By hand: nothing is done with it until it is released.
    Held {
        /// Who, and why.
        detail: Cow<'a, [u8]>,
    },
    /// By hand: it is as others again.
    Released {
        /// Who, and why.
        detail: Cow<'a, [u8]>,
    },
    /// By hand: its next attempt is not to wait.
    RetryAsked {
        /// Who, and why.
        detail: Cow<'a, [u8]>,
    },
    /// What the next attempt has to know.
    Noted {
        /// Whereto.
        target: Target,
        /// Nothing that the spool understands; empty for nothing.
        detail: Cow<'a, [u8]>,
    },
    /// Of a later release.
    Unknown {
        /// Its kind.
        kind: u8,
    },
}

impl Event<'_> {
    /// The same with its own copy of texts and body.
    pub fn into_owned(self) -> Event<'static> {
        let own = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
        match self {
            Self::Accepted {
                order,
                from,
                standing,
                label,
                body,
            } => Event::Accepted {
                order,
                from,
                standing,
                label,
                body: own(body),
            },
            Self::Assigned { targets } => Event::Assigned { targets },
            Self::Attempt { target, number } => Event::Attempt { target, number },
            Self::Result {
                target,
                number,
                verdict,
                text,
            } => Event::Result {
                target,
                number,
                verdict,
                text: own(text),
            },
            Self::Settled {
                target,
                end,
                detail,
            } => Event::Settled {
                target,
                end,
                detail: own(detail),
            },
            Self::Ended { end, detail, order } => Event::Ended {
                end,
                detail: own(detail),
                order,
            },
            Self::Standing(standing) => Event::Standing(standing),
            Self::Held { detail } => Event::Held {
                detail: own(detail),
            },
            Self::Released { detail } => Event::Released {
                detail: own(detail),
            },
            Self::RetryAsked { detail } => Event::RetryAsked {
                detail: own(detail),
            },
            Self::Noted { target, detail } => Event::Noted {
                target,
                detail: own(detail),
            },
            Self::Unknown { kind } => Event::Unknown { kind },
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Accepted { .. } => 1,
            Self::Assigned { .. } => 2,
            Self::Attempt { .. } => 3,
            Self::Result { .. } => 4,
            Self::Settled { .. } => 5,
            Self::Ended { .. } => 6,
            Self::Held { .. } => 7,
            Self::Released { .. } => 8,
            Self::RetryAsked { .. } => 9,
            Self::Noted { .. } => 10,
            Self::Standing(_) => 0,
            Self::Unknown { kind } => *kind,
        }
    }
}

impl<'a> Record<'a> {
    /// The number of its kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Message { event, .. } => event.kind(),
            Self::Checkpoint { .. } => CHECKPOINT,
            Self::Totals { .. } => TOTALS,
            Self::Unknown { kind } => *kind,
        }
    }
}
