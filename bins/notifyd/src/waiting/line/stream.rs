//! A stream of a line, and what stands in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use objects::NotificationId;

use super::{Ticket, Together};
use crate::waiting::{Aim, Matter, Object};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Own(Object),
    Digest(Together, Box<[u8]>),
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) key: Key,
    pub(super) jobs: VecDeque<Waiting>,
    pub(super) state: State,
    /// Since when there is something in it.
    pub(super) since: Instant,
    /// After an attempt that failed: when the next one is, of how many.
    pub(super) again: Option<(Instant, usize)>,
    /// The digest that some of it is in, and how many.
    pub(super) away: Option<(u64, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Due(Instant, u64),
    Working(usize, Option<Together>),
    Elsewhere,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: NotificationId,
    pub(super) aim: Arc<Aim>,
    pub(super) attempts: u32,
    /// The answer to the last one of them in this run.
    pub(super) answer: Option<Arc<str>>,
    pub(super) size: u32,
    pub(super) matter: Matter,
    /// It has had its token.
    pub(super) is_paid: bool,
    /// The number of its own stream.
    pub(super) home: u64,
    pub(super) accepted: Instant,
    pub(super) expires: Instant,
    /// From then on it is of the past.
    pub(super) old: Option<Instant>,
    pub(super) late: Option<Instant>,
}

impl Waiting {
    pub(super) fn ticket(&self, now: Instant) -> Ticket {
        Ticket {
            id: self.id,
            aim: Arc::clone(&self.aim),
            attempt: self.attempts,
            answer: self.answer.clone(),
            is_late: self.is_late(now),
        }
    }

    pub(super) fn is_young(&self, now: Instant) -> bool {
        self.old.is_none_or(|old| old > now)
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.late.is_some_and(|late| late <= now)
    }
}

impl Stream {
    /// How many of its front are being worked on.
    pub(super) fn working(&self) -> usize {
        match self.state {
            State::Working(count, _) => count,
            State::Due(..) | State::Elsewhere => 0,
        }
    }

    pub(super) fn digest(&self) -> Option<Together> {
        match &self.key {
            Key::Digest(why, _) => Some(*why),
            Key::Own(_) => None,
        }
    }
}
