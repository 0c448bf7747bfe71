//! One direction of the copy: a buffer between a source and a sink, neither of
//! which it waits for. Or no buffer: the kernel can move bytes from a socket to a
//! pipe by itself, see splice(2).

use std::io::{ErrorKind, Result};

const CAPACITY: usize = 64 * 1024;

/// What has been read from the source and not yet been written to the sink.
pub(crate) struct Flow {
    way: Way,
    source: Source,
}

enum Way {
    /// By our memory.
    Buffer {
        buffer: Box<[u8]>,
        /// `start <= end`; the bytes between them are waiting.
        start: usize,
        end: usize,
    },
    /// Past our memory. The bytes stay in the source until the sink has room.
    Splice {
        /// Whether the source has something, if only its end.
        waiting: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Open,
    Ended,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            way: Way::buffer(),
            source: Source::Open,
        }
    }

    /// A flow without a buffer, until it turns out that it needs one.
    pub(crate) fn spliced() -> Self {
        Self {
            way: Way::Splice { waiting: false },
            source: Source::Open,
        }
    }

    /// Whether nothing passes through our memory.
    pub(crate) fn is_spliced(&self) -> bool {
        matches!(self.way, Way::Splice { .. })
    }

    /// Whether there is something to write.
    pub(crate) fn wants_sink(&self) -> bool {
        match self.way {
            Way::Buffer { start, end, .. } => start < end,
            Way::Splice { waiting } => waiting,
        }
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
        match &mut self.way {
            Way::Buffer { start, end, .. } => *start = *end,
            Way::Splice { waiting } => *waiting = false,
        }
    }

    /// Reads nothing more; what was read is still to be written.
    pub(crate) fn end(&mut self) {
        self.source = Source::Ended;
    }

    /// Fills the buffer by one call of `read`, where 0 is the end; without a
    /// buffer only notes that there is something. Returns whether anything
    /// moved.
    pub(crate) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<bool> {
        let (buffer, start, end) = match &mut self.way {
            Way::Buffer { buffer, start, end } => (buffer, start, end),
            Way::Splice { waiting } => {
                *waiting = true;
                return Ok(false);
            }
        };
        match read(buffer) {
            Ok(0) => self.source = Source::Ended,
            Ok(count) => (*start, *end) = (0, count),
            Err(error) if is_nothing(error.kind()) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Empties the buffer as far as one call of `write` goes. Returns whether
    /// anything moved.
    pub(crate) fn drain(&mut self, write: impl FnOnce(&[u8]) -> Result<usize>) -> Result<bool> {
        let Way::Buffer { buffer, start, end } = &mut self.way else {
            return Ok(false);
        };
        match write(&buffer[*start..*end]) {
            Ok(count) => *start += count,
            Err(error) if is_nothing(error.kind()) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Without a buffer: has `splice` move what there is, where 0 is the end.
    /// Returns whether anything moved.
    ///
    /// If nothing can be moved, one of the two ends is not ready, and the call
    /// does not tell which. If the sink is known to be, it is the source.
    pub(crate) fn splice(
        &mut self,
        sink_is_ready: bool,
        splice: impl FnOnce() -> Result<usize>,
    ) -> Result<bool> {
        let Way::Splice { waiting } = &mut self.way else {
            return Ok(false);
        };
        match splice() {
            Ok(count) => {
                *waiting = false;
                if count == 0 {
                    self.source = Source::Ended;
                }
                Ok(true)
            }
            Err(error) if is_nothing(error.kind()) => {
                *waiting &= !sink_is_ready;
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                // The kernel cannot. Nothing is lost: nothing has been taken.
                self.way = Way::buffer();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Way {
    fn buffer() -> Self {
        Self::Buffer {
            buffer: vec![0; CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
        }
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
                let write = |bytes: &[u8]| {
                    sink.push(bytes[0]);
                    Ok(1)
                };
                flow.drain(write).unwrap();
            }
        }
        assert_eq!(sink, b"hello world");
    }

    /// A spliced flow whose source has something.
    fn waiting() -> Flow {
        let mut flow = Flow::spliced();
        assert!(!flow.fill(|_| panic!("there is no buffer")).unwrap());
        assert!(flow.wants_sink() && !flow.wants_source());
        flow
    }

    #[test]
    fn bytes_pass_the_buffer_by_until_the_end() {
        let mut flow = waiting();
        assert!(flow.splice(false, || Ok(3)).unwrap());
        assert!(flow.wants_source() && !flow.wants_sink());
        assert!(!flow.fill(|_| panic!("there is no buffer")).unwrap());
        assert!(flow.splice(false, || Ok(0)).unwrap());
        assert!(flow.is_finished());
    }

    #[test]
    fn the_end_that_is_not_ready_is_waited_for() {
        let again = || Err(ErrorKind::WouldBlock.into());
        let mut flow = waiting();
        assert!(!flow.splice(false, again).unwrap());
        assert!(flow.wants_sink());
        assert!(!flow.splice(true, again).unwrap());
        assert!(flow.wants_source());
    }

    #[test]
    fn what_cannot_be_spliced_is_copied() {
        let mut flow = waiting();
        let refused = || Err(ErrorKind::InvalidInput.into());
        assert!(!flow.splice(true, refused).unwrap());
        assert!(!flow.is_spliced() && flow.wants_source());
        assert!(flow.fill(|_| Ok(5)).unwrap());
        assert!(!flow.splice(true, refused).unwrap());
        assert!(flow.drain(|bytes| Ok(bytes.len())).unwrap());
        assert!(flow.fill(|_| Ok(0)).unwrap());
        assert!(flow.is_finished());
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
