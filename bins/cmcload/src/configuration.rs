//! A configuration: read as data, printed anew, and put in the place of the
//! former one if it is another.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use bstr::ByteSlice;
use nagios::shadow::{self, Limits, Printer, ShadowConfiguration};
use objects::{DumpBegin, DumpContent, DumpMode, UnixTime};
use program::{Failure, Status};
use transfer::{Kind, Outcome};

use crate::cli::Args;
use crate::input::{self, Input};

/// Takes a configuration in, whole or not at all.
pub(crate) fn import(args: &Args, mut input: Input) -> Result<Status, Failure> {
    let failed = |error| Failure::caused(Status::Failed, input.name.clone(), error);
    let bytes = transfer::read_whole(&mut input.reader, args.reading.max_bytes).map_err(failed)?;
    let configuration = shadow::parse(&bytes, Limits::default())
        .map_err(|error| Failure::caused(Status::Failed, input.name.clone(), error))?;
    drop(bytes);
    let begin = begin_of(args, &configuration)?;
    let services: usize = configuration
        .hosts
        .values()
        .map(|host| host.services.len())
        .sum();
    let summary = format!("{} hosts, {services} services", configuration.hosts.len());
    if args.verify {
        input::check(args, &begin, None)?;
        println!("site {}, configuration, complete: {summary}", begin.site);
        return Ok(Status::Done);
    }
    let Some(directory) = &args.configuration.directory else {
        let what = "this is a configuration: give the directory that gets it with --directory";
        return Err(Failure::new(Status::Usage, what));
    };
    let ledger = input::open_ledger(args)?;
    let mut turn = match &ledger {
        None => None,
        Some(ledger) => Some(
            ledger
                .turn(&begin.site, Kind::Configuration, args.reading.wait)
                .map_err(input::refusal)?,
        ),
    };
    if let Err(failure) = input::check(args, &begin, turn.as_ref()) {
        input::refuse(turn.as_mut(), &failure)?;
        return Err(failure);
    }
    let path = directory.join(format!("{}.mk", begin.site));
    let text = print(&configuration, &begin).map_err(|error| named(&path, error))?;
    let is_new = !is_same(&path, &text).map_err(|error| named(&path, error))?;
    if is_new {
        program::file::replace(&path, 0o644, |out| out.write_all(&text))
            .map_err(|error| named(&path, error))?;
        if let Some(command) = &args.configuration.reload_command {
            reload(command)?;
        }
    }
    if let Some(turn) = &mut turn {
        let now = UnixTime::from(SystemTime::now());
        let mut entry = turn.entry().clone();
        entry.dumps_refused = 0;
        entry.epoch = begin.epoch;
        entry.sequence = begin.sequence;
        entry.dump_time = begin.time;
        entry.taken = now;
        entry.complete_dump_time = begin.time;
        entry.complete_taken = now;
        entry.outcome = Outcome::Complete;
        entry.hosts = configuration.hosts.len() as u64;
        entry.services = services as u64;
        turn.store(entry).map_err(input::refusal)?;
    }
    let what = if is_new { "taken" } else { "unchanged" };
    println!("{what}: {summary}");
    Ok(Status::Done)
}

/// The mark of the dump, or one of our own for a file that a person wrote.
fn begin_of(args: &Args, configuration: &ShadowConfiguration) -> Result<DumpBegin, Failure> {
    if let Some(begin) = &configuration.begin {
        return Ok(begin.clone());
    }
    if !args.reading.allow_unmarked {
        return Err(Failure::new(
            Status::Failed,
            "the configuration has no marks, so nobody knows whether it is complete; \
             --allow-unmarked takes such files",
        ));
    }
    let Some(site) = &args.site else {
        let what = "which site is this? The configuration does not say; give it with --site";
        return Err(Failure::new(Status::Usage, what));
    };
    let time = UnixTime::from(SystemTime::now());
    Ok(DumpBegin {
        site: site.clone(),
        content: DumpContent::Configuration,
        epoch: 0,
        sequence: u64::try_from(time.micros()).unwrap_or(0),
        mode: DumpMode::Full,
        time,
        config_hash: None,
    })
}

fn print(configuration: &ShadowConfiguration, begin: &DumpBegin) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut printer = Printer::new(&mut text, begin)?;
    for (name, host) in &configuration.hosts {
        printer.host(name.as_bstr(), host)?;
    }
    printer.finish_with(&configuration.definitions)?;
    Ok(text)
}

/// Two dumps of one configuration differ in their first line.
fn is_same(path: &Path, text: &[u8]) -> io::Result<bool> {
    let body = |text: &[u8]| text.split_once_str("\n").map(|(_, rest)| rest.to_vec());
    match fs::read(path) {
        Ok(present) => Ok(body(&present) == body(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn reload(command: &str) -> Result<(), Failure> {
    let status = Command::new("/bin/sh").arg("-c").arg(command).status();
    let status =
        status.map_err(|error| Failure::caused(Status::Failed, "the reload command", error))?;
    if status.success() {
        return Ok(());
    }
    let what = format!("the configuration is in place, but the reload command failed: {status}");
    Err(Failure::new(Status::Incomplete, what))
}

fn named(path: &Path, error: io::Error) -> Failure {
    Failure::caused(Status::Failed, path.display().to_string(), error)
}
