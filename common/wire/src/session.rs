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

use objects::{NotificationId, SiteId, UnixTime};

use crate::control::{
    Ack, Failure, GoAway, Health, Hello, MAX_CODE, MAX_TEXT, Ping, Pong, Range, RefusalCode,
    Resume, Window, cut,
};
use crate::error::Error;
use crate::frame::{self, Frame, FrameType, RawFrame};
use crate::heartbeat::Heartbeat;
use crate::incoming::Incoming;
use crate::outgoing::Outgoing;

/// The protocol versions that this release speaks.
pub const VERSIONS: Range = Range(1, 1);
/// Feature: results of notifications travel back to their origin, as messages
/// whose body has the kind "result". Sent only to a peer that has it too.
pub const FEATURE_RESULTS: &str = "results";

/// The peer must have introduced itself this long after the start.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// After GOAWAY, acknowledgements are waited for this long.
pub const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The input buffer is given back when it is empty and larger than this.
const KEPT_INPUT: usize = 1 << 20;
/// Bytes of an id in RESUME, quoted, with comma.
const ID_IN_JSON: usize = 39;

/// What one end is and wants.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our site.
    pub site: SiteId,
    /// The site the peer must be: from its certificate, or as configured.
    pub peer_site: Option<SiteId>,
    /// A random text made at each start of the program.
    pub instance: String,
    /// Name of our software.
    pub software: String,
    /// Release of it.
    pub version: String,
    /// Protocol versions we speak.
    pub protocol: Range,
    /// Optional behaviour we know.
    pub features: Vec<String>,
    /// Longest frame we take.
    pub max_frame: u32,
    /// What we allow the peer to have in doubt.
    pub window: Window,
    /// How often we send PING.
    pub heartbeat: Duration,
    /// How long without a frame, or without an answer of the peer's journal,
    /// until we give the connection up.
    pub dead: Duration,
    /// Our wall clock at the start of the session.
    pub started: UnixTime,
    /// Whether we may send messages to this peer.
    pub sends: bool,
    /// Whether we take messages from this peer.
    pub accepts: bool,
}

impl Config {
    /// The defaults: window of 1,024 messages and 16 MiB, heartbeat 10 s, dead
    /// after 30 s, both directions.
    pub fn new(site: SiteId, instance: impl Into<String>, started: UnixTime) -> Self {
        Self {
            site,
            peer_site: None,
            instance: instance.into(),
            software: "sitewire".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: VERSIONS,
            features: Vec::new(),
            max_frame: frame::DEFAULT_MAX_FRAME,
            window: Window {
                msgs: 1024,
                bytes: 16 << 20,
            },
            heartbeat: Duration::from_secs(10),
            dead: Duration::from_secs(30),
            started,
            sends: true,
            accepts: true,
        }
    }
}

/// What the peer said of itself, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerHello {
    /// Its HELLO.
    pub hello: Hello,
    /// The protocol version in use.
    pub protocol: u32,
    /// The optional behaviour that both know.
    pub features: Vec<String>,
    /// How far its clock is ahead of ours, in microseconds.
    pub skew_us: i64,
}

/// What happened; see the module's description for how each is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer introduced itself. Answer: [`Session::resume`].
    PeerHello(Box<PeerHello>),
    /// Messages may be sent from now on: first everything that is not
    /// acknowledged, in its old order, but for these ids, which the peer has.
    /// Answer: [`Session::settled`] for each of them.
    Resumed {
        /// What the peer has stored from us.
        have: Vec<NotificationId>,
        /// How much it allows to be in doubt.
        window: Window,
    },
    /// A message came. Answer: [`Session::stored`] or [`Session::refuse`].
    Message {
        /// Its number on this connection.
        seq: u64,
        /// Its id.
        id: NotificationId,
        /// Its body, checksum proved.
        body: Vec<u8>,
    },
    /// The peer has these durably. Answer: [`Session::settled`] for each.
    Acknowledged {
        /// In the order they were sent.
        ids: Vec<NotificationId>,
    },
    /// The peer will never take this one. Answer: [`Session::settled`].
    Refused {
        /// Which.
        id: NotificationId,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people; from outside.
        text: String,
    },
    /// The peer has recorded our acknowledgements up to this number: the
    /// messages up to it need not be in `have` any more.
    PeerSettled {
        /// Number on this connection.
        seq: u64,
    },
    /// The peer changed how much it allows to be in doubt.
    Window(Window),
    /// The peer asks whether we can still store. Answer: [`Session::pong`].
    Ping {
        /// Notifications waiting at the peer.
        queued: u64,
        /// Age of the oldest of them in microseconds.
        oldest_us: u64,
    },
    /// The peer's journal answered.
    Pong {
        /// How long that took.
        rtt: Duration,
        /// How the peer stands.
        health: Health,
    },
    /// The peer is about to close.
    GoAway {
        /// Why; from outside.
        reason: String,
        /// When to come back.
        retry_after: Duration,
    },
}

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

