//! As much of D-Bus as it takes to ask questions over the system's bus: the
//! greeting, calls whose arguments are strings, and reading values out of the
//! answers.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Instant;

use super::stream::Stream;

/// Where the system's bus usually is, below the root.
pub(crate) const SOCKET: &str = "run/dbus/system_bus_socket";

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
const SIGNATURE: u8 = 8;

/// A flag of a call: nobody is started to answer it.
const NO_AUTO_START: u8 = 2;

/// So many calls wait for their answers at a time: what is written must find
/// room while nobody reads.
const AT_ONCE: usize = 64;

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
    pub(crate) arguments: &'a [&'a str],
}

const HELLO: Method<'static> = Method {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
    arguments: &[],
};

/// The body of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    is_big: bool,
}

/// Connects, asks, and gives the body of the answer.
pub(crate) fn call(socket: &Path, method: Method<'_>, deadline: Instant) -> io::Result<Body> {
    Bus::connect(socket, deadline)?.call(method)
}

/// A property of an object, asked for with `Get`; its value is a variant.
pub(crate) fn property<'a>(
    destination: &'a str,
    path: &'a str,
    arguments: &'a [&'a str; 2],
) -> Method<'a> {
    Method {
        destination,
        path,
        interface: "org.freedesktop.DBus.Properties",
        member: "Get",
        arguments,
    }
}

/// The system's bus, for a few questions.
pub(crate) struct Bus {
    stream: Stream,
    /// Of the last call.
    serial: u32,
}

impl Bus {
    /// All that is asked must be answered by the deadline.
    pub(crate) fn connect(socket: &Path, deadline: Instant) -> io::Result<Self> {
        let mut bus = Self {
            stream: Stream::connect(socket, deadline)?,
            serial: 0,
        };
        bus.greet()?;
        bus.call(HELLO)?;
        Ok(bus)
    }

    pub(crate) fn call(&mut self, method: Method<'_>) -> io::Result<Body> {
        let mut answers = self.call_all(&[method])?;
        answers.pop().ok_or_else(cut)?
    }

    /// Asks all of it before the first answer has come, which saves the waiting.
    /// What was refused is an error in its place.
    pub(crate) fn call_all(&mut self, methods: &[Method<'_>]) -> io::Result<Vec<io::Result<Body>>> {
        let mut answers = Vec::with_capacity(methods.len());
        for some in methods.chunks(AT_ONCE) {
            let mut calls = Vec::new();
            let first = self.serial + 1;
            for method in some {
                self.serial += 1;
                calls.extend_from_slice(&encode_call(self.serial, *method));
            }
            self.stream.write(&calls)?;
            answers.extend(self.read_answers(first, some.len())?);
        }
        Ok(answers)
    }

    /// The answers to so many calls, in the order of these.
    fn read_answers(&mut self, first: u32, count: usize) -> io::Result<Vec<io::Result<Body>>> {
        let mut found: Vec<Option<io::Result<Body>>> = Vec::new();
        found.resize_with(count, || None);
        while found.iter().any(Option::is_none) {
            // There are signals in between.
            let message = self.read_message()?;
            let number = message.reply_serial.and_then(|to| to.checked_sub(first));
            let place = number.and_then(|number| found.get_mut(number as usize));
            if let Some(place) = place {
                *place = Some(match message.kind {
                    METHOD_RETURN => Ok(message.body),
                    _ => Err(io::Error::other(message.body.first_string())),
                });
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Who we are the bus knows from the socket.
    fn greet(&mut self) -> io::Result<()> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let uid: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.stream
            .write(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        // Byte by byte: what comes after the line would be a message.
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.stream.read(&mut byte)?;
            line.push(byte[0]);
            if line.len() > 1000 {
                return Err(wrong("its greeting has no end"));
            }
        }
        if !line.starts_with(b"OK ") {
            let line = String::from_utf8_lossy(line.trim_ascii()).into_owned();
            return Err(io::Error::new(ErrorKind::PermissionDenied, line));
        }
        self.stream.write(b"BEGIN\r\n")
    }

    fn read_message(&mut self) -> io::Result<Message> {
        let mut bytes = vec![0; FIXED];
        self.stream.read(&mut bytes)?;
        let length = message_length(&bytes)?;
        bytes.resize(length, 0);
        self.stream.read(&mut bytes[FIXED..])?;
        Message::decode(&bytes)
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
        put_string(&mut fields, value);
    }
    let mut body = Vec::new();
    for argument in method.arguments {
        body.resize(body.len().next_multiple_of(4), 0);
        put_string(&mut body, argument);
    }
    if !method.arguments.is_empty() {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend_from_slice(&[SIGNATURE, 1, b'g', 0, method.arguments.len() as u8]);
        fields.resize(fields.len() + method.arguments.len(), b's');
        fields.push(0);
    }
    let mut call = vec![b'l', METHOD_CALL, NO_AUTO_START, 1];
    call.extend_from_slice(&(body.len() as u32).to_le_bytes());
    call.extend_from_slice(&serial.to_le_bytes());
    call.extend_from_slice(&(fields.len() as u32).to_le_bytes());
    call.extend_from_slice(&fields);
    call.resize(call.len().next_multiple_of(8), 0);
    call.extend_from_slice(&body);
    call
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
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

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.align(8);
        let bytes = *self.take(8)?.first_chunk()?;
        Some(match self.is_big {
            true => u64::from_be_bytes(bytes),
            false => u64::from_le_bytes(bytes),
        })
    }

    /// An array of bytes.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    /// The beginning of a variant, which must hold a value of this type.
    pub(crate) fn variant(&mut self, signature: &str) -> Option<()> {
        let found = self.signature()?;
        (found == signature.as_bytes()).then_some(())
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
