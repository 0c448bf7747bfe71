//! Random disconnects and crashes against the claim that a window whose slots
//! are freed by the *record* of an acknowledgement, and a ring of as many ids
//! at the receiver, store every message exactly once and in order. Rows where
//! one of the two is missing must fail, or the model has no teeth.

mod common;

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use common::{Chance, config, config_with_window, id};
use objects::NotificationId;
use wire::{Event, Session};

const MESSAGES: u64 = 200;
const RUNS: u64 = 12;

/// When the sender frees a slot of the window.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Free {
    WhenRecorded,
    WhenReceived,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    window: u32,
    ring: usize,
    free: Free,
    /// Whether RESUME tells what the receiver has, or nothing.
    resume: bool,
}

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    duplicates: usize,
    lost: usize,
    out_of_order: usize,
}

/// What survives a crash of the sender, and what does not.
#[derive(Default)]
struct Sender {
    recorded: BTreeSet<NotificationId>,
    acknowledged: Vec<NotificationId>,
    to_send: VecDeque<NotificationId>,
}

/// What survives a crash of the receiver, and what does not.
#[derive(Default)]
struct Receiver {
    stored: Vec<NotificationId>,
    ring: VecDeque<NotificationId>,
    group: Vec<(u64, NotificationId)>,
}

struct World {
    row: Row,
    chance: Chance,
    now: Instant,
    sender: Sender,
    receiver: Receiver,
    a: Session,
    b: Session,
    to_a: Vec<u8>,
    to_b: Vec<u8>,
}

#[test]
fn the_ring_and_the_window_together_store_each_message_once() {
    use Free::{WhenReceived, WhenRecorded};
    for (window, ring, free, resume, exact) in [
        (8, 8, WhenRecorded, false, true),
        (8, 8, WhenRecorded, true, true),
        (8, 32, WhenRecorded, false, true),
        (8, 32, WhenRecorded, true, true),
        (8, 32, WhenReceived, false, true),
        (32, 32, WhenRecorded, false, true),
        (32, 128, WhenRecorded, true, true),
        (1, 4, WhenRecorded, true, true),
        (8, 7, WhenRecorded, false, false),
        (8, 8, WhenReceived, false, false),
    ] {
        let row = Row {
            window,
            ring,
            free,
            resume,
        };
        let mut sum = Outcome::default();
        for seed in 0..RUNS {
            let outcome = World::new(row, seed).run();
            if exact {
                assert_eq!(outcome, Outcome::default(), "{row:?}, seed {seed}");
            }
            sum.duplicates += outcome.duplicates;
            sum.lost += outcome.lost;
        }
        assert_eq!(sum.lost, 0, "{row:?}");
        assert_eq!(sum.duplicates == 0, exact, "{row:?}: {sum:?}");
    }
}

