//! Dumps the configuration or the complete state of a site. See cmcdump(1).

mod checked;
mod cli;
mod configuration;
mod definitions;
mod dump;
mod run;
mod since;
mod state;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("cmcdump", run::run(&args))
}
