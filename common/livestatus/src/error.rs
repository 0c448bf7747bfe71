//! What can be wrong with foreign bytes, and the status codes that say so.

use std::fmt;

/// Status of an answer, as it stands in the `fixed16` frame.
///
/// Only these are sent: existing clients lose the text of an error with any
/// other code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400: a fault in a header.
    BadRequest,
    /// 404: no such table.
    NotFound,
    /// 413: the answer is too large, or the time is up.
    TooLarge,
    /// 452: the request as a whole makes no sense.
    InvalidRequest,
    /// 502: what stands behind the server does not answer.
    BadGateway,
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::InvalidRequest => 452,
            Self::BadGateway => 502,
        }
    }
}

/// Why bytes could not be read or a value could not be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A request is faulty; the text is what the client is told.
    BadRequest(String),
    /// A value cannot stand in a Livestatus line.
    NotExpressible {
        /// Where it was to stand.
        place: &'static str,
        /// The value, made fit for a message.
        value: String,
    },
    /// A line, row or answer is longer than the reader's limit.
    TooLong {
        /// Line, row, answer.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer does not begin with a frame; these are its first bytes.
    NotFramed(String),
    /// The server answered with another status than 200.
    Refused {
        /// The status of the frame.
        status: u16,
        /// The text that came with it, without line feed.
        message: String,
    },
    /// The connection ended before the answer did.
    Truncated {
        /// How many bytes of the body are missing, `None` if not even the
        /// frame's header was complete.
        missing: Option<u64>,
    },
    /// The body is not a JSON list of rows.
    BadJson {
        /// Offset in the body.
        at: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A command line is not one.
    BadCommand(String),
    /// A line of a dump cannot be taken.
    BadRecord {
        /// The object it names, as far as known.
        object: String,
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(message) => f.write_str(message),
            Self::NotExpressible { place, value } => write!(
                f,
                "{place} '{value}' cannot be sent over Livestatus: it has characters that end a line or a field"
            ),
            Self::TooLong { what, limit } => write!(f, "{what} longer than {limit} bytes"),
            Self::NotFramed(text) => {
                write!(f, "the answer has no header, it begins with '{text}'")
            }
            Self::Refused { status, message } => write!(f, "the server says {status}: {message}"),
            Self::Truncated { missing: None } => {
                f.write_str("the connection was closed without an answer")
            }
            Self::Truncated {
                missing: Some(missing),
            } => write!(f, "the answer was cut off, {missing} bytes are missing"),
            Self::BadJson { at, what } => {
                write!(
                    f,
                    "the answer is not a JSON list of rows: {what} at byte {at}"
                )
            }
            Self::BadCommand(what) => f.write_str(what),
            Self::BadRecord { object, what } if object.is_empty() => f.write_str(what),
            Self::BadRecord { object, what } => write!(f, "{object}: {what}"),
        }
    }
}

impl std::error::Error for Error {}

/// Foreign bytes for a message of one line: at most `limit` bytes, control
/// characters and bytes that are not UTF-8 replaced by `?`.
pub(crate) fn excerpt(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        let bad = (!chunk.invalid().is_empty()).then_some('?');
        for c in chunk.valid().chars().chain(bad) {
            if text.len() + c.len_utf8() > limit {
                return text;
            }
            text.push(if c.is_control() { '?' } else { c });
        }
    }
    text
}
