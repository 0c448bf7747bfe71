//! What agentd does with its command line.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use program::{Failure, Status};

use crate::cli::Args;
use crate::config::{Config, Severity, worst};
use crate::{daemon, once};

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    if args.check_config {
        return check_config(&args.config);
    }
    if args.print_config {
        return print_config(&args.config);
    }
    if !args.once {
        return daemon::run(args);
    }
    let (text, status) = once::run(args)?;
    print(&text).map(|_| status)
}

/// Names every problem. Warnings alone are no reason not to start.
fn check_config(path: &Path) -> Result<Status, Failure> {
    let (_, findings) = Config::load(path);
    for finding in &findings {
        eprintln!("{finding}");
    }
    match worst(&findings) {
        None | Some(Severity::Warning) => Ok(Status::Done),
        Some(_) => Err(Failure::silent(Status::BadConfiguration)),
    }
}

fn print_config(path: &Path) -> Result<Status, Failure> {
    let (config, findings) = Config::load(path);
    if worst(&findings) == Some(Severity::Fatal) {
        return check_config(path);
    }
    print(config.print().as_bytes())
}

fn print(text: &[u8]) -> Result<Status, Failure> {
    match io::stdout().write_all(text) {
        Ok(()) => Ok(Status::Done),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::silent(Status::Failed)),
        Err(error) => Err(Failure::caused(
            Status::Failed,
            "cannot write to standard output",
            error,
        )),
    }
}
