//! Answers until they are sent: in memory as far as they are small, the rest in
//! a file without a name, so that clients that read slowly cost no memory. An
//! answer that says its length in front is complete before it is sent; any other
//! is sent while it is computed, as long as the client keeps up with that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use livestatus::RowWriter;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tracing::warn;

use super::Refusal;

/// How much room answers may take.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Largest answer in bytes.
    pub(crate) max: usize,
    /// How much of one is kept in memory.
    pub(crate) in_memory: usize,
    /// Where the rest is kept.
    pub(crate) directory: PathBuf,
}

/// Pieces of an answer on their way to a client that keeps up: how many, and how
/// large.
pub(crate) const PIECES: usize = 32;
const PIECE: usize = 32 * 1024;

/// An answer, ready to be sent; what was sent before is not in it.
#[derive(Debug)]
pub(crate) enum Answer {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file that is gone when it is closed.
    File {
        /// The file.
        file: File,
        /// How much is in it.
        length: u64,
    },
}

/// An answer in the making.
pub(super) struct Output<'r> {
    /// What is not in the file yet.
    pub(super) writer: RowWriter,
    room: &'r Room,
    place: Place,
    /// What was sent already.
    sent: u64,
}

enum Place {
    /// To the client, piece by piece.
    Client(Sender<Vec<u8>>),
    Memory,
    File(File),
    /// There is no file to be had.
    MemoryOnly,
}

impl<'r> Output<'r> {
    pub(super) fn new(writer: RowWriter, room: &'r Room) -> Self {
        Self {
            writer,
            room,
            place: Place::Memory,
            sent: 0,
        }
    }

    /// Sends what there is while more is computed.
    pub(super) fn send_to(&mut self, client: Sender<Vec<u8>>) {
        self.place = Place::Client(client);
    }

    /// To be called after each row: keeps what is in memory small, and the
    /// answer as a whole within its limit.
    pub(super) fn row_ended(&mut self) -> Result<(), Refusal> {
        if self.writer.size() > self.room.max as u64 {
            return Err(Refusal::too_large(self.room.max));
        }
        let pending = self.writer.pending();
        if matches!(self.place, Place::Client(_)) && pending >= PIECE.min(self.room.in_memory) {
            self.send()?;
        }
        if self.writer.pending() <= self.room.in_memory {
            return Ok(());
        }
        self.spill()
    }

    /// The whole answer.
    pub(super) fn finish(mut self) -> Result<Answer, Refusal> {
        let head = self.writer.end();
        let Place::File(mut file) = self.place else {
            return Ok(Answer::Bytes(self.writer.finish()));
        };
        let length = self.writer.size() - self.sent;
        let written = self.writer.take_into(&mut file);
        let written = written.and_then(|()| match head {
            Some(head) => file.write_all_at(&head, 0),
            None => Ok(()),
        });
        written.map_err(|error| self.room.none_left(&error))?;
        Ok(Answer::File { file, length })
    }

    /// Sends what is pending. A client that does not keep up is not waited for:
    /// it gets the rest when all of it is there.
    fn send(&mut self) -> Result<(), Refusal> {
        let Place::Client(client) = &self.place else {
            return Ok(());
        };
        let refused = match client.try_reserve() {
            Ok(place) => {
                let mut piece = Vec::with_capacity(self.writer.pending());
                let taken = self.writer.take_into(&mut piece);
                taken.map_err(|error| self.room.none_left(&error))?;
                self.sent += piece.len() as u64;
                place.send(piece);
                return Ok(());
            }
            Err(refused) => refused,
        };
        if let TrySendError::Closed(()) = refused {
            return Err(Refusal {
                status: livestatus::Status::BadRequest,
                message: "the client has gone".to_owned(),
            });
        }
        self.place = Place::Memory;
        Ok(())
    }

    fn spill(&mut self) -> Result<(), Refusal> {
        if let Place::Memory = self.place {
            self.place = match tempfile::tempfile_in(&self.room.directory) {
                Ok(file) => Place::File(file),
                Err(error) => {
                    let directory = self.room.directory.display();
                    warn!("a large answer stays in memory: no file in {directory}: {error}");
                    Place::MemoryOnly
                }
            };
        }
        let Place::File(file) = &mut self.place else {
            return Ok(());
        };
        let written = self.writer.take_into(file);
        written.map_err(|error| self.room.none_left(&error))
    }
}

impl Room {
    fn none_left(&self, error: &io::Error) -> Refusal {
        let directory = self.directory.display();
        warn!("a large answer was given up: cannot write to {directory}: {error}");
        Refusal {
            status: livestatus::Status::TooLarge,
            message: "there is no room for an answer of this size".to_owned(),
        }
    }
}

#[cfg(test)]
impl Answer {
    /// All of it.
    pub(super) fn read(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::File { file, length } => {
                let mut bytes = vec![0; length as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
                bytes
            }
        }
    }
}
