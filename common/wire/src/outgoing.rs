//! The sending half: what is in doubt, what waits for the window, and the
//! bytes that wait for the socket.

use std::collections::{HashSet, VecDeque};

use objects::NotificationId;

use crate::control::{Ack, MAX_TEXT, Window, cut};
use crate::error::Error;
use crate::event::Event;
use crate::frame;

/// Emptied buffers kept for the next batches.
const SPARE_BUFFERS: usize = 4;
/// A buffer that grew beyond this for one long message is given back.
const SPARE_CAPACITY: usize = 2 * frame::MAX_BATCH_BYTES;

/// We keep no more than this in doubt, however much the peer allows: it is in
/// our memory, too.
const LARGEST_WINDOW: Window = Window {
    msgs: 1 << 16,
    bytes: 64 << 20,
};

/// What is on its way to the peer.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// A batch of more than one message grows no longer than this, with its length.
    longest_batch: usize,
    /// What the peer allows to be in doubt.
    window: Window,
    /// Messages sent on this connection and not settled, in order of their
    /// sequence numbers. Settled ones leave at the front only.
    slots: VecDeque<Slot>,
    /// Sequence number of the first slot; those below are settled.
    first_slot: u64,
    /// Highest sequence number that the peer acknowledged.
    acked: u64,
    /// Slots that are not settled, and the bytes of their bodies.
    in_doubt: Window,
    /// Ids of the peer's RESUME that are not settled. They take up the window
    /// like messages sent, because a crash now would send them again.
    resumed: HashSet<NotificationId>,
    /// Given to us although the window is full: it shrank meanwhile.
    held: VecDeque<(NotificationId, Box<[u8]>)>,
    batches: VecDeque<Vec<u8>>,
    /// The last of `batches`, as long as messages may still be added to it.
    open: Option<OpenBatch>,
    spare: Vec<Vec<u8>>,
    /// Highest `settled` that the peer was told.
    told_settled: u64,
}

#[derive(Debug)]
struct Slot {
    id: NotificationId,
    bytes: u32,
    settled: bool,
}

#[derive(Debug)]
struct OpenBatch {
    messages: usize,
}

impl Outgoing {
    /// `limit` is the longest frame agreed on.
    pub(crate) fn new(window: Window, limit: u32) -> Self {
        Self {
            longest_batch: frame::MAX_BATCH_BYTES.min(limit as usize + 4),
            window: window.min(LARGEST_WINDOW),
            slots: VecDeque::new(),
            first_slot: 1,
            acked: 0,
            in_doubt: Window::CLOSED,
            resumed: HashSet::new(),
            held: VecDeque::new(),
            batches: VecDeque::new(),
            open: None,
            spare: Vec::new(),
            told_settled: 0,
        }
    }

