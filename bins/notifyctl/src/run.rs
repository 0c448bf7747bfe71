//! Which command was asked for, and where its lines go.

use std::io::{self, Write};

use program::{Failure, Status};
use spool::control::Action;

use crate::cli::rules::Rules;
use crate::cli::{Args, Command};
use crate::place::Place;
use crate::{act, canary, export, import, import_config, queue, rules, show, status, trace};

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
    let json = args.json;
    let place = || Place::find(args);
    match &args.command {
        Command::Status(status) => status::show(&place()?, status, json, out),
        Command::Queue(which) => queue::show(&place()?, which, json, out),
        Command::Show(show) => show::show(&place()?, show, json, out),
        Command::Trace { id } => trace::show(&place()?, id, json, out),
        Command::Hold(act) => act::act(&place()?, Action::Hold, act, json, out),
        Command::Release(act) => act::act(&place()?, Action::Release, act, json, out),
        Command::Retry(act) => act::act(&place()?, Action::Retry, act, json, out),
        Command::Drop(drop) => act::drop(&place()?, drop, json, out),
        Command::Pause(pause) => act::pause(&place()?, pause, json, out),
        Command::Resume(resume) => act::resume(&place()?, resume, json, out),
        Command::Flush(said) => act::flush(&place()?, said, json, out),
        Command::Reload(said) => act::reload(&place()?, said, json, out),
        Command::Test(test) => canary::test(&place()?, test, json, out),
        Command::Import(import) => import::import(import, &place()?, json, out),
        Command::Export(export) => export::export(export, &place()?, json, out),
        Command::ImportConfig(args) => import_config::show(args, out),
        Command::Rules(Rules::Check { file }) => {
            let file = file.clone().unwrap_or_else(|| rules::beside(args));
            rules::check(&file, json, out)
        }
        Command::Rules(Rules::Test(test)) => {
            let file = test.rules.clone().unwrap_or_else(|| rules::beside(args));
            rules::test(&file, test, json, out)
        }
    }
}

/// Prints one line. A reader that went away ends the program without a word.
pub(crate) fn line(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    writeln!(out, "{text}").map_err(|_| Failure::silent(Status::Failed))
}
