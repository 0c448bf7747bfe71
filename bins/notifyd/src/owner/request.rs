//! What the owner is asked and told.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use objects::{NotificationId, SiteId};
use rules::Rules;
use spool::control::{Answer, Question};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::Watched;
use crate::config::{Forward, Lane, Peer};
use crate::delivery::{Outcome, Task};
use crate::figures::QueueFigures;
use crate::route::{Incoming, Refusal};
use crate::submit::{Reply, Submitted};

/// What the owner is asked. The channel needs no bound of its own: a peer has
/// at most a window in it, a lane one outcome, everybody else one question.
pub(crate) enum Request {
    /// Something may have been dropped.
    LookIntoDropBox,
    /// From one submitter.
    Submitted {
        submissions: Vec<Submitted>,
        reply: UnboundedSender<Vec<Reply>>,
    },
    /// From the link with this number to this peer.
    Link {
        peer: SiteId,
        number: u64,
        what: FromLink,
    },
    /// A lane's attempt has ended.
    Finished {
        lane: usize,
        /// What the lane's line calls it.
        work: u64,
        outcome: Outcome,
    },
    /// The configuration has changed.
    Reconfigure {
        peers: Vec<Peer>,
        forwards: Vec<Forward>,
        lanes: Vec<LaneChange>,
        rules: Option<Arc<Rules>>,
        fallback_after: Option<Duration>,
        watched: Watched,
    },
    /// From somebody at the control socket.
    Question {
        question: Question,
        to: oneshot::Sender<Answer>,
    },
    /// The sync of the commit that was under way has come to this.
    Synced(io::Result<()>),
    /// For the state file.
    Figures(Sender<QueueFigures>),
    /// The daemon is to end.
    Stop,
}

/// What becomes of a lane.
pub(crate) struct LaneChange {
    pub(crate) number: usize,
    /// Its settings and its new threads; none if there is no such lane any more.
    pub(crate) now: Option<(Lane, Sender<Task>)>,
}

/// What a link tells.
pub(crate) enum FromLink {
    /// The peer has introduced itself.
    Up {
        commands: UnboundedSender<net::Command>,
        /// Whether we opened the connection.
        outgoing: bool,
        /// Whether the peer takes messages.
        accepts: bool,
        /// Whether both ends know results.
        results: bool,
    },
    Said(Vec<Said>),
    Down,
}

/// What a peer said.
pub(crate) enum Said {
    /// A message, as it is to be stored; the link has looked at it already, so
    /// that this is not done one by one between two syncs.
    Message {
        seq: u64,
        id: NotificationId,
        read: Result<Incoming, Refusal>,
    },
    Other(wire::Event),
}

impl Said {
    /// What `event` means to site `own`.
    pub(crate) fn of(event: wire::Event, own: &SiteId) -> Self {
        match event {
            wire::Event::Message { seq, id, body } => Self::Message {
                seq,
                id,
                read: Incoming::read(&body, own),
            },
            other => Self::Other(other),
        }
    }
}

impl Request {
    /// How many notifications it is about, more or less.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Submitted { submissions, .. } => submissions.len(),
            Self::Link {
                what: FromLink::Said(said),
                ..
            } => said.len(),
            _ => 1,
        }
    }
}
