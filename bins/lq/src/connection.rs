//! One connection to a Livestatus server, blocking, with limits on silence.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use program::{Address, Failure, Status};
use rustix::net::{Shutdown, sockopt};

use crate::cli::Args;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Who is asked, and how.
pub(crate) struct Target {
    address: Address,
    timeout: Duration,
    #[cfg(feature = "tls")]
    tls: Option<program::tls::Client>,
}

impl Target {
    /// What the command line and the environment say.
    pub(crate) fn new(args: &Args, usual_timeout: Duration) -> Result<Self, Failure> {
        let address = address(args)?;
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: program::tls::Client::of(&address, args.tls.options())?,
            address,
            timeout: args.timeout.unwrap_or(usual_timeout),
        })
    }

    pub(crate) fn connect(&self) -> Result<Connection<'_>, Failure> {
        let connection = Connection {
            stream: self.stream()?,
            is_tcp: !matches!(self.address, Address::Unix(_)),
            address: &self.address,
        };
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            let socket = connection.stream.socket();
            sockopt::set_socket_timeout(socket, direction, Some(self.timeout))
                .map_err(|error| connection.failure("set a limit for", error.into()))?;
        }
        Ok(connection)
    }

    fn stream(&self) -> Result<Stream, Failure> {
        let limit = self.timeout.min(CONNECT);
        #[cfg(feature = "tls")]
        if let (Some(client), Address::Tls { host, port }) = (&self.tls, &self.address) {
            return match client.connect(host, *port, Some(limit)) {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
                Err(error) if error.is_temporary() => Err(self.unreachable(error)),
                Err(error) => Err(Failure::caused(
                    Status::Failed,
                    format!("cannot agree on TLS with {}", self.address),
                    error,
                )),
            };
        }
        match self.address.connect(Some(limit)) {
            Ok(socket) => Ok(Stream::Plain(socket.into())),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    fn unreachable(&self, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
        let what = format!("cannot connect to {}", self.address);
        Failure::caused(Status::TryAgain, what, error)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)
    }
}

fn address(args: &Args) -> Result<Address, Failure> {
    if let Some(address) = &args.socket {
        return Ok(address.clone());
    }
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(text) = given("SITEWIRE_SOCKET") {
        // A path need not be UTF-8, the other forms are.
        return match text.to_str() {
            Some(text) => text.parse().map_err(|why| {
                Failure::new(Status::Usage, format!("SITEWIRE_SOCKET is '{text}': {why}"))
            }),
            None => Ok(Address::Unix(text.into())),
        };
    }
    Ok(Address::Unix(match given("OMD_ROOT") {
        Some(root) => PathBuf::from(root).join("tmp/run/live"),
        None => "/run/sitewire/live".into(),
    }))
}

pub(crate) struct Connection<'a> {
    stream: Stream,
    is_tcp: bool,
    address: &'a Address,
}

enum Stream {
    Plain(File),
    #[cfg(feature = "tls")]
    Tls(Box<program::tls::Stream>),
}

impl Connection<'_> {
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        let sent = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(request),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write_all(request).and_then(|()| stream.flush()),
        };
        sent.map_err(|error| self.failure("send to", error))
    }

    /// Tells the server that nothing more will come.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let finished = match &mut self.stream {
            Stream::Plain(socket) => match rustix::net::shutdown(&*socket, Shutdown::Write) {
                // It has closed already, and what it said before can be read.
                Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
                Err(error) => Err(error.into()),
            },
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.finish(),
        };
        finished.map_err(|error| self.failure("send to", error))
    }

    /// Reads what is there; 0 is the end.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            if self.is_tcp {
                // Some servers send the frame's header alone and wait for its
                // acknowledgement. It is only a wish: the answer comes anyway.
                let _ = sockopt::set_tcp_quickack(self.stream.socket(), true);
            }
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(buffer),
                #[cfg(feature = "tls")]
                Stream::Tls(stream) => stream.read(buffer),
            };
            match read {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An end that TLS does not vouch for. The frame tells whether
                // anything is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(self.failure("read from", error)),
            }
        }
    }

    fn failure(&self, what: &str, error: io::Error) -> Failure {
        let address = self.address;
        let status = match error.kind() {
            io::ErrorKind::WouldBlock => {
                return Failure::new(Status::TryAgain, format!("{address} does not answer"));
            }
            // TLS: the server does not like us, or somebody is in between.
            io::ErrorKind::InvalidData => Status::Failed,
            _ => Status::TryAgain,
        };
        Failure::caused(status, format!("cannot {what} {address}"), error)
    }
}

impl Stream {
    fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}
