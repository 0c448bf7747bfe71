//! Makes a certificate authority and certificates for sites. See sitecert(1).

mod authority;
mod cli;
mod files;
mod run;
mod show;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("sitecert", run::run(args.command))
}
