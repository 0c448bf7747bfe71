//! Asks agents about their machines, takes what they push, and tells a core.
//! See agentpoll(1).

mod add;
mod agents;
mod caller;
mod cli;
mod config;
mod core;
mod daemon;
mod discover;
mod exchange;
mod figures;
mod grid;
mod memory;
mod once;
mod place;
mod poll;
mod push;
mod receive;
mod run;
mod signer;
mod source;
mod submit;
mod trust;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("agentpoll", run::run(&args))
}
