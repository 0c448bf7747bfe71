//! notifyctl: see `cli.rs` for what it does, and `run.rs` for how.

mod act;
mod canary;
mod cli;
mod control;
mod export;
mod import;
mod import_config;
mod listing;
mod nagios;
mod place;
mod queue;
mod results;
mod rules;
mod run;
mod show;
mod status;
mod told;
mod trace;
mod waiting;
mod words;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("notifyctl", run::run(&args))
}
