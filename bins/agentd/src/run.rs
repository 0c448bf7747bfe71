//! What agentd does with its command line.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use program::{Failure, Status};

use crate::cli::Args;
use crate::config::{Config, Finding, Severity, worst};
use crate::{daemon, once, push, server};

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
    let (config, mut findings) = Config::load(path);
    if worst(&findings) != Some(Severity::Fatal) {
        findings.extend(check_files(&config));
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    match worst(&findings) {
        None | Some(Severity::Warning) => Ok(Status::Done),
        Some(_) => Err(Failure::silent(Status::BadConfiguration)),
    }
}

/// What is wrong with the files that a configuration names.
fn check_files(config: &Config) -> Vec<Finding> {
    let mut problems = Vec::new();
    if config.serves() {
        problems.extend(server::Mode::check(&config.tls).err());
    }
    if config.push.enabled {
        let problem = push::check(config).err();
        problems.extend(problem.map(|what| (Severity::Fatal, what)));
    }
    problems
        .into_iter()
        .map(|(severity, what)| Finding::new(severity, &config.path, None, what))
        .collect()
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
