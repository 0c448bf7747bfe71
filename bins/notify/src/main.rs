//! A core's notification command: stores one notification durably. See notify(1).

mod cli;
mod context;
mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("notify", run::run(&args))
}
