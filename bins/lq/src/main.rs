//! Asks a Livestatus server. See lq(1).

mod ask;
mod cli;
mod nagios;
mod python;
mod query;
mod run;
mod screen;
mod shortcut;
mod sites;
mod table;
mod target;
mod view;
mod watch;
mod words;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Args::try_parse() {
        Ok(args) if args.nagios => nagios::check(&args),
        Ok(args) => program::exit("lq", run::run(&args)),
        Err(error) => nagios::wrong_use(&error),
    }
}
