//! The line of one lane: no socket, no thread, no clock. What waits goes in,
//! what is to be done now comes out, and how it went goes in again.
//!
//! What waits stands in streams. A stream is in order of acceptance, and only
//! its front is tried; streams overtake each other freely. In most lanes there
//! is a stream for each object and those who are told of it, and one
//! notification is tried at a time. In a lane with `bulk` a stream is what
//! belongs together, and many are tried at once. What is too much for its
//! contacts, or late, goes over from its own stream to a digest, which is a
//! stream, too; what is younger in its own stream follows it there as long as it
//! is under way, so that the order stays.
//!
//! | a stream | means | goes to |
//! |---|---|---|
//! | due | its front is tried at that moment, when there is a place | working, or over to a digest |
//! | working | its front is being tried | due, or gone when nothing is left |
//! | elsewhere | all of it is in a digest | due, when more comes |

mod due;
mod moves;
mod stream;
mod turn;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use objects::NotificationId;

use due::Due;
use stream::{Key, State, Stream, Waiting};

use super::breaker::Breaker;
use super::storm::Buckets;
use super::{Aim, Matter, Object, pause};
use crate::config::Flow;
use crate::delivery::{Outcome, Verdict};
use crate::forward_line::OLD;

/// Most bytes of bodies that are delivered together.
const MOST_BYTES: u64 = 64 << 20;
/// How long late ones are collected.
const LATE_COLLECTED: Duration = Duration::from_secs(30);
/// How far a recovery may be behind its problem.
const LOOK_AHEAD: usize = 64;
/// What has expired is looked for this often at most, while nothing can be tried.
const EXPIRY_LOOK: Duration = Duration::from_secs(1);
/// A receiver that wants to be left alone is, but for so long at most.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(6 * 3600);

/// Something that goes into the line.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) id: NotificationId,
    pub(crate) aim: Arc<Aim>,
    pub(crate) stream: Object,
    pub(crate) matter: Matter,
    /// Of its body, in bytes.
    pub(crate) size: u32,
    /// Those there were already.
    pub(crate) attempts: u32,
    pub(crate) accepted: Instant,
    pub(crate) expires: Instant,
    /// When it happened, as far as clocks can be trusted.
    pub(crate) happened: Instant,
}

/// Something that comes out of it.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) id: NotificationId,
    pub(crate) aim: Arc<Aim>,
    /// Of the attempt that begins, or the last one.
    pub(crate) attempt: u32,
    /// What the last one said that failed since notifyd started.
    pub(crate) answer: Option<Arc<str>>,
    pub(crate) is_late: bool,
}

/// Why notifications are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Together {
    /// The lane collects.
    Bulk,
    /// They are too many for their contacts.
    Storm,
    /// They are late.
    Late,
    /// A problem, and that it is over.
    Superseded,
}

impl Together {
    /// What people call what they are in.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Bulk => "bulk",
            Self::Storm => "digest",
            Self::Late => "digest of late ones",
            Self::Superseded => "with its recovery",
        }
    }
}

/// What is to happen next in a lane.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Try these. After it comes [`Line::finish`], or [`Line::keep`] with nothing
    /// kept.
    Try {
        work: u64,
        tickets: Vec<Ticket>,
        why: Option<Together>,
    },
    /// Its time is over.
    Expired(Ticket),
    /// It is late, and nobody wants it then.
    TooLate(Ticket),
}

/// What an attempt leads to.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Until the next attempt, if there is one.
    pub(crate) pause: Option<Duration>,
    /// The breaker has opened or closed.
    pub(crate) breaker: Option<bool>,
}

/// When something is tried next.
#[derive(Debug)]
pub(crate) struct NextTry<'a> {
    pub(crate) id: NotificationId,
    pub(crate) aim: &'a Aim,
    pub(crate) attempts: u32,
    /// None while an attempt runs.
    pub(crate) pause: Option<Duration>,
    /// Why it is told together with others.
    pub(crate) why: Option<Together>,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) waiting: u64,
    pub(crate) working: u64,
    /// Those of the waiting that are collected in digests.
    pub(crate) in_digests: u64,
}

/// One lane's line.
#[derive(Debug)]
pub(crate) struct Line {
    flow: Flow,
    breaker: Breaker,
    buckets: Option<Buckets>,
    /// Nothing is tried before this moment, because somebody said so.
    paused: Option<Instant>,
    streams: HashMap<u64, Stream>,
    numbers: HashMap<Key, u64>,
    due: Due,
    /// The stream of each work.
    works: HashMap<u64, u64>,
    /// What the last attempt said that failed: thousands that wait for a server
    /// that is down have one answer in memory.
    answer: Arc<str>,
    /// What has expired and was not told yet.
    expired: Vec<Ticket>,
    /// When something may expire.
    expiry: Option<Instant>,
    next: u64,
    counts: Counts,
}

