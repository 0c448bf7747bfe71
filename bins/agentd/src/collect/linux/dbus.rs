//! As much of D-Bus as it takes to ask one question over the system's bus: the
//! greeting, a call without arguments, and reading strings out of its answer.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest message that is read; the bus itself takes no longer ones.
const MAX_MESSAGE: usize = 128 << 20;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;

/// Fields of a message's head.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
}

const HELLO: Method<'static> = Method {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
};

/// The body of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    is_big: bool,
}

/// Connects, asks, and gives the body of the answer.
pub(crate) fn call(socket: &Path, method: Method<'_>, deadline: Instant) -> io::Result<Body> {
    let mut bus = Bus {
        stream: UnixStream::connect(socket)?,
        deadline,
    };
    bus.greet()?;
    bus.call(1, HELLO)?;
    bus.call(2, method)
}

struct Bus {
    stream: UnixStream,
    deadline: Instant,
}

impl Bus {
    /// Who we are the bus knows from the socket.
    fn greet(&mut self) -> io::Result<()> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let uid: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        // Byte by byte: what comes after the line would be a message.
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 1000 {
                return Err(wrong("its greeting has no end"));
            }
        }
        if !line.starts_with(b"OK ") {
            let line = String::from_utf8_lossy(line.trim_ascii()).into_owned();
            return Err(io::Error::new(ErrorKind::PermissionDenied, line));
        }
        self.write(b"BEGIN\r\n")
    }

    fn call(&mut self, serial: u32, method: Method<'_>) -> io::Result<Body> {
        self.write(&encode_call(serial, method))?;
        loop {
            // There are signals in between.
            let message = self.read_message()?;
            if message.reply_serial != Some(serial) {
                continue;
            }
            return match message.kind {
                METHOD_RETURN => Ok(message.body),
                _ => Err(io::Error::other(message.body.first_string())),
            };
        }
    }

    fn read_message(&mut self) -> io::Result<Message> {
        let mut bytes = vec![0; FIXED];
        self.read(&mut bytes)?;
        let length = message_length(&bytes)?;
        bytes.resize(length, 0);
        self.read(&mut bytes[FIXED..])?;
        Message::decode(&bytes)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut read = 0;
        while read < buffer.len() {
            self.limit()?;
            match self.stream.read(&mut buffer[read..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => read += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.limit()?;
        self.stream.write_all(bytes)
    }

    fn limit(&self) -> io::Result<()> {
        let patience = self.deadline.saturating_duration_since(Instant::now());
        let patience = Some(patience.max(Duration::from_millis(1)));
        self.stream.set_read_timeout(patience)?;
        self.stream.set_write_timeout(patience)
    }
}

fn encode_call(serial: u32, method: Method<'_>) -> Vec<u8> {
    let mut fields = Vec::new();
    for (code, signature, value) in [
        (PATH, b'o', method.path),
        (INTERFACE, b's', method.interface),
        (MEMBER, b's', method.member),
        (DESTINATION, b's', method.destination),
    ] {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend_from_slice(&[code, 1, signature, 0]);
        fields.extend_from_slice(&(value.len() as u32).to_le_bytes());
        fields.extend_from_slice(value.as_bytes());
        fields.push(0);
    }
    let mut call = vec![b'l', METHOD_CALL, 0, 1, 0, 0, 0, 0];
    call.extend_from_slice(&serial.to_le_bytes());
    call.extend_from_slice(&(fields.len() as u32).to_le_bytes());
    call.extend_from_slice(&fields);
    call.resize(call.len().next_multiple_of(8), 0);
    call
}

/// Bytes before the fields of the head, with the length of those.
const FIXED: usize = 16;

/// What comes over the bus.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    kind: u8,
    reply_serial: Option<u32>,
    pub(crate) body: Body,
}

/// The length of the message that begins so.
fn message_length(fixed: &[u8]) -> io::Result<usize> {
    let mut head = Reader::new(fixed, is_big(fixed)?);
    head.at = 4;
    let body = u64::from(head.u32().ok_or_else(cut)?);
    head.at = 12;
    let fields = u64::from(head.u32().ok_or_else(cut)?);
    let length = FIXED as u64 + fields.next_multiple_of(8) + body;
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_MESSAGE)
        .ok_or_else(|| wrong("its message is too long"))
}

fn is_big(bytes: &[u8]) -> io::Result<bool> {
    match bytes.first() {
        Some(b'l') => Ok(false),
        Some(b'B') => Ok(true),
        _ => Err(wrong("its message has no byte order")),
    }
}

impl Message {
    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let is_big = is_big(bytes)?;
        let mut head = Reader::new(bytes, is_big);
        head.at = 12;
        let fields = head.u32().ok_or_else(cut)? as usize;
        let end = FIXED + fields;
        let body = bytes
            .get(end.next_multiple_of(8)..)
            .ok_or_else(cut)?
            .to_vec();
        let mut reply_serial = None;
        while head.at < end {
            head.align(8);
            let (code, value) = head.field().ok_or_else(|| wrong("its head is broken"))?;
            if code == REPLY_SERIAL {
                reply_serial = value;
            }
        }
        Ok(Self {
            kind: *bytes.get(1).ok_or_else(cut)?,
            reply_serial,
            body: Body {
                bytes: body,
                is_big,
            },
        })
    }
}

impl Body {
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.bytes, self.is_big)
    }

    /// The words of an error.
    fn first_string(&self) -> String {
        let text = self.reader().string().map(str::to_owned);
        text.unwrap_or_else(|| "refused without words".to_owned())
    }

    /// Of a fuzz target or a test: any bytes.
    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            is_big: false,
        }
    }
}

/// Reads values one after the other; `None` where the bytes are not such.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_big: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], is_big: bool) -> Self {
        Self {
            bytes,
            at: 0,
            is_big,
        }
    }

    /// To the next multiple, counted from the beginning.
    pub(crate) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    /// Where a list ends whose length in bytes stands here, and whose elements
    /// are structures.
    pub(crate) fn list_of_structures(&mut self) -> Option<usize> {
        let length = self.u32()? as usize;
        self.align(8);
        let end = self.at.checked_add(length)?;
        (end <= self.bytes.len()).then_some(end)
    }

    pub(crate) fn is_before(&self, end: usize) -> bool {
        self.at < end
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = *self.take(4)?.first_chunk()?;
        Some(match self.is_big {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }

    /// A string or the path of an object.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let text = self.take(length)?;
        self.take(1).filter(|end| *end == [0])?;
        std::str::from_utf8(text).ok()
    }

    /// A field of a head: its code, and its value if that is a number. All
    /// fields of messages are numbers, strings or signatures.
    fn field(&mut self) -> Option<(u8, Option<u32>)> {
        let code = self.take(1)?[0];
        let signature = self.signature()?;
        let value = match signature {
            b"u" | b"i" => Some(self.u32()?),
            b"s" | b"o" => {
                self.string()?;
                None
            }
            b"g" => {
                self.signature()?;
                None
            }
            _ => return None,
        };
        Some((code, value))
    }

    fn signature(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.take(1)?[0]);
        let signature = self.take(length)?;
        self.take(1)?;
        Some(signature)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }
}

fn cut() -> io::Error {
    ErrorKind::UnexpectedEof.into()
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
