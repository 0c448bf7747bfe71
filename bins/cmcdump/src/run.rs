//! Finds the server and the site, and dumps what was asked for.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::digest;
use objects::{DumpBegin, DumpContent, DumpMode, UnixTime};
use program::{Address, Failure, Status};

use crate::cli::Args;
use crate::output::{self, Output};
use crate::source::{Limits, Source};
use crate::{configuration, site, state};

/// Does what the command line says.
pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let address = match &args.socket {
        Some(address) => address.clone(),
        None => default_socket()?,
    };
    let config_hash = args.config_hash.as_deref().map(hash).transpose()?;
    let mut out = Output::new()?;
    let result = dump(args, address, config_hash, &mut out);
    // Records that are whole are of use without those that follow, so they are
    // handed on; whether any were decides what trying again means.
    let flushed = out.flush().map_err(output::failure);
    match result {
        Ok(()) => flushed.map(|()| Status::Done),
        Err(failure) if failure.status() == Status::Incomplete && !out.has_begun() => Err(
            Failure::caused(Status::TryAgain, "nothing was dumped", failure),
        ),
        Err(failure) => Err(failure),
    }
}

fn dump(
    args: &Args,
    address: Address,
    config_hash: Option<String>,
    out: &mut Output,
) -> Result<(), Failure> {
    let time = UnixTime::from(SystemTime::now());
    let limits = Limits {
        connect: args.connect_timeout,
        first_byte: args.timeout,
        idle: args.idle_timeout,
    };
    let source = Source::detect(address, limits)?;
    let scope = site::choose(args.site.as_ref(), &source)?;
    let configuration = args.config || args.what.is_some();
    let begin = DumpBegin {
        site: scope.site.clone(),
        content: if configuration {
            DumpContent::Configuration
        } else {
            DumpContent::State
        },
        epoch: args.epoch,
        sequence: u64::try_from(time.micros()).unwrap_or(0),
        mode: DumpMode::Full,
        time,
        config_hash,
    };
    if configuration {
        configuration::dump(&source, &scope, &begin, out)
    } else {
        state::dump(&source, &scope, &begin, out)
    }
}

fn default_socket() -> Result<Address, Failure> {
    match std::env::var_os("OMD_ROOT") {
        Some(root) if !root.is_empty() => Ok(Address::Unix(Path::new(&root).join("tmp/run/live"))),
        _ => Err(Failure::new(
            Status::Usage,
            "which server? Give its Livestatus socket with --socket, or set OMD_ROOT",
        )),
    }
}

/// The SHA-256 of a file in hexadecimal.
fn hash(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::caused(Status::Failed, path.display().to_string(), error);
    let mut file = File::open(path).map_err(failed)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            length => context.update(&buffer[..length]),
        }
    }
    Ok(context
        .finish()
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect())
}