impl Line {
    pub(crate) fn new(flow: Flow) -> Self {
        Self {
            breaker: Breaker::new(flow.breaker),
            buckets: flow.storm.clone().map(Buckets::new),
            flow,
            paused: None,
            streams: HashMap::new(),
            numbers: HashMap::new(),
            due: Due::default(),
            works: HashMap::new(),
            answer: Arc::default(),
            expired: Vec::new(),
            expiry: None,
            next: 0,
            counts: Counts::default(),
        }
    }

    /// It has other settings now. What waits keeps its place.
    pub(crate) fn change(&mut self, flow: Flow, now: Instant) {
        self.breaker.set_limit(flow.breaker);
        if self.buckets.as_ref().map(Buckets::limits) != flow.storm.as_ref() {
            self.buckets = flow.storm.clone().map(Buckets::new);
        }
        self.flow = flow;
        let numbers: Vec<u64> = self.streams.keys().copied().collect();
        for number in numbers {
            self.schedule(number, now);
        }
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    pub(crate) fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Whether any contact got something since it was last asked what is owed.
    pub(crate) fn has_spent(&self) -> bool {
        self.buckets.as_ref().is_some_and(Buckets::has_spent)
    }

    /// How long each bucket of each contact needs until it is full.
    pub(crate) fn owed(&mut self, now: Instant) -> impl Iterator<Item = (String, Vec<Duration>)> {
        let buckets = self.buckets.as_mut();
        buckets
            .map_or(Vec::new(), |buckets| buckets.owed(now))
            .into_iter()
    }

    /// What was owed in an earlier run.
    pub(crate) fn owe(
        &mut self,
        contacts: impl Iterator<Item = (String, Vec<Duration>)>,
        now: Instant,
    ) {
        if let Some(buckets) = &mut self.buckets {
            contacts.for_each(|(contact, left)| buckets.owe(contact, &left, now));
        }
    }

    /// Nothing is tried before this moment; none: everything goes on.
    pub(crate) fn pause(&mut self, until: Option<Instant>) {
        self.paused = until;
    }

    pub(crate) fn is_paused(&self, now: Instant) -> bool {
        self.paused.is_some_and(|until| until > now)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether nothing is being worked on.
    pub(crate) fn is_idle(&self) -> bool {
        self.works.is_empty()
    }

    /// At the end of its stream.
    pub(crate) fn push(&mut self, new: New, now: Instant) {
        let home = self.stream(Key::Own(new.stream), now);
        let after = self.flow.late.map(|late| late.after);
        self.counts.waiting += 1;
        self.look_for_expiry(new.expires);
        let waiting = Waiting {
            id: new.id,
            aim: new.aim,
            attempts: new.attempts,
            answer: None,
            size: new.size,
            matter: new.matter,
            // What was tried in an earlier run has had its token.
            is_paid: new.attempts > 0,
            home,
            accepted: new.accepted,
            expires: new.expires,
            old: new.happened.checked_add(OLD),
            late: after.and_then(|after| new.happened.checked_add(after)),
        };
        self.append(home, waiting, now);
    }

    /// What is to be done now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Turn> {
        self.find_expired(now);
        if let Some(ticket) = self.expired.pop() {
            return Some(Turn::Expired(ticket));
        }
        loop {
            if self.works.len() >= self.flow.places || self.is_paused(now) {
                return None;
            }
            let number = self.next_stream(now)?;
            if let Some(turn) = self.turn(number, now) {
                return Some(turn);
            }
        }
    }

    /// When there may be something to be done.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let has_place = self.works.len() < self.flow.places;
        let first = self.due.first().map(|(due, ..)| *due);
        let mut next = first.filter(|_| has_place);
        if let Some((_, probe)) = self.breaker.open() {
            // Whatever waits may probe.
            next = probe.filter(|_| has_place && first.is_some());
        }
        if let Some(until) = self.paused {
            next = next.map(|next| next.max(until));
        }
        match (next, self.expiry.filter(|_| self.counts.waiting > 0)) {
            (Some(next), Some(expiry)) => Some(next.min(expiry)),
            (next, expiry) => next.or(expiry),
        }
    }

    /// Of what is being worked on, goes on with those only that `is_meant`; returns
    /// whether any are left.
    pub(crate) fn keep(
        &mut self,
        work: u64,
        now: Instant,
        is_meant: impl Fn(&Ticket) -> bool,
    ) -> bool {
        let Some(number) = self.works.get(&work).copied() else {
            return false;
        };
        let left = self.remove_front(number, now, |waiting| !is_meant(&waiting.ticket(now)));
        if left == 0 {
            self.works.remove(&work);
            self.breaker.forgot(work);
            self.release_front(number, now);
            self.schedule(number, now);
        }
        left > 0
    }

