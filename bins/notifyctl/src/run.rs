//! Which command was asked for, and where its lines go.

use std::io::{self, Write};

use program::{Failure, Status};
use spool::control::Action;

use crate::cli::{Args, Command};
use crate::place::Place;
use crate::{act, canary, export, import, import_config, queue, show, status, trace};

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = obey(args, &mut out);
    // A failure may come after lines that were worth printing.
    match out.flush() {
        Ok(()) => result,
        Err(_) => Err(Failure::silent(Status::Failed)),
    }
}

fn obey(args: &Args, out: &mut dyn Write) -> Result<Status, Failure> {
    if let Command::ImportConfig(args) = &args.command {
        return import_config::show(args, out);
    }
    let place = Place::find(args)?;
    match &args.command {
        Command::Status => status::show(&place, args.json, out),
        Command::Queue(which) => queue::show(&place, which, args.json, out),
        Command::Show(show) => show::show(&place, show, args.json, out),
        Command::Trace { id } => trace::show(&place, id, args.json, out),
        Command::Hold(act) => act::act(&place, Action::Hold, act, args.json, out),
        Command::Release(act) => act::act(&place, Action::Release, act, args.json, out),
        Command::Retry(act) => act::act(&place, Action::Retry, act, args.json, out),
        Command::Drop(drop) => act::drop(&place, drop, args.json, out),
        Command::Flush(said) => act::flush(&place, said, args.json, out),
        Command::Reload(said) => act::reload(&place, said, args.json, out),
        Command::Test(test) => canary::test(&place, test, args.json, out),
        Command::Import(import) => import::import(import, &place, args.json, out),
        Command::Export(export) => export::export(export, &place, args.json, out),
        Command::ImportConfig(_) => unreachable!("needs no spool"),
    }
}

/// Prints one line. A reader that went away ends the program without a word.
pub(crate) fn line(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    writeln!(out, "{text}").map_err(|_| Failure::silent(Status::Failed))
}
