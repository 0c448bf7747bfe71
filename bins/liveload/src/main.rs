//! Takes dumps of sites into a monitoring core. See liveload(1).

mod cli;
mod configuration;
mod inbox;
mod input;
mod mail;
mod mark;
mod pattern;
mod quoted;
mod run;
mod source;
mod state;
mod status;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("liveload", run::run(&args))
}
