//! What agentpoll does with its command line.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::SystemTime;

use agent::Document;
use bstr::BString;
use objects::UnixTime;
use program::{Failure, Status};

use crate::cli::{Args, Command};
use crate::{discover, once};

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    match &args.command {
        Command::Discover(args) => discover::run(args),
        Command::Once(args) => once::run(args),
    }
}

/// Reads the document in `file`, `-` for standard input.
pub(crate) fn read_document(file: &Path) -> Result<Document, Failure> {
    let is_input = file == Path::new("-");
    let name = match is_input {
        true => "standard input".to_owned(),
        false => file.display().to_string(),
    };
    let mut text = Vec::new();
    let limit = agent::document::MAX_LEN as u64 + 1;
    let read = match is_input {
        true => io::stdin().lock().take(limit).read_to_end(&mut text),
        false => File::open(file).and_then(|file| file.take(limit).read_to_end(&mut text)),
    };
    read.map_err(|error| Failure::caused(Status::Failed, format!("cannot read {name}"), error))?;
    Document::parse(&text).map_err(|error| Failure::caused(Status::Failed, name, error))
}

/// The name given, or that of this machine: a document carries none.
pub(crate) fn host_name(given: Option<&str>) -> BString {
    match given {
        Some(name) => name.into(),
        None => rustix::system::uname().nodename().to_bytes().into(),
    }
}

pub(crate) fn now() -> UnixTime {
    SystemTime::now().into()
}

/// Writes to standard output. A reader that went away is told nothing.
pub(crate) fn print(text: &[u8]) -> Result<Status, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(Status::Done),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::silent(Status::Failed)),
        Err(error) => Err(Failure::caused(
            Status::Failed,
            "cannot write to standard output",
            error,
        )),
    }
}
