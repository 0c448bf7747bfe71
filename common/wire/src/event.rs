//! What a session tells the owner of the journal.

use std::time::Duration;

use objects::NotificationId;

use crate::control::{Health, Hello, RefusalCode, Window};

/// What the peer said of itself, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHello {
    /// Its HELLO.
    pub hello: Hello,
    /// The protocol version in use.
    pub protocol: u32,
    /// The optional behaviour that both know.
    pub features: Vec<String>,
    /// How far its clock is ahead of ours, in microseconds.
    pub skew_us: i64,
}

/// What happened; [`crate::session`] says how each is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer introduced itself. Answer: `Session::resume`.
    PeerHello(Box<PeerHello>),
    /// Messages may be sent from now on: first everything that is not
    /// acknowledged, in its old order, but for these ids, which the peer has.
    /// Answer: `Session::settled` for each of them.
    Resumed {
        /// What the peer has stored from us.
        have: Vec<NotificationId>,
        /// How much it allows to be in doubt.
        window: Window,
    },
    /// A message came. Answer: `Session::stored` or `Session::refuse`.
    Message {
        /// Its number on this connection.
        seq: u64,
        /// Its id.
        id: NotificationId,
        /// Its body, checksum proved.
        body: Vec<u8>,
    },
    /// The peer has these durably. Answer: `Session::settled` for each.
    Acknowledged {
        /// In the order they were sent.
        ids: Vec<NotificationId>,
    },
    /// The peer will never take this one. Answer: `Session::settled`.
    Refused {
        /// Which.
        id: NotificationId,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people; from outside.
        text: String,
    },
    /// The peer has recorded our acknowledgements up to this number: the
    /// messages up to it need not be in `have` any more.
    PeerSettled {
        /// Number on this connection.
        seq: u64,
    },
    /// The peer changed how much it allows to be in doubt.
    Window(Window),
    /// The peer asks whether we can still store. Answer: `Session::pong`.
    Ping {
        /// Notifications waiting at the peer.
        queued: u64,
        /// Age of the oldest of them in microseconds.
        oldest_us: u64,
    },
    /// The peer's journal answered.
    Pong {
        /// How long that took.
        rtt: Duration,
        /// How the peer stands.
        health: Health,
    },
    /// The peer is about to close.
    GoAway {
        /// Why; from outside.
        reason: String,
        /// When to come back.
        retry_after: Duration,
    },
}
