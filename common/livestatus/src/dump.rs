//! State dumps: complete states of a site as a stream of commands in a frame.
//! sitewire-dump(5) describes the format.

use std::fmt;

use bstr::BString;
use objects::{DumpBegin, DumpEnd, HostState, ServiceState, ShadowState};

use crate::error::Error;

/// Longest line of a dump in bytes, without line feed.
pub const MAX_LINE: usize = 1 << 20;

/// Writes a dump, piece by piece, to the end of a buffer that the caller empties.
#[derive(Debug)]
pub struct DumpWriter {
    records: u64,
}

impl DumpWriter {
    /// Begins a dump.
    pub fn begin(begin: &DumpBegin, out: &mut Vec<u8>) -> Self {
        let _ = (begin, out);
        Self { records: 0 }
    }

    /// Adds a host's state. A record that does not fit in a line is an error
    /// and leaves the dump as it was.
    pub fn host(
        &mut self,
        host_name: &[u8],
        state: &ShadowState<HostState>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let _ = (host_name, state, out);
        todo!()
    }

    /// Adds a service's state.
    pub fn service(
        &mut self,
        host_name: &[u8],
        service_description: &[u8],
        state: &ShadowState<ServiceState>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let _ = (host_name, service_description, state, out);
        todo!()
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Ends the dump.
    pub fn end(self, out: &mut Vec<u8>) -> DumpEnd {
        let _ = out;
        todo!()
    }
}

/// What comes out of a stream that carries dumps.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// A dump begins.
    Begin(Box<DumpBegin>),
    /// A record, whole. Outside a frame if no dump has begun.
    Record(Record),
    /// A line that cannot be taken; nothing of it was.
    Refused(Error),
    /// The dump that had begun is over, complete or not.
    End(Result<DumpEnd, Incomplete>),
}

/// The state of one object.
#[derive(Debug, PartialEq)]
pub enum Record {
    /// Of a host.
    Host {
        /// Its name.
        host_name: BString,
        /// Its state.
        state: ShadowState<HostState>,
    },
    /// Of a service.
    Service {
        /// Its host.
        host_name: BString,
        /// Its description.
        service_description: BString,
        /// Its state.
        state: ShadowState<ServiceState>,
    },
}

/// Why a dump is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incomplete {
    /// The stream ended, or another dump began, before the end mark.
    NoEnd,
    /// The end mark belongs to another dump.
    OtherSequence,
    /// Another number of records came than the end mark says.
    Records {
        /// What the end mark says.
        announced: u64,
        /// What came.
        came: u64,
    },
    /// The checksum differs: something was changed on the way.
    Checksum,
    /// The end mark cannot be read.
    BadEnd,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEnd => f.write_str("end mark missing"),
            Self::OtherSequence => f.write_str("end mark of another dump"),
            Self::Records { announced, came } => {
                write!(f, "{announced} records announced, {came} came")
            }
            Self::Checksum => f.write_str("checksum differs"),
            Self::BadEnd => f.write_str("end mark unreadable"),
        }
    }
}

/// Reads dumps from a stream of bytes, however it is split, in bounded memory.
///
/// After each [`push`](Self::push) call [`poll_item`](Self::poll_item) until it
/// gives `None`.
#[derive(Debug, Default)]
pub struct DumpReader {
    buffer: Vec<u8>,
}

impl DumpReader {
    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The stream has ended. A last line without line feed is dropped: it may
    /// be the beginning of a longer one.
    pub fn finish(&mut self) {
        todo!()
    }

    /// The next item, or `None` if more bytes are needed.
    pub fn poll_item(&mut self) -> Option<Item> {
        todo!()
    }

    /// Whether a dump has begun and not ended.
    pub fn is_inside_dump(&self) -> bool {
        todo!()
    }
}
