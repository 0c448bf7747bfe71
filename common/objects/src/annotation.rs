//! What people say about hosts and services: comments, acknowledgements,
//! which are comments of a kind, and downtimes; as a dump carries them.

use bstr::BString;

use crate::UnixTime;

/// Names a host or service within its site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ObjectName {
    /// The host.
    pub host_name: BString,
    /// The service, or `None` for the host itself.
    pub service_description: Option<BString>,
}

impl ObjectName {
    /// The host itself.
    pub fn host(name: &[u8]) -> Self {
        Self {
            host_name: name.into(),
            service_description: None,
        }
    }

    /// A service.
    pub fn service(host_name: &[u8], description: &[u8]) -> Self {
        Self {
            host_name: host_name.into(),
            service_description: Some(description.into()),
        }
    }
}

/// A comment.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// Names it among all comments of its site.
    pub id: u64,
    /// Who wrote it.
    pub author: BString,
    /// What it says.
    pub comment: BString,
    /// When it came.
    pub entry_time: UnixTime,
    /// Why there is one.
    pub entry_type: EntryType,
    /// Whether it outlives the acknowledgement that it belongs to.
    pub persistent: bool,
    /// When it ends by itself; never if it does not.
    pub expire_time: UnixTime,
}

/// Why there is a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryType {
    /// Somebody wrote it: 1.
    User,
    /// It came with a downtime: 2.
    Downtime,
    /// The object began to flap: 3.
    Flapping,
    /// It came with an acknowledgement: 4.
    Acknowledgement,
}

/// A downtime.
#[derive(Debug, Clone, PartialEq)]
pub struct Downtime {
    /// Names it among all downtimes of its site.
    pub id: u64,
    /// Who scheduled it.
    pub author: BString,
    /// What for.
    pub comment: BString,
    /// When it was scheduled.
    pub entry_time: UnixTime,
    /// When it begins, or when a flexible one can begin.
    pub start_time: UnixTime,
    /// When it ends, or when a flexible one can begin no more.
    pub end_time: UnixTime,
    /// Length of a flexible one, in seconds.
    pub duration: i64,
    /// When it is in effect.
    pub kind: DowntimeKind,
}

/// When a downtime is in effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DowntimeKind {
    /// From start to end.
    Fixed,
    /// From the first problem between start and end, for its duration.
    Flexible {
        /// When that problem was.
        began: Option<UnixTime>,
    },
}

impl EntryType {
    /// The number in the `entry_type` column.
    pub fn code(self) -> i64 {
        match self {
            Self::User => 1,
            Self::Downtime => 2,
            Self::Flapping => 3,
            Self::Acknowledgement => 4,
        }
    }

    /// The type of that number.
    pub fn from_code(code: i64) -> Option<Self> {
        match code {
            1 => Some(Self::User),
            2 => Some(Self::Downtime),
            3 => Some(Self::Flapping),
            4 => Some(Self::Acknowledgement),
            _ => None,
        }
    }
}
