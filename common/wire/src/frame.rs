//! Frames: bytes to values and back. See sitewire-notify-protocol(5).
//!
//! ```text
//! u32 length of the rest, big endian, 1 to the limit
//! u8  type
//! …   payload: JSON, but for BATCH:
//!       u64 sequence number of the first message
//!       for each message: u32 length of the body, u32 CRC-32C of the body, 16 bytes id, body
//! ```

use objects::NotificationId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::control::{Ack, Failure, GoAway, Hello, HelloVersions, Ping, Pong, Resume};
use crate::error::Error;

/// What both ends send before their first frame, so that a wrong port is one
/// clear message.
pub const PREFACE: &[u8; 16] = b"SITEWIRE-NOTIFY\n";
/// The protocol's name in TLS (ALPN).
pub const ALPN: &[u8] = b"sitewire-notify/1";
/// How many bytes of a stranger are kept for the message about it.
pub const FIRST_BYTES: usize = 48;

/// Longest frame until HELLO is processed.
pub const FRAME_LIMIT_BEFORE_HELLO: u32 = 4096;
/// The smallest limit an end may announce: RESUME and ACK fit.
pub const MIN_MAX_FRAME: u32 = 64 << 10;
/// What we announce: the longest body, with room for its frame and for the
/// hops it collects on its way.
pub const DEFAULT_MAX_FRAME: u32 = objects::notification::MAX_BODY as u32 + 4096;
/// No end may announce more.
pub const HARD_MAX_FRAME: u32 = 16 << 20;

/// Most messages we put into one BATCH.
pub const MAX_BATCH_MESSAGES: usize = 64;
/// Most bytes we put into one BATCH of more than one message.
pub const MAX_BATCH_BYTES: usize = 256 << 10;

/// Bytes before a frame's payload: length and type.
pub const FRAME_HEADER: usize = 5;
/// Bytes before a BATCH's first message: the sequence number.
pub const BATCH_HEADER: usize = 8;
/// Bytes before a body in a BATCH.
pub const MESSAGE_HEADER: usize = 24;

/// Types with this bit set are ignored when unknown.
pub const IGNORABLE: u8 = 0x80;

/// The number of a frame's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // named as in the manual
pub enum FrameType {
    Hello = 1,
    Resume = 2,
    Batch = 3,
    Ack = 4,
    Ping = 5,
    Pong = 6,
    GoAway = 7,
    Error = 8,
}

impl FrameType {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Resume,
            3 => Self::Batch,
            4 => Self::Ack,
            5 => Self::Ping,
            6 => Self::Pong,
            7 => Self::GoAway,
            8 => Self::Error,
            _ => return None,
        })
    }
}

/// A frame as it lies in the input: length and type checked, payload not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// Its type, `None` for one that is unknown and may be ignored.
    pub frame_type: Option<FrameType>,
    /// Its payload.
    pub payload: &'a [u8],
}

impl<'a> RawFrame<'a> {
    /// Finds the frame at the start of `input`. `None` if it is not there in
    /// whole yet; otherwise it and what it takes up in `input`. Decides on the
    /// length alone before anything else is looked at.
    pub fn decode(input: &'a [u8], limit: u32) -> Result<Option<(Self, usize)>, Error> {
        let Some(head) = input.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*head);
        if len == 0 {
            return Err(malformed("frame", "its length is 0"));
        }
        if len > limit {
            return Err(Error::FrameTooLarge { len, limit });
        }
        let end = 4 + len as usize;
        let Some(&kind) = input.get(4) else {
            return Ok(None);
        };
        let frame_type = FrameType::from_byte(kind);
        if frame_type.is_none() && kind & IGNORABLE == 0 {
            return Err(Error::Unsupported { kind });
        }
        Ok(input.get(FRAME_HEADER..end).map(|payload| {
            (
                Self {
                    frame_type,
                    payload,
                },
                end,
            )
        }))
    }
}

