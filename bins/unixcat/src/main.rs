//! Connects standard input and standard output to a stream socket. See
//! unixcat(1).

mod cli;
mod copy;
mod flow;
mod socket;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    program::exit("unixcat", copy::run(&args))
}
