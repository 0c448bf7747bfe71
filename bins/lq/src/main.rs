//! Asks a Livestatus server. See lq(1).

mod ask;
mod cli;
mod connection;
mod query;
mod run;
mod sites;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("lq", run::run(&args))
}
