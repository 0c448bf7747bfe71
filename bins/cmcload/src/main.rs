//! Takes dumps of cmcdump in: verified, in order, reported. See cmcload(1).

mod cli;
mod configuration;
mod input;
mod receiver;
mod run;
mod state;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("cmcload", run::run(&args))
}
