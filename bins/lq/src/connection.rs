//! One connection to a Livestatus server, blocking, with limits on silence.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use program::{Address, Failure, Status};
use rustix::net::{Shutdown, sockopt};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

pub(crate) struct Connection {
    socket: File,
    address: Address,
}

impl Connection {
    pub(crate) fn open(address: &Address, timeout: Duration) -> Result<Self, Failure> {
        let socket = address.connect(Some(CONNECT)).map_err(|error| {
            Failure::caused(
                Status::TryAgain,
                format!("cannot connect to {address}"),
                error,
            )
        })?;
        let connection = Self {
            socket: socket.into(),
            address: address.clone(),
        };
        for direction in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
            sockopt::set_socket_timeout(&connection.socket, direction, Some(timeout))
                .map_err(|error| connection.failure("set a limit for", error.into()))?;
        }
        Ok(connection)
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), Failure> {
        self.socket
            .write_all(request)
            .map_err(|error| self.failure("send to", error))
    }

    /// Tells the server that nothing more will come.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match rustix::net::shutdown(&self.socket, Shutdown::Write) {
            // It has closed already, and what it said before can be read.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
            Err(error) => Err(self.failure("send to", error.into())),
        }
    }

    /// Reads what is there; 0 is the end.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            match self.socket.read(buffer) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failure("read from", error)),
            }
        }
    }

    fn failure(&self, what: &str, error: io::Error) -> Failure {
        let address = &self.address;
        if error.kind() == io::ErrorKind::WouldBlock {
            return Failure::new(Status::TryAgain, format!("{address} does not answer"));
        }
        Failure::caused(Status::TryAgain, format!("cannot {what} {address}"), error)
    }
}
