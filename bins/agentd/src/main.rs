//! Collects the figures of this machine. See agentd(8).

mod board;
mod checkmk;
mod checkmk_port;
mod cli;
mod collect;
mod config;
mod daemon;
mod log;
mod once;
mod places;
mod prometheus;
mod push;
mod run;
mod server;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("agentd", run::run(&args))
}