    /// What the peer's window still takes.
    pub(crate) fn room(&self) -> Window {
        if !self.held.is_empty() {
            return Window::CLOSED;
        }
        let msgs = self.in_doubt.msgs + self.resumed.len() as u32;
        let bytes = self.window.bytes.saturating_sub(self.in_doubt.bytes);
        match self.window.msgs.saturating_sub(msgs) {
            0 => Window::CLOSED,
            msgs => Window { msgs, bytes },
        }
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Whether the peer still owes an acknowledgement.
    pub(crate) fn waits_for_ack(&self) -> bool {
        self.acked < self.last_seq()
    }

    /// Highest sequence number given to a message.
    fn last_seq(&self) -> u64 {
        self.first_slot + self.slots.len() as u64 - 1
    }

    fn takes(&self, bytes: usize) -> bool {
        let room = self.room();
        room.msgs > 0 && (room.bytes >= bytes as u64 || (self.in_doubt.msgs == 0 && room.bytes > 0))
    }

    pub(crate) fn send(&mut self, id: NotificationId, body: &[u8]) {
        if self.takes(body.len()) {
            self.put(id, body);
        } else {
            self.held.push_back((id, body.into()));
        }
    }

    /// Sends what was held, as far as the window allows now.
    fn send_held(&mut self) {
        let mut held = std::mem::take(&mut self.held);
        while let Some((id, body)) = held.pop_front() {
            if !self.takes(body.len()) {
                held.push_front((id, body));
                break;
            }
            self.put(id, &body);
        }
        self.held = held;
    }

    fn put(&mut self, id: NotificationId, body: &[u8]) {
        self.slots.push_back(Slot {
            id,
            bytes: body.len() as u32,
            settled: false,
        });
        self.in_doubt.msgs += 1;
        self.in_doubt.bytes += body.len() as u64;
        let needed = frame::MESSAGE_HEADER + body.len();
        let fits = match (&self.open, self.batches.back()) {
            (Some(open), Some(batch)) => {
                open.messages < frame::MAX_BATCH_MESSAGES
                    && batch.len() + needed <= self.longest_batch
            }
            _ => false,
        };
        if !fits {
            self.close_batch();
            let mut batch = self.spare.pop().unwrap_or_default();
            frame::begin_batch(&mut batch, self.last_seq());
            self.batches.push_back(batch);
            self.open = Some(OpenBatch { messages: 0 });
        }
        if let (Some(open), Some(batch)) = (&mut self.open, self.batches.back_mut()) {
            frame::encode_message(batch, id, body);
            open.messages += 1;
        }
    }

    fn close_batch(&mut self) {
        if self.open.take().is_some()
            && let Some(batch) = self.batches.back_mut()
        {
            frame::end(batch, 0);
        }
    }

    /// The next batch for the socket.
    pub(crate) fn next_batch(&mut self) -> Option<Vec<u8>> {
        if self.batches.len() == 1 {
            self.close_batch();
        }
        self.batches.pop_front()
    }

    /// Takes back a buffer that was written.
    pub(crate) fn reuse(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && buffer.capacity() <= SPARE_CAPACITY {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Gives back memory that nothing uses now.
    pub(crate) fn rest(&mut self) {
        self.spare = Vec::new();
        self.slots.shrink_to_fit();
        self.batches.shrink_to_fit();
        self.held.shrink_to_fit();
    }

    /// Forgets what is held for the window: the window will not open any more.
    pub(crate) fn drop_held(&mut self) {
        self.held.clear();
    }

    pub(crate) fn handle_resume(&mut self, have: &[NotificationId]) {
        self.resumed.extend(have);
    }

    /// Returns whether the ACK acknowledged anything new.
    pub(crate) fn handle_ack(
        &mut self,
        ack: Ack,
        events: &mut VecDeque<Event>,
    ) -> Result<bool, Error> {
        self.check_ack(&ack)?;
        let mut refused = ack.refused.into_iter().peekable();
        let mut ids = Vec::with_capacity((ack.seq - self.acked) as usize);
        for seq in self.acked + 1..=ack.seq {
            let Some(slot) = self.slot(seq) else { continue };
            let id = slot.id;
            match refused.next_if(|refused| refused.seq == seq) {
                Some(refused) => events.push_back(Event::Refused {
                    id,
                    code: refused.code,
                    text: cut(&refused.text, MAX_TEXT).to_owned(),
                }),
                None => ids.push(id),
            }
        }
        let new = ack.seq > self.acked;
        self.acked = ack.seq;
        if !ids.is_empty() {
            events.push_back(Event::Acknowledged { ids });
        }
        let window = ack.window.min(LARGEST_WINDOW);
        if window != self.window {
            self.window = window;
            events.push_back(Event::Window(window));
            self.send_held();
        }
        Ok(new)
    }

    /// All of an ACK is checked before any of it counts.
    fn check_ack(&self, ack: &Ack) -> Result<(), Error> {
        if ack.seq > self.last_seq() {
            return Err(Error::Violation {
                what: format!(
                    "ACK of message {}, only {} were sent",
                    ack.seq,
                    self.last_seq()
                ),
            });
        }
        if ack.seq < self.acked {
            return Err(Error::Violation {
                what: format!("ACK of message {} after the one of {}", ack.seq, self.acked),
            });
        }
        let mut after = self.acked;
        for refused in &ack.refused {
            if refused.seq <= after || refused.seq > ack.seq {
                return Err(Error::Violation {
                    what: format!("ACK refuses message {} out of turn", refused.seq),
                });
            }
            after = refused.seq;
            if self
                .slot(refused.seq)
                .is_none_or(|slot| slot.id != refused.id)
            {
                return Err(Error::Violation {
                    what: format!(
                        "ACK refuses message {} as {}, which it is not",
                        refused.seq, refused.id
                    ),
                });
            }
        }
        Ok(())
    }

    fn slot(&self, seq: u64) -> Option<&Slot> {
        let at = usize::try_from(seq.checked_sub(self.first_slot)?).ok()?;
        self.slots.get(at)
    }

    /// Frees the slot of `id`. Only what is acknowledged can be settled; any
    /// other id is none of this connection's.
    pub(crate) fn settled(&mut self, id: NotificationId) {
        if self.resumed.remove(&id) {
            self.send_held();
            return;
        }
        let acked = (self.acked + 1 - self.first_slot) as usize;
        // Nearly always the first: acknowledgements are recorded in order.
        let found = self
            .slots
            .iter_mut()
            .take(acked)
            .find(|slot| !slot.settled && slot.id == id);
        let Some(slot) = found else { return };
        slot.settled = true;
        self.in_doubt.msgs -= 1;
        self.in_doubt.bytes -= u64::from(slot.bytes);
        while self.slots.front().is_some_and(|slot| slot.settled) {
            self.slots.pop_front();
            self.first_slot += 1;
        }
        self.send_held();
    }

    /// What goes into the next ACK's `settled`.
    pub(crate) fn tell_settled(&mut self) -> u64 {
        self.told_settled = self.first_slot - 1;
        self.told_settled
    }

    /// How many settled messages the peer does not know of.
    pub(crate) fn untold_settled(&self) -> u64 {
        self.first_slot - 1 - self.told_settled
    }
}
