//! Where a dump goes: standard output, or a file that takes its place when the
//! dump is whole. In large pieces, signed if asked to, and knowing whether
//! anything has left.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use objects::UnixTime;
use program::file::Replacement;
use program::{Failure, Status};

use crate::signature::{Form, Signer, Sum};

/// How much is gathered before it is written.
const PIECE: usize = 1 << 16;

/// Where a dump goes.
#[derive(Debug)]
pub struct Output {
    place: Place,
    buffer: Vec<u8>,
    begun: bool,
    /// Adds up what is to be signed, if it is.
    sum: Option<Sum>,
}

#[derive(Debug)]
enum Place {
    // Not io::Stdout: that one looks for line ends in what it is given.
    Standard(File),
    File(Replacement, String),
}

impl Output {
    /// To the file `path`, or without one to standard output. What goes there can
    /// be signed at its end if it `is_signed`.
    pub fn new(path: Option<&Path>, is_signed: bool) -> Result<Self, Failure> {
        let place = match path {
            None => {
                let file = io::stdout().as_fd().try_clone_to_owned();
                Place::Standard(file.map_err(failure)?.into())
            }
            Some(path) => {
                let name = path.display().to_string();
                match Replacement::create(path, 0o644) {
                    Ok(file) => Place::File(file, name),
                    Err(error) => return Err(Failure::caused(Status::Failed, name, error)),
                }
            }
        };
        Ok(Self {
            place,
            buffer: Vec::with_capacity(2 * PIECE),
            begun: false,
            sum: is_signed.then(Sum::default),
        })
    }

    /// Writes the signature of everything so far.
    pub fn sign(&mut self, signer: &Signer, form: Form, time: UnixTime) -> Result<(), Failure> {
        self.flush().map_err(|error| self.failure(error))?;
        let Some(sum) = self.sum.take() else {
            return Ok(());
        };
        let line = sum
            .sign(signer, form, time)
            .map_err(|error| self.failure(error))?;
        self.buffer.extend_from_slice(&line);
        self.flush().map_err(|error| self.failure(error))
    }

    /// Whether a part of the dump has been handed on. A file is not, before it is
    /// whole.
    pub fn has_begun(&self) -> bool {
        self.begun && matches!(self.place, Place::Standard(_))
    }

    /// Where the next bytes go; call [`settle`](Self::settle) afterwards.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes what has gathered if it is enough for a piece.
    pub fn settle(&mut self) -> Result<(), Failure> {
        if self.buffer.len() < PIECE {
            return Ok(());
        }
        self.flush().map_err(|error| self.failure(error))
    }

    /// The dump is whole: writes what is left, and puts a file into its place.
    pub fn commit(mut self) -> Result<(), Failure> {
        self.flush().map_err(|error| self.failure(error))?;
        match self.place {
            Place::Standard(_) => Ok(()),
            Place::File(file, name) => file
                .commit()
                .map_err(|error| Failure::caused(Status::Failed, name, error)),
        }
    }

    /// What went wrong with writing.
    pub fn failure(&self, error: io::Error) -> Failure {
        match &self.place {
            Place::Standard(_) => failure(error),
            Place::File(_, name) => Failure::caused(Status::Failed, name.clone(), error),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.begun = true;
            if let Some(sum) = &mut self.sum {
                sum.add(&self.buffer);
            }
            match &mut self.place {
                Place::Standard(file) => file.write_all(&self.buffer)?,
                Place::File(file, _) => file.write_all(&self.buffer)?,
            }
            self.buffer.clear();
        }
        Ok(())
    }
}

/// What went wrong with writing to standard output. A reader that went away has
/// seen it happen; everybody else is told.
pub fn failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::silent(Status::Failed);
    }
    Failure::caused(Status::Failed, "cannot write to standard output", error)
}