    /// The attempt has ended. After one that may be made again, what `is_meant`
    /// stays; all else is gone.
    pub(crate) fn finish(
        &mut self,
        work: u64,
        outcome: &Outcome,
        now: Instant,
        is_meant: impl Fn(&Ticket) -> bool,
    ) -> Option<Finished> {
        let number = self.works.remove(&work)?;
        let stream = self.streams.get(&number)?;
        let first = stream.jobs.front()?;
        let least = outcome.retry_after.unwrap_or_default();
        let least = least.min(MOST_RETRY_AFTER);
        let pause = pause(self.flow.retry, first.attempts, first.id).max(least);
        let breaker = match outcome.lane_works {
            true => self.breaker.worked().then_some(false),
            false => {
                let pauses = (self.flow.retry.first, self.flow.retry.longest);
                let opened = self.breaker.failed((work, number), pauses, least, now);
                opened.then_some(true)
            }
        };
        let again = outcome.verdict == Verdict::Temporary;
        if again {
            self.note_answer(number, outcome);
        }
        let left = self.remove_front(number, now, |waiting| {
            !(again && is_meant(&waiting.ticket(now)))
        });
        self.release_front(number, now);
        if again && let Some(stream) = self.streams.get_mut(&number) {
            let expires = stream.jobs.iter().take(left).map(|waiting| waiting.expires);
            let expires = expires.min();
            stream.again = expires.map(|expires| ((now + pause).min(expires), left));
            if let Some(expires) = expires {
                self.look_for_expiry(expires);
            }
        }
        self.schedule(number, now);
        if breaker == Some(false) {
            // It was the lane that failed, not they.
            self.hurry_those(now, |other| other.again.is_some());
        }
        Some(Finished {
            pause: again.then_some(pause),
            breaker,
        })
    }

    /// Keeps what was said to what is being worked on.
    fn note_answer(&mut self, number: u64, outcome: &Outcome) {
        let answer = outcome.first_line();
        if *answer != *self.answer {
            self.answer = answer.into();
        }
        if let Some(stream) = self.streams.get_mut(&number) {
            let count = stream.working();
            for waiting in stream.jobs.iter_mut().take(count) {
                waiting.answer = Some(Arc::clone(&self.answer));
            }
        }
    }

    /// Takes these out, of what goes where `is_meant` says, but for what is being
    /// worked on.
    pub(crate) fn take_out(
        &mut self,
        ids: &HashSet<NotificationId>,
        is_meant: impl Fn(&Aim) -> bool,
        now: Instant,
    ) {
        self.remove_waiting(now, |waiting| {
            ids.contains(&waiting.id) && is_meant(&waiting.aim)
        });
    }

    /// What waits for a moment does not wait any more: these, or all. How many
    /// moments these were. What is paused stays so.
    pub(crate) fn hurry(&mut self, ids: Option<&HashSet<NotificationId>>, now: Instant) -> u64 {
        self.breaker.hurry(now);
        self.hurry_those(now, |stream| {
            let mut jobs = stream.jobs.iter();
            ids.is_none_or(|ids| jobs.any(|waiting| ids.contains(&waiting.id)))
        })
    }

    fn hurry_those(&mut self, now: Instant, are_meant: impl Fn(&Stream) -> bool) -> u64 {
        let later = self.due.later(now);
        let later = later.map(|(_, _, number)| *number);
        let meant: Vec<u64> = later
            .filter(|number| are_meant(&self.streams[number]))
            .collect();
        for number in &meant {
            self.schedule_at(*number, now);
        }
        meant.len() as u64
    }

    /// What is being tried, waits for another attempt, or is collected: how long
    /// it waits for that; not at all while it runs.
    pub(crate) fn next_tries(&self, now: Instant) -> impl Iterator<Item = NextTry<'_>> {
        let working = self.works.values().map(|number| (number, None));
        let not_before = [self.paused, self.breaker.open().and_then(|(_, next)| next)];
        let not_before = not_before.into_iter().flatten().max();
        let due = self.due.iter().map(move |(due, _, number)| {
            let due = not_before.map_or(*due, |not_before| not_before.max(*due));
            (number, Some(due.saturating_duration_since(now)))
        });
        working.chain(due).flat_map(|(number, pause)| {
            let stream = &self.streams[number];
            let (why, count) = match (stream.state, &stream.again) {
                (State::Working(count, why), _) => (why, count),
                (_, Some((_, count))) => (self.collects(stream), *count),
                (_, None) => match self.collects(stream) {
                    Some(why) => (Some(why), stream.jobs.len()),
                    None => (None, 1),
                },
            };
            let front = stream.jobs.iter().take(count);
            let tries = front.map(move |waiting| NextTry {
                id: waiting.id,
                aim: &waiting.aim,
                attempts: waiting.attempts,
                pause,
                why,
            });
            tries.filter(|next| next.attempts > 0 || next.why.is_some())
        })
    }

    /// Those for which at least one attempt failed.
    pub(crate) fn deferred(&self) -> impl Iterator<Item = NotificationId> + '_ {
        let due = self.due.iter().map(|(_, _, number)| &self.streams[number]);
        let fronts = due.flat_map(|stream| {
            let front = stream.jobs.iter();
            front.take_while(|waiting| waiting.attempts > 0)
        });
        fronts.map(|waiting| waiting.id)
    }
}

#[cfg(test)]
mod tests;
