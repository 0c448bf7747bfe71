//! The server that is dumped: one query after the other, rows as they come.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use livestatus::json::Row;
use livestatus::{Event, Query, ResponseReader, Server};
use program::{Address, Failure, Status};
use rustix::net::sockopt;

/// Longest row that is read, in bytes of JSON: one object with all its texts.
const MAX_ROW: usize = 16 << 20;
/// How long connecting may take, on each address that a host has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A Livestatus server.
pub(crate) struct Source {
    address: Address,
    timeout: Duration,
    server: Server,
}

impl Source {
    /// Finds out which server listens at `address`.
    pub(crate) fn detect(address: Address, timeout: Duration) -> Result<Self, Failure> {
        // Until we know, all precautions are taken anyway: they cost a
        // connection per query, and a dump is three or four of them.
        let mut source = Self {
            address,
            timeout,
            server: Server::Icinga2,
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

    /// Which server it is.
    pub(crate) fn server(&self) -> Server {
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
    pub(crate) fn each_row(
        &self,
        query: &Query,
        mut visit: impl FnMut(&Row) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let place = || self.address.to_string();
        let answer = |error| self.answer_failure(query, error);
        let broken = |error| Failure::caused(Status::Incomplete, place(), explain(error));
        let request = query.print().map_err(answer)?;
        let mut stream = self
            .connect()
            .map_err(|error| Failure::caused(Status::TryAgain, place(), explain(error)))?;
        stream.write_all(&request).map_err(broken)?;
        let mut reader = ResponseReader::new(MAX_ROW);
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.poll_event().map_err(answer)? {
                Event::Row(row) => visit(row)?,
                Event::End => return Ok(()),
                Event::NeedInput => match stream.read(&mut buffer) {
                    Ok(0) => reader.finish(),
                    Ok(length) => reader.push(&buffer[..length]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(broken(error)),
                },
            }
        }
    }

    fn connect(&self) -> std::io::Result<File> {
        let socket = self.address.connect(Some(CONNECT_TIMEOUT))?;
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            sockopt::set_socket_timeout(&socket, direction, Some(self.timeout))?;
        }
        Ok(socket.into())
    }

    fn answer_failure(&self, query: &Query, error: livestatus::Error) -> Failure {
        let status = match error {
            livestatus::Error::Truncated { .. } => Status::Incomplete,
            _ => Status::Failed,
        };
        let what = format!("{}: query for {}", self.address, query.table);
        Failure::caused(status, what, error)
    }
}

/// A timeout of a socket shows as "would block", which helps nobody.
fn explain(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            std::io::Error::new(std::io::ErrorKind::TimedOut, "the server does not answer")
        }
        _ => error,
    }
}
