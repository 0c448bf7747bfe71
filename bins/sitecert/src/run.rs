//! What each subcommand does, in order.

use std::time::SystemTime;

use program::{Failure, Status};

use crate::authority::Authority;
use crate::cli::{Command, InitCa, Issue};
use crate::files::{CertificateFiles, LockedDirectory};
use crate::show;

pub(crate) fn run(command: Command) -> Result<Status, Failure> {
    match command {
        Command::InitCa(args) => init_ca(&args),
        Command::Issue(args) => issue(&args),
        Command::Show(args) => show::run(&args),
    }
}

fn init_ca(args: &InitCa) -> Result<Status, Failure> {
    let directory = LockedDirectory::create(&args.directory.path)?;
    let files = CertificateFiles::in_directory(&directory, Authority::FILES);
    files.must_be_new()?;
    let pair = Authority::init(&args.name, SystemTime::now(), args.days)
        .map_err(|error| Failure::caused(Status::Failed, "cannot make an authority", error))?;
    files.write(&pair)?;
    Ok(Status::Done)
}

fn issue(args: &Issue) -> Result<Status, Failure> {
    if args.site.as_str() == Authority::FILES {
        return Err(Failure::new(
            Status::Failed,
            "a site cannot be called \"ca\": these files are the authority's",
        ));
    }
    let directory = LockedDirectory::open(&args.directory.path)?;
    let files = CertificateFiles::in_directory(&directory, args.site.as_str());
    files.must_be_new()?;
    let authority = Authority::read(&CertificateFiles::in_directory(
        &directory,
        Authority::FILES,
    ))?;
    let pair = authority
        .issue(&args.site, SystemTime::now(), args.days)
        .map_err(|error| {
            Failure::caused(
                Status::Failed,
                format!("cannot make a certificate for {}", args.site),
                error,
            )
        })?;
    files.write(&pair)?;
    Ok(Status::Done)
}
