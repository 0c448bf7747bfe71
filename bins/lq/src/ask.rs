//! Asking: a query whose answer is passed on or read row by row, and commands.

use std::io::Write;

use livestatus::json::Row;
use livestatus::response::{HEAD_LEN, Head, error_message};
use livestatus::{Event, ResponseReader};
use program::connection::{self, Connection};
use program::{Failure, Status};

use crate::cli::Format;
use crate::python;

/// Longest row of a table.
const ROW_LIMIT: usize = 16 << 20;
/// How much of an error's text is read.
const ERROR_LIMIT: u64 = 64 << 10;

/// Why there is no answer, or not all of it.
#[derive(Debug)]
pub(crate) enum Error {
    /// What the server sent.
    Answer(livestatus::Error),
    /// Anything else.
    Other(Failure),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<connection::Error> for Error {
    fn from(error: connection::Error) -> Self {
        Self::Other(error.into())
    }
}

impl From<livestatus::Error> for Error {
    fn from(error: livestatus::Error) -> Self {
        Self::Answer(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use livestatus::Error::Truncated;
        let error = match error {
            Error::Answer(error) => error,
            Error::Other(failure) => return failure,
        };
        let status = match error {
            Truncated { missing: Some(_) } => Status::Incomplete,
            // A server that starts or stops closes without a word.
            Truncated { missing: None } => Status::TryAgain,
            _ => Status::Failed,
        };
        Failure::new(status, error.to_string())
    }
}

/// Sends a query and prints its rows for a script, in a format that the query
/// asks for with [`query::word`](crate::query::word).
pub(crate) fn print(
    connection: &mut Connection,
    request: &[u8],
    format: Format,
    out: &mut dyn Write,
) -> Result<(), Error> {
    if format != Format::Python {
        return copy(connection, request, out);
    }
    let mut list = python::List::default();
    rows(connection, request, |row| write(out, &list.row(row)))?;
    Ok(write(out, list.end())?)
}

/// Sends a query and copies the body of the answer to `out` as it comes.
pub(crate) fn copy(
    connection: &mut Connection,
    request: &[u8],
    out: &mut dyn Write,
) -> Result<(), Error> {
    connection.send(request)?;
    let mut buffer = vec![0; 1 << 16];
    let (head, mut have) = read_head(connection, &mut buffer)?;
    let mut missing = head.length;
    if head.status != 200 {
        return Err(refused(connection, head, &buffer[HEAD_LEN..have]));
    }
    let mut from = HEAD_LEN;
    loop {
        let part = (have - from).min(usize::try_from(missing).unwrap_or(usize::MAX));
        write(out, &buffer[from..from + part])?;
        missing -= part as u64;
        if missing == 0 {
            return Ok(());
        }
        (from, have) = (0, connection.receive(&mut buffer)?);
        if have == 0 {
            let missing = Some(missing);
            return Err(livestatus::Error::Truncated { missing }.into());
        }
    }
}

/// Reads at least the frame's header; also returns how much was read.
fn read_head(connection: &mut Connection, buffer: &mut [u8]) -> Result<(Head, usize), Error> {
    let mut have = 0;
    loop {
        let count = connection.receive(&mut buffer[have..])?;
        have += count;
        match buffer[..have].first_chunk::<HEAD_LEN>() {
            Some(bytes) => return Ok((Head::parse(bytes)?, have)),
            None if count > 0 => {}
            None if have == 0 => return Err(livestatus::Error::Truncated { missing: None }.into()),
            None => {
                let text = error_message(&buffer[..have]);
                return Err(livestatus::Error::NotFramed(text).into());
            }
        }
    }
}

fn refused(connection: &mut Connection, head: Head, begun: &[u8]) -> Error {
    let mut text = begun.to_vec();
    let mut buffer = vec![0; 4096];
    while (text.len() as u64) < head.length.min(ERROR_LIMIT) {
        match connection.receive(&mut buffer) {
            // Part of the text is better than none.
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend_from_slice(&buffer[..count]),
        }
    }
    let error = livestatus::Error::Refused {
        status: head.status,
        message: error_message(&text),
    };
    error.into()
}

/// Sends a query for JSON and hands over its rows one by one.
pub(crate) fn rows(
    connection: &mut Connection,
    request: &[u8],
    mut take: impl FnMut(&Row) -> Result<(), Failure>,
) -> Result<(), Error> {
    connection.send(request)?;
    let mut reader = ResponseReader::new(ROW_LIMIT);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.poll_event()? {
            Event::Row(row) => take(row)?,
            Event::End => return Ok(()),
            Event::NeedInput => match connection.receive(&mut buffer)? {
                0 => reader.finish(),
                count => reader.push(&buffer[..count]),
            },
        }
    }
}

/// Sends commands and waits until the server has taken them all. Servers answer
/// only to tell of a fault, unless a framed answer was asked for.
pub(crate) fn commands(connection: &mut Connection, text: &[u8]) -> Result<(), Error> {
    connection.send(text)?;
    connection.finish()?;
    let answer = connection.receive_rest(ERROR_LIMIT as usize)?;
    let mut rest = &answer[..];
    while let Some(bytes) = rest.first_chunk::<HEAD_LEN>() {
        match Head::parse(bytes) {
            Ok(Head {
                status: 200,
                length: 0,
            }) => rest = &rest[HEAD_LEN..],
            Ok(Head { status, .. }) => {
                let message = error_message(&rest[HEAD_LEN..]);
                return Err(livestatus::Error::Refused { status, message }.into());
            }
            Err(_) => break,
        }
    }
    if rest.is_empty() {
        return Ok(());
    }
    let message = format!("the server says {}", error_message(rest));
    Err(Failure::new(Status::Failed, message).into())
}

pub(crate) fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Failure> {
    out.write_all(bytes).map_err(unwritable)
}

pub(crate) fn flush(out: &mut dyn Write) -> Result<(), Failure> {
    out.flush().map_err(unwritable)
}

fn unwritable(error: std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::silent(Status::Failed);
    }
    Failure::caused(Status::Failed, "cannot write to standard output", error)
}
