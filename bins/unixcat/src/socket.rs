//! The socket, with TLS or without. Nothing here waits but connecting.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use program::Failure;
#[cfg(feature = "tls")]
use program::Status;
use program::connection::{Limits, Stream, Target};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::cli::Args;

pub(crate) enum Socket {
    Plain(OwnedFd),
    #[cfg(feature = "tls")]
    Tls(Box<program::tls::Stream>),
}

impl Socket {
    pub(crate) fn connect(args: &Args) -> Result<Self, Failure> {
        let limits = Limits {
            connect: args.connect_timeout,
            silence: None,
        };
        #[cfg(feature = "tls")]
        let target = Target::with_tls(args.socket.clone(), limits, args.tls.options())?;
        #[cfg(not(feature = "tls"))]
        let target = Target::new(args.socket.clone(), limits);
        match target.open()? {
            Stream::Plain(socket) => Ok(Self::Plain(socket.into())),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                rustix::io::ioctl_fionbio(&stream, true).map_err(|error| {
                    let error = io::Error::from(error);
                    Failure::caused(Status::Failed, "cannot set up the socket", error)
                })?;
                Ok(Self::Tls(stream))
            }
        }
    }

    /// Whether the kernel can move bytes through it by itself.
    pub(crate) fn can_splice(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Takes as many bytes as there is room for.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                Ok(rustix::net::send(socket, bytes, flags)?)
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => io::Write::write(stream, bytes),
        }
    }

    /// Reads what is there; 0 is the end.
    pub(crate) fn receive(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => {
                let (count, _) = rustix::net::recv(socket, room, RecvFlags::DONTWAIT)?;
                Ok(count)
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => io::Read::read(stream, room),
        }
    }

    /// Tells the peer that nothing more will come. With TLS it is to be called
    /// again when there was no room for that.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => match rustix::net::shutdown(socket, Shutdown::Write) {
                // It has closed already.
                Ok(()) | Err(Errno::NOTCONN) => Ok(()),
                Err(error) => Err(error.into()),
            },
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.finish(),
        }
    }

    /// Whether something that was taken waits for room.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.wants_write(),
        }
    }

    /// Sends what waits for room.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.send_waiting(),
        }
    }

    /// Whether there is something to read that poll(2) does not see.
    pub(crate) fn has_pending(&mut self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.has_pending(),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}