/// What there is from HELLO on.
#[derive(Debug)]
struct Linked {
    phase: Phase,
    peer: PeerHello,
    /// Longest frame in both directions.
    limit: u32,
    outgoing: Outgoing,
    incoming: Incoming,
    heartbeat: Heartbeat,
    /// The newest PING that the owner has not answered.
    ping: Option<u64>,
    /// How we stand, as of the last PONG.
    health: Health,
    /// An ACK is due though nothing new came: it tells what is settled.
    tell_settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Resuming(Missing),
    Open,
    Leaving { until: Instant, whose: Whose },
}

/// Which RESUME is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Both,
    Ours,
    Theirs,
}

/// Who sent GOAWAY, and will close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    Theirs,
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
        frame::encode_control(&mut output.control, FrameType::Hello, &hello(&config));
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
        check_hello(&hello, &self.config)?;
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

impl Linked {
    fn new(hello: Hello, protocol: u32, config: &Config, started: Instant, now: Instant) -> Self {
        let own_time = config.started.micros()
            + i64::try_from(now.saturating_duration_since(started).as_micros()).unwrap_or(0);
        let features = hello.features.iter();
        let features = features.filter(|name| config.features.contains(name));
        let window = Window {
            msgs: hello.window_msgs,
            bytes: hello.window_bytes,
        };
        let limit = config.max_frame.min(hello.max_frame);
        let peer_dead = Duration::from_millis(hello.dead_ms);
        Self {
            phase: Phase::Resuming(Missing::Both),
            limit,
            outgoing: Outgoing::new(window, limit),
            incoming: Incoming::new(config.window),
            heartbeat: Heartbeat::new(config.heartbeat, config.dead, peer_dead, now),
            ping: None,
            health: Health::default(),
            tell_settled: false,
            peer: PeerHello {
                protocol,
                features: features.cloned().collect(),
                skew_us: hello.now_us.saturating_sub(own_time),
                hello,
            },
        }
    }

    fn handle_frame(
        &mut self,
        frame: Frame<'_>,
        config: &Config,
        events: &mut VecDeque<Event>,
        now: Instant,
    ) -> Result<(), Error> {
        match frame {
            Frame::Ignored => Ok(()),
            Frame::Hello(_) => Err(violation("a second HELLO")),
            Frame::Resume(resume) => self.handle_resume(resume, events),
            Frame::GoAway(frame) => {
                self.handle_go_away(&frame, events, now);
                Ok(())
            }
            Frame::Error(failure) => Err(peer_error(failure)),
            _ if self.awaits_resume() => Err(violation("its second frame is no RESUME")),
            Frame::Batch(batch) => {
                if !config.accepts || !self.peer.hello.sends {
                    return Err(violation("a BATCH, though it may not send"));
                }
                if self.owes_resume() {
                    return Err(violation("a BATCH before our RESUME"));
                }
                self.incoming.handle_batch(batch, events)
            }
            Frame::Ack(ack) => self.handle_ack(ack, events, now),
            Frame::Ping(ping) => {
                // While the owner has not answered, only the newest counts.
                if self.ping.replace(ping.n).is_none() {
                    events.push_back(Event::Ping {
                        queued: ping.queued,
                        oldest_us: ping.oldest_us,
                    });
                }
                Ok(())
            }
            Frame::Pong(pong) => {
                let rtt = self.heartbeat.handle_pong(pong.n, now)?;
                events.push_back(Event::Pong {
                    rtt,
                    health: pong.health,
                });
                Ok(())
            }
        }
    }

    fn awaits_resume(&self) -> bool {
        matches!(self.phase, Phase::Resuming(Missing::Both | Missing::Theirs))
    }

    fn owes_resume(&self) -> bool {
        matches!(self.phase, Phase::Resuming(Missing::Both | Missing::Ours))
    }

