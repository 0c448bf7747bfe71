//! sitecert: see `cli.rs` for what it does, and the crate `authority` for how.

mod check;
mod cli;
mod invite;
mod join;
mod list;
mod run;
mod server;
mod show;
mod stanza;
mod trust;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match cli::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return check::wrong_use(&error),
    };
    match args.command {
        cli::Command::Check(args) => check::run(&args),
        command => program::exit("sitecert", run::run(command)),
    }
}
