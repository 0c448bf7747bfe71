//! What the journal says about a notification: the kinds of records and their
//! bodies. How records lie in a segment is in [`crate::segment`].
//!
//! All numbers are little-endian. The body of every record about one
//! notification (kinds below 128) begins with its id (16 bytes) and a time in
//! microseconds (`i64`). Texts are a length (`u8`, or `u16` where they are long)
//! and bytes. Readers ignore what follows the members they know, so a later
//! release may append some.
//!
//! | kind | name | then |
//! |---|---|---|
//! | 1 | accepted | `u64` order of acceptance, `u8` length and peer it came from (empty: submitted here), `u32` length of what stands before the notification, the notification |
//! | 2 | assigned | `u16` number of targets, each `u8` sort (1 peer, 2 lane), `u8` length, name |
//! | 3 | attempt | target, `u32` number |
//! | 4 | result | target, `u32` number, `u8` verdict, `u16` length and text |
//! | 5 | settled | target, `u8` end, `u16` length and detail |
//! | 6 | ended | `u8` end, `u16` length and detail |
//! | 128 | checkpoint | (no id, no time) `u8` length and peer (empty: the ring over all), `u32` number of ids, ids, oldest first |
//!
//! Before the notification stands, in a copy at the head of the journal, how far
//! it had come: `u16` number of targets, each target, `u32` attempts, `u8` end or
//! 0. Body and standing are one record, because a copy of one without the other
//! would be taken for both.
//!
//! Verdicts: 1 success, 2 temporary failure, 3 permanent failure. Ends: 1 stored
//! by peer, 2 delivered, 3 refused, 4 expired, 5 superseded, 6 dropped, 7 nobody
//! to notify.

use std::borrow::Cow;
use std::fmt;

use objects::{NotificationId, SiteId, UnixTime};

/// Longest name of a lane, in bytes.
pub const MAX_LANE: usize = 255;
/// Longest text of a result or detail kept, in bytes; the rest is cut off.
pub const MAX_TEXT: usize = 4096;
/// Most targets of one notification.
pub const MAX_TARGETS: usize = 4096;

/// Where a notification is to go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// To the spooler of this site.
    Peer(SiteId),
    /// To a plugin or mailbox here. Names longer than [`MAX_LANE`] are cut.
    Lane(String),
}

impl Target {
    /// The name of the site or lane.
    pub fn name(&self) -> &str {
        match self {
            Self::Peer(site) => site.as_str(),
            Self::Lane(lane) => lane,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(site) => write!(f, "peer {site}"),
            Self::Lane(lane) => write!(f, "lane {lane}"),
        }
    }
}

/// How a notification ended, at one target or altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum End {
    /// The peer has it durably.
    StoredByPeer = 1,
    /// The plugin or mailbox took it.
    Delivered = 2,
    /// It never can be delivered.
    Refused = 3,
    /// Its time was over before it could be delivered.
    Expired = 4,
    /// Another notification says it already.
    Superseded = 5,
    /// Somebody dropped it by hand.
    Dropped = 6,
    /// No peer and no lane wants it.
    NobodyToNotify = 7,
}

impl End {
    const ALL: [Self; 7] = [
        Self::StoredByPeer,
        Self::Delivered,
        Self::Refused,
        Self::Expired,
        Self::Superseded,
        Self::Dropped,
        Self::NobodyToNotify,
    ];

    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::StoredByPeer => "stored by peer",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Dropped => "dropped",
            Self::NobodyToNotify => "nobody to notify",
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|end| *end as u8 == code)
    }

    /// Which of two ends of targets names the end of the whole: the one that
    /// somebody should look at.
    pub(crate) fn graver(self, other: Self) -> Self {
        let weight = |end| match end {
            Self::StoredByPeer => 0,
            Self::Delivered => 1,
            Self::NobodyToNotify => 2,
            Self::Superseded => 3,
            Self::Dropped => 4,
            Self::Expired => 5,
            Self::Refused => 6,
        };
        if weight(other) > weight(self) {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// What one attempt to deliver brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// It was delivered.
    Success = 1,
    /// Trying again may help.
    Temporary = 2,
    /// Trying again will not help.
    Permanent = 3,
}

impl Verdict {
    /// The words for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Temporary => "temporary failure",
            Self::Permanent => "permanent failure",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Success, Self::Temporary, Self::Permanent]
            .into_iter()
            .find(|verdict| *verdict as u8 == code)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// First kind that is not about one notification.
const FIRST_GLOBAL_KIND: u8 = 128;
/// The kind whose records hold remembered ids.
pub(crate) const CHECKPOINT: u8 = FIRST_GLOBAL_KIND;
/// The kind whose record holds the notification.
pub(crate) const ACCEPTED: u8 = 1;

/// One record, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// About one notification.
    Message {
        /// Its id.
        id: NotificationId,
        /// When, by the clock of the daemon.
        time: UnixTime,
        /// What happened.
        event: Event<'a>,
    },
    /// The ids remembered of a peer, or of all.
    Checkpoint {
        /// The peer; none for the ring over all.
        peer: Option<SiteId>,
        /// Oldest first.
        ids: Vec<NotificationId>,
    },
    /// Of a later release, and not about one notification.
    Unknown {
        /// Its kind.
        kind: u8,
    },
}

