//! Which command was asked for, and where its lines go.

use std::io::{self, Write};

use program::{Failure, Status};

use crate::cli::{Args, Command};
use crate::place::Place;
use crate::{queue, status, trace};

pub(crate) fn run(args: &Args) -> Result<Status, Failure> {
    let place = Place::find(args)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = match &args.command {
        Command::Status => status::show(&place, args.json, &mut out),
        Command::Queue => queue::show(&place, args.json, &mut out),
        Command::Trace { id } => trace::show(&place, id, args.json, &mut out),
    };
    // A failure may come after lines that were worth printing.
    match out.flush() {
        Ok(()) => result,
        Err(_) => Err(Failure::silent(Status::Failed)),
    }
}

/// Prints one line. A reader that went away ends the program without a word.
pub(crate) fn line(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    writeln!(out, "{text}").map_err(|_| Failure::silent(Status::Failed))
}
