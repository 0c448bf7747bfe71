//! A peer that sends anything: the session must not panic, must not announce
//! a body whose checksum is wrong, nor hold more than its window, and must end
//! for good at the first error.
#![no_main]

use std::collections::VecDeque;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use objects::{NotificationId, SiteId, UnixTime};
use wire::{Config, Event, Health, RefusalCode, Session, Window, frame};

const WINDOW: Window = Window {
    msgs: 4,
    bytes: 4096,
};
const HELLO: &str = r#"{"proto":[1,1],"software":"s","version":"1","site":"b","instance":"i",
"features":[],"max_frame":65536,"window_msgs":4,"window_bytes":1000,"heartbeat_ms":10000,
"dead_ms":30000,"now_us":1,"sends":true,"accepts":true}"#;

// The first byte chooses how the rest is fed: as it is, or after an opening that
// random bytes would hardly ever produce; and in what pieces. Frames after the
// opening may be given by type and payload, with their lengths made right.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let now = Instant::now();
    let site = SiteId::new("a").expect("a site id");
    let mut config = Config::new(site, "i", UnixTime::from_secs(1));
    config.window = WINDOW;
    let mut owner = Owner {
        session: Session::new(config, now),
        waiting: VecDeque::new(),
        turn: usize::from(choice >> 4),
    };
    let size = [1, 3, 64, usize::MAX][usize::from(choice & 3)];
    if choice & 4 != 0 {
        let opening = [
            &frame::PREFACE[..],
            &framed(1, HELLO.as_bytes()),
            &framed(2, b"{}"),
        ];
        for piece in opening {
            owner.feed(piece, now);
        }
    }
    let rest = if choice & 8 != 0 {
        reframed(rest)
    } else {
        rest.to_vec()
    };
    for piece in rest.chunks(size) {
        owner.feed(piece, now);
    }
});

struct Owner {
    session: Session,
    /// Sequence numbers not acknowledged yet, and whether they are refused.
    waiting: VecDeque<(u64, bool)>,
    turn: usize,
}

impl Owner {
    fn feed(&mut self, bytes: &[u8], now: Instant) {
        let was_finished = self.session.is_finished();
        let failed = self.session.handle_input(bytes, now).is_err();
        assert!(!(was_finished && failed), "an error after the end");
        while let Some(event) = self.session.poll_event() {
            self.handle(event);
        }
        assert!(!failed || self.session.is_finished());
        while !self.session.poll_output().is_empty() {
            self.session.output_written(7);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::PeerHello(_) => self.session.resume(&[]).expect("it is our turn"),
            Event::Resumed { have, .. } => {
                have.into_iter().for_each(|id| self.session.settled(id));
                for n in 0..3 {
                    let id = NotificationId::from_bytes([n; 16]);
                    self.session.send(id, b"body").expect("both have resumed");
                }
            }
            Event::Message { seq, .. } => {
                self.waiting.push_back((seq, false));
                assert!(
                    self.waiting.len() <= WINDOW.msgs as usize,
                    "beyond the window"
                );
                self.decide(seq);
            }
            Event::Acknowledged { ids } => ids.into_iter().for_each(|id| self.session.settled(id)),
            Event::Refused { id, .. } => self.session.settled(id),
            Event::Ping { .. } => self.session.pong(Health::default()),
            _ => {}
        }
    }
}

impl Owner {
    /// Refuses, stores, or leaves for later.
    fn decide(&mut self, seq: u64) {
        self.turn += 1;
        match self.turn % 3 {
            0 => {
                self.session
                    .refuse(seq, RefusalCode::Loop, "x")
                    .expect("it is new");
                self.waiting.back_mut().expect("it was put there").1 = true;
            }
            1 => {
                self.session.stored(seq).expect("it came");
                self.waiting.clear();
            }
            _ => {}
        }
        while let Some((_, true)) = self.waiting.front() {
            self.waiting.pop_front();
        }
    }
}

fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32 + 1).to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads `TYPE LENGTH PAYLOAD` over and over; a BATCH gets right checksums, too.
fn reframed(mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut seq = 1;
    while let [kind, len, rest @ ..] = input {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*len)));
        if *kind % 16 == 3 {
            let start = frame::begin_batch(&mut out, seq);
            for body in payload.chunks(50) {
                frame::encode_message(&mut out, NotificationId::from_bytes([9; 16]), body);
                seq += 1;
            }
            frame::end(&mut out, start);
        } else {
            out.extend(framed(*kind % 16, payload));
        }
        input = rest;
    }
    out
}
