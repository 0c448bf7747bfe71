//! A stream to a server, blocking, with a limit on its silence.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use objects::SiteId;
use program::tls::Client;
use program::{Address, Failure, Status};
use rustix::net::{Shutdown, sockopt};

use crate::cli;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the server may be silent, or not read.
const SILENCE: Duration = Duration::from_secs(60);

/// A server, and what is needed to believe it.
#[derive(Debug)]
pub(crate) struct Place {
    address: Address,
    tls: Option<Client>,
}

impl Place {
    pub(crate) fn new(address: Address, tls: &cli::Tls) -> Result<Self, Failure> {
        let tls = Client::of(&address, tls.options())?;
        Ok(Self { address, tls })
    }

    /// Where it is a directory with a socket for each site, takes that of `site`.
    pub(crate) fn enter(&mut self, site: &SiteId) {
        if let Address::Unix(path) = &mut self.address
            && path.is_dir()
        {
            path.push(site.as_str());
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// An open connection.
pub(crate) struct Connection {
    stream: Stream,
}

enum Stream {
    Plain(File),
    Tls(Box<program::tls::Stream>),
}

impl Connection {
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        let what = || format!("cannot connect to {place}");
        if let (Some(client), Address::Tls { host, port }) = (&place.tls, &place.address) {
            return match client.connect(host, *port, Some(CONNECT)) {
                Ok(stream) => Ok(Self {
                    stream: Stream::Tls(Box::new(stream)),
                }),
                Err(error) => {
                    let status = match error.is_temporary() {
                        true => Status::TryAgain,
                        false => Status::Failed,
                    };
                    Err(Failure::caused(status, what(), error))
                }
            };
        }
        let socket = place
            .address
            .connect(Some(CONNECT))
            .map_err(|error| Failure::caused(Status::TryAgain, what(), error))?;
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            sockopt::set_socket_timeout(&socket, direction, Some(SILENCE))
                .map_err(|error| Failure::caused(Status::TryAgain, what(), error))?;
        }
        Ok(Self {
            stream: Stream::Plain(socket.into()),
        })
    }

    pub(crate) fn send(&mut self, place: &Place, bytes: &[u8]) -> Result<(), Failure> {
        let sent = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.map_err(|error| failure(place, "send to", error))
    }

    /// Tells the server that nothing more will come.
    pub(crate) fn finish(&mut self, place: &Place) -> Result<(), Failure> {
        let finished = match &mut self.stream {
            Stream::Plain(socket) => match rustix::net::shutdown(&*socket, Shutdown::Write) {
                Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Stream::Tls(stream) => stream.finish(),
        };
        finished.map_err(|error| failure(place, "send to", error))
    }

    /// Reads what is there; 0 is the end.
    pub(crate) fn receive(&mut self, place: &Place, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(buffer),
                Stream::Tls(stream) => stream.read(buffer),
            };
            match read {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(failure(place, "read from", error)),
            }
        }
    }
}

fn failure(place: &Place, what: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::new(Status::TryAgain, format!("{place} does not answer"))
        }
        _ => Failure::caused(Status::TryAgain, format!("cannot {what} {place}"), error),
    }
}
