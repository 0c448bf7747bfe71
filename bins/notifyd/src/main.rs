//! notifyd: see `cli.rs` for what it does, and `owner.rs` for its heart.

mod cli;
mod config;
mod control;
mod delivery;
mod drop_watch;
mod environment;
mod figures;
mod flood;
mod forward_line;
mod intake;
mod lane;
mod link;
mod maildir;
mod owner;
mod report;
mod route;
mod run;
mod script;
mod state_file;
mod stop;
mod submit;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("notifyd", run::run(&args))
}
