//! Dumps the configuration or the complete state of a site. See cmcdump(1).

mod cells;
mod checked;
mod cli;
mod columns;
mod configuration;
mod definitions;
mod dump;
mod output;
mod pieces;
mod remarks;
mod run;
mod since;
mod site;
mod source;
mod state;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("cmcdump", run::run(&args))
}