    fn handle_resume(&mut self, resume: Resume, events: &mut VecDeque<Event>) -> Result<(), Error> {
        self.phase = match self.phase {
            Phase::Resuming(Missing::Both) => Phase::Resuming(Missing::Ours),
            Phase::Resuming(Missing::Theirs) => Phase::Open,
            // Its RESUME and our GOAWAY crossed.
            Phase::Leaving { .. } => return Ok(()),
            _ => return Err(violation("a second RESUME")),
        };
        self.outgoing.handle_resume(&resume.have);
        events.push_back(Event::Resumed {
            have: resume.have,
            window: self.outgoing.window(),
        });
        Ok(())
    }

    fn handle_ack(
        &mut self,
        ack: Ack,
        events: &mut VecDeque<Event>,
        now: Instant,
    ) -> Result<(), Error> {
        let settled = ack.settled;
        if self.outgoing.handle_ack(ack, events)? {
            self.heartbeat.journal_seen(now);
        }
        self.incoming.handle_settled(settled, events)
    }

    fn handle_go_away(&mut self, frame: &GoAway, events: &mut VecDeque<Event>, now: Instant) {
        let Phase::Leaving { .. } = self.phase else {
            events.push_back(Event::GoAway {
                reason: cut(&frame.reason, MAX_TEXT).to_owned(),
                retry_after: Duration::from_millis(frame.retry_after_ms),
            });
            return self.leave(Whose::Theirs, now);
        };
    }

    fn leave(&mut self, whose: Whose, now: Instant) {
        self.outgoing.drop_held();
        self.phase = Phase::Leaving {
            until: now + LEAVE_TIMEOUT,
            whose,
        };
    }

    fn handle_timeout(&mut self, control: &mut Vec<u8>, now: Instant) -> Result<(), Error> {
        self.heartbeat.check(now)?;
        if self.owes_resume() {
            return Ok(());
        }
        if let Some(n) = self.heartbeat.ping_due(now) {
            let Health {
                queued, oldest_us, ..
            } = self.health;
            let ping = Ping {
                n,
                queued,
                oldest_us,
            };
            frame::encode_control(control, FrameType::Ping, &ping);
            self.tell_settled = self.outgoing.untold_settled() > 0;
        }
        Ok(())
    }

    fn timeout(&self) -> Instant {
        let deadline = match self.phase {
            Phase::Leaving { until, .. } => until,
            _ => self.heartbeat.deadline(),
        };
        if self.owes_resume() {
            return deadline;
        }
        deadline.min(self.heartbeat.next_ping())
    }

    /// Appends the ACKs that are due.
    fn acknowledge(&mut self, control: &mut Vec<u8>) {
        if self.owes_resume() {
            return;
        }
        let half = u64::from(self.outgoing.window().msgs / 2).max(1);
        self.tell_settled |= self.outgoing.untold_settled() >= half;
        while self.tell_settled || self.incoming.owes_ack() {
            self.tell_settled = false;
            let ack = self.incoming.next_ack(self.outgoing.tell_settled());
            frame::encode_control(control, FrameType::Ack, &ack);
        }
    }
}

fn hello(config: &Config) -> Hello {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Hello {
        proto: config.protocol,
        software: config.software.clone(),
        version: config.version.clone(),
        site: config.site.clone(),
        instance: config.instance.clone(),
        features: config.features.clone(),
        max_frame: config.max_frame,
        window_msgs: config.window.msgs,
        window_bytes: config.window.bytes,
        heartbeat_ms: millis(config.heartbeat),
        dead_ms: millis(config.dead),
        now_us: config.started.micros(),
        sends: config.sends,
        accepts: config.accepts,
    }
}

fn check_hello(hello: &Hello, config: &Config) -> Result<(), Error> {
    if hello.site == config.site {
        return Err(Error::OwnSite(config.site.clone()));
    }
    if let Some(expected) = &config.peer_site
        && hello.site != *expected
    {
        return Err(Error::WrongSite {
            expected: expected.clone(),
            claimed: hello.site.clone(),
        });
    }
    if !(frame::MIN_MAX_FRAME..=frame::HARD_MAX_FRAME).contains(&hello.max_frame) {
        return Err(violation("max_frame is not between 64 KiB and 16 MiB"));
    }
    if hello.dead_ms == 0 {
        return Err(violation("dead_ms is 0"));
    }
    Ok(())
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

fn peer_error(failure: Failure) -> Error {
    Error::Peer {
        code: cut(&failure.code, MAX_CODE).to_owned(),
        text: cut(&failure.text, MAX_TEXT).to_owned(),
    }
}

fn violation(what: &str) -> Error {
    Error::Violation {
        what: what.to_owned(),
    }
}
