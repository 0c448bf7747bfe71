//! Answers as a client reads them: the `fixed16` frame, and the rows in it.

use crate::error::Error;
use crate::json::{Row, RowReader};

/// Length of the frame's header.
pub const HEAD_LEN: usize = 16;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Status; 200 is success.
    pub status: u16,
    /// Length of the body in bytes.
    pub length: u64,
}

impl Head {
    /// Parses the sixteen bytes. The last is not looked at: Icinga 2 puts the
    /// row separator there.
    pub fn parse(bytes: &[u8; HEAD_LEN]) -> Result<Self, Error> {
        let _ = bytes;
        todo!()
    }

    /// The sixteen bytes.
    pub fn print(self) -> [u8; HEAD_LEN] {
        todo!()
    }
}

/// What comes out of a [`ResponseReader`].
#[derive(Debug)]
pub enum Event<'a> {
    /// More bytes are needed.
    NeedInput,
    /// A row of the answer.
    Row(&'a Row),
    /// The answer is complete; with keep-alive the next one may follow.
    End,
}

/// Reads framed JSON answers from a stream, however it is split, without ever
/// holding more than a row of them.
#[derive(Debug)]
pub struct ResponseReader {
    rows: RowReader,
}

impl ResponseReader {
    /// A reader at the beginning of an answer. A row may have up to `row_limit` bytes.
    pub fn new(row_limit: usize) -> Self {
        Self {
            rows: RowReader::new(row_limit),
        }
    }

    /// Bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        let _ = bytes;
        todo!()
    }

    /// The server has closed the connection.
    pub fn finish(&mut self) {
        todo!()
    }

    /// What comes next. An answer with another status than 200 is
    /// [`Error::Refused`]. After an error the stream is of no more use.
    pub fn poll_event(&mut self) -> Result<Event<'_>, Error> {
        Ok(self.rows.poll_row()?.map_or(Event::End, Event::Row))
    }
}
