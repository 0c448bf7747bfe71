//! Which command was asked for, and where its lines go.

use std::io::{self, Write};

use program::{Failure, Status};

use crate::cli::{Args, Command};
use crate::place::Place;
use crate::{export, import, import_config, queue, status, trace};

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
        Command::Queue => queue::show(&place, args.json, out),
        Command::Trace { id } => trace::show(&place, id, args.json, out),
        Command::Import(import) => import::import(import, &place, args.json, out),
        Command::Export(export) => export::export(export, &place, args.json, out),
        Command::ImportConfig(_) => unreachable!("needs no spool"),
    }
}

/// Prints one line. A reader that went away ends the program without a word.
pub(crate) fn line(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    writeln!(out, "{text}").map_err(|_| Failure::silent(Status::Failed))
}
