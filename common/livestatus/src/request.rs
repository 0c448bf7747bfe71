//! Requests: reading them from a stream, and printing queries for another
//! server.

use bstr::BString;

use crate::command::Command;
use crate::error::{Error, Status};
use crate::filter::Filter;
use crate::output::{OutputFormat, Separators};

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// `GET`
    Query(Query),
    /// `COMMAND`
    Command(CommandRequest),
}

/// A command, and how its sender wants it answered.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRequest {
    /// The command.
    pub command: Command,
    /// Whether a framed answer was asked for; without, success is silent.
    pub fixed16: bool,
}

/// A query, with the effective value of every header.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The table's name.
    pub table: String,
    /// Columns in the order asked for; empty means all.
    pub columns: Vec<String>,
    /// All of these must hold.
    pub filters: Vec<Filter>,
    /// At most this many rows.
    pub limit: Option<u64>,
    /// Form of the rows.
    pub output_format: OutputFormat,
    /// Separators of csv.
    pub separators: Separators,
    /// Whether the first row has the names.
    pub column_headers: bool,
    /// `ResponseHeader: fixed16`
    pub fixed16: bool,
    /// Whether another request may follow on the same connection.
    pub keep_alive: bool,
}

impl Query {
    /// A query for all columns of `table` as csv, neither framed nor kept alive.
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            columns: Vec::new(),
            filters: Vec::new(),
            limit: None,
            output_format: OutputFormat::default(),
            separators: Separators::default(),
            column_headers: true,
            fixed16: false,
            keep_alive: false,
        }
    }

    /// The request's bytes, ending with the blank line. Headers stand in the
    /// order that all servers understand.
    pub fn print(&self) -> Result<Vec<u8>, Error> {
        todo!()
    }
}

/// A request that cannot be answered with data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    /// The status to answer with.
    pub status: Status,
    /// The text for the client and the log: the first fault of the request.
    pub message: String,
    /// Whether the client asked for a framed answer anywhere in the request.
    pub fixed16: bool,
    /// Whether the client asked to keep the connection, anywhere in the request.
    pub keep_alive: bool,
    /// Whether it was a command: those keep the connection in any case.
    pub command: bool,
}

/// What a reader takes in at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest line in bytes.
    pub line: usize,
    /// Longest request in bytes.
    pub request: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 1 << 20,
            request: 4 << 20,
        }
    }
}

/// Reads requests from a stream of bytes, however it is split.
///
/// After each [`push`](Self::push) call [`poll_request`](Self::poll_request)
/// until it gives `None`.
#[derive(Debug)]
pub struct RequestReader {
    limits: Limits,
    buffer: BString,
}

impl RequestReader {
    /// A reader at the beginning of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BString::default(),
        }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = (bytes, &self.limits, &self.buffer);
        todo!()
    }

    /// The client has closed its sending side: what it has sent is all.
    pub fn finish(&mut self) {
        todo!()
    }

    /// The next complete request, or `None` if more bytes are needed.
    pub fn poll_request(&mut self) -> Option<Result<Request, RequestError>> {
        todo!()
    }

    /// Whether a part of a request has been read, so that the rest is due.
    pub fn is_inside_request(&self) -> bool {
        todo!()
    }
}
