//! One end of one connection.
//!
//! | state    | left when                         | then      |
//! |----------|-----------------------------------|-----------|
//! | Preface  | the peer's 16 bytes came          | Hello     |
//! | Hello    | the peer's HELLO came             | Resuming  |
//! | Resuming | RESUME was sent and came          | Open      |
//! | Open     | GOAWAY was sent or came           | Leaving   |
//! | Leaving  | all is acknowledged, or 5 s later | Ended     |
//! | Ended    |                                   |           |
//!
//! An error leads from everywhere to Ended. Messages flow in Open; what is
//! under way still arrives and is acknowledged in Leaving.
//!
//! After each call that changes something, take what [`Session::poll_event`]
//! and [`Session::poll_output`] have, and ask [`Session::poll_timeout`] when to
//! call [`Session::handle_timeout`]. The owner of the journal answers events:
//!
//! - [`Event::PeerHello`] with [`Session::resume`],
//! - [`Event::Message`] with [`Session::stored`] (after the sync, once for a
//!   whole group) or [`Session::refuse`],
//! - every id in [`Event::Resumed`], [`Event::Acknowledged`] and
//!   [`Event::Refused`] with [`Session::settled`], after what the event says
//!   is durably recorded, or at once if the id is not open (any more),
//! - [`Event::Ping`] with [`Session::pong`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use objects::NotificationId;

use crate::config::Config;
use crate::control::{Failure, GoAway, Health, MAX_TEXT, Pong, RefusalCode, Resume, Window, cut};
use crate::error::{Error, violation};
use crate::event::{Event, PeerHello};
use crate::frame::{self, Frame, FrameType, RawFrame};
use crate::linked::{Linked, Missing, Phase, Whose, peer_error};

/// The peer must have introduced itself this long after the start.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// The input buffer is given back when it is empty and larger than this.
const KEPT_INPUT: usize = 1 << 20;
/// Bytes of an id in RESUME, quoted, with comma.
const ID_IN_JSON: usize = 39;

/// One end of one connection.
#[derive(Debug)]
pub struct Session {
    config: Config,
    started: Instant,
    state: State,
    /// Bytes that do not make a whole frame yet.
    input: Vec<u8>,
    events: VecDeque<Event>,
    output: Output,
}

#[derive(Debug)]
enum State {
    Preface,
    Hello,
    Linked(Box<Linked>),
    Ended,
}

/// Bytes for the socket.
#[derive(Debug, Default)]
struct Output {
    /// Being written; never changed before it is written in whole, so that
    /// frames are not torn.
    current: Vec<u8>,
    written: usize,
    /// Control frames overtake batches.
    control: Vec<u8>,
}

impl Session {
    /// A session that has just been connected.
    pub fn new(mut config: Config, now: Instant) -> Self {
        config.max_frame = config
            .max_frame
            .clamp(frame::MIN_MAX_FRAME, frame::HARD_MAX_FRAME);
        let mut output = Output::default();
        output.control.extend_from_slice(frame::PREFACE);
        frame::encode_control(&mut output.control, FrameType::Hello, &config.hello());
        Self {
            config,
            started: now,
            state: State::Preface,
            input: Vec::new(),
            events: VecDeque::new(),
            output,
        }
    }

    /// What the peer said of itself, once it did.
    pub fn peer(&self) -> Option<&PeerHello> {
        match &self.state {
            State::Linked(linked) => Some(&linked.peer),
            _ => None,
        }
    }

