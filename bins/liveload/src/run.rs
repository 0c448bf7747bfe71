//! What the command line asks for: status, or imports one after the other.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use objects::{SiteId, UnixTime};
use program::{Failure, Status};
use transfer::{Kind, Ledger};

use crate::cli::{self, Args, Command};
use crate::input::Format;
use crate::source::{self, Source};
use crate::{configuration, inbox, state, status};

/// Does what the command line says.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    match &args.command {
        Some(Command::Status(args)) => return status::run(args),
        Some(Command::Stale(args)) => return state::stale::run(args),
        None => {}
    }
    let args = &args.import;
    if args.configuration.reload_pending {
        return configuration::finish(args);
    }
    if args.site.is_none() && !args.any_site {
        let what = "which site? Give it with --site, or believe the dumps with --any-site";
        return Err(Failure::new(Status::Usage, what));
    }
    if args.silence.stale_after.is_some() {
        if args.inbox.inbox.is_none() {
            let what = "--stale-after is for --inbox; elsewhere liveload stale does it";
            return Err(Failure::new(Status::Usage, what));
        }
        state::stale::check(&args.way)?;
    }
    if let Some(directory) = &args.inbox.inbox {
        return inbox::run(args, directory);
    }
    if args.files.is_empty() {
        let name = "standard input";
        let input = transfer::standard_input(args.idle_timeout);
        let input = input.map_err(|error| Failure::caused(Status::Failed, name, error))?;
        return import(args, name, input);
    }
    let mut worst = Ok(Status::Done);
    for path in &args.files {
        let name = path.display().to_string();
        let result = match File::open(path) {
            Ok(file) => import(args, &name, file),
            Err(error) => Err(Failure::caused(Status::Failed, name, error)),
        };
        worst = and_then(worst, result);
    }
    worst
}

/// Takes in one dump of whatever kind, whatever it came in.
pub(crate) fn import(
    args: &cli::Import,
    name: &str,
    from: impl Read + 'static,
) -> Result<Status, Failure> {
    let Source { mut input, site } = source::open(args, name, from)?;
    let format = input.detect(args.reading.mode)?;
    match format {
        Format::CheckResults { .. } | Format::ShadowStates => {
            state::import(args, site.as_ref(), format, input)
        }
        Format::Objects { .. } => configuration::import(args, site.as_ref(), input),
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

/// Remembers that a whole dump of `site` was refused before anybody took it in.
/// Where dumps say themselves which site they are from, not of sites that
/// nobody has heard of: everybody could make some up.
pub(crate) fn remember_refusal(args: &cli::Import, site: &SiteId, kind: Kind, failure: &Failure) {
    let remember = || {
        let ledger = Ledger::open(ledger_directory(args.ledger.as_ref()))?;
        let is_known = args.site.is_some()
            || ledger.sites()?.contains(site)
            || ledger.expected()?.contains(site);
        if args.dry_run || !is_known || failure.status() == Status::TryAgain {
            return Ok(());
        }
        let mut turn = ledger.turn(site, kind, args.wait)?;
        turn.refuse(
            UnixTime::from(SystemTime::now()),
            &program::exit::chain(failure),
        )
    };
    if let Err(error) = remember() {
        eprintln!("liveload: {}", program::exit::chain(&ledger_failure(error)));
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
pub(crate) fn and_then(
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