/// The payload of a frame with its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // named as in the manual
pub enum Frame<'a> {
    Hello(Hello),
    Resume(Resume),
    Batch(Batch<'a>),
    Ack(Ack),
    Ping(Ping),
    Pong(Pong),
    GoAway(GoAway),
    Error(Failure),
    /// Of a type that may be ignored.
    Ignored,
}

impl<'a> Frame<'a> {
    /// Reads the payload of `raw`. A HELLO must be read by [`decode_hello`] if
    /// it may be of a version without a common one.
    pub fn decode(raw: RawFrame<'a>) -> Result<Self, Error> {
        let payload = raw.payload;
        Ok(match raw.frame_type {
            None => Self::Ignored,
            Some(FrameType::Hello) => Self::Hello(json("HELLO", payload)?),
            Some(FrameType::Resume) => Self::Resume(json("RESUME", payload)?),
            Some(FrameType::Batch) => Self::Batch(Batch::decode(payload)?),
            Some(FrameType::Ack) => Self::Ack(json("ACK", payload)?),
            Some(FrameType::Ping) => Self::Ping(json("PING", payload)?),
            Some(FrameType::Pong) => Self::Pong(json("PONG", payload)?),
            Some(FrameType::GoAway) => Self::GoAway(json("GOAWAY", payload)?),
            Some(FrameType::Error) => Self::Error(json("ERROR", payload)?),
        })
    }
}

/// Reads a HELLO, whose other members may be anything if the versions have
/// nothing in common: that is told before a missing member is.
pub fn decode_hello(payload: &[u8], ours: crate::Range) -> Result<(Hello, u32), Error> {
    let versions: HelloVersions = json("HELLO", payload)?;
    let theirs = versions.proto;
    let version = ours.common(theirs).ok_or(Error::Version { ours, theirs })?;
    Ok((json("HELLO", payload)?, version))
}

fn json<T: DeserializeOwned>(what: &'static str, payload: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(payload).map_err(|error| malformed(what, error))
}

fn malformed(what: &'static str, why: impl ToString) -> Error {
    Error::Malformed {
        what,
        why: why.to_string(),
    }
}

/// The messages of a BATCH, as they lie in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Sequence number of the first.
    pub first_seq: u64,
    messages: &'a [u8],
}

/// One message of a BATCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its id.
    pub id: NotificationId,
    /// CRC-32C that its sender computed over the body.
    pub crc: u32,
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> Batch<'a> {
    fn decode(payload: &'a [u8]) -> Result<Self, Error> {
        let Some((first_seq, messages)) = payload.split_first_chunk::<BATCH_HEADER>() else {
            return Err(malformed("BATCH", "no sequence number"));
        };
        if messages.is_empty() {
            return Err(malformed("BATCH", "no message"));
        }
        Ok(Self {
            first_seq: u64::from_be_bytes(*first_seq),
            messages,
        })
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<Message<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.messages.is_empty() {
            return None;
        }
        let message = split_message(self.messages);
        self.messages = message.map_or(&[][..], |(_, rest)| rest);
        Some(
            message
                .map(|(message, _)| message)
                .ok_or_else(|| malformed("BATCH", "a message goes beyond its frame")),
        )
    }
}

fn split_message(input: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let (len, rest) = input.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    let message = Message {
        id: NotificationId::from_bytes(*id),
        crc: u32::from_be_bytes(*crc),
        body,
    };
    Some((message, rest))
}

/// Appends a control frame to `out`.
pub fn encode_control(out: &mut Vec<u8>, frame_type: FrameType, payload: &impl Serialize) {
    let start = begin(out, frame_type);
    serde_json::to_writer(&mut *out, payload)
        .expect("structs with text keys always print, and memory takes any bytes");
    end(out, start);
}

/// Starts a BATCH at the end of `out`; the result goes to [`end`].
pub fn begin_batch(out: &mut Vec<u8>, first_seq: u64) -> usize {
    let start = begin(out, FrameType::Batch);
    out.extend_from_slice(&first_seq.to_be_bytes());
    start
}

