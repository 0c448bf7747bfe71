//! Who takes the states: a Livestatus socket, to which commands are written and
//! which may say something at the end.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use program::tls::{Client, Stream};
use program::{Address, Failure, Status};
use rustix::net::{Shutdown, shutdown, sockopt};

use crate::cli::Tls;

/// How long connecting may take, on each address that a host has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const MAX_ANSWER: u64 = 1 << 16;

/// A connection to it.
pub(crate) struct Receiver {
    address: String,
    connection: Connection,
    /// It has stopped reading; what it has to say comes at the end.
    is_deaf: bool,
}

enum Connection {
    Plain(File),
    Tls(Box<Stream>),
}

impl Receiver {
    /// Connects; `timeout` is its longest silence from then on.
    pub(crate) fn connect(
        address: &Address,
        tls: &Tls,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let again = |error| {
            let what = format!("cannot connect to {address}");
            Failure::caused(Status::TryAgain, what, explain(error))
        };
        let connection = match (address, Client::of(address, tls.options())?) {
            (Address::Tls { host, port }, Some(client)) => {
                let stream = connect_tls(address, &client, host, *port, timeout)?;
                Connection::Tls(Box::new(stream))
            }
            _ => {
                let socket = address.connect(Some(CONNECT_TIMEOUT)).map_err(again)?;
                for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
                    sockopt::set_socket_timeout(&socket, direction, Some(timeout))
                        .map_err(|error| again(error.into()))?;
                }
                Connection::Plain(socket.into())
            }
        };
        Ok(Self {
            address: address.to_string(),
            connection,
            is_deaf: false,
        })
    }

    /// Sends commands. That nobody reads them is no error yet: who refuses a
    /// dump says why, which is read at the end.
    pub(crate) fn send(&mut self, commands: &[u8]) -> Result<(), Failure> {
        if self.is_deaf {
            return Ok(());
        }
        let sent = match &mut self.connection {
            Connection::Plain(socket) => socket.write_all(commands),
            Connection::Tls(stream) => stream.write_all(commands),
        };
        match sent {
            Ok(()) => Ok(()),
            Err(error) if is_closed(&error) => {
                self.is_deaf = true;
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether it has stopped reading.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Says that this was all, and reads what it has to say to that.
    pub(crate) fn finish(mut self) -> Result<String, Failure> {
        let ended = match &mut self.connection {
            Connection::Plain(socket) => {
                shutdown(&*socket, Shutdown::Write).map_err(io::Error::from)
            }
            Connection::Tls(stream) => stream.finish(),
        };
        ended
            .or_else(|error| {
                if is_closed(&error) {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(|error| self.failed(error))?;
        let mut answer = Vec::new();
        let reader: &mut dyn Read = match &mut self.connection {
            Connection::Plain(socket) => socket,
            Connection::Tls(stream) => stream.as_mut(),
        };
        match reader.take(MAX_ANSWER).read_to_end(&mut answer) {
            // It closed after what it had to say.
            Err(error) if !answer.is_empty() && is_closed(&error) => {}
            Err(error) => return Err(self.failed(error)),
            Ok(_) => {}
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// What was sent may have arrived or not.
    fn failed(&self, error: io::Error) -> Failure {
        Failure::caused(Status::Incomplete, self.address.clone(), explain(error))
    }
}

fn connect_tls(
    address: &Address,
    client: &Client,
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<Stream, Failure> {
    client.connect(host, port, Some(timeout)).map_err(|error| {
        let status = if error.is_temporary() {
            Status::TryAgain
        } else {
            Status::Failed
        };
        Failure::caused(status, format!("cannot connect to {address}"), error)
    })
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof
    )
}

/// A timeout of a socket shows as "would block", which helps nobody.
fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::new(ErrorKind::TimedOut, "the receiver does not answer")
        }
        _ => error,
    }
}
