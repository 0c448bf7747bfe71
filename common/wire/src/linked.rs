//! A session from HELLO on: what each frame means to it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::control::{
    Ack, Failure, GoAway, Health, Hello, MAX_CODE, MAX_TEXT, Ping, Resume, Window, cut,
};
use crate::error::{Error, violation};
use crate::event::{Event, PeerHello};
use crate::frame::{self, Frame, FrameType};
use crate::heartbeat::Heartbeat;
use crate::incoming::Incoming;
use crate::outgoing::Outgoing;

/// After GOAWAY, acknowledgements are waited for this long.
pub(crate) const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// What there is from HELLO on.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) phase: Phase,
    pub(crate) peer: PeerHello,
    /// Longest frame in both directions.
    pub(crate) limit: u32,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    pub(crate) heartbeat: Heartbeat,
    /// The newest PING that the owner has not answered.
    pub(crate) ping: Option<u64>,
    /// How we stand, as of the last PONG.
    pub(crate) health: Health,
    /// An ACK is due though nothing new came: it tells what is settled.
    tell_settled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Resuming(Missing),
    Open,
    Leaving { until: Instant, whose: Whose },
}

/// Which RESUME is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Both,
    Ours,
    Theirs,
}

/// Who sent GOAWAY, and will close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Theirs,
}

impl Linked {
    pub(crate) fn new(
        hello: Hello,
        protocol: u32,
        config: &Config,
        started: Instant,
        now: Instant,
    ) -> Self {
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

    pub(crate) fn handle_frame(
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

    pub(crate) fn leave(&mut self, whose: Whose, now: Instant) {
        self.outgoing.drop_held();
        self.phase = Phase::Leaving {
            until: now + LEAVE_TIMEOUT,
            whose,
        };
    }

    pub(crate) fn handle_timeout(
        &mut self,
        control: &mut Vec<u8>,
        now: Instant,
    ) -> Result<(), Error> {
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

    pub(crate) fn timeout(&self) -> Instant {
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
    pub(crate) fn acknowledge(&mut self, control: &mut Vec<u8>) {
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

/// What the peer ended the connection with.
pub(crate) fn peer_error(failure: Failure) -> Error {
    Error::Peer {
        code: cut(&failure.code, MAX_CODE).to_owned(),
        text: cut(&failure.text, MAX_TEXT).to_owned(),
    }
}
