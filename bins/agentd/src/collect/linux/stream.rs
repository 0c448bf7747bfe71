//! A stream to another program on this machine, for as long as there is time.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// All that is read and written must be so by the deadline.
pub(super) struct Stream {
    stream: UnixStream,
    deadline: Instant,
}

impl Stream {
    pub(super) fn connect(socket: &Path, deadline: Instant) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        Ok(Self { stream, deadline })
    }

    /// Fills the buffer.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut read = 0;
        while read < buffer.len() {
            self.limit()?;
            match self.stream.read(&mut buffer[read..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => read += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.limit()?;
        self.stream.write_all(bytes)
    }

    fn limit(&self) -> io::Result<()> {
        let patience = self.deadline.saturating_duration_since(Instant::now());
        let patience = Some(patience.max(Duration::from_millis(1)));
        self.stream.set_read_timeout(patience)?;
        self.stream.set_write_timeout(patience)
    }
}
