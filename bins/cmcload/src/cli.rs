//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use objects::SiteId;
use program::Address;

/// Take a dump of cmcdump in: verified, in order, and reported
///
/// Reads a state or a configuration from FILE or standard input. A state goes
/// to a Livestatus socket, or to one of livestatusd that takes dumps; nothing
/// but states, comments and downtimes does. A configuration goes to a file,
/// whole and printed anew. Input that gzip or zstd has compressed is expanded.
#[derive(Debug, Parser)]
#[command(name = "cmcload", version = program::VERSION, max_term_width = 80)]
#[command(after_help = "\
Examples:
  cmcload -s /run/sitewire/ingest.d/remote1 --site remote1 < state
  cmcload -d /var/lib/sitewire/shadow/remote1 --site remote1 remote1.mk

Exit status: 0 done, 1 failed, 2 used wrongly, 3 incomplete, 75 try again.
Manual: cmcload(1), sitewire-dump(5), sitewire(7)")]
pub(crate) struct Args {
    /// Socket that takes states [default: $OMD_ROOT/tmp/run/live]
    ///
    /// A path, unix:PATH, tcp:HOST:PORT or tls:HOST:PORT.
    #[arg(short, long, value_name = "SOCKET")]
    pub(crate) socket: Option<Address>,

    /// Site that the dump must be from
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// Read the dump, say what is in it, and send nothing
    #[arg(long)]
    pub(crate) verify: bool,

    /// Longest silence of the receiver
    ///
    /// A number with a unit: 500ms, 30s, 5m.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// How long standard input may be silent
    ///
    /// Whoever hangs at the other end keeps other imports of the site waiting.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) idle_timeout: Duration,

    #[command(flatten)]
    pub(crate) reading: Reading,

    #[command(flatten)]
    pub(crate) configuration: Configuration,

    #[command(flatten)]
    pub(crate) tls: Tls,

    /// The dump; standard input without
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// What is taken for a dump.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct Reading {
    /// Remember in DIR what came from which site, and take nothing older
    #[arg(long, value_name = "DIR")]
    pub(crate) ledger: Option<PathBuf>,

    /// How long to wait for another import of the same site
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(crate) wait: Duration,

    /// Take a dump that is older than what the ledger knows
    #[arg(long, requires = "ledger")]
    pub(crate) allow_older: bool,

    /// Take a dump without marks
    ///
    /// Nobody can tell whether such a dump is whole, or which one is newer.
    #[arg(long)]
    pub(crate) allow_unmarked: bool,

    /// Most bytes of a dump, expanded
    #[arg(long, value_name = "N", default_value_t = 4 << 30)]
    pub(crate) max_bytes: u64,

    /// Take only what the site has signed; FILE has certificates of CAs or sites
    ///
    /// The dump is kept on disk until its signature, age and order are right;
    /// one that was taken in is not taken again.
    #[arg(long, value_name = "FILE", requires_all = ["site", "ledger"], conflicts_with = "allow_unmarked")]
    pub(crate) require_signature: Option<PathBuf>,

    /// With --require-signature: how old a dump may be
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub(crate) max_age: Duration,

    /// Lay out the states as the map in FILE says
    ///
    /// For a core that expects other arguments than those of this suite.
    #[arg(long, value_name = "FILE")]
    pub(crate) field_map: Option<PathBuf>,
}

/// Where a configuration goes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Configuration {
    /// Directory that gets a configuration, as SITE.mk
    #[arg(short, long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    /// Shell command to run after a configuration has changed
    #[arg(long, value_name = "COMMAND", requires = "directory")]
    pub(crate) reload_command: Option<String>,
}

/// Whom to believe behind tls:HOST:PORT, and who connects.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct Tls {
    /// The certificates of the CA that vouches for the receiver
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Our certificate, if the receiver wants to know who connects
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of our certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// The host or site that the receiver's certificate is for [default: HOST]
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
}

impl Tls {
    pub(crate) fn options(&self) -> program::tls::Options<'_> {
        program::tls::Options {
            ca: self.ca.as_deref(),
            certificate: self.cert.as_deref(),
            key: self.key.as_deref(),
            name: self.tls_name.as_deref(),
            peer: "receiver",
        }
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    program::config::parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or("not a duration above 0 such as 30s")
}
