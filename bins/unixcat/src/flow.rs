//! One direction of the copy: a buffer between a source and a sink, neither of
//! which it waits for.

use std::io::{ErrorKind, Result};

const CAPACITY: usize = 64 * 1024;

/// What has been read from the source and not yet been written to the sink.
pub(crate) struct Flow {
    buffer: Box<[u8]>,
    /// `start <= end`; the bytes between them are waiting.
    start: usize,
    end: usize,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Open,
    Ended,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
            source: Source::Open,
        }
    }

    /// Whether there is something to write.
    pub(crate) fn wants_sink(&self) -> bool {
        self.start < self.end
    }

    /// Whether the source may have more and there is room for it.
    pub(crate) fn wants_source(&self) -> bool {
        self.source == Source::Open && !self.wants_sink()
    }

    /// Whether the source has ended and everything of it was written.
    pub(crate) fn is_finished(&self) -> bool {
        self.source == Source::Ended && !self.wants_sink()
    }

    /// Reads nothing more, and forgets what was not written.
    pub(crate) fn abandon(&mut self) {
        self.source = Source::Ended;
        self.start = self.end;
    }

    /// Reads nothing more; what was read is still to be written.
    pub(crate) fn end(&mut self) {
        self.source = Source::Ended;
    }

    /// Fills the buffer by one call of `read`, where 0 is the end. Returns
    /// whether anything happened.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<bool> {
        match read(&mut self.buffer) {
            Ok(0) => self.source = Source::Ended,
            Ok(count) => (self.start, self.end) = (0, count),
            Err(error) if is_nothing(error.kind()) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Empties the buffer as far as one call of `write` goes. Returns whether
    /// anything happened.
    pub(crate) fn drain(&mut self, write: impl FnOnce(&[u8]) -> Result<usize>) -> Result<bool> {
        match write(&self.buffer[self.start..self.end]) {
            Ok(count) => self.start += count,
            Err(error) if is_nothing(error.kind()) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

/// Whether the call may be made again, and nothing has happened.
fn is_nothing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_lose_nothing() {
        let mut flow = Flow::new();
        let mut source = &b"hello world"[..];
        let mut sink = Vec::new();
        while !flow.is_finished() {
            if flow.wants_source() {
                flow.fill(|room| {
                    let count = source.len().min(4);
                    room[..count].copy_from_slice(&source[..count]);
                    source = &source[count..];
                    Ok(count)
                })
                .unwrap();
            }
            if flow.wants_sink() {
                flow.drain(|bytes| {
                    sink.push(bytes[0]);
                    Ok(1)
                })
                .unwrap();
            }
        }
        assert_eq!(sink, b"hello world");
    }

    #[test]
    fn interrupted_calls_change_nothing() {
        let mut flow = Flow::new();
        assert!(!flow.fill(|_| Err(ErrorKind::Interrupted.into())).unwrap());
        assert!(flow.wants_source());
        flow.fill(|_| Ok(5)).unwrap();
        assert!(!flow.drain(|_| Err(ErrorKind::WouldBlock.into())).unwrap());
        assert!(flow.wants_sink());
    }
}
