//! Whether the peer is alive: its socket, and the owner of its journal.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::error::Error;

/// PINGs go out this far apart at the least, whatever the peer asks for.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// A peer that acknowledges but never answers is not asked any more: what it
/// owes must not pile up here.
const MOST_UNANSWERED: usize = 1000;

/// The clocks of one connection.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    every: Duration,
    dead: Duration,
    /// When the last whole frame came.
    last_frame: Instant,
    /// When the peer's journal last proved that it works.
    journal_seen: Instant,
    next_ping: Instant,
    /// Number of the last PING.
    n: u64,
    /// PINGs without a PONG, oldest first.
    unanswered: VecDeque<(u64, Instant)>,
}

impl Heartbeat {
    /// `peer_dead` is the peer's patience: it must hear from us three times in it.
    pub(crate) fn new(every: Duration, dead: Duration, peer_dead: Duration, now: Instant) -> Self {
        let every = every.min(peer_dead / 3).max(SHORTEST_INTERVAL);
        Self {
            every,
            dead,
            last_frame: now,
            journal_seen: now,
            next_ping: now + every,
            n: 0,
            unanswered: VecDeque::new(),
        }
    }

    pub(crate) fn frame_seen(&mut self, now: Instant) {
        self.last_frame = now;
    }

    /// The peer acknowledged something new: its journal works.
    pub(crate) fn journal_seen(&mut self, now: Instant) {
        self.journal_seen = now;
    }

    /// The number of the PING that is due now, if one is.
    pub(crate) fn ping_due(&mut self, now: Instant) -> Option<u64> {
        if now < self.next_ping {
            return None;
        }
        self.next_ping = now + self.every;
        if self.unanswered.len() >= MOST_UNANSWERED {
            return None;
        }
        self.n += 1;
        self.unanswered.push_back((self.n, now));
        Some(self.n)
    }

    /// A PONG came; returns the round trip time. It answers all PINGs before
    /// its own, too.
    pub(crate) fn handle_pong(&mut self, n: u64, now: Instant) -> Result<Duration, Error> {
        let known = self.unanswered.iter().any(|(sent, _)| *sent == n);
        if !known {
            return Err(Error::Violation {
                what: format!("PONG {n} answers nothing"),
            });
        }
        let mut rtt = Duration::ZERO;
        while let Some((sent, at)) = self.unanswered.pop_front() {
            if sent == n {
                rtt = now.saturating_duration_since(at);
                break;
            }
        }
        self.journal_seen = now;
        Ok(rtt)
    }

    pub(crate) fn check(&self, now: Instant) -> Result<(), Error> {
        if now >= self.last_frame + self.dead {
            return Err(Error::Silent(self.dead));
        }
        if self.hang_deadline().is_some_and(|deadline| now >= deadline) {
            return Err(Error::JournalHangs(self.dead));
        }
        Ok(())
    }

    fn hang_deadline(&self) -> Option<Instant> {
        let (_, oldest) = self.unanswered.front()?;
        Some((*oldest).max(self.journal_seen) + self.dead)
    }

    pub(crate) fn next_ping(&self) -> Instant {
        self.next_ping
    }

    /// When [`Self::check`] will fail if nothing comes.
    pub(crate) fn deadline(&self) -> Instant {
        let silent = self.last_frame + self.dead;
        self.hang_deadline().map_or(silent, |hang| hang.min(silent))
    }
}
