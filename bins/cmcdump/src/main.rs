//! Dumps the configuration or the complete state of a site. See cmcdump(1).

mod cli;
mod columns;
mod configuration;
mod definitions;
mod output;
mod pieces;
mod run;
mod site;
mod source;
mod state;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("cmcdump", run::run(&args))
}
