//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use objects::SiteId;
use program::Address;

/// Dump the complete state or the configuration of a site from Livestatus
///
/// Asks a monitoring core (Checkmk, Nagios, Naemon, Icinga 2, livestatusd) over
/// its Livestatus socket and writes to standard output: without options the
/// complete state of all hosts and services, as commands for the central site;
/// with --config the hosts and services themselves, as Checkmk configuration.
/// A dump ends with a mark; one without it is not complete.
#[derive(Debug, Parser)]
#[command(name = "cmcdump", version = program::VERSION, max_term_width = 80)]
#[command(after_help = "\
Examples:
  cmcdump -C > remote1.mk
  cmcdump | ssh central unixcat /run/sitewire/ingest.d/remote1
  cmcdump --since-file F | ssh central | cmcdump --since-file F --confirm

Exit status: 0 done, 1 failed, 2 used wrongly, 3 incomplete, 75 try again.
Manual: cmcdump(1), sitewire-dump(5), sitewire(7)")]
pub(crate) struct Args {
    /// Livestatus socket [default: $OMD_ROOT/tmp/run/live]
    ///
    /// A path, unix:PATH or tcp:HOST:PORT.
    #[arg(short, long, value_name = "SOCKET")]
    pub(crate) socket: Option<Address>,

    /// Dump the configuration
    #[arg(short = 'C', long)]
    pub(crate) config: bool,

    /// Name of the site [default: $OMD_SITE, or the server's only site]
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// Number of the site's life; raise it when the site's clock went back
    ///
    /// Dumps of a greater epoch are newer, whatever the clock says.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) epoch: u64,

    /// Name the configuration that this state belongs to, by the hash of FILE
    ///
    /// FILE is the configuration dump that the central site was given.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "what"])]
    pub(crate) config_hash: Option<PathBuf>,

    /// Dump only what has changed since the last dump that FILE knows of
    ///
    /// What this dump says goes to FILE.next, and --confirm makes that FILE when
    /// the dump has arrived. Without confirmation the next dump is a full one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "what"])]
    pub(crate) since_file: Option<PathBuf>,

    /// With --since-file: every so many dumps a full one
    #[arg(long, value_name = "N", default_value_t = 60, requires = "since_file",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) full_every: u32,

    /// With --since-file: the dump has arrived, if standard input says so
    ///
    /// Reads what the central site answered, prints it, and fails unless it
    /// begins with "taken".
    #[arg(long, requires = "since_file")]
    pub(crate) confirm: bool,

    /// Lay out the states as the map in FILE says
    ///
    /// For a core that expects other arguments than those of this suite.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "what"])]
    pub(crate) field_map: Option<PathBuf>,

    /// Sign the dump with the key in FILE
    #[arg(long, value_name = "FILE", requires = "sign_certificate")]
    pub(crate) sign_key: Option<PathBuf>,

    /// Certificate of the site that signs
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub(crate) sign_certificate: Option<PathBuf>,

    /// Longest wait for a connection
    ///
    /// On each address that the host has. A number with a unit: 500ms, 30s, 5m.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    /// Longest wait for an answer to begin
    ///
    /// Servers make an answer completely before they send its first byte.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Longest silence within an answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) idle_timeout: Duration,

    /// The bare word "config" is the same as --config
    #[arg(value_name = "config", hide_possible_values = true)]
    pub(crate) what: Option<What>,
}

/// What to dump, as a bare word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Dump the configuration
    Config,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    program::config::parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or("not a duration above 0 such as 30s")
}