    /// Bytes came from the peer. After an error only the output is left to be
    /// written; then close.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        let mut input = std::mem::take(&mut self.input);
        let result = if input.is_empty() {
            self.parse(bytes, now)
                .map(|used| input.extend_from_slice(&bytes[used..]))
        } else {
            input.extend_from_slice(bytes);
            self.parse(&input, now).map(|used| {
                input.drain(..used);
            })
        };
        if !input.is_empty() || input.capacity() <= KEPT_INPUT {
            self.input = input;
        }
        result.map_err(|error| self.fail(error))
    }

    /// The peer will send nothing more.
    pub fn handle_end(&mut self) -> Result<(), Error> {
        let waiting_for = match &self.state {
            State::Preface => "its preface",
            State::Hello => "its HELLO",
            State::Linked(linked) => match linked.phase {
                Phase::Resuming(_) => "its RESUME",
                Phase::Open => "messages",
                Phase::Leaving { .. } => {
                    self.state = State::Ended;
                    return Ok(());
                }
            },
            State::Ended => return Ok(()),
        };
        Err(self.fail(Error::Closed { waiting_for }))
    }

    /// The time [`Self::poll_timeout`] told has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.rest();
        let result = match &mut self.state {
            State::Preface | State::Hello if now >= self.started + HELLO_TIMEOUT => {
                Err(Error::HelloTimeout)
            }
            State::Linked(linked) => match linked.phase {
                Phase::Leaving { until, .. } if now >= until => {
                    self.state = State::Ended;
                    Ok(())
                }
                _ => linked.handle_timeout(&mut self.output.control, now),
            },
            _ => Ok(()),
        };
        result.map_err(|error| self.fail(error))
    }

    /// Gives back what much traffic made grow and nothing uses now: of a thousand
    /// connections most have nothing to say most of the time.
    fn rest(&mut self) {
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        self.events.shrink_to_fit();
        self.output.control.shrink_to_fit();
        if let State::Linked(linked) = &mut self.state {
            linked.outgoing.rest();
            linked.incoming.rest();
        }
    }

    /// When to call [`Self::handle_timeout`] unless something else happens
    /// first; `None` when nothing is waited for any more.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Preface | State::Hello => Some(self.started + HELLO_TIMEOUT),
            State::Linked(linked) => Some(linked.timeout()),
            State::Ended => None,
        }
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to be written next; empty if there are none. Tell
    /// [`Self::output_written`] how many of them were, and ask again.
    pub fn poll_output(&mut self) -> &[u8] {
        let output = &mut self.output;
        if output.written == output.current.len() {
            let written = std::mem::take(&mut output.current);
            output.written = 0;
            match &mut self.state {
                State::Linked(linked) => {
                    linked.outgoing.reuse(written);
                    linked.acknowledge(&mut output.control);
                    if output.control.is_empty() {
                        output.current = linked.outgoing.next_batch().unwrap_or_default();
                    } else {
                        std::mem::swap(&mut output.current, &mut output.control);
                    }
                }
                _ => std::mem::swap(&mut output.current, &mut output.control),
            }
        }
        &output.current[output.written..]
    }

    /// The first `len` bytes of the last [`Self::poll_output`] were written.
    pub fn output_written(&mut self, len: usize) {
        self.output.written = (self.output.written + len).min(self.output.current.len());
    }

    /// Whether nothing is left to be done but to write the output and close.
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Ended => true,
            State::Linked(linked) => {
                matches!(
                    linked.phase,
                    Phase::Leaving {
                        whose: Whose::Ours,
                        ..
                    }
                ) && !linked.outgoing.waits_for_ack()
                    && !linked.incoming.is_waiting()
            }
            _ => false,
        }
    }

    /// What we have stored from this peer that may still be in doubt there,
    /// oldest first: the answer to [`Event::PeerHello`]. If not all ids fit in
    /// a frame, the oldest are left out; the peer then sends those again.
    pub fn resume(&mut self, have: &[NotificationId]) -> Result<(), Error> {
        let Some(linked) = self.linked("resume: the peer has not introduced itself")? else {
            return Ok(());
        };
        let phase = match linked.phase {
            Phase::Resuming(Missing::Both) => Phase::Resuming(Missing::Theirs),
            Phase::Resuming(Missing::Ours) => Phase::Open,
            Phase::Leaving { .. } => return Ok(()),
            _ => return Err(Error::Misuse("resume: it was sent already")),
        };
        linked.phase = phase;
        let fit = (linked.limit as usize - 64) / ID_IN_JSON;
        let have = have[have.len().saturating_sub(fit)..].to_vec();
        frame::encode_control(
            &mut self.output.control,
            FrameType::Resume,
            &Resume { have },
        );
        Ok(())
    }

    /// How much may be sent now: messages, and bytes of bodies. One message is
    /// always taken while none is in doubt, unless the bytes are 0.
    pub fn room(&self) -> Window {
        match &self.state {
            State::Linked(linked)
                if linked.phase == Phase::Open
                    && self.config.sends
                    && linked.peer.hello.accepts =>
            {
                linked.outgoing.room()
            }
            _ => Window::CLOSED,
        }
    }

    /// What the peer allows to be in doubt.
    pub fn window(&self) -> Window {
        match &self.state {
            State::Linked(linked) => linked.outgoing.window(),
            _ => Window::CLOSED,
        }
    }

    /// Sends a message as soon as the window allows, after all sent before.
    /// What does not fit in the peer's frames comes back as refused. Nothing is
    /// sent any more, and that is no error, once the connection is ending: the
    /// message is then still unacknowledged.
    pub fn send(&mut self, id: NotificationId, body: &[u8]) -> Result<(), Error> {
        if !self.config.sends {
            return Err(Error::Misuse("send: this end does not send"));
        }
        let Some(linked) = self.linked("send: before Resumed")? else {
            return Ok(());
        };
        match linked.phase {
            Phase::Resuming(_) => return Err(Error::Misuse("send: before Resumed")),
            Phase::Leaving { .. } => return Ok(()),
            Phase::Open if !linked.peer.hello.accepts => {
                return Err(Error::Misuse("send: the peer takes no messages"));
            }
            Phase::Open => {}
        }
        let longest = linked.limit as usize - 1 - frame::BATCH_HEADER - frame::MESSAGE_HEADER;
        if body.len() <= longest {
            linked.outgoing.send(id, body);
        } else {
            self.events.push_back(Event::Refused {
                id,
                code: RefusalCode::TooLarge,
                text: format!(
                    "body of {} bytes, the connection takes {longest}",
                    body.len()
                ),
            });
        }
        Ok(())
    }

    /// All messages up to `seq` are durable here, but for those refused: they
    /// are acknowledged.
    pub fn stored(&mut self, seq: u64) -> Result<(), Error> {
        match self.linked("stored: there is no such message")? {
            Some(linked) => linked.incoming.stored(seq),
            None => Ok(()),
        }
    }

    /// The message `seq` will never be taken. This must be durable, too, or
    /// come out the same whenever the message comes again.
    pub fn refuse(&mut self, seq: u64, code: RefusalCode, text: &str) -> Result<(), Error> {
        match self.linked("refuse: there is no such message")? {
            Some(linked) => linked.incoming.refuse(seq, code, text),
            None => Ok(()),
        }
    }

    /// What the peer said about `id` is durably recorded: this, not the
    /// acknowledgement, frees its place in the window. Ids that are not of this
    /// connection change nothing.
    pub fn settled(&mut self, id: NotificationId) {
        if let State::Linked(linked) = &mut self.state {
            linked.outgoing.settled(id);
        }
    }

    /// Changes what we allow the peer to have in doubt.
    pub fn grant(&mut self, window: Window) {
        self.config.window = window;
        if let State::Linked(linked) = &mut self.state {
            linked.incoming.grant(window);
        }
    }

    /// How we stand: the answer to [`Event::Ping`], given by the owner of the
    /// journal because only it knows.
    pub fn pong(&mut self, health: Health) {
        let State::Linked(linked) = &mut self.state else {
            return;
        };
        linked.health = health;
        if let Some(n) = linked.ping.take() {
            frame::encode_control(
                &mut self.output.control,
                FrameType::Pong,
                &Pong { n, health },
            );
        }
    }

    /// Ends the connection in good order: no more messages, acknowledgements
    /// are waited for.
    pub fn go_away(&mut self, reason: &str, retry_after: Duration, now: Instant) {
        let leaving = match &self.state {
            State::Linked(linked) => matches!(
                linked.phase,
                Phase::Leaving {
                    whose: Whose::Ours,
                    ..
                }
            ),
            State::Preface | State::Hello => {
                self.state = State::Ended;
                true
            }
            State::Ended => true,
        };
        if leaving {
            return;
        }
        let frame = GoAway {
            reason: cut(reason, MAX_TEXT).to_owned(),
            retry_after_ms: u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX),
        };
        frame::encode_control(&mut self.output.control, FrameType::GoAway, &frame);
        if let State::Linked(linked) = &mut self.state {
            linked.leave(Whose::Ours, now);
        }
    }

    /// `None` once the connection ended: calls of an owner that does not know
    /// yet are no mistakes.
    fn linked(&mut self, otherwise: &'static str) -> Result<Option<&mut Linked>, Error> {
        match &mut self.state {
            State::Linked(linked) => Ok(Some(linked)),
            State::Ended => Ok(None),
            State::Preface | State::Hello => Err(Error::Misuse(otherwise)),
        }
    }

    /// Takes all whole frames at the start of `input` and returns their length.
    fn parse(&mut self, input: &[u8], now: Instant) -> Result<usize, Error> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match &self.state {
                State::Ended => return Ok(input.len()),
                State::Preface => {
                    if !parse_preface(rest)? {
                        return Ok(used);
                    }
                    used += frame::PREFACE.len();
                    self.state = State::Hello;
                }
                State::Hello | State::Linked(_) => {
                    let Some((raw, len)) = RawFrame::decode(rest, self.frame_limit())? else {
                        return Ok(used);
                    };
                    used += len;
                    self.handle_frame(raw, now)?;
                }
            }
        }
    }

    fn frame_limit(&self) -> u32 {
        match &self.state {
            State::Linked(linked) => linked.limit,
            _ => frame::FRAME_LIMIT_BEFORE_HELLO,
        }
    }

    fn handle_frame(&mut self, raw: RawFrame<'_>, now: Instant) -> Result<(), Error> {
        match &mut self.state {
            State::Linked(linked) => {
                linked.heartbeat.frame_seen(now);
                linked.handle_frame(Frame::decode(raw)?, &self.config, &mut self.events, now)
            }
            _ => match raw.frame_type {
                Some(FrameType::Hello) => self.handle_hello(raw.payload, now),
                Some(FrameType::Error) => Err(match Frame::decode(raw)? {
                    Frame::Error(failure) => peer_error(failure),
                    _ => violation("its first frame is no HELLO"),
                }),
                _ => Err(violation("its first frame is no HELLO")),
            },
        }
    }

    fn handle_hello(&mut self, payload: &[u8], now: Instant) -> Result<(), Error> {
        let (hello, protocol) = frame::decode_hello(payload, self.config.protocol)?;
        self.config.check(&hello)?;
        let linked = Linked::new(hello, protocol, &self.config, self.started, now);
        self.events
            .push_back(Event::PeerHello(Box::new(linked.peer.clone())));
        self.state = State::Linked(Box::new(linked));
        Ok(())
    }

    /// The end: tells the peer, if it is one and the error is not its own.
    fn fail(&mut self, error: Error) -> Error {
        if let Some(code) = error.code() {
            let failure = Failure {
                code: code.to_owned(),
                text: cut(&error.to_string(), MAX_TEXT).to_owned(),
            };
            frame::encode_control(&mut self.output.control, FrameType::Error, &failure);
        } else {
            self.output.control.clear();
        }
        self.state = State::Ended;
        self.input = Vec::new();
        error
    }
}

/// Whether the preface is there in whole; decides on the first wrong byte.
fn parse_preface(input: &[u8]) -> Result<bool, Error> {
    let len = input.len().min(frame::PREFACE.len());
    if input[..len] == frame::PREFACE[..len] {
        return Ok(len == frame::PREFACE.len());
    }
    Err(Error::NotThisProtocol {
        first: input[..input.len().min(frame::FIRST_BYTES)].to_vec(),
    })
}
