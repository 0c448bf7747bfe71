//! One connection to a server, blocking, with a limit on connecting and one on
//! silence: over a Unix socket, TCP or, with the feature `tls`, TLS.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::net::{Shutdown, sockopt};

#[cfg(feature = "tls")]
use crate::tls;
use crate::{Address, Failure, Status};

/// How long may be waited.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For a connection, on each address that a host has, TLS included.
    pub connect: Option<Duration>,
    /// For the server to say something, or to take something.
    pub silence: Option<Duration>,
}

/// Who is connected to, and what is needed to believe it.
#[derive(Debug)]
pub struct Target {
    address: Address,
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: Option<tls::Client>,
}

impl Target {
    /// A server with which no TLS is spoken.
    pub fn new(address: Address, limits: Limits) -> Self {
        Self {
            address,
            limits,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// A server with which TLS is spoken if its address says so.
    #[cfg(feature = "tls")]
    pub fn with_tls(
        address: Address,
        limits: Limits,
        options: tls::Options<'_>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            tls: tls::Client::of(&address, options)?,
            address,
            limits,
        })
    }

    /// Connects. The limit on silence holds from then on.
    pub fn connect(&self) -> Result<Connection, Error> {
        let connection = Connection {
            stream: self.open()?,
            address: self.address.clone(),
            was_cut_off: false,
        };
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            let socket = connection.stream.as_fd();
            sockopt::set_socket_timeout(socket, direction, self.limits.silence)
                .map_err(|error| connection.broken("set a limit for", error.into()))?;
        }
        Ok(connection)
    }

    /// Connects, for who waits in a way of its own: which limit on silence the
    /// socket has is not said.
    pub fn open(&self) -> Result<Stream, Error> {
        let unreachable = |source| Error::Unreachable {
            address: self.address.clone(),
            source,
        };
        #[cfg(feature = "tls")]
        if let (Some(client), Address::Tls { host, port }) = (&self.tls, &self.address) {
            return match client.connect(host, *port, self.limits.connect) {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
                Err(tls::Error::Io(source)) => Err(unreachable(source)),
                Err(source) => Err(Error::Tls {
                    address: self.address.clone(),
                    source,
                }),
            };
        }
        let socket = self.address.connect(self.limits.connect);
        Ok(Stream::Plain(socket.map_err(unreachable)?.into()))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// What bytes go through.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(File),
    /// In TLS.
    #[cfg(feature = "tls")]
    Tls(Box<tls::Stream>),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    address: Address,
    was_cut_off: bool,
}

