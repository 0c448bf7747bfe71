//! What is to be done with a stream whose turn it is.

use std::time::Instant;

use super::stream::{Key, State, Stream, Waiting};
use super::{LOOK_AHEAD, Line, MOST_BYTES, Together, Turn};
use crate::config::{Late, MOST_TOGETHER, WhatIfLate};
use crate::waiting::Matter;
use crate::waiting::breaker::May;

impl Line {
    /// The stream whose turn it is, taken out of those that are due.
    pub(super) fn next_stream(&mut self, now: Instant) -> Option<u64> {
        let found = match self.breaker.may(now) {
            May::Nothing => return None,
            May::All => {
                let streams = &self.streams;
                let front = |number: u64| streams.get(&number)?.jobs.front();
                let is_young = |number| front(number).is_some_and(|front| front.is_young(now));
                self.due.next(now, is_young)?
            }
            // Whatever failed before may be the one that finds out.
            May::Probe => {
                let mut all = self.due.iter();
                *all.find(|(due, _, number)| *due <= now || self.streams[number].again.is_some())?
            }
        };
        self.due.remove(found);
        Some(found.2)
    }

    /// What is to be done with the front of a stream, if anything.
    pub(super) fn turn(&mut self, number: u64, now: Instant) -> Option<Turn> {
        let stream = self.streams.get(&number)?;
        let front = stream.jobs.front()?;
        if front.expires <= now {
            let ticket = front.ticket(now);
            self.drop_first(number, now);
            return Some(Turn::Expired(ticket));
        }
        let is_own = stream.digest().is_none();
        let late = self.flow.late.filter(|_| is_own && front.is_late(now));
        let is_first_try = front.attempts == 0;
        if is_own && let Some((digest, _)) = stream.away {
            self.move_over(number, digest, now);
            return None;
        }
        match late.map(|Late { what, .. }| what) {
            Some(WhatIfLate::Drop) if is_first_try => {
                let ticket = front.ticket(now);
                self.drop_first(number, now);
                return Some(Turn::TooLate(ticket));
            }
            Some(WhatIfLate::Digest) if self.flow.bulk.is_none() => {
                self.collect(number, Together::Late, now);
                return None;
            }
            Some(_) | None => {}
        }
        if !self.has_token(number, now) {
            return None;
        }
        let (count, why) = self.count(number, now);
        Some(self.begin(number, count, why, now))
    }

    /// Whether the contacts may get what is at the front of this stream; if not it
    /// goes to where it waits for that.
    pub(super) fn has_token(&mut self, number: u64, now: Instant) -> bool {
        let (Some(buckets), Some(stream)) = (&mut self.buckets, self.streams.get(&number)) else {
            return true;
        };
        let Some(front) = stream.jobs.front().filter(|front| !front.is_paid) else {
            return true;
        };
        let contacts = &front.aim.contacts;
        let digest = Key::Digest(Together::Storm, front.aim.recipients.clone());
        let is_own = stream.digest().is_none();
        let joins = is_own && self.flow.bulk.is_none();
        let is_storm = joins && self.numbers.contains_key(&digest);
        if !is_storm && buckets.take(contacts, now) {
            return true;
        }
        if joins {
            self.collect(number, Together::Storm, now);
            return false;
        }
        let until = buckets.interval().map(|interval| stream.since + interval);
        if until.is_some_and(|until| until <= now) {
            buckets.spend(contacts, now);
            return true;
        }
        let ready = buckets.ready_at(contacts, now);
        let at = until.map_or(ready, |until| until.min(ready));
        self.schedule_at(number, at);
        false
    }

    /// How many of the front of this stream are tried, and why together.
    pub(super) fn count(&self, number: u64, now: Instant) -> (usize, Option<Together>) {
        let stream = &self.streams[&number];
        let mut bytes = 0;
        let fits = |waiting: &&Waiting| {
            bytes += u64::from(waiting.size);
            bytes <= MOST_BYTES && waiting.expires > now
        };
        let Some(why) = self.collects(stream) else {
            let count = self.superseded(stream);
            return (count, (count > 1).then_some(Together::Superseded));
        };
        let most = match (&stream.again, &self.flow.bulk) {
            // The same ones again, so that nobody gets a part of it twice.
            (Some((_, count)), _) => *count,
            (None, Some(bulk)) if stream.digest().is_none() => {
                let tried = stream.jobs.iter().take_while(|job| job.attempts > 0);
                match tried.count() {
                    0 => bulk.count,
                    tried => tried.min(bulk.count),
                }
            }
            (None, _) => MOST_TOGETHER,
        };
        let together = stream.jobs.iter().take(most).take_while(fits);
        (together.count().max(1), Some(why))
    }

    /// How many are told at once because the last of them says that the first is
    /// over.
    pub(super) fn superseded(&self, stream: &Stream) -> usize {
        let (Some(after), Some(first)) = (self.flow.supersede_after, stream.jobs.front()) else {
            return 1;
        };
        if first.matter != Matter::Problem {
            return 1;
        }
        let ahead = stream.jobs.iter().take(LOOK_AHEAD);
        let mut ahead = ahead.enumerate();
        let over = ahead.find(|(_, waiting)| waiting.matter == Matter::Recovery);
        match over {
            Some((at, over)) if over.accepted >= first.accepted + after => at + 1,
            _ => 1,
        }
    }

    pub(super) fn begin(
        &mut self,
        number: u64,
        count: usize,
        why: Option<Together>,
        now: Instant,
    ) -> Turn {
        let work = self.next;
        self.next += 1;
        self.works.insert(work, number);
        self.breaker.began(work);
        let mut tickets = Vec::with_capacity(count);
        if let Some(stream) = self.streams.get_mut(&number) {
            for waiting in stream.jobs.iter_mut().take(count) {
                waiting.attempts += 1;
                waiting.is_paid = true;
                tickets.push(waiting.ticket(now));
            }
            stream.state = State::Working(count, why);
            stream.again = None;
            if stream.digest().is_some() {
                self.counts.in_digests -= count as u64;
            }
        }
        self.counts.waiting -= count as u64;
        self.counts.working += count as u64;
        Turn::Try { work, tickets, why }
    }

    /// Why the jobs of this stream are told together, if they are.
    pub(super) fn collects(&self, stream: &Stream) -> Option<Together> {
        let bulk = self.flow.bulk.as_ref().map(|_| Together::Bulk);
        stream.digest().or(bulk)
    }

    /// The first of a stream goes over to the digest of its recipients.
    pub(super) fn collect(&mut self, number: u64, why: Together, now: Instant) {
        let front = self.streams[&number].jobs.front();
        if let Some(front) = front {
            let key = Key::Digest(why, front.aim.recipients.clone());
            let digest = self.stream(key, now);
            self.move_over(number, digest, now);
        }
    }
}