impl World {
    fn new(row: Row, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            row,
            chance: Chance(seed),
            now,
            sender: Sender::default(),
            receiver: Receiver::default(),
            a: Session::new(config("a"), now),
            b: Session::new(config_with_window("b", row.window), now),
            to_a: Vec::new(),
            to_b: Vec::new(),
        }
    }

    fn run(mut self) -> Outcome {
        for step in 0.. {
            if self.sender.recorded.len() as u64 == MESSAGES {
                break;
            }
            assert!(step < 1_000_000, "no progress");
            self.step();
        }
        let mut seen = BTreeSet::new();
        let fresh: Vec<_> = self
            .receiver
            .stored
            .iter()
            .filter(|id| seen.insert(**id))
            .collect();
        Outcome {
            duplicates: self.receiver.stored.len() - fresh.len(),
            lost: MESSAGES as usize - fresh.len(),
            out_of_order: fresh.windows(2).filter(|pair| pair[0] > pair[1]).count(),
        }
    }

    fn step(&mut self) {
        match self.chance.below(200) {
            0..50 => self.carry_to_b(),
            50..100 => self.carry_to_a(),
            100..135 => self.send(),
            135..185 => self.commit_receiver(true),
            185..196 => self.commit_sender(),
            // The group that is being synced may get done all the same.
            196 | 197 => {
                if self.chance.one_in(2) {
                    self.commit_receiver(false);
                }
                self.connect();
            }
            198 => {
                self.sender.acknowledged.clear();
                self.connect();
            }
            _ => self.connect(),
        }
    }

    /// Breaks the connection, with what is on the wire, and makes a new one.
    fn connect(&mut self) {
        self.receiver.group.clear();
        self.sender.to_send.clear();
        self.to_a.clear();
        self.to_b.clear();
        self.a = Session::new(config("a"), self.now);
        self.b = Session::new(config_with_window("b", self.row.window), self.now);
    }

    fn carry_to_b(&mut self) {
        write(&mut self.a, &mut self.to_b);
        let len = self.chance.below(self.to_b.len() + 1);
        let bytes: Vec<u8> = self.to_b.drain(..len).collect();
        self.b.handle_input(&bytes, self.now).unwrap();
        while let Some(event) = self.b.poll_event() {
            match event {
                Event::PeerHello(_) => {
                    let ring = self.receiver.ring.iter().copied();
                    let have: Vec<_> = ring.filter(|_| self.row.resume).collect();
                    let newest = have.len().saturating_sub(self.row.window as usize);
                    self.b.resume(&have[newest..]).unwrap();
                }
                Event::Message { seq, id, .. } => self.receiver.group.push((seq, id)),
                _ => {}
            }
        }
    }

    fn carry_to_a(&mut self) {
        write(&mut self.b, &mut self.to_a);
        let len = self.chance.below(self.to_a.len() + 1);
        let bytes: Vec<u8> = self.to_a.drain(..len).collect();
        self.a.handle_input(&bytes, self.now).unwrap();
        while let Some(event) = self.a.poll_event() {
            match event {
                Event::PeerHello(_) => self.a.resume(&[]).unwrap(),
                Event::Resumed { have, .. } => {
                    self.sender.to_send = (0..MESSAGES)
                        .map(id)
                        .filter(|id| !self.sender.recorded.contains(id) && !have.contains(id))
                        .collect();
                    self.acknowledged(have);
                }
                Event::Acknowledged { ids } => self.acknowledged(ids),
                _ => {}
            }
        }
    }

    fn acknowledged(&mut self, ids: Vec<NotificationId>) {
        for id in ids {
            if self.sender.recorded.contains(&id) || self.row.free == Free::WhenReceived {
                self.a.settled(id);
            }
            self.sender.acknowledged.push(id);
        }
    }

    fn send(&mut self) {
        let count = self.chance.below(2 * self.row.window as usize) + 1;
        for _ in 0..count {
            if self.a.room().msgs == 0 {
                return;
            }
            let Some(id) = self.sender.to_send.pop_front() else {
                return;
            };
            self.a.send(id, id.as_bytes()).unwrap();
        }
    }

    fn commit_receiver(&mut self, connected: bool) {
        let group = std::mem::take(&mut self.receiver.group);
        for (_, id) in &group {
            if !self.receiver.ring.contains(id) {
                self.receiver.stored.push(*id);
                self.receiver.ring.push_back(*id);
            }
            if self.receiver.ring.len() > self.row.ring {
                self.receiver.ring.pop_front();
            }
        }
        if let Some((seq, _)) = group.last().filter(|_| connected) {
            self.b.stored(*seq).unwrap();
        }
    }

    /// Records some of what was acknowledged, oldest first.
    fn commit_sender(&mut self) {
        let count = self.chance.below(self.sender.acknowledged.len() + 1);
        for id in self.sender.acknowledged.drain(..count) {
            self.sender.recorded.insert(id);
            self.a.settled(id);
        }
    }
}

fn write(session: &mut Session, wire: &mut Vec<u8>) {
    wire.extend(common::output(session, usize::MAX));
}
