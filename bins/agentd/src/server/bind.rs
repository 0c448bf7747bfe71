//! Opening ports.

use std::net::{SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens at `address`, or everywhere if it is empty.
pub(crate) fn bind(address: &str, port: u16) -> Result<TcpListener, String> {
    if address.is_empty() {
        let everywhere = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
        let without_ipv6 = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port));
        return open(everywhere)
            .or_else(|_| open(without_ipv6))
            .map_err(|error| format!("cannot listen on port {port}: {error}"));
    }
    let host = address.trim_start_matches('[').trim_end_matches(']');
    let named = |error| format!("cannot listen on {address}, port {port}: {error}");
    let mut failure = None;
    for candidate in (host, port).to_socket_addrs().map_err(named)? {
        match open(candidate) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = Some(error),
        }
    }
    Err(named(failure.unwrap_or_else(|| {
        std::io::ErrorKind::AddrNotAvailable.into()
    })))
}

/// Listens at `ADDRESS:PORT`, where the address may be empty.
pub(crate) fn bind_text(text: &str) -> Result<TcpListener, String> {
    let parts = text.rsplit_once(':');
    match parts.and_then(|(address, port)| Some((address, port.parse().ok()?))) {
        Some((address, port)) => bind(address, port),
        None => Err(format!("{text} is not of the form ADDRESS:PORT")),
    }
}

fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `::` is for both kinds of addresses.
        socket.set_only_v6(false)?;
    }
    // There it would let others take the port away from us.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
