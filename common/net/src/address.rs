//! Where a peer is: `host:port`, `[::1]:6555` or `unix:/path`, and the plain
//! streams to there.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::error::Error;

/// A connection must be there after this long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel gives a connection up when what was sent stays without answer
/// this long: a second net below the session's own heartbeat.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections waiting to be accepted.
const BACKLOG: u32 = 256;

/// Where a peer is, or where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// Name or IP address, and port.
    Tcp {
        /// Without the brackets of IPv6.
        host: String,
        /// Port.
        port: u16,
    },
    /// Path of a socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| Error::BadAddress(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path
            .starts_with('/')
            .then(|| Address::Unix(PathBuf::from(path)));
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|ip| ip.contains(':'))?,
        None if host.contains(':') => return None,
        None => host,
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    let good = !host.is_empty() && host.chars().all(allowed) && !port.starts_with('+');
    Some(Address::Tcp {
        host: good.then(|| host.to_owned())?,
        port: port.parse().ok()?,
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Whether nobody beyond this machine can listen in: a Unix socket, or
    /// loopback. Only there may plain text be spoken without being asked for.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => host
                .parse::<IpAddr>()
                .map_or(host == "localhost", |ip| ip.is_loopback()),
            Self::Unix(_) => true,
        }
    }

    /// Connects, with a time limit and the socket options of a long-lived link.
    pub async fn connect(&self) -> Result<Stream, Error> {
        let failed = |source| Error::Io {
            what: "connect to",
            address: self.to_string(),
            source,
        };
        let connecting = async {
            Ok(match self {
                Self::Tcp { host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    set_options(&stream)?;
                    Stream::Tcp(stream)
                }
                Self::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
            })
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Listens. A Unix socket whose owner is gone is replaced; it is for its
    /// owner only (mode 0600).
    pub async fn listen(&self) -> Result<Listener, Error> {
        let result = match self {
            Self::Tcp { host, port } => listen_tcp(host, *port).await.map(Listener::Tcp),
            Self::Unix(path) => listen_unix(path)
                .await
                .map(|listener| Listener::Unix(listener, path.clone())),
        };
        result.map_err(|source| Error::Io {
            what: "listen on",
            address: self.to_string(),
            source,
        })
    }
}

async fn listen_tcp(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() {
            tokio::net::TcpSocket::new_v4()?
        } else {
            tokio::net::TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, error).await?;
            UnixListener::bind(path)?
        }
        other => other?,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes a socket that nobody listens on; anything else stays.
async fn remove_stale(path: &Path, in_use: io::Error) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
    let refused = is_socket
        && UnixStream::connect(path)
            .await
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if !refused {
        return Err(in_use);
    }
    std::fs::remove_file(path)
}

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix, and its path.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Takes the next connection: the stream, and its origin for the log.
    pub async fn accept(&self) -> io::Result<(Stream, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, origin) = listener.accept().await?;
                set_options(&stream)?;
                Ok((Stream::Tcp(stream), origin.to_string()))
            }
            Self::Unix(listener, path) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), format!("unix:{}", path.display())))
            }
        }
    }

    /// The number of its descriptor.
    pub fn descriptor(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener, _) => listener.as_raw_fd(),
        }
    }

    /// Where it listens; the port is the real one if 0 was asked for.
    pub fn address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(listener) => {
                let address = listener.local_addr()?;
                Address::Tcp {
                    host: address.ip().to_string(),
                    port: address.port(),
                }
            }
            Self::Unix(_, path) => Address::Unix(path.clone()),
        })
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    socket.set_tcp_keepalive(&keepalive)
}

/// A connected stream, before TLS.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

impl Stream {
    /// The number of its descriptor.
    pub fn descriptor(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    // TLS hands over several records at once; with the first alone, the alert
    // that tells a peer why it is not let in would be cut off.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_they_are_parsed() {
        for text in [
            "localhost:6555",
            "192.0.2.1:1",
            "[::1]:6555",
            "[fe80::1%eth0]:6555",
            "central.example.org:65535",
            "unix:/run/sitewire/peer",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":6555",
            "host",
            "host:",
            "host:70000",
            "host:+1",
            "host:-1",
            "::1:6555",
            "[::1]",
            "[::1:6555",
            "[host]:1",
            "a b:1",
            "a/b:1",
            "unix:relative",
            "unix:",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        for (text, local) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("unix:/x", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
            ("localhost.example.org:1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_local(), local, "{text}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_nothing_else() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("socket");
        let address = Address::Unix(path.clone());
        let listener = address.listen().await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // In use.
        assert!(address.listen().await.is_err());
        address.connect().await.unwrap();
        drop(listener);
        assert!(path.exists());
        let listener = address.listen().await.unwrap();
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(address.listen().await.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn tcp_links_have_their_options() {
        let address: Address = "127.0.0.1:0".parse().unwrap();
        let listener = address.listen().await.unwrap();
        let address = listener.address().unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), address.connect());
        for stream in [accepted.unwrap().0, connected.unwrap()] {
            let Stream::Tcp(stream) = stream else {
                panic!("not TCP");
            };
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        }
    }

    #[tokio::test]
    async fn nobody_there_names_the_address() {
        let error = Address::Unix("/nowhere/socket".into()).connect().await;
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "cannot connect to unix:/nowhere/socket");
    }
}
