//! Sockets as they are named on command lines, and connecting to them.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

/// How long a connection is silent before the system asks whether the peer is
/// still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A stream socket as it stands on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `PATH` or `unix:PATH`.
    Unix(PathBuf),
    /// `tcp:HOST:PORT` or `tcp:[ADDRESS]:PORT`.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// `tls:HOST:PORT` or `tls:[ADDRESS]:PORT`.
    Tls {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

impl Address {
    /// Connects; gives up after `timeout`, if there is one, on each address
    /// the host has. Not with TLS: that is more than a socket, and where it is
    /// spoken, the module `tls` connects.
    pub fn connect(&self, timeout: Option<Duration>) -> io::Result<OwnedFd> {
        match self {
            Self::Unix(path) => {
                let address = SocketAddrUnix::new(path.as_path())?;
                let socket = rustix::net::socket_with(
                    AddressFamily::UNIX,
                    SocketType::STREAM,
                    SocketFlags::CLOEXEC,
                    None,
                )?;
                // Where the listener's queue is full, connect(2) waits as
                // long as a send would.
                sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, timeout)?;
                match rustix::net::connect(&socket, &address) {
                    Ok(()) => Ok(socket),
                    Err(rustix::io::Errno::AGAIN) => Err(io::ErrorKind::TimedOut.into()),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Tcp { host, port } => connect_tcp(host, *port, timeout),
            Self::Tls { .. } => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this program does not speak TLS",
            )),
        }
    }
}

pub(crate) fn connect_tcp(host: &str, port: u16, timeout: Option<Duration>) -> io::Result<OwnedFd> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "host has no address");
    for address in (host, port).to_socket_addrs()? {
        let connected = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                // A peer that vanished is noticed, whoever waits without a limit.
                sockopt::set_socket_keepalive(&stream, true)?;
                sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE)?;
                return Ok(stream.into());
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix(path) => return write!(f, "{}", path.display()),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Tls { host, port } => ("tls", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}:[{host}]:{port}")
        } else {
            write!(f, "{scheme}:{host}:{port}")
        }
    }
}

impl std::str::FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("tcp:") {
            let (host, port) =
                host_and_port(rest).ok_or("not of the form tcp:HOST:PORT or tcp:[ADDRESS]:PORT")?;
            return Ok(Self::Tcp { host, port });
        }
        if let Some(rest) = text.strip_prefix("tls:") {
            let (host, port) =
                host_and_port(rest).ok_or("not of the form tls:HOST:PORT or tls:[ADDRESS]:PORT")?;
            return Ok(Self::Tls { host, port });
        }
        match text.strip_prefix("unix:").unwrap_or(text) {
            "" => Err("the path of the socket is empty"),
            path => Ok(Self::Unix(path.into())),
        }
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(host) => host.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let port = port.parse().ok()?;
    (!host.is_empty() && port != 0).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<Address, &'static str> {
        let host = host.to_owned();
        Ok(Address::Tcp { host, port })
    }

    #[test]
    fn addresses_are_paths_unless_they_say_otherwise() {
        for (text, want) in [
            ("tmp/run/live", Ok(Address::Unix("tmp/run/live".into()))),
            ("unix:/run/live", Ok(Address::Unix("/run/live".into()))),
            ("./tcp:odd", Ok(Address::Unix("./tcp:odd".into()))),
            ("tcp:central:6557", tcp("central", 6557)),
            ("tcp:[::1]:6557", tcp("::1", 6557)),
            (
                "tls:[::1]:6557",
                Ok(Address::Tls {
                    host: "::1".to_owned(),
                    port: 6557,
                }),
            ),
        ] {
            assert_eq!(text.parse(), want, "{text}");
        }
        for text in ["tls:[::1]:6557", "tls:central:1", "tcp:[::1]:6557"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "unix:",
            "tcp:",
            "tcp:host",
            "tcp:host:",
            "tcp::6557",
            "tcp:host:0",
            "tcp:host:65536",
            "tcp:::1:6557",
            "tcp:[::1:6557",
            "tls:host",
            "tls:host:0",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