impl Connection {
    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.map_err(|error| self.broken("send to", error))
    }

    /// Tells the server that nothing more will come. If it has closed already,
    /// what it said before can still be read.
    pub fn finish(&mut self) -> Result<(), Error> {
        let finished = match &mut self.stream {
            Stream::Plain(socket) => {
                rustix::net::shutdown(&*socket, Shutdown::Write).map_err(io::Error::from)
            }
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.finish(),
        };
        match finished {
            Err(error) if !is_closed(error.kind()) => Err(self.broken("send to", error)),
            _ => Ok(()),
        }
    }

    /// Reads what is there; 0 is the end.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            if !matches!(self.address, Address::Unix(_)) {
                // Some servers send the head of an answer alone and wait for its
                // acknowledgement. It is only a wish: the answer comes anyway.
                let _ = sockopt::set_tcp_quickack(self.stream.as_fd(), true);
            }
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(buffer),
                #[cfg(feature = "tls")]
                Stream::Tls(stream) => stream.read(buffer),
            };
            match read {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.was_cut_off = true;
                    return Ok(0);
                }
                Err(error) => return Err(self.broken("read from", error)),
            }
        }
    }

    /// Reads to the end, at most `limit` bytes. A server may close in a hurry
    /// after what it had to say.
    pub fn receive_rest(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut rest = Vec::new();
        let mut buffer = [0; 4096];
        while rest.len() < limit {
            match self.receive(&mut buffer) {
                Ok(0) => break,
                Ok(count) => rest.extend_from_slice(&buffer[..count]),
                Err(error) if error.is_closed() && !rest.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        rest.truncate(limit);
        Ok(rest)
    }

    /// Whether the end came without the server's word, as TLS wants it:
    /// somebody in between may have cut off what it had to say.
    pub fn was_cut_off(&self) -> bool {
        self.was_cut_off
    }

    fn broken(&self, what: &'static str, source: io::Error) -> Error {
        let address = self.address.clone();
        match source.kind() {
            // What a limit of a socket shows as.
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Silent { address },
            _ => Error::Broken {
                what,
                address,
                source,
            },
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::NotConnected
    )
}

/// Why there is no connection, or no longer one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Nobody is there.
    Unreachable {
        /// Where.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The two ends did not agree, or the server is not whom it should be.
    #[cfg(feature = "tls")]
    Tls {
        /// Where.
        address: Address,
        /// Why.
        source: tls::Error,
    },
    /// The server said or took nothing for as long as it may.
    Silent {
        /// Where.
        address: Address,
    },
    /// The connection broke.
    Broken {
        /// What was to be done: "send to" or the like.
        what: &'static str,
        /// Where.
        address: Address,
        /// How.
        source: io::Error,
    },
}

impl Error {
    /// Whether trying again later may help.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => !matches!(
                source.kind(),
                ErrorKind::InvalidInput | ErrorKind::InvalidFilename | ErrorKind::Unsupported
            ),
            #[cfg(feature = "tls")]
            Self::Tls { .. } => false,
            Self::Silent { .. } => true,
            // TLS: the server does not like us, or somebody is in between.
            Self::Broken { source, .. } => source.kind() != ErrorKind::InvalidData,
        }
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Broken { source, .. } if is_closed(source.kind()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { address, .. } => write!(f, "cannot connect to {address}"),
            #[cfg(feature = "tls")]
            Self::Tls { address, .. } => write!(f, "cannot agree on TLS with {address}"),
            Self::Silent { address } => write!(f, "{address} does not answer"),
            Self::Broken { what, address, .. } => write!(f, "cannot {what} {address}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } | Self::Broken { source, .. } => Some(source),
            #[cfg(feature = "tls")]
            Self::Tls { source, .. } => Some(source),
            Self::Silent { .. } => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.is_temporary() {
            true => Status::TryAgain,
            false => Status::Failed,
        };
        error.into_failure(status)
    }
}

impl Error {
    /// The failure of a program that ends with `status` because of it.
    pub fn into_failure(self, status: Status) -> Failure {
        let what = self.to_string();
        match self {
            Self::Unreachable { source, .. } | Self::Broken { source, .. } => {
                Failure::caused(status, what, source)
            }
            #[cfg(feature = "tls")]
            Self::Tls { source, .. } => Failure::caused(status, what, source),
            Self::Silent { .. } => Failure::new(status, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn server(port: u16, silence: u64) -> Target {
        let host = "127.0.0.1".to_owned();
        let limits = Limits {
            connect: Some(Duration::from_secs(5)),
            silence: Some(Duration::from_millis(silence)),
        };
        Target::new(Address::Tcp { host, port }, limits)
    }

    #[test]
    fn what_a_server_says_before_it_hangs_up_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            stream.read_to_end(&mut asked).unwrap();
            stream.write_all(b"taken 1").unwrap();
            asked
        });
        let mut connection = server(port, 60_000).connect().unwrap();
        connection.send(b"something").unwrap();
        connection.finish().unwrap();
        assert_eq!(connection.receive_rest(5).unwrap(), b"taken");
        assert_eq!(answering.join().unwrap(), b"something");
        assert!(!connection.was_cut_off());
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut connection = server(port, 50).connect().unwrap();
        let error = connection.receive(&mut [0; 8]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("tcp:127.0.0.1:{port} does not answer")
        );
        assert_eq!(Failure::from(error).status(), Status::TryAgain);
        drop(listener);
        let error = server(port, 50).connect().unwrap_err();
        assert!(error.is_temporary(), "{error}");
    }
}
