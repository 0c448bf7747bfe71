//! What waits for a lane, in memory. The journal is the truth; this is rebuilt
//! from it at every start.
//!
//! In a lane, notifications of one object (host and service) keep their order
//! of acceptance: only the first of each object may be tried, and a younger one
//! waits while the first waits for its next attempt. Objects overtake each
//! other freely. What waits for peers: `forward_line`.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use objects::NotificationId;
use spool::Job;

use crate::config::Retry;
use crate::object::Object;

/// One lane's line.
#[derive(Debug, Default)]
pub(crate) struct LaneLine {
    objects: HashMap<Object, VecDeque<Waiting>>,
    /// The first of each object, by the moment it may be tried.
    due: BTreeSet<(Instant, u64, Object)>,
    /// What the lane is working on: its object, whose first it is.
    processing: Option<Object>,
    next: u64,
    len: u64,
}

#[derive(Debug)]
struct Waiting {
    id: NotificationId,
    /// Which of its jobs in this lane, if rules chose it.
    job: Option<Job>,
    attempts: u32,
    expires: Instant,
}

/// When a delivery that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextTry {
    pub(crate) id: NotificationId,
    pub(crate) attempts: u32,
    /// None while an attempt runs.
    pub(crate) pause: Option<Duration>,
}

/// What is to happen next in a lane.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Try it; this is the number of the attempt.
    Try {
        id: NotificationId,
        job: Option<Job>,
        attempt: u32,
    },
    /// Its time is over.
    Expired {
        id: NotificationId,
        job: Option<Job>,
    },
}

impl LaneLine {
    /// At the end of the line of its object.
    pub(crate) fn push(
        &mut self,
        (id, job): (NotificationId, Option<Job>),
        object: Object,
        attempts: u32,
        due: Instant,
        expires: Instant,
    ) {
        let line = self.objects.entry(object.clone()).or_default();
        line.push_back(Waiting {
            id,
            job,
            attempts,
            expires,
        });
        self.len += 1;
        if line.len() == 1 {
            self.enqueue(object, due);
        }
    }

    fn enqueue(&mut self, object: Object, due: Instant) {
        self.due.insert((due, self.next, object));
        self.next += 1;
    }

