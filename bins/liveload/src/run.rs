//! What the command line asks for: status, or imports one after the other.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use objects::SiteId;
use program::{Failure, Status};

use crate::cli::{self, Args, Command};
use crate::input::{Format, Input};
use crate::{configuration, inbox, mail, state, status};

/// Does what the command line says.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    if let Some(Command::Status(args)) = &args.command {
        return status::run(args);
    }
    let args = &args.import;
    if args.configuration.reload_pending {
        return configuration::finish(args);
    }
    if args.site.is_none() && !args.any_site {
        let what = "which site? Give it with --site, or believe the dumps with --any-site";
        return Err(Failure::new(Status::Usage, what));
    }
    if let Some(directory) = &args.inbox.inbox {
        return inbox::run(args, directory);
    }
    if args.files.is_empty() {
        let input = open(args, "standard input", io::stdin())?;
        return import(args, args.site.as_ref(), input);
    }
    let mut worst = Ok(Status::Done);
    for path in &args.files {
        let result = match File::open(path) {
            Ok(file) => open(args, &path.display().to_string(), file)
                .and_then(|input| import(args, args.site.as_ref(), input)),
            Err(error) => {
                let name = path.display().to_string();
                Err(Failure::caused(Status::Failed, name, error))
            }
        };
        worst = and_then(worst, result);
    }
    worst
}

/// A dump, or the mail that has one in it.
fn open(args: &cli::Import, name: &str, from: impl Read + 'static) -> Result<Input, Failure> {
    match args.inbox.mail {
        true => mail::input(name, from),
        false => Ok(Input::new(name, from)),
    }
}

/// Takes in one dump of whatever kind. Without a site the dump's word counts.
pub(crate) fn import(
    args: &cli::Import,
    site: Option<&SiteId>,
    mut input: Input,
) -> Result<Status, Failure> {
    let format = input.detect(args.reading.mode)?;
    match format {
        Format::CheckResults { .. } | Format::ShadowStates => {
            state::import(args, site, format, input)
        }
        Format::Objects { .. } => configuration::import(args, site, input),
    }
}

/// Where the ledger is.
pub(crate) fn ledger_directory(given: Option<&PathBuf>) -> PathBuf {
    match (given, std::env::var_os("OMD_ROOT")) {
        (Some(directory), _) => directory.clone(),
        (None, Some(root)) if !root.is_empty() => PathBuf::from(root).join("var/sitewire/liveload"),
        _ => PathBuf::from("/var/lib/sitewire/liveload"),
    }
}

/// A failure of the receiving side's memory.
pub(crate) fn ledger_failure(error: transfer::Error) -> Failure {
    let status = match error {
        transfer::Error::Older { .. } => Status::Incomplete,
        ref error if error.is_temporary() => Status::TryAgain,
        _ => Status::Failed,
    };
    match std::error::Error::source(&error) {
        None => Failure::new(status, error.to_string()),
        Some(_) => Failure::caused(status, "cannot remember what came", error),
    }
}

/// The worse of two results; a failure that is not the last is told at once.
fn and_then(
    before: Result<Status, Failure>,
    result: Result<Status, Failure>,
) -> Result<Status, Failure> {
    match (before, result) {
        (Err(first), Err(second)) => {
            eprintln!("liveload: {}", program::exit::chain(&first));
            Err(second)
        }
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Ok(first), Ok(second)) => Ok(if first.code() > second.code() {
            first
        } else {
            second
        }),
    }
}
