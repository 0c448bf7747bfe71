//! The receiving half: what came from the peer and is not acknowledged yet.

use std::collections::{BTreeMap, VecDeque};

use objects::NotificationId;

use crate::control::{Ack, MAX_REFUSED_PER_ACK, MAX_TEXT, RefusalCode, Refused, Window, cut};
use crate::error::Error;
use crate::event::Event;
use crate::frame::Batch;

/// What the peer has sent.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// What we allow the peer to have in doubt.
    window: Window,
    /// The most we ever allowed on this connection: what the peer may still
    /// believe in.
    largest_window: Window,
    /// Messages that we have not acknowledged, in order.
    waiting: VecDeque<Waiting>,
    /// Bytes of their bodies.
    waiting_bytes: u64,
    /// Highest sequence number that is decided along with all below it.
    decided: u64,
    /// Refused above `told`.
    refused: BTreeMap<u64, (NotificationId, RefusalCode, String)>,
    /// What the last ACK said.
    told: u64,
    told_window: Window,
    /// Highest `settled` of the peer.
    peer_settled: u64,
}

#[derive(Debug)]
struct Waiting {
    id: NotificationId,
    bytes: u32,
}

impl Incoming {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            window,
            largest_window: window,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            decided: 0,
            refused: BTreeMap::new(),
            told: 0,
            told_window: window,
            peer_settled: 0,
        }
    }

    /// Whether messages are here that we have not decided about.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn last_seq(&self) -> u64 {
        self.decided + self.waiting.len() as u64
    }

    pub(crate) fn handle_batch(
        &mut self,
        batch: Batch<'_>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Error> {
        let expected = self.last_seq() + 1;
        if batch.first_seq != expected {
            return Err(Error::Violation {
                what: format!(
                    "BATCH starts with message {}, expected {expected}",
                    batch.first_seq
                ),
            });
        }
        for message in batch {
            let message = message?;
            let seq = self.last_seq() + 1;
            if crc32c::crc32c(message.body) != message.crc {
                return Err(Error::Checksum { seq });
            }
            // One message is always allowed, hence no check of its own bytes.
            if self.waiting.len() >= self.largest_window.msgs as usize
                || (self.waiting_bytes > 0
                    && self.waiting_bytes + message.body.len() as u64 > self.largest_window.bytes)
            {
                return Err(Error::Violation {
                    what: "more messages without acknowledgement than the window allows".into(),
                });
            }
            self.waiting_bytes += message.body.len() as u64;
            self.waiting.push_back(Waiting {
                id: message.id,
                bytes: message.body.len() as u32,
            });
            events.push_back(Event::Message {
                seq,
                id: message.id,
                body: message.body.to_vec(),
            });
        }
        Ok(())
    }

    pub(crate) fn handle_settled(
        &mut self,
        settled: u64,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Error> {
        if settled > self.told || settled < self.peer_settled {
            return Err(Error::Violation {
                what: format!(
                    "ACK says {settled} acknowledgements are recorded, after {}, and {} were sent",
                    self.peer_settled, self.told
                ),
            });
        }
        if settled > self.peer_settled {
            self.peer_settled = settled;
            events.push_back(Event::PeerSettled { seq: settled });
        }
        Ok(())
    }

    pub(crate) fn stored(&mut self, seq: u64) -> Result<(), Error> {
        if seq > self.last_seq() {
            return Err(Error::Misuse("stored: there is no such message"));
        }
        while self.decided < seq {
            self.decide();
        }
        self.pass_refused();
        Ok(())
    }

    pub(crate) fn refuse(&mut self, seq: u64, code: RefusalCode, text: &str) -> Result<(), Error> {
        if seq <= self.decided {
            return Err(Error::Misuse("refuse: the message is decided already"));
        }
        let Some(message) = self.waiting.get((seq - self.decided - 1) as usize) else {
            return Err(Error::Misuse("refuse: there is no such message"));
        };
        let text = cut(text, MAX_TEXT).to_owned();
        self.refused.insert(seq, (message.id, code, text));
        self.pass_refused();
        Ok(())
    }

    fn decide(&mut self) {
        if let Some(message) = self.waiting.pop_front() {
            self.waiting_bytes -= u64::from(message.bytes);
        }
        self.decided += 1;
    }

    /// A refused message is decided as soon as all before it are.
    fn pass_refused(&mut self) {
        while self.refused.contains_key(&(self.decided + 1)) {
            self.decide();
        }
    }

    pub(crate) fn grant(&mut self, window: Window) {
        self.window = window;
        self.largest_window = self.largest_window.max(window);
    }

    /// Gives back memory that nothing uses now.
    pub(crate) fn rest(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// Whether there is anything to acknowledge.
    pub(crate) fn owes_ack(&self) -> bool {
        self.decided > self.told || self.window != self.told_window
    }

    /// The next ACK. Many refusals take several: each tells of all up to its
    /// last refusal.
    pub(crate) fn next_ack(&mut self, settled: u64) -> Ack {
        let mut refused = Vec::new();
        let mut seq = self.decided;
        while let Some(first) = self.refused.first_entry() {
            if *first.key() > self.decided {
                break;
            }
            if refused.len() == MAX_REFUSED_PER_ACK {
                seq = first.key() - 1;
                break;
            }
            let (seq, (id, code, text)) = first.remove_entry();
            refused.push(Refused {
                seq,
                id,
                code,
                text,
            });
        }
        self.told = seq;
        self.told_window = self.window;
        Ack {
            seq,
            refused,
            window: self.window,
            settled,
        }
    }
}