    /// What may be tried now; nothing while the lane is working. After
    /// [`Turn::Try`] comes [`LaneLine::retry`] or [`LaneLine::end`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<Turn> {
        if self.processing.is_some() {
            return None;
        }
        let (due, ..) = self.due.first()?;
        if *due > now {
            return None;
        }
        let (.., object) = self.due.pop_first()?;
        let first = self.objects.get_mut(&object)?.front_mut()?;
        if first.expires <= now {
            let (id, job) = (first.id, first.job.clone());
            self.remove_first(object, now);
            return Some(Turn::Expired { id, job });
        }
        first.attempts += 1;
        let (id, job, attempt) = (first.id, first.job.clone(), first.attempts);
        self.processing = Some(object);
        Some(Turn::Try { id, job, attempt })
    }

    /// The attempt failed; the next one is after `pause`, or when it expires.
    pub(crate) fn retry(&mut self, now: Instant, pause: Duration) {
        let Some(object) = self.processing.take() else {
            return;
        };
        if let Some(first) = self.objects.get(&object).and_then(VecDeque::front) {
            let due = (now + pause).min(first.expires);
            self.enqueue(object, due);
        }
    }

    /// What the lane worked on has ended.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Some(object) = self.processing.take() {
            self.remove_first(object, now);
        }
    }

    fn remove_first(&mut self, object: Object, now: Instant) {
        let Some(line) = self.objects.get_mut(&object) else {
            return;
        };
        line.pop_front();
        self.len -= 1;
        if line.is_empty() {
            self.objects.remove(&object);
        } else {
            self.enqueue(object, now);
        }
    }

    /// Takes these out, but for one that is being worked on. `objects` are
    /// theirs, and perhaps others.
    pub(crate) fn take_out(
        &mut self,
        ids: &HashSet<NotificationId>,
        objects: &HashSet<Object>,
        now: Instant,
    ) {
        let mut changed = HashSet::new();
        for object in objects {
            let Some(line) = self.objects.get_mut(object) else {
                continue;
            };
            let works = usize::from(self.processing.as_ref() == Some(object));
            let (first, before) = (line.front().map(|first| first.id), line.len());
            let mut at = 0;
            line.retain(|waiting| {
                at += 1;
                at <= works || !ids.contains(&waiting.id)
            });
            self.len -= (before - line.len()) as u64;
            if line.front().map(|first| first.id) != first {
                changed.insert(object);
            }
        }
        if changed.is_empty() {
            return;
        }
        self.due.retain(|(.., object)| !changed.contains(object));
        for object in changed {
            if self.objects[object].is_empty() {
                self.objects.remove(object);
            } else {
                self.enqueue(object.clone(), now);
            }
        }
    }

    /// What waits for its next attempt does not wait any more, of these objects
    /// or of all. How many these are.
    pub(crate) fn hurry(&mut self, objects: Option<&HashSet<Object>>, now: Instant) -> u64 {
        let is_meant = |object: &Object| objects.is_none_or(|all| all.contains(object));
        let late = self
            .due
            .extract_if(.., |(due, _, object)| *due > now && is_meant(object));
        let late: Vec<_> = late.collect();
        let count = late.len() as u64;
        self.due
            .extend(late.into_iter().map(|(_, n, object)| (now, n, object)));
        count
    }

    /// Those for which at least one attempt failed or runs, and how long they
    /// wait for the next one: not at all while it runs.
    pub(crate) fn retries(&self, now: Instant) -> impl Iterator<Item = NextTry> + '_ {
        let waiting = self
            .due
            .iter()
            .map(move |(due, _, object)| (object, Some(due.saturating_duration_since(now))));
        let processing = self.processing.iter().map(|object| (object, None));
        let all = processing.chain(waiting).filter_map(|(object, pause)| {
            let first = self.objects.get(object)?.front()?;
            Some(NextTry {
                id: first.id,
                attempts: first.attempts,
                pause,
            })
        });
        all.filter(|next| next.attempts > 0)
    }

    /// When something may be tried next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        match self.processing {
            Some(_) => None,
            None => self.due.first().map(|(due, ..)| *due),
        }
    }

    /// How many wait, and how many are being worked on.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let processing = u64::from(self.processing.is_some());
        (self.len - processing, processing)
    }

    /// Those for which at least one attempt failed.
    pub(crate) fn deferred(&self) -> impl Iterator<Item = NotificationId> + '_ {
        let firsts = self.objects.iter().filter_map(|(object, line)| {
            let is_processed = self.processing.as_ref() == Some(object);
            line.front()
                .filter(|first| first.attempts > 0 && !is_processed)
        });
        firsts.map(|first| first.id)
    }
}

/// The pause after the `attempts`th failure: doubling, up to the longest, and
/// up to a fifth shorter, so that what failed together is not tried together.
pub(crate) fn pause(retry: Retry, attempts: u32, id: NotificationId) -> Duration {
    let doubled = retry.first.saturating_mul(
        1u32.checked_shl(attempts.saturating_sub(1))
            .unwrap_or(u32::MAX),
    );
    let pause = doubled.min(retry.longest.max(retry.first));
    // The id's last bytes are random, and the attempt shifts them.
    let bytes = id.as_bytes();
    let random = u32::from(bytes[15]).wrapping_add(attempts.wrapping_mul(97)) % 256;
    pause - pause.mul_f64(f64::from(random) / 256.0 * 0.2)
}

#[cfg(test)]
mod tests {
    use objects::notification::Context;

    use super::*;

    fn id(n: u8) -> NotificationId {
        NotificationId::from_bytes([n; 16])
    }

