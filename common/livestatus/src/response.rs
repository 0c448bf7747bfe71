//! Answers as a client reads them: the `fixed16` frame, and the rows in it.

use bstr::ByteSlice;

use crate::error::{Error, excerpt};
use crate::json::{Row, RowReader};
use crate::number::parse_count;

/// Length of the frame's header.
pub const HEAD_LEN: usize = 16;
/// How much of an error's text is kept; Icinga 2 sends stack traces.
const MAX_MESSAGE: usize = 4096;
/// How much of an answer without a frame is shown.
const MAX_EXCERPT: usize = 80;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Status; 200 is success.
    pub status: u16,
    /// Length of the body in bytes.
    pub length: u64,
}

impl Head {
    /// Parses the sixteen bytes. The last is not looked at: Icinga 2 puts the
    /// row separator there.
    pub fn parse(bytes: &[u8; HEAD_LEN]) -> Result<Self, Error> {
        let status = parse_count(&bytes[..3]).and_then(|status| u16::try_from(status).ok());
        let digits = bytes[4..15].trim_ascii_start();
        let length = parse_count(digits);
        match (status, bytes[3], length) {
            (Some(status), b' ', Some(length)) => Ok(Self { status, length }),
            _ => Err(not_framed(bytes)),
        }
    }

    /// The sixteen bytes. Lengths beyond eleven digits cannot be expressed.
    pub fn print(self) -> [u8; HEAD_LEN] {
        let text = format!("{:03} {:>11}\n", self.status, self.length);
        text.as_bytes().try_into().unwrap_or(*b"413           0\n")
    }
}

/// Whether more bytes could make a header of these few.
fn may_become_head(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(at, byte)| match at {
        0..3 => byte.is_ascii_digit(),
        3 => *byte == b' ',
        _ => *byte == b' ' || byte.is_ascii_digit(),
    })
}

fn not_framed(bytes: &[u8]) -> Error {
    Error::NotFramed(excerpt(bytes.trim(), MAX_EXCERPT))
}

/// The line that a client shows of an error's body: the first. The rest may be
/// a stack trace.
pub fn error_message(body: &[u8]) -> String {
    let line = body.trim_start().lines().next().unwrap_or_default();
    excerpt(line, MAX_MESSAGE)
}

/// What comes out of a [`ResponseReader`].
#[derive(Debug)]
pub enum Event<'a> {
    /// More bytes are needed.
    NeedInput,
    /// A row of the answer.
    Row(&'a Row),
    /// The answer is complete; with keep-alive the next one may follow.
    End,
}

/// Reads framed JSON answers from a stream, however it is split, without ever
/// holding more than a row of them.
///
/// ```
/// use livestatus::{Event, ResponseReader};
///
/// let mut reader = ResponseReader::new(1 << 20);
/// reader.push(b"200          12\n[[\"db1\",0]]\n");
/// let Event::Row(row) = reader.poll_event().unwrap() else { panic!() };
/// assert_eq!(row.cell(0).text().as_ref(), "db1");
/// assert!(matches!(reader.poll_event().unwrap(), Event::End));
/// ```
#[derive(Debug)]
pub struct ResponseReader {
    row_limit: usize,
    input: Vec<u8>,
    /// Bytes of `input` before this are done with.
    start: usize,
    finished: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    Rows {
        missing: u64,
        rows: Box<RowReader>,
    },
    Refused {
        status: u16,
        missing: u64,
        text: Vec<u8>,
    },
}

impl ResponseReader {
    /// A reader at the beginning of an answer. A row may have up to `row_limit` bytes.
    pub fn new(row_limit: usize) -> Self {
        Self {
            row_limit,
            input: Vec::new(),
            start: 0,
            finished: false,
            state: State::Head,
        }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.drain(..self.start);
        self.start = 0;
        self.input.extend_from_slice(bytes);
    }

    /// The server has closed the connection.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// What comes next. An answer with another status than 200 is
    /// [`Error::Refused`], after which the next answer may follow. After any
    /// other error the stream is of no more use.
    pub fn poll_event(&mut self) -> Result<Event<'_>, Error> {
        if matches!(self.state, State::Head) {
            match self.head()? {
                Some(state) => self.state = state,
                None => return Ok(Event::NeedInput),
            }
        }
        let available = (self.input.len() - self.start) as u64;
        match &mut self.state {
            State::Head => Ok(Event::NeedInput),
            State::Rows { missing, rows } => {
                let part = available.min(*missing) as usize;
                rows.push(&self.input[self.start..self.start + part]);
                self.start += part;
                *missing -= part as u64;
                if rows.advance()? {
                    let State::Rows { rows, .. } = &self.state else {
                        unreachable!("it was a moment ago");
                    };
                    return Ok(Event::Row(rows.row()));
                }
                if *missing > 0 {
                    return need_input(self.finished, *missing);
                }
                rows.finish()?;
                self.state = State::Head;
                Ok(Event::End)
            }
            State::Refused {
                status,
                missing,
                text,
            } => {
                let part = available.min(*missing) as usize;
                let kept = part.min(MAX_MESSAGE - text.len());
                text.extend_from_slice(&self.input[self.start..self.start + kept]);
                self.start += part;
                *missing -= part as u64;
                if *missing > 0 {
                    return need_input(self.finished, *missing);
                }
                let error = Error::Refused {
                    status: *status,
                    message: error_message(text),
                };
                self.state = State::Head;
                Err(error)
            }
        }
    }

    /// What follows the frame's header, once that is there.
    fn head(&mut self) -> Result<Option<State>, Error> {
        let rest = &self.input[self.start..];
        let Some(bytes) = rest.first_chunk::<HEAD_LEN>() else {
            return match (self.finished, rest) {
                (false, _) => Ok(None),
                (true, _) if may_become_head(rest) => Err(Error::Truncated { missing: None }),
                (true, _) => Err(not_framed(rest)),
            };
        };
        let Ok(Head { status, length }) = Head::parse(bytes) else {
            // What came instead is worth a whole line in the message.
            let more = rest.len() < MAX_EXCERPT && !rest.contains(&b'\n') && !self.finished;
            return if more {
                Ok(None)
            } else {
                Err(not_framed(rest.lines().next().unwrap_or_default()))
            };
        };
        self.start += HEAD_LEN;
        Ok(Some(if status == 200 {
            State::Rows {
                missing: length,
                rows: Box::new(RowReader::new(self.row_limit)),
            }
        } else {
            State::Refused {
                status,
                missing: length,
                text: Vec::new(),
            }
        }))
    }
}