/// Target, attempts so far, and the end if there is one.
pub type Standing = (Target, u32, Option<End>);

/// What happened to a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It is stored here.
    Accepted {
        /// Counts acceptances; never changes, also when the record is copied.
        order: u64,
        /// The peer it came from; none if it was submitted here.
        from: Option<SiteId>,
        /// In a copy: how far it had come.
        standing: Vec<Standing>,
        /// The notification.
        body: Cow<'a, [u8]>,
    },
    /// These targets are to get it, besides those assigned before.
    Assigned {
        /// The new ones.
        targets: Vec<Target>,
    },
    /// A delivery was started.
    Attempt {
        /// Whereto.
        target: Target,
        /// Which one, from 1.
        number: u32,
    },
    /// A delivery ended.
    Result {
        /// Whereto.
        target: Target,
        /// Which attempt.
        number: u32,
        /// How.
        verdict: Verdict,
        /// What the plugin or server said.
        text: Cow<'a, [u8]>,
    },
    /// One target needs it no more.
    Settled {
        /// Which.
        target: Target,
        /// How.
        end: End,
        /// In words.
        detail: Cow<'a, [u8]>,
    },
    /// Nobody needs it any more; the body may go.
    Ended {
        /// How.
        end: End,
        /// In words.
        detail: Cow<'a, [u8]>,
    },
    /// How far it had come when it was copied to the head of the journal. Not a
    /// record of its own: [`crate::history`] tells it instead of those before it.
    Standing {
        /// All its targets.
        targets: Vec<Standing>,
    },
    /// Of a later release.
    Unknown {
        /// Its kind.
        kind: u8,
    },
}

impl Event<'_> {
    /// The same with its own copy of texts and body.
    pub fn into_owned(self) -> Event<'static> {
        let own = |text: Cow<'_, [u8]>| Cow::Owned(text.into_owned());
        match self {
            Self::Accepted {
                order,
                from,
                standing,
                body,
            } => Event::Accepted {
                order,
                from,
                standing,
                body: own(body),
            },
            Self::Assigned { targets } => Event::Assigned { targets },
            Self::Attempt { target, number } => Event::Attempt { target, number },
            Self::Result {
                target,
                number,
                verdict,
                text,
            } => Event::Result {
                target,
                number,
                verdict,
                text: own(text),
            },
            Self::Settled {
                target,
                end,
                detail,
            } => Event::Settled {
                target,
                end,
                detail: own(detail),
            },
            Self::Ended { end, detail } => Event::Ended {
                end,
                detail: own(detail),
            },
            Self::Standing { targets } => Event::Standing { targets },
            Self::Unknown { kind } => Event::Unknown { kind },
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Accepted { .. } => 1,
            Self::Assigned { .. } => 2,
            Self::Attempt { .. } => 3,
            Self::Result { .. } => 4,
            Self::Settled { .. } => 5,
            Self::Ended { .. } => 6,
            Self::Standing { .. } => 0,
            Self::Unknown { kind } => *kind,
        }
    }
}

