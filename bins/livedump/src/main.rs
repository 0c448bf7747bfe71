//! Dumps states or configuration in the formats of Nagios. See livedump(1).

mod annotations;
mod cli;
mod configuration;
mod headers;
mod names;
mod referred;
mod run;
mod state;
mod templates;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("livedump", run::run(&args))
}
