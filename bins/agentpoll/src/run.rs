//! What agentpoll does with its command line.

use std::io::{self, ErrorKind, Write};
use std::time::SystemTime;

use objects::UnixTime;
use program::{Failure, Status};

use crate::cli::{Args, Command};
use crate::{add, agents, daemon, discover, once};

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    match &args.command {
        Command::Run(args) => daemon::run(args),
        Command::Add(args) => add::run(args),
        Command::Discover(args) => discover::run(args),
        Command::Once(args) => once::run(args),
        Command::Agents(args) => agents::list(args),
        Command::Accept(args) => agents::accept(args),
        Command::Forget(args) => agents::forget(args),
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