/// Appends a message to the BATCH at the end of `out`. The caller knows that
/// the body fits in a frame.
pub fn encode_message(out: &mut Vec<u8>, id: NotificationId, body: &[u8]) {
    out.reserve(MESSAGE_HEADER + body.len());
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(body);
}

fn begin(out: &mut Vec<u8>, frame_type: FrameType) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, frame_type as u8]);
    start
}

/// Ends the frame that starts at `start`: its length is known now.
pub fn end(out: &mut [u8], start: usize) {
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Health, RefusalCode, Refused, Window};

    fn id() -> NotificationId {
        NotificationId::parse("01998f2c-0000-7000-8000-0000000000ff").expect("a UUID")
    }

    fn control(frame_type: FrameType, payload: &impl Serialize) -> Vec<u8> {
        let mut out = Vec::new();
        encode_control(&mut out, frame_type, payload);
        out
    }

    // Peers of other releases depend on these bytes: a change here needs a new
    // protocol version.
    #[test]
    fn a_batch_is_laid_out_as_the_manual_says() {
        let mut out = Vec::new();
        let start = begin_batch(&mut out, 258);
        encode_message(&mut out, id(), b"123456789");
        end(&mut out, start);
        let want = [
            &[0, 0, 0, 42, 3][..],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 0, 9],
            // The check value of CRC-32C.
            &[0xe3, 0x06, 0x92, 0x83],
            &[
                1, 0x99, 0x8f, 0x2c, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff,
            ],
            b"123456789",
        ];
        assert_eq!(out, want.concat());
    }

    #[test]
    fn control_frames_read_as_the_manual_says() {
        let ack = Ack {
            seq: 7,
            refused: vec![Refused {
                seq: 6,
                id: id(),
                code: RefusalCode::ForbiddenSite,
                text: "no".into(),
            }],
            window: Window {
                msgs: 1024,
                bytes: 99,
            },
            settled: 3,
        };
        let pong = Pong {
            n: 5,
            health: Health::default(),
        };
        let resume = Resume { have: vec![id()] };
        for (frame, want) in [
            (
                control(FrameType::Ack, &ack),
                r#"4{"seq":7,"refused":[{"seq":6,"id":"01998f2c-0000-7000-8000-0000000000ff","code":"forbidden_site","text":"no"}],"window":{"msgs":1024,"bytes":99},"settled":3}"#,
            ),
            (
                control(FrameType::Pong, &pong),
                r#"6{"n":5,"disk":"ok","queued":0,"oldest_us":0}"#,
            ),
            (
                control(FrameType::Resume, &resume),
                r#"2{"have":["01998f2c-0000-7000-8000-0000000000ff"]}"#,
            ),
        ] {
            let (kind, text) = want.split_at(1);
            assert_eq!(frame[..4], (text.len() as u32 + 1).to_be_bytes());
            assert_eq!(frame[4].to_string(), kind);
            assert_eq!(String::from_utf8_lossy(&frame[5..]), text);
            let (raw, len) = RawFrame::decode(&frame, 4096)
                .expect("a frame")
                .expect("in whole");
            assert_eq!(len, frame.len());
            Frame::decode(raw).expect("what was encoded");
        }
    }

    #[test]
    fn the_length_is_judged_before_anything_else_is_there() {
        let decode = |bytes: &[u8]| RawFrame::decode(bytes, 10).map(|frame| frame.is_some());
        assert_eq!(decode(&[0, 0, 0]), Ok(false));
        assert_eq!(decode(&[0, 0, 0, 10]), Ok(false));
        let error = Error::FrameTooLarge { len: 11, limit: 10 };
        assert_eq!(decode(&[0, 0, 0, 11]), Err(error));
        assert_eq!(decode(&[0, 0, 0, 2, 5, b'x']), Ok(true));
        // A type that is not known needs no payload to be refused.
        assert_eq!(
            decode(&[0, 0, 0, 9, 77]),
            Err(Error::Unsupported { kind: 77 })
        );
    }
}