    fn object(name: &str) -> Object {
        Object::of(&Context::from([("HOSTNAME".to_owned(), name.into())]))
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const MINUTE: Duration = Duration::from_secs(60);

    fn tried(turn: Option<Turn>) -> Option<(u8, u32)> {
        match turn {
            Some(Turn::Try { id, attempt, .. }) => Some((id.as_bytes()[0], attempt)),
            Some(Turn::Expired { id, .. }) => Some((id.as_bytes()[0], 0)),
            None => None,
        }
    }

    #[test]
    fn what_is_taken_out_is_not_tried_and_does_not_hold_up_others() {
        let start = Instant::now();
        let mut line = LaneLine::default();
        for (n, name) in [(1, "a"), (2, "a"), (3, "b"), (4, "c"), (5, "c")] {
            line.push((id(n), None), object(name), 0, start, start + HOUR);
        }
        // 1 is tried and waits; 3 is being tried.
        assert_eq!(tried(line.take(start)), Some((1, 1)));
        line.retry(start, MINUTE);
        assert_eq!(tried(line.take(start)), Some((3, 1)));
        let ids = HashSet::from([id(1), id(3), id(5), id(99)]);
        let objects = ["a", "b", "c", "other"].map(object).into();
        line.take_out(&ids, &objects, start);
        assert_eq!(line.counts(), (2, 1), "what runs goes on");
        line.end(start);
        assert_eq!(tried(line.take(start)), Some((4, 1)));
        line.end(start);
        assert_eq!(
            tried(line.take(start)),
            Some((2, 1)),
            "it need not wait for 1"
        );
        line.end(start);
        assert_eq!(line.counts(), (0, 0));
        assert!(line.due.is_empty() && line.objects.is_empty());
    }

    #[test]
    fn what_waits_for_its_next_attempt_can_be_hurried() {
        let start = Instant::now();
        let mut line = LaneLine::default();
        for (n, name) in [(1, "a"), (2, "b"), (3, "c")] {
            line.push((id(n), None), object(name), 0, start, start + HOUR);
            if n < 3 {
                assert!(line.take(start).is_some());
                line.retry(start, MINUTE);
            }
        }
        let pauses = |line: &LaneLine| -> Vec<(u8, u32, Option<Duration>)> {
            let all = line.retries(start);
            all.map(|next| (next.id.as_bytes()[0], next.attempts, next.pause))
                .collect()
        };
        assert_eq!(
            pauses(&line),
            [(1, 1, Some(MINUTE)), (2, 1, Some(MINUTE))],
            "3 was not tried yet"
        );
        assert_eq!(line.hurry(Some(&HashSet::from([object("b")])), start), 1);
        assert_eq!(tried(line.take(start)), Some((2, 2)));
        assert_eq!(pauses(&line), [(2, 2, None), (1, 1, Some(MINUTE))]);
        line.end(start);
        assert_eq!(tried(line.take(start)), Some((3, 1)));
        line.end(start);
        assert_eq!(tried(line.take(start)), None);
        assert_eq!(line.hurry(None, start), 1);
        assert_eq!(tried(line.take(start)), Some((1, 2)));
    }

    #[test]
    fn an_object_keeps_its_order_and_others_overtake() {
        let start = Instant::now();
        let mut line = LaneLine::default();
        for (n, name) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            line.push((id(n), None), object(name), 0, start, start + HOUR);
        }
        assert_eq!(tried(line.take(start)), Some((1, 1)));
        assert_eq!(tried(line.take(start)), None, "one at a time");
        line.retry(start, MINUTE);
        assert_eq!(tried(line.take(start)), Some((3, 1)), "b overtakes");
        line.end(start);
        assert_eq!(tried(line.take(start)), None, "a's younger ones wait");
        assert_eq!(line.next_due(), Some(start + MINUTE));
        assert_eq!(line.deferred().count(), 1);
        let later = start + MINUTE;
        assert_eq!(tried(line.take(later)), Some((1, 2)));
        line.end(later);
        for n in [2, 4] {
            assert_eq!(tried(line.take(later)), Some((n, 1)));
            line.end(later);
        }
        assert_eq!(line.counts(), (0, 0));
        assert!(line.objects.is_empty());
    }

    #[test]
    fn what_is_expired_is_not_tried() {
        let start = Instant::now();
        let mut line = LaneLine::default();
        line.push((id(1), None), object("a"), 0, start, start + MINUTE);
        line.push((id(2), None), object("a"), 0, start, start + HOUR);
        assert_eq!(tried(line.take(start)), Some((1, 1)));
        line.retry(start, HOUR);
        assert_eq!(
            line.next_due(),
            Some(start + MINUTE),
            "its end is a turn too"
        );
        assert_eq!(tried(line.take(start + MINUTE)), Some((1, 0)));
        assert_eq!(tried(line.take(start + MINUTE)), Some((2, 1)));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry {
            first: Duration::from_secs(30),
            longest: Duration::from_secs(900),
            expire: HOUR,
        };
        for (attempts, want) in [
            (1, 30),
            (2, 60),
            (3, 120),
            (6, 900),
            (40, 900),
            (u32::MAX, 900),
        ] {
            for n in [0, 127, 255] {
                let pause = pause(retry, attempts, id(n)).as_secs_f64();
                let want = f64::from(want);
                assert!(pause <= want && pause >= want * 0.8, "{attempts}: {pause}");
            }
        }
    }
}
