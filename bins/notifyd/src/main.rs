//! notifyd: see `cli.rs` for what it does, and `owner.rs` for its heart.

mod access;
#[cfg(test)]
#[path = "../tests/support/checkmk.rs"]
mod checkmk;
mod cli;
mod clock;
mod config;
mod control;
mod decision;
mod delivery;
mod drop_watch;
mod facts;
mod figures;
mod flood;
mod forward_line;
mod heartbeat;
mod http;
mod intake;
mod join;
mod lane;
mod left_alone;
mod link;
mod mail;
mod means;
mod metrics;
mod owner;
mod processes;
mod reload;
mod report;
mod route;
mod run;
mod scrape;
mod state_file;
mod stop;
mod submit;
mod template;
mod upkeep;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("notifyd", run::run(&args))
}