impl<'a> Record<'a> {
    /// The number of its kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Message { event, .. } => event.kind(),
            Self::Checkpoint { .. } => CHECKPOINT,
            Self::Unknown { kind } => *kind,
        }
    }

    /// Appends the body to `out`. Texts that are too long are cut.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message { id, time, event } => {
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(&time.micros().to_le_bytes());
                encode_event(event, out);
            }
            Self::Checkpoint { peer, ids } => {
                put_short(out, peer.as_ref().map_or("", SiteId::as_str).as_bytes());
                out.extend_from_slice(&(ids.len() as u32).to_le_bytes());
                for id in ids {
                    out.extend_from_slice(id.as_bytes());
                }
            }
            Self::Unknown { .. } => {}
        }
    }

    /// Decodes the body of a valid record. What this release cannot read is
    /// of a later one.
    pub fn read(kind: u8, body: &'a [u8]) -> Self {
        let unknown = || {
            let id = body.first_chunk().filter(|_| kind < FIRST_GLOBAL_KIND)?;
            Some(Self::Message {
                id: NotificationId::from_bytes(*id),
                time: UnixTime::NEVER,
                event: Event::Unknown { kind },
            })
        };
        let known = Self::decode(kind, body).or_else(unknown);
        known.unwrap_or(Self::Unknown { kind })
    }

    /// Decodes a body. `None` if it is not what its kind says.
    pub fn decode(kind: u8, body: &'a [u8]) -> Option<Self> {
        let mut input = Input(body);
        if kind < FIRST_GLOBAL_KIND {
            let id = NotificationId::from_bytes(input.array()?);
            let time = UnixTime::from_micros(i64::from_le_bytes(input.array()?));
            let event = decode_event(kind, input)?;
            return Some(Self::Message { id, time, event });
        }
        if kind != CHECKPOINT {
            return Some(Self::Unknown { kind });
        }
        let peer = input.site()?;
        let count = input.u32()? as usize;
        let ids = input.take(count.checked_mul(16)?)?;
        let ids = ids.chunks_exact(16).map(|bytes| {
            NotificationId::from_bytes(bytes.try_into().expect("chunks of sixteen bytes"))
        });
        Some(Self::Checkpoint {
            peer,
            ids: ids.collect(),
        })
    }
}

fn encode_event(event: &Event<'_>, out: &mut Vec<u8>) {
    match event {
        Event::Accepted {
            order,
            from,
            standing,
            body,
        } => {
            out.extend_from_slice(&order.to_le_bytes());
            put_short(out, from.as_ref().map_or("", SiteId::as_str).as_bytes());
            let mut before = Vec::new();
            if !standing.is_empty() {
                put_standing(&mut before, standing);
            }
            out.extend_from_slice(&(before.len() as u32).to_le_bytes());
            out.extend_from_slice(&before);
            out.extend_from_slice(body);
        }
        Event::Assigned { targets } => {
            let targets = &targets[..targets.len().min(MAX_TARGETS)];
            out.extend_from_slice(&(targets.len() as u16).to_le_bytes());
            for target in targets {
                put_target(out, target);
            }
        }
        Event::Attempt { target, number } => {
            put_target(out, target);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Event::Result {
            target,
            number,
            verdict,
            text,
        } => {
            put_target(out, target);
            out.extend_from_slice(&number.to_le_bytes());
            out.push(*verdict as u8);
            put_text(out, text);
        }
        Event::Settled {
            target,
            end,
            detail,
        } => {
            put_target(out, target);
            out.push(*end as u8);
            put_text(out, detail);
        }
        Event::Ended { end, detail } => {
            out.push(*end as u8);
            put_text(out, detail);
        }
        Event::Standing { .. } | Event::Unknown { .. } => {}
    }
}

fn decode_event<'a>(kind: u8, mut input: Input<'a>) -> Option<Event<'a>> {
    Some(match kind {
        1 => {
            let order = u64::from_le_bytes(input.array()?);
            let from = input.site()?;
            let len = input.u32()?;
            let mut before = Input(input.take(len as usize)?);
            let standing = match len {
                0 => Vec::new(),
                _ => before.targets(Input::standing)?,
            };
            Event::Accepted {
                order,
                from,
                standing,
                body: Cow::Borrowed(input.0),
            }
        }
        2 => Event::Assigned {
            targets: input.targets(|input| input.target())?,
        },
        3 => Event::Attempt {
            target: input.target()?,
            number: input.u32()?,
        },
        4 => Event::Result {
            target: input.target()?,
            number: input.u32()?,
            verdict: Verdict::from_code(input.u8()?)?,
            text: Cow::Borrowed(input.text()?),
        },
        5 => Event::Settled {
            target: input.target()?,
            end: End::from_code(input.u8()?)?,
            detail: Cow::Borrowed(input.text()?),
        },
        6 => Event::Ended {
            end: End::from_code(input.u8()?)?,
            detail: Cow::Borrowed(input.text()?),
        },
        kind => Event::Unknown { kind },
    })
}

/// At most `limit` bytes of `text`, whole characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(MAX_TEXT)];
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text);
}