fn need_input(finished: bool, missing: u64) -> Result<Event<'static>, Error> {
    if finished {
        return Err(Error::Truncated {
            missing: Some(missing),
        });
    }
    Ok(Event::NeedInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_chunks<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
        let mut reader = ResponseReader::new(1000);
        let mut out = Vec::new();
        let mut failed = false;
        let mut drain = |reader: &mut ResponseReader| {
            while !failed {
                match reader.poll_event() {
                    Ok(Event::NeedInput) => break,
                    Ok(Event::Row(row)) => out.push(format!("row {}", row.cell(0).text())),
                    Ok(Event::End) => out.push("end".to_owned()),
                    Err(error) => {
                        failed = !matches!(error, Error::Refused { .. });
                        out.push(error.to_string());
                    }
                }
            }
        };
        for chunk in chunks {
            reader.push(chunk);
            drain(&mut reader);
        }
        reader.finish();
        drain(&mut reader);
        out
    }

    #[test]
    fn answers_whatever_the_split() {
        const CLOSED: &str = "the connection was closed without an answer";
        for (name, answer, want) in [
            (
                "Naemon",
                "200          19\n[[\"alpha\",0],\n[1]]\n",
                &["row alpha", "row 1", "end", CLOSED][..],
            ),
            (
                "rows",
                "200          12\n[[\"db1\",0]]\n",
                &["row db1", "end", CLOSED],
            ),
            (
                "separator instead of line feed",
                "200           5\0[[7]]",
                &["row 7", "end", CLOSED],
            ),
            (
                "list not closed",
                "200           4\n[[7]",
                &[
                    "row 7",
                    "the answer is not a JSON list of rows: it is cut off at byte 4",
                ],
            ),
            (
                "two answers",
                "200           6\n[[1]]\n200           3\n[]\n",
                &["row 1", "end", "end", CLOSED],
            ),
            (
                "refused, then an answer",
                "404          30\nTable 'nosuch' does not exist.200           3\n[]\n",
                &[
                    "the server says 404: Table 'nosuch' does not exist.",
                    "end",
                    CLOSED,
                ],
            ),
            (
                "stack trace",
                "452          30\nError: bad\n  (0) 0xdeadbeef\n\n\n",
                &["the server says 452: Error: bad", CLOSED],
            ),
            (
                "not framed",
                "400: Unknown command 'X'\n",
                &["the answer has no header, it begins with '400: Unknown command 'X''"],
            ),
            (
                "short and not framed",
                "oops\n",
                &["the answer has no header, it begins with 'oops'"],
            ),
            ("nothing", "", &[CLOSED]),
            ("header cut off", "200         ", &[CLOSED]),
            (
                "short number",
                "2x",
                &["the answer has no header, it begins with '2x'"],
            ),
            (
                "cut off",
                "200          12\n[[1],[",
                &["row 1", "the answer was cut off, 6 bytes are missing"],
            ),
            (
                "error cut off",
                "400          12\noops",
                &["the answer was cut off, 8 bytes are missing"],
            ),
        ] {
            let bytes = answer.as_bytes();
            assert_eq!(read_chunks(bytes.chunks(1)), want, "{name}, byte by byte");
            assert_eq!(read_chunks(std::iter::once(bytes)), want, "{name}");
        }
    }

    #[test]
    fn heads_are_read_as_printed() {
        for (status, length, text) in [
            (200, 0, b"200           0\n"),
            (404, 44, b"404          44\n"),
            (200, 99_999_999_999, b"200 99999999999\n"),
        ] {
            let head = Head { status, length };
            assert_eq!(&head.print(), text);
            assert_eq!(Head::parse(text), Ok(head));
        }
        for bad in [
            b"HTTP/1.1 400 Bad",
            b"200-          0\n",
            b"200            \n",
            b"200          -1\n",
        ] {
            assert!(
                matches!(Head::parse(bad), Err(Error::NotFramed(_))),
                "{bad:?}"
            );
        }
    }
}
