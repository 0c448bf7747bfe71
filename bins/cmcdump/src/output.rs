//! Standard output, in large pieces, and knowing whether anything has left.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use objects::UnixTime;
use program::{Failure, Status};
use transfer::signature::{Form, Signer, Sum};

/// How much is gathered before it is written.
const PIECE: usize = 1 << 16;

/// Standard output.
pub(crate) struct Output {
    // Not io::Stdout: that one looks for line ends in what it is given.
    file: File,
    buffer: Vec<u8>,
    begun: bool,
    /// Adds up what is to be signed, if it is.
    sum: Option<Sum>,
}

impl Output {
    /// Takes hold of standard output. What goes there can be signed at its end
    /// if it `is_signed`.
    pub(crate) fn new(is_signed: bool) -> Result<Self, Failure> {
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(failure)?;
        Ok(Self {
            file: file.into(),
            buffer: Vec::with_capacity(2 * PIECE),
            begun: false,
            sum: is_signed.then(Sum::default),
        })
    }

    /// Writes the signature of everything so far.
    pub(crate) fn sign(
        &mut self,
        signer: &Signer,
        form: Form,
        time: UnixTime,
    ) -> Result<(), Failure> {
        self.flush().map_err(failure)?;
        let Some(sum) = self.sum.take() else {
            return Ok(());
        };
        let line = sum.sign(signer, form, time).map_err(failure)?;
        self.buffer.extend_from_slice(&line);
        self.flush().map_err(failure)
    }

    /// Whether a part of the dump has been handed on.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Where the next bytes go; call [`settle`](Self::settle) afterwards.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes what has gathered if it is enough for a piece.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        if self.buffer.len() < PIECE {
            return Ok(());
        }
        self.flush().map_err(failure)
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
            self.file.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// A reader that went away has seen it happen; everybody else is told.
pub(crate) fn failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::silent(Status::Failed);
    }
    Failure::caused(Status::Failed, "cannot write to standard output", error)
}
