//! How streams come, go and wait, and what stands in them moves.

use std::collections::VecDeque;
use std::time::Instant;

use super::stream::{Key, State, Stream, Waiting};
use super::{EXPIRY_LOOK, LATE_COLLECTED, Line, Together};
use crate::config::Bulk;

impl Line {
    pub(super) fn move_over(&mut self, number: u64, digest: u64, now: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        let Some(waiting) = stream.jobs.pop_front() else {
            return;
        };
        let (_, count) = stream.away.unwrap_or((digest, 0));
        stream.away = Some((digest, count + 1));
        stream.again = None;
        self.counts.in_digests += 1;
        self.append(digest, waiting, now);
        self.schedule(number, now);
    }

    pub(super) fn append(&mut self, number: u64, waiting: Waiting, now: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        let is_first = stream.jobs.is_empty();
        stream.jobs.push_back(waiting);
        if is_first {
            stream.since = now;
        }
        let is_full = |bulk: &Bulk| stream.jobs.len() == bulk.count;
        if is_first || self.flow.bulk.as_ref().is_some_and(is_full) {
            self.schedule(number, now);
        }
    }

    /// The number of the stream with this key, which is made if it is not there.
    pub(super) fn stream(&mut self, key: Key, now: Instant) -> u64 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        self.numbers.insert(key.clone(), number);
        let stream = Stream {
            key,
            jobs: VecDeque::with_capacity(1),
            state: State::Elsewhere,
            since: now,
            again: None,
            away: None,
        };
        self.streams.insert(number, stream);
        number
    }

    /// A stream gets the moment at which its front is due, unless it is being
    /// worked on; what is empty and has nothing elsewhere goes.
    pub(super) fn schedule(&mut self, number: u64, now: Instant) {
        let Some(stream) = self.streams.get(&number) else {
            return;
        };
        // Whoever works on it comes back here.
        if stream.working() > 0 {
            return;
        }
        if let Some(front) = stream.jobs.front() {
            let at = self.due_at(stream, front, now);
            self.schedule_at(number, at);
            return;
        }
        if let State::Due(at, n) = stream.state {
            self.due.remove((at, n, number));
        }
        if stream.away.is_none() {
            if let Some(stream) = self.streams.remove(&number) {
                self.numbers.remove(&stream.key);
            }
        } else if let Some(stream) = self.streams.get_mut(&number) {
            stream.state = State::Elsewhere;
        }
    }

    pub(super) fn due_at(&self, stream: &Stream, front: &Waiting, now: Instant) -> Instant {
        if let Some((at, _)) = stream.again {
            return at;
        }
        match (stream.digest(), &self.flow.bulk, &self.buckets) {
            (Some(Together::Late), ..) => stream.since + LATE_COLLECTED,
            (Some(_), _, Some(buckets)) => {
                let ready = buckets.ready_at(&front.aim.contacts, now);
                match buckets.interval() {
                    Some(interval) => ready.min(stream.since + interval),
                    None => ready,
                }
            }
            (None, Some(bulk), _) if stream.jobs.len() < bulk.count && front.attempts == 0 => {
                front.accepted + bulk.interval
            }
            _ => now,
        }
    }

    pub(super) fn schedule_at(&mut self, number: u64, at: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        if let State::Due(before, n) = stream.state {
            self.due.remove((before, n, number));
        }
        stream.state = State::Due(at, self.next);
        // One that is not yet due may be old by then: that is looked at again.
        let front = stream.jobs.front();
        let is_young = front.is_some_and(|front| front.is_young(at));
        self.due.insert((at, self.next, number), is_young);
        self.next += 1;
    }

    /// Of the front that is being worked on, removes what `is_gone`. How many are
    /// left.
    pub(super) fn remove_front(
        &mut self,
        number: u64,
        now: Instant,
        is_gone: impl Fn(&Waiting) -> bool,
    ) -> usize {
        let Some(stream) = self.streams.get_mut(&number) else {
            return 0;
        };
        let State::Working(count, why) = stream.state else {
            return 0;
        };
        let rest = stream.jobs.split_off(count);
        let front = std::mem::replace(&mut stream.jobs, rest);
        let (gone, left): (Vec<_>, Vec<_>) = front.into_iter().partition(is_gone);
        let left_count = left.len();
        for waiting in left.into_iter().rev() {
            stream.jobs.push_front(waiting);
        }
        stream.state = State::Working(left_count, why);
        self.counts.working -= gone.len() as u64;
        for waiting in gone {
            self.came_home(number, &waiting, now);
        }
        left_count
    }

    /// What is left of the front waits again.
    pub(super) fn release_front(&mut self, number: u64, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&number) {
            let left = stream.working() as u64;
            stream.state = State::Elsewhere;
            stream.since = now;
            self.counts.waiting += left;
            self.counts.working -= left;
            if stream.digest().is_some() {
                self.counts.in_digests += left;
            }
        }
    }

    /// The first of a stream goes without having been tried.
    pub(super) fn drop_first(&mut self, number: u64, now: Instant) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        let is_digest = stream.digest().is_some();
        if let Some(waiting) = stream.jobs.pop_front() {
            self.counts.waiting -= 1;
            self.counts.in_digests -= u64::from(is_digest);
            self.came_home(number, &waiting, now);
        }
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.again = None;
        }
        self.schedule(number, now);
    }

    /// What was in stream `number` is gone: if that was a digest, its own stream
    /// has one less elsewhere.
    pub(super) fn came_home(&mut self, number: u64, waiting: &Waiting, now: Instant) {
        if waiting.home == number {
            return;
        }
        let Some(home) = self.streams.get_mut(&waiting.home) else {
            return;
        };
        home.away = match home.away {
            Some((digest, count)) if count > 1 => Some((digest, count - 1)),
            _ => None,
        };
        if home.away.is_none() && home.jobs.is_empty() {
            self.schedule(waiting.home, now);
        }
    }

    /// Takes out what waits and is so.
    pub(super) fn remove_waiting(
        &mut self,
        now: Instant,
        is_so: impl Fn(&Waiting) -> bool,
    ) -> Vec<Waiting> {
        let (mut gone, mut changed) = (Vec::new(), Vec::new());
        for (number, stream) in &mut self.streams {
            let working = stream.working();
            if !stream.jobs.iter().skip(working).any(&is_so) {
                continue;
            }
            let is_digest = stream.digest().is_some();
            let first = stream.jobs.front().map(|front| front.id);
            let all = std::mem::take(&mut stream.jobs);
            for (at, waiting) in all.into_iter().enumerate() {
                if at < working || !is_so(&waiting) {
                    stream.jobs.push_back(waiting);
                    continue;
                }
                self.counts.waiting -= 1;
                self.counts.in_digests -= u64::from(is_digest);
                if let Some((_, count)) = stream.again.as_mut().filter(|(_, count)| at < *count) {
                    *count -= 1;
                }
                gone.push((*number, waiting));
            }
            if stream.jobs.front().map(|front| front.id) != first {
                stream.again = None;
                changed.push(*number);
            }
        }
        for number in changed {
            self.schedule(number, now);
        }
        let mut all = Vec::with_capacity(gone.len());
        for (number, waiting) in gone {
            self.came_home(number, &waiting, now);
            all.push(waiting);
        }
        all
    }

    pub(super) fn look_for_expiry(&mut self, at: Instant) {
        self.expiry = Some(self.expiry.map_or(at, |before| before.min(at)));
    }

    /// Takes out what has expired, wherever it waits.
    pub(super) fn find_expired(&mut self, now: Instant) {
        if self.expiry.is_none_or(|expiry| expiry > now) {
            return;
        }
        let expired = self.remove_waiting(now, |waiting| waiting.expires <= now);
        let tickets = expired.iter().map(|waiting| waiting.ticket(now));
        self.expired.extend(tickets);
        let waiting = self.streams.values().flat_map(|stream| {
            let working = stream.working();
            stream.jobs.iter().skip(working)
        });
        let next = waiting.map(|waiting| waiting.expires).min();
        self.expiry = next.map(|next| next.max(now + EXPIRY_LOOK));
    }
}
