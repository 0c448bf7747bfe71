//! Two sessions joined back to back, under a clock of their own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::{Duration, Instant};

use objects::{NotificationId, SiteId, UnixTime};
use wire::{Config, Error, Event, Health, Session, Window};

pub(crate) const START: UnixTime = UnixTime::from_secs(1_795_217_983);

pub(crate) fn id(n: u64) -> NotificationId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    NotificationId::from_bytes(bytes)
}

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub(crate) fn config(name: &str) -> Config {
    Config::new(site(name), format!("instance of {name}"), START)
}

pub(crate) fn config_with_window(name: &str, msgs: u32) -> Config {
    Config {
        window: Window {
            msgs,
            bytes: 1 << 20,
        },
        ..config(name)
    }
}

/// All that `session` wants to write, `step` bytes at a time.
pub(crate) fn output(session: &mut Session, step: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let piece = session.poll_output();
        if piece.is_empty() {
            return bytes;
        }
        let len = piece.len().min(step);
        bytes.extend_from_slice(&piece[..len]);
        session.output_written(len);
    }
}

pub(crate) fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// Two sites and a wire. Nothing moves but by [`Pair::carry`].
pub(crate) struct Pair {
    pub(crate) a: Session,
    pub(crate) b: Session,
    pub(crate) now: Instant,
}

impl Pair {
    pub(crate) fn new(a: Config, b: Config) -> Self {
        let now = Instant::now();
        Self {
            a: Session::new(a, now),
            b: Session::new(b, now),
            now,
        }
    }

    /// Both have exchanged HELLO and empty RESUMEs.
    pub(crate) fn open(a: Config, b: Config) -> Self {
        let mut pair = Self::new(a, b);
        pair.carry().unwrap();
        pair.a.resume(&[]).unwrap();
        pair.b.resume(&[]).unwrap();
        pair.carry().unwrap();
        events(&mut pair.a);
        events(&mut pair.b);
        pair
    }

    /// Moves bytes until neither has any more.
    pub(crate) fn carry(&mut self) -> Result<(), Error> {
        self.carry_in_pieces(usize::MAX)
    }

    pub(crate) fn carry_in_pieces(&mut self, size: usize) -> Result<(), Error> {
        loop {
            let to_b = output(&mut self.a, size);
            let to_a = output(&mut self.b, size);
            if to_a.is_empty() && to_b.is_empty() {
                return Ok(());
            }
            for piece in to_b.chunks(size.min(1 << 20)) {
                self.b.handle_input(piece, self.now)?;
            }
            for piece in to_a.chunks(size.min(1 << 20)) {
                self.a.handle_input(piece, self.now)?;
            }
        }
    }

    /// Lets time pass, with what falls due; both owners answer PINGs.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), Error> {
        let end = self.now + time;
        loop {
            let due = [self.a.poll_timeout(), self.b.poll_timeout()];
            let Some(next) = due.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.max(next);
            self.a.handle_timeout(self.now)?;
            self.b.handle_timeout(self.now)?;
            self.carry()?;
            self.a.pong(Health::default());
            self.b.pong(Health::default());
            self.carry()?;
        }
    }
}

/// The sequence numbers and bodies of the messages among `events`.
pub(crate) fn messages(events: &[Event]) -> Vec<(u64, NotificationId, Vec<u8>)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Message { seq, id, body } => Some((*seq, *id, body.clone())),
            _ => None,
        })
        .collect()
}

/// A small generator of chance, so that a seed tells all.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
