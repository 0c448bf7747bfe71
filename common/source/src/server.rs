//! One query after the other, rows as they come.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

use bstr::ByteSlice;
use livestatus::json::Row;
use livestatus::{Event, Query, ResponseReader, Server};
use program::{Address, Failure, Status};
use rustix::net::sockopt;

/// Longest row that is read, in bytes of JSON: one object with all its texts.
const MAX_ROW: usize = 16 << 20;

/// A Livestatus server.
#[derive(Debug)]
pub struct Source {
    address: Address,
    limits: Limits,
    server: Server,
    queries_shown: bool,
}

/// How long the server may let us wait. There is no limit on the whole as long
/// as something comes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection, on each address that a host has.
    pub connect: Duration,
    /// For the first byte of an answer, which servers make completely before
    /// they send it.
    pub first_byte: Duration,
    /// For every further one.
    pub idle: Duration,
}

/// Why a query has no answer, or not all of one.
#[derive(Debug)]
pub enum Error {
    /// The server does not answer this query. No row has come.
    Refused(Refusal),
    /// Anything else.
    Other(Failure),
}

/// What a server says instead of an answer.
#[derive(Debug)]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// Its words.
    pub message: String,
    /// Both as they are told to the user.
    pub failure: Failure,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(Refusal { failure, .. }) | Error::Other(failure) => failure,
        }
    }
}

impl Source {
    /// Finds out which server listens at `address`.
    pub fn detect(address: Address, limits: Limits) -> Result<Self, Failure> {
        // Until we know, all precautions are taken anyway: they cost a
        // connection per query, and a dump is a handful of them.
        let mut source = Self {
            address,
            limits,
            server: Server::Icinga2,
            queries_shown: false,
        };
        let query = Query::rows("status", ["program_version", "livestatus_version"]);
        let mut server = None;
        source.each_row(&query, |row| {
            server = Some(Server::detect(&row.cell(0).text(), &row.cell(1).text()));
            Ok(())
        })?;
        source.server = server.ok_or_else(|| {
            let what = format!("{}: the server says nothing about itself", source.address);
            Failure::new(Status::Failed, what)
        })?;
        Ok(source)
    }

    /// Prints each further query on standard error before it is asked.
    pub fn show_queries(&mut self, shown: bool) {
        self.queries_shown = shown;
    }

    /// Which server it is.
    pub fn server(&self) -> Server {
        self.server
    }

    /// Asks `query` and hands each row to `visit`. Memory is bounded by a row.
    ///
    /// Each query has a connection of its own, which is closed at once: in
    /// Icinga 2 an open one takes a thread away from the checks.
    ///
    /// Fails with [`Status::TryAgain`] where the server cannot be reached, with
    /// [`Status::Incomplete`] where its answer breaks off, and with
    /// [`Status::Failed`] where it refuses the query.
    pub fn each_row(
        &self,
        query: &Query,
        mut visit: impl FnMut(&Row) -> Result<(), Failure>,
    ) -> Result<(), Error> {
        let answer = |error| self.answer_error(query, error);
        let request = query.print().map_err(answer)?;
        if self.queries_shown {
            eprint!("{}", request.as_bstr());
        }
        let mut connection = self
            .connect()
            .map_err(|error| Failure::caused(Status::TryAgain, self.address.to_string(), error))?;
        let broken = |error| Failure::caused(Status::Incomplete, self.address.to_string(), error);
        connection.send(&request).map_err(broken)?;
        let mut reader = ResponseReader::new(MAX_ROW);
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.poll_event().map_err(answer)? {
                Event::Row(row) => visit(row)?,
                Event::End => return Ok(()),
                Event::NeedInput => match connection.receive(&mut buffer).map_err(broken)? {
                    0 => reader.finish(),
                    length => reader.push(&buffer[..length]),
                },
            }
        }
    }

    fn connect(&self) -> io::Result<Connection> {
        let limits = self.limits;
        let connect = |error: io::Error| match error.kind() {
            ErrorKind::TimedOut => timed_out("no connection within", limits.connect),
            _ => error,
        };
        let socket = self
            .address
            .connect(Some(limits.connect))
            .map_err(connect)?;
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            sockopt::set_socket_timeout(&socket, direction, Some(limits.first_byte))?;
        }
        Ok(Connection {
            socket: socket.into(),
            is_tcp: matches!(self.address, Address::Tcp { .. }),
            limits,
            begun: false,
        })
    }

    fn answer_error(&self, query: &Query, error: livestatus::Error) -> Error {
        let what = format!("{}: query for {}", self.address, query.table);
        match error {
            livestatus::Error::Refused {
                status,
                ref message,
            } => Error::Refused(Refusal {
                status,
                message: message.clone(),
                failure: Failure::caused(Status::Failed, what, error),
            }),
            livestatus::Error::Truncated { .. } => {
                Error::Other(Failure::caused(Status::Incomplete, what, error))
            }
            _ => Error::Other(Failure::caused(Status::Failed, what, error)),
        }
    }
}

/// One connection, for one query.
struct Connection {
    socket: File,
    is_tcp: bool,
    limits: Limits,
    /// Whether the answer has begun.
    begun: bool,
}

impl Connection {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.socket.write_all(request).map_err(|error| {
            explain(
                error,
                "the server does not read within",
                self.limits.first_byte,
            )
        })
    }

    /// Reads what is there; 0 is the end.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_tcp {
                // Some servers send the frame's header alone and wait for its
                // acknowledgement. It is only a wish: the answer comes anyway.
                let _ = sockopt::set_tcp_quickack(&self.socket, true);
            }
            match self.socket.read(buffer) {
                Ok(length) if !self.begun => {
                    self.begun = true;
                    let idle = Some(self.limits.idle);
                    sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, idle)?;
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(length) => return Ok(length),
                Err(error) => {
                    return Err(match self.begun {
                        false => explain(
                            error,
                            "the server does not answer within",
                            self.limits.first_byte,
                        ),
                        true => explain(error, "the answer stopped for", self.limits.idle),
                    });
                }
            }
        }
    }
}

/// A timeout of a socket shows as "would block", which helps nobody.
fn explain(error: io::Error, what: &str, limit: Duration) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => timed_out(what, limit),
        _ => error,
    }
}

fn timed_out(what: &str, limit: Duration) -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("{what} {limit:?}"))
}

/// The socket of the OMD site that we are in.
pub fn default_socket() -> Result<Address, Failure> {
    match std::env::var_os("OMD_ROOT") {
        Some(root) if !root.is_empty() => Ok(Address::Unix(Path::new(&root).join("tmp/run/live"))),
        _ => Err(Failure::new(
            Status::Usage,
            "which server? Give its Livestatus socket with --socket, or set OMD_ROOT",
        )),
    }
}
