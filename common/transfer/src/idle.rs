//! Input that may be slow, but not silent for ever: whoever hangs at the other
//! end of a wire keeps others from coming in.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A stream whose silence is an error once it is too long.
#[derive(Debug)]
pub struct Idle<R> {
    from: R,
    limit: Duration,
}

impl<R: Read + AsFd> Idle<R> {
    /// `from` must not have read ahead: only the system is asked whether there
    /// is something.
    pub fn new(from: R, limit: Duration) -> Self {
        Self { from, limit }
    }
}

/// Standard input, of which nobody may have read anything yet.
pub fn standard_input(limit: Duration) -> io::Result<Idle<File>> {
    let file = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(Idle::new(file.into(), limit))
}

impl<R: Read + AsFd> Read for Idle<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A limit that the system cannot count to is none.
        let limit = Timespec::try_from(self.limit).ok();
        let mut fds = [PollFd::new(&self.from, PollFlags::IN)];
        if poll(&mut fds, limit.as_ref())? == 0 {
            let what = format!("nothing has come for {:?}", self.limit);
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        self.from.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn silence_ends_a_stream_and_slowness_does_not() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut idle = Idle::new(reader, Duration::from_millis(1));
        let mut buffer = [0; 8];
        let error = idle.read(&mut buffer).unwrap_err();
        assert_eq!(error.to_string(), "nothing has come for 1ms");
        for byte in b"slow" {
            writer.write_all(&[*byte]).unwrap();
            assert_eq!(idle.read(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], *byte);
        }
        drop(writer);
        assert_eq!(idle.read(&mut buffer).unwrap(), 0);
    }
}
