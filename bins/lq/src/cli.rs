//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use objects::Range;
use program::Address;

/// Ask a Livestatus server and print the answer
///
/// The query is given as arguments, one line each, in a file, or on standard
/// input. The blank line at its end and the headers that frame the answer are
/// added. A COMMAND is sent as it is. For the questions that people ask most
/// there are commands.
#[derive(Debug, Parser)]
#[command(
    name = "lq",
    version = program::VERSION,
    max_term_width = 80,
    disable_help_subcommand = true,
    override_usage = "lq [OPTIONS] [QUERY]...\n       lq [OPTIONS] <COMMAND>",
    after_help = "Exit status: 0 done, 1 refused or failed, 2 used wrongly, 3 answer cut off,\n\
                  75 try again; with --nagios the state of the check.\n\
                  Manual: lq(1), sitewire(7)",
    after_long_help = "\
Examples:
  What is not well, and how it is with the sites:
    lq services --problems
    lq sites --watch 5
  The same as a query of one's own:
    lq 'GET services' 'Columns: host_name description' 'Filter: state > 0'
  A query from a file, for a script:
    lq -s tcp:central:6557 --format json -f query
  A check of a monitoring core:
    lq --nagios -w 5 -c 10 'GET services' 'Stats: state = 2'

Exit status: 0 done, 1 refused or failed, 2 used wrongly, 3 answer cut off,
75 try again; with --nagios the state of the check.
Manual: lq(1), sitewire(7)"
)]
pub(crate) struct Args {
    /// Where to ask: a path, unix:PATH, tcp:HOST:PORT or tls:HOST:PORT [default: $SITEWIRE_SOCKET, else tmp/run/live in the OMD site, else /run/sitewire/live]
    #[arg(short, long, value_name = "SOCKET", global = true)]
    pub(crate) socket: Option<Address>,

    /// How to print the rows [default: table for commands and on a terminal, else csv]
    #[arg(long, value_enum, value_name = "FORMAT", global = true)]
    pub(crate) format: Option<Format>,

    /// When states are coloured
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        global = true
    )]
    pub(crate) color: When,

    /// Ask again every so often, such as 5, 500ms or 1m, until interrupted
    #[arg(long, value_name = "SECS", value_parser = interval, global = true)]
    pub(crate) watch: Option<Duration>,

    /// Give up when the server is silent for this long [default: 60s, with --nagios 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration, global = true)]
    pub(crate) timeout: Option<Duration>,

    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub(crate) tls: Tls,

    /// Read the query from this file; - is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "query")]
    pub(crate) file: Option<PathBuf>,

    /// Be a plugin of a core: check the first number of the answer
    #[arg(long, conflicts_with_all = ["watch", "format"])]
    pub(crate) nagios: bool,

    /// Beyond this range the number is a warning: 5, 5:, ~:5, 5:10 or @5:10
    #[arg(short, long, value_name = "RANGE", requires = "nagios")]
    pub(crate) warning: Option<Range>,

    /// Beyond this range the number is critical
    #[arg(short, long, value_name = "RANGE", requires = "nagios")]
    pub(crate) critical: Option<Range>,

    /// The lines of a query
    #[arg(value_name = "QUERY")]
    pub(crate) query: Vec<OsString>,

    #[command(subcommand)]
    pub(crate) shortcut: Option<Shortcut>,
}

/// Whom to believe behind tls:HOST:PORT, and who asks.
#[cfg(feature = "tls")]
#[derive(Debug, Group)]
pub(crate) struct Tls {
    /// With tls: the certificates of the CA that vouches for the server
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ca: Option<PathBuf>,

    /// With tls: our certificate, if the server wants to know who asks
    #[arg(long, value_name = "FILE", requires = "key", global = true)]
    pub(crate) cert: Option<PathBuf>,

    /// With tls: the private key of our certificate
    #[arg(long, value_name = "FILE", requires = "cert", global = true)]
    pub(crate) key: Option<PathBuf>,

    /// With tls: the host or site that the server's certificate is for [default: HOST]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) tls_name: Option<String>,
}

#[cfg(feature = "tls")]
impl Tls {
    pub(crate) fn options(&self) -> program::tls::Options<'_> {
        program::tls::Options {
            ca: self.ca.as_deref(),
            certificate: self.cert.as_deref(),
            key: self.key.as_deref(),
            name: self.tls_name.as_deref(),
            peer: "server",
        }
    }
}

/// The questions that people ask.
#[derive(Debug, Subcommand)]
pub(crate) enum Shortcut {
    /// Show hosts and their states
    #[command(after_help = MANUAL)]
    Hosts {
        #[command(flatten)]
        what: What,

        /// Only hosts that are not up
        #[arg(long)]
        problems: bool,

        /// Only hosts whose name matches, upper or lower case
        #[arg(value_name = "NAME-PATTERN")]
        pattern: Option<OsString>,
    },
    /// Show services and their states
    #[command(after_help = MANUAL)]
    Services {
        #[command(flatten)]
        what: What,

        /// Only services that are not OK
        #[arg(long)]
        problems: bool,

        /// Only services of hosts whose name matches
        #[arg(long, value_name = "PATTERN")]
        host: Option<OsString>,

        /// Only services whose description matches, upper or lower case
        #[arg(value_name = "PATTERN")]
        pattern: Option<OsString>,
    },
    /// Show how old and how complete is what each site has sent
    #[command(after_help = MANUAL)]
    Sites {
        #[command(flatten)]
        what: What,
    },
    /// Show what happened
    #[command(after_help = MANUAL)]
    Log {
        #[command(flatten)]
        what: What,

        /// How far to look back, such as 30m or 7d
        #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration)]
        since: Duration,

        /// Only entries about hosts whose name matches
        #[arg(long, value_name = "PATTERN")]
        host: Option<OsString>,

        /// Only entries whose message matches, upper or lower case
        #[arg(value_name = "PATTERN")]
        pattern: Option<OsString>,
    },
}

const MANUAL: &str = "Manual: lq(1), sitewire(7)";

/// Which rows, and what of them.
#[derive(Debug, Group)]
pub(crate) struct What {
    /// Only those of this site of a livestatusd
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<String>,

    /// These columns of the table, instead of the usual ones
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) columns: Option<Vec<String>>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As the server prints them: values between semicolons
    Csv,
    /// As the server prints them: a list of lists
    Json,
    /// A list of lists as a Python literal
    Python,
    /// For people
    Table,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    Auto,
    /// Also when piped
    Always,
    /// Not at all
    Never,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    match program::config::parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a duration such as 500ms, 30s or 5m"),
    }
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    match text.parse() {
        Ok(seconds) if (1..=86400).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        Ok(_) => Err("not between a second and a day"),
        Err(_) => duration(text),
    }
}
