//! Turns an agent's document into configuration and check results. See
//! agentpoll(1).

mod cli;
mod core;
mod discover;
mod once;
mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("agentpoll", run::run(&args))
}
