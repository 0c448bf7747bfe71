//! Where a Livestatus server listens.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// How long connecting may take, on each address that a host has.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A Livestatus socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `PATH` or `unix:PATH`
    Unix(PathBuf),
    /// `tcp:HOST:PORT`
    Tcp(String),
}

/// A connection, of either family.
pub(crate) trait Stream: io::Read + io::Write {}

impl Stream for UnixStream {}
impl Stream for TcpStream {}

impl Address {
    /// Connects; reads and writes of the stream give up after `timeout`.
    pub(crate) fn connect(&self, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                // While the server's queue is full, connecting waits as long
                // as a write may.
                socket.set_write_timeout(Some(CONNECT_TIMEOUT))?;
                socket.connect(&SockAddr::unix(path)?)?;
                socket.set_write_timeout(Some(timeout))?;
                socket.set_read_timeout(Some(timeout))?;
                Ok(Box::new(UnixStream::from(socket)))
            }
            Self::Tcp(address) => {
                let stream = connect_tcp(address)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(timeout))?;
                stream.set_read_timeout(Some(timeout))?;
                Ok(Box::new(stream))
            }
        }
    }
}

fn connect_tcp(address: &str) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl std::str::FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(address) = text.strip_prefix("tcp:") {
            return match address.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self::Tcp(address.to_owned()))
                }
                _ => Err("not of the form tcp:HOST:PORT"),
            };
        }
        match text.strip_prefix("unix:").unwrap_or(text) {
            "" => Err("the path is empty"),
            path => Ok(Self::Unix(path.into())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_three_forms() {
        for (text, want) in [
            ("/run/live", Ok(Address::Unix("/run/live".into()))),
            ("unix:tmp/live", Ok(Address::Unix("tmp/live".into()))),
            ("tcp:[::1]:6557", Ok(Address::Tcp("[::1]:6557".into()))),
            ("tcp:host", Err("not of the form tcp:HOST:PORT")),
            ("tcp::6557", Err("not of the form tcp:HOST:PORT")),
            ("tcp:host:70000", Err("not of the form tcp:HOST:PORT")),
            ("unix:", Err("the path is empty")),
        ] {
            assert_eq!(text.parse(), want, "{text}");
        }
    }
}
