//! Status core for shadow objects: takes dumps and passive check results,
//! answers Livestatus. See livestatusd(8).

use std::process::ExitCode;

use clap::Parser;

mod accept;
mod admit;
mod alike;
mod annotate;
mod annotations;
mod auth;
mod batch;
mod check;
mod cli;
mod client;
mod command;
mod complaint;
mod config;
mod counters;
mod descriptors;
mod events;
mod field;
mod groups;
mod half_open;
mod history;
mod ingest;
mod listen;
mod load;
mod memory;
mod merged;
mod notes;
mod owners;
mod query;
mod remarks;
mod run;
mod snapshot;
mod store;
mod stream;
mod tables;

fn main() -> ExitCode {
    memory::share();
    let args = cli::Args::parse();
    program::exit("livestatusd", run::run(&args))
}
