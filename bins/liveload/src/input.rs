//! What is read: a stream whose first line tells what it is.

use std::io::{self, BufRead, Read};

use bstr::ByteSlice;
use program::{Failure, Status};

use crate::cli::Mode;

/// Longest first line that is looked at.
const MAX_HEAD: usize = 1 << 16;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A dump as it comes in.
pub(crate) struct Input {
    /// How messages name it.
    pub(crate) name: String,
    /// Its bytes from the mark on.
    pub(crate) reader: Box<dyn BufRead>,
}

/// What a stream says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Check results, with or without a frame.
    CheckResults { marked: bool },
    /// Shadow states in a frame of commands, as cmcdump writes them.
    ShadowStates,
    /// Object configuration, with or without a frame.
    Objects { marked: bool },
}

impl Input {
    /// Names a stream; nothing is read yet.
    pub(crate) fn new(name: impl Into<String>, reader: impl Read + 'static) -> Self {
        Self {
            name: name.into(),
            reader: Box::new(io::BufReader::with_capacity(1 << 16, reader)),
        }
    }

    /// Finds out what the stream is. A byte order mark and the bare first line
    /// of `livedump -M` are taken off. `mode` decides where nothing else does.
    pub(crate) fn detect(&mut self, mode: Option<Mode>) -> Result<Format, Failure> {
        let mut head = self.read_line()?;
        if head.starts_with(BOM) {
            head.drain(..BOM.len());
        }
        let first = head.trim_ascii_end();
        let marker = if first == b"status" || first == b"state" {
            Some(Mode::State)
        } else if first == b"config" || first.starts_with(b"config ") {
            Some(Mode::Config)
        } else {
            None
        };
        if marker.is_some() {
            head = self.read_line()?;
        }
        let format = match content(&head) {
            Some(format) => format,
            None => match mode.or(marker) {
                Some(Mode::State) => Format::CheckResults { marked: false },
                Some(Mode::Config) => Format::Objects { marked: false },
                None if head.is_empty() => return Err(self.refuse("there is nothing in it")),
                None => {
                    return Err(self.refuse("neither state nor configuration: --mode would tell"));
                }
            },
        };
        let rest = std::mem::replace(&mut self.reader, Box::new(io::empty()));
        self.reader = Box::new(io::Cursor::new(head).chain(rest));
        Ok(format)
    }

    fn read_line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(MAX_HEAD as u64);
        match limited.read_until(b'\n', &mut line) {
            Ok(_) => Ok(line),
            Err(error) => Err(Failure::caused(Status::Failed, self.name.clone(), error)),
        }
    }

    /// A failure that names the input.
    pub(crate) fn refuse(&self, what: &str) -> Failure {
        Failure::new(Status::Failed, format!("{}: {what}", self.name))
    }
}

/// What the first line of the dump proper says.
fn content(line: &[u8]) -> Option<Format> {
    if line.starts_with(b"COMMAND [") {
        return Some(Format::ShadowStates);
    }
    let mut words = line.strip_prefix(b"# sitewire ")?.fields().skip(1);
    match words.next()? {
        b"state" => Some(Format::CheckResults { marked: true }),
        b"config" => Some(Format::Objects { marked: true }),
        _ => None,
    }
}
