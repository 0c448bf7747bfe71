//! What agentd does with its command line.

use std::io::{self, ErrorKind, Write};

use program::{Failure, Status};

use crate::cli::Args;
use crate::collect;

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    if !args.once {
        return Err(Failure::new(
            Status::Usage,
            "only --once exists in this release, see --help",
        ));
    }
    let document = collect::collect();
    let mut text = document
        .print()
        .map_err(|error| Failure::caused(Status::Failed, "cannot print the document", error))?;
    text.push(b'\n');
    match io::stdout().write_all(&text) {
        Ok(()) => Ok(Status::Done),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::silent(Status::Failed)),
        Err(error) => Err(Failure::caused(
            Status::Failed,
            "cannot write to standard output",
            error,
        )),
    }
}
