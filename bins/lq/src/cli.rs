//! The command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use program::Address;

/// Ask a Livestatus server and print the answer
///
/// The query is given as arguments, one line each, or on standard input. The
/// blank line at its end and the headers that frame the answer are added. A
/// COMMAND is sent as it is.
#[derive(Debug, Parser)]
#[command(
    name = "lq",
    version = program::VERSION,
    max_term_width = 80,
    after_help = "Exit status: 0 done, 1 refused or failed, 2 used wrongly, 3 answer cut off,\n\
                  75 try again.\n\
                  Manual: lq(1), sitewire(7)",
    after_long_help = "\
Examples:
  Services that are not well:
    lq 'GET services' 'Columns: host_name description' 'Filter: state > 0'
  Age and completeness of what each site has sent:
    lq sites
  A query from a file, for a script:
    lq -s tcp:central:6557 --format json < query

Exit status: 0 done, 1 refused or failed, 2 used wrongly, 3 answer cut off,
75 try again.
Manual: lq(1), sitewire(7)"
)]
pub(crate) struct Args {
    /// A path, unix:PATH or tcp:HOST:PORT [default: tmp/run/live in the OMD site, else /run/sitewire/live]
    #[arg(short, long, value_name = "SOCKET")]
    pub(crate) socket: Option<Address>,

    /// How to print the rows [default: table on a terminal, else csv]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Give up when the server is silent for this long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// The lines of a query, or `sites`
    #[arg(value_name = "QUERY")]
    pub(crate) query: Vec<std::ffi::OsString>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As the server prints them: values between semicolons
    Csv,
    /// As the server prints them: a list of lists
    Json,
    /// As the server prints them: a Python literal
    Python,
    /// For people
    Table,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    match program::config::parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a duration such as 500ms, 30s or 5m"),
    }
}
