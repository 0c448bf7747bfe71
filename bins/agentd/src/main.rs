//! Collects the figures of this machine. See agentd(8).

mod cli;
mod collect;
// The collectors and the server read what is not read yet.
#[allow(dead_code)]
mod config;
mod cpu;
mod disks;
mod memory;
mod mount_table;
mod network;
mod run;
mod system;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("agentd", run::run(&args))
}
