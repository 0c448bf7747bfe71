//! The messages of a spool.

use objects::{NotificationId, SiteId, UnixTime};

use crate::journal::{Options, Recovery};
use crate::record::{End, Event, Target, Verdict};
use crate::{Error, Message, Storage};

/// What [`Queue::accept`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is new, and durable after the next commit.
    New,
    /// It is known; acknowledge it like a new one, after the next commit.
    Duplicate(Known),
}

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The message is here and has not ended.
    Open,
    /// The message was here.
    Ended,
}

/// What [`Queue::settle`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Other targets still need the message.
    Open,
    /// It was the last target; the message has ended.
    Ended,
    /// There is no such open message, or it is not for this target, or settled there.
    Unknown,
}

/// What a commit wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commit {
    /// How many records.
    pub records: usize,
    /// How many bytes.
    pub bytes: u64,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Messages that have not ended.
    pub open: usize,
    /// Segments of the journal.
    pub segments: usize,
    /// Bytes of the journal.
    pub bytes: u64,
    /// Records that wait for the next commit.
    pub pending: usize,
}

/// The messages of a spool: an index over its journal. One thread owns it.
///
/// Nothing said to it is durable, or may be acknowledged, before the next
/// [`Queue::commit`] has returned `Ok`. One commit covers everything since the last.
pub struct Queue<S: Storage> {
    _storage: S,
}

impl<S: Storage> Queue<S> {
    /// Reads the journal. If the disk refuses to take what recovery has to
    /// write, the queue is there nevertheless, and [`Queue::failing`].
    pub fn recover(storage: S, options: Options) -> Result<(Self, Recovery), Error> {
        let _ = (storage, options);
        todo!()
    }

    /// Takes a message. `from` is the peer that sent it, none if it was submitted
    /// here. An error only if it is too large.
    pub fn accept(
        &mut self,
        id: NotificationId,
        from: Option<&SiteId>,
        body: &[u8],
        time: UnixTime,
    ) -> Result<Accepted, Error> {
        let _ = (id, from, body, time);
        todo!()
    }

    /// Whether an id was ever accepted, as far as is remembered.
    pub fn knows(&self, id: NotificationId) -> Option<Known> {
        let _ = id;
        todo!()
    }

    /// Adds targets to an open message; those it has already stay as they are.
    /// `false` if there is no such open message.
    pub fn assign(&mut self, id: NotificationId, targets: &[Target], time: UnixTime) -> bool {
        let _ = (id, targets, time);
        todo!()
    }

    /// Records that delivery number `number` (from 1) starts. Commit before starting it.
    /// `false` if the message is not open at this target.
    pub fn attempt(
        &mut self,
        id: NotificationId,
        target: &Target,
        number: u32,
        time: UnixTime,
    ) -> bool {
        let _ = (id, target, number, time);
        todo!()
    }

    /// Records how a delivery went. Does not settle the target.
    /// `false` if the message is not open at this target.
    pub fn result(
        &mut self,
        id: NotificationId,
        target: &Target,
        number: u32,
        verdict: Verdict,
        text: &[u8],
        time: UnixTime,
    ) -> bool {
        let _ = (id, target, number, verdict, text, time);
        todo!()
    }

    /// Records that one target needs the message no more. With the last target
    /// the message ends.
    pub fn settle(
        &mut self,
        id: NotificationId,
        target: &Target,
        end: End,
        detail: &str,
        time: UnixTime,
    ) -> Settled {
        let _ = (id, target, end, detail, time);
        todo!()
    }

    /// Ends a message as a whole, whatever its targets: dropped by hand, refused
    /// as unreadable, expired, nobody to notify. `false` if it is not open.
    pub fn end(&mut self, id: NotificationId, end: End, detail: &str, time: UnixTime) -> bool {
        let _ = (id, end, detail, time);
        todo!()
    }

    /// Makes everything since the last commit durable, with one sync.
    ///
    /// On an error nothing of it may be acknowledged. It is kept, and the next
    /// commit tries it again in a new segment: so stop taking in, and commit again
    /// from time to time until it succeeds.
    pub fn commit(&mut self) -> Result<Commit, Error> {
        todo!()
    }

    /// Why the last commit failed, if it did.
    pub fn failing(&self) -> Option<&Error> {
        todo!()
    }

    /// The body of an open message; none if it is not open.
    pub fn body(&self, id: NotificationId) -> Result<Option<Vec<u8>>, Error> {
        let _ = id;
        todo!()
    }

    /// One open message. Also one that is not durable yet.
    pub fn message(&self, id: NotificationId) -> Option<Message> {
        let _ = id;
        todo!()
    }

    /// The open messages that are durable, in the order of acceptance.
    pub fn open(&self) -> impl Iterator<Item = Message> + '_ {
        std::iter::empty()
    }

    /// The ids accepted durably from a peer, as far as remembered, oldest first.
    pub fn accepted_from(&self, peer: &SiteId) -> Vec<NotificationId> {
        let _ = peer;
        todo!()
    }

    /// All that the journal still has about an id, oldest first.
    pub fn history(&self, id: NotificationId) -> Result<Vec<(UnixTime, Event<'static>)>, Error> {
        let _ = id;
        todo!()
    }

    /// How full it is.
    pub fn figures(&self) -> Figures {
        todo!()
    }
}