fn put_standing(out: &mut Vec<u8>, standing: &[Standing]) {
    let standing = &standing[..standing.len().min(MAX_TARGETS)];
    out.extend_from_slice(&(standing.len() as u16).to_le_bytes());
    for (target, attempts, end) in standing {
        put_target(out, target);
        out.extend_from_slice(&attempts.to_le_bytes());
        out.push(end.map_or(0, |end| end as u8));
    }
}

fn put_target(out: &mut Vec<u8>, target: &Target) {
    out.push(match target {
        Target::Peer(_) => 1,
        Target::Lane(_) => 2,
    });
    put_short(out, cut(target.name(), MAX_LANE).as_bytes());
}

/// What is left to decode.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn short(&mut self) -> Option<&'a str> {
        let len = self.u8()?;
        std::str::from_utf8(self.take(len.into())?).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }

    /// A site, or none for the empty name.
    fn site(&mut self) -> Option<Option<SiteId>> {
        match self.short()? {
            "" => Some(None),
            name => SiteId::new(name).ok().map(Some),
        }
    }

    fn target(&mut self) -> Option<Target> {
        let sort = self.u8()?;
        let name = self.short()?;
        match sort {
            1 => SiteId::new(name).ok().map(Target::Peer),
            2 => Some(Target::Lane(name.to_owned())),
            _ => None,
        }
    }

    fn standing(&mut self) -> Option<Standing> {
        let target = self.target()?;
        let attempts = self.u32()?;
        let end = match self.u8()? {
            0 => None,
            code => Some(End::from_code(code)?),
        };
        Some((target, attempts, end))
    }

    fn targets<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u16()?;
        if usize::from(count) > MAX_TARGETS {
            return None;
        }
        (0..count).map(|_| read(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record<'static>> {
        let id = NotificationId::from_bytes([7; 16]);
        let site = SiteId::new("central").unwrap();
        let peer = Target::Peer(site.clone());
        let lane = Target::Lane("ops".into());
        let message = |event| Record::Message {
            id,
            time: UnixTime::from_micros(1_795_217_983_000_001),
            event,
        };
        vec![
            message(Event::Accepted {
                order: 9,
                from: None,
                standing: Vec::new(),
                body: b"{}"[..].into(),
            }),
            message(Event::Accepted {
                order: u64::MAX,
                from: Some(site.clone()),
                standing: vec![
                    (peer.clone(), 0, Some(End::StoredByPeer)),
                    (lane.clone(), 2, None),
                ],
                body: b""[..].into(),
            }),
            message(Event::Assigned {
                targets: vec![peer.clone(), lane.clone()],
            }),
            message(Event::Attempt {
                target: lane.clone(),
                number: 3,
            }),
            message(Event::Result {
                target: lane,
                number: 3,
                verdict: Verdict::Temporary,
                text: b"\xff"[..].into(),
            }),
            message(Event::Settled {
                target: peer,
                end: End::StoredByPeer,
                detail: b""[..].into(),
            }),
            message(Event::Ended {
                end: End::NobodyToNotify,
                detail: b"why"[..].into(),
            }),
            Record::Checkpoint {
                peer: Some(site),
                ids: vec![id, NotificationId::from_bytes([8; 16])],
            },
            Record::Checkpoint {
                peer: None,
                ids: Vec::new(),
            },
        ]
    }

    #[test]
    fn records_survive_encoding() {
        for record in records() {
            let mut body = Vec::new();
            record.encode(&mut body);
            assert_eq!(Record::decode(record.kind(), &body), Some(record));
        }
    }

    #[test]
    fn a_cut_body_is_no_record() {
        for record in records() {
            let mut body = Vec::new();
            record.encode(&mut body);
            if let Record::Message {
                event: Event::Accepted { body: inner, .. },
                ..
            } = &record
            {
                body.truncate(body.len() - inner.len());
            }
            for len in 0..body.len() {
                assert_eq!(
                    Record::decode(record.kind(), &body[..len]),
                    None,
                    "{record:?} {len}"
                );
            }
        }
    }

    #[test]
    fn kinds_of_later_releases_are_told_apart() {
        let id = [1; 24];
        assert!(matches!(
            Record::decode(99, &id),
            Some(Record::Message {
                event: Event::Unknown { kind: 99 },
                ..
            })
        ));
        assert_eq!(
            Record::decode(200, b"?"),
            Some(Record::Unknown { kind: 200 })
        );
    }
}
