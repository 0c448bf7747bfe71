//! Collects the figures of this machine. See agentd(8).

#[allow(dead_code, reason = "read by the server, which is being added")]
mod board;
mod cli;
#[allow(dead_code, reason = "started by the daemon, which is being added")]
mod collect;
#[allow(
    dead_code,
    reason = "read by the collectors and the server, which are being added"
)]
mod config;
mod daemon;
mod log;
mod push;
mod run;
mod server;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("agentd", run::run(&args))
}
