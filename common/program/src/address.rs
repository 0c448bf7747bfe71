//! Sockets as they are named on command lines, and connecting to them.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

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
}

impl Address {
    /// Connects; gives up after `timeout`, if there is one, on each address
    /// the host has.
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
            Self::Tcp { host, port } => {
                let mut failure = io::Error::new(io::ErrorKind::NotFound, "host has no address");
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    let connected = match timeout {
                        Some(timeout) => TcpStream::connect_timeout(&address, timeout),
                        None => TcpStream::connect(address),
                    };
                    match connected {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            return Ok(stream.into());
                        }
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl std::str::FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("tcp:") {
            const FORM: &str = "not of the form tcp:HOST:PORT or tcp:[ADDRESS]:PORT";
            let (host, port) = rest.rsplit_once(':').ok_or(FORM)?;
            let host = match host.strip_prefix('[') {
                Some(host) => host.strip_suffix(']').ok_or(FORM)?,
                None if host.contains(':') => return Err(FORM),
                None => host,
            };
            let port = port.parse().map_err(|_| FORM)?;
            if host.is_empty() || port == 0 {
                return Err(FORM);
            }
            let host = host.to_owned();
            return Ok(Self::Tcp { host, port });
        }
        match text.strip_prefix("unix:").unwrap_or(text) {
            "" => Err("the path of the socket is empty"),
            path => Ok(Self::Unix(path.into())),
        }
    }
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
        ] {
            assert_eq!(text.parse(), want, "{text}");
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
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
