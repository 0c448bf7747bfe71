//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use objects::SiteId;
use program::Address;

/// Dump the states or the configuration of a site in the formats of Nagios
///
/// Asks a monitoring core (Nagios, Naemon, Icinga 2, Checkmk, livestatusd) over
/// its Livestatus socket and writes to standard output: without options the
/// states of all hosts and services, as check results that Nagios and Naemon
/// read from their spool; with --config the hosts and services themselves, as
/// object configuration. A dump ends with a mark; one without it is not
/// complete.
#[derive(Debug, Parser)]
#[command(name = "livedump", version = program::VERSION, max_term_width = 80)]
#[command(after_help = "\
Examples:
  livedump -C -T --site remote1 > remote1.cfg
  livedump --site remote1 | ssh central liveload --site remote1

Exit status: 0 done, 1 failed, 2 used wrongly, 3 incomplete, 75 try again.
Manual: livedump(1), sitewire-dump(5), sitewire(7)")]
pub(crate) struct Args {
    /// Livestatus socket [default: $OMD_ROOT/tmp/run/live]
    ///
    /// A path, unix:PATH, tcp:HOST:PORT or tcp6:HOST:PORT.
    #[arg(short, long, value_name = "SOCKET", value_parser = address)]
    pub(crate) socket: Option<Address>,

    /// Dump the configuration
    #[arg(short = 'C', long)]
    pub(crate) config: bool,

    /// Dump the states, as is done without any option
    #[arg(long, conflicts_with = "config")]
    pub(crate) state: bool,

    /// Name of the site [default: $OMD_SITE, or the server's only site]
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// Put TEXT in front of every host's name
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,

    /// Write to FILE, which is replaced when the dump is complete
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Begin with a line that names the mode, for livedump-ssh-recv
    #[arg(short = 'M', long)]
    pub(crate) mark_mode: bool,

    /// Say on standard error what was dumped
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// Show the queries on standard error
    #[arg(long)]
    pub(crate) debug: bool,

    #[command(flatten)]
    pub(crate) choice: Choice,

    #[command(flatten)]
    pub(crate) states: States,

    #[command(flatten)]
    pub(crate) configuration: Configuration,

    #[command(flatten)]
    pub(crate) dump: Dump,
}

/// Which objects, and what they are called.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Hosts and services")]
pub(crate) struct Choice {
    /// Header of the query for hosts alone, such as "Filter: name ~ ^web"
    ///
    /// May be given several times, as the next two. Filters choose objects; And,
    /// Or and Negate combine them.
    #[arg(short = 'O', long, value_name = "HEADER")]
    pub(crate) host_only_header: Vec<String>,

    /// Header of the queries for hosts and for services
    ///
    /// Its columns are those that the table of services has of hosts, whose
    /// names begin with host_.
    #[arg(short = 'H', long, value_name = "HEADER")]
    pub(crate) host_header: Vec<String>,

    /// Header of the query for services
    #[arg(short = 'S', long, value_name = "HEADER")]
    pub(crate) service_header: Vec<String>,

    /// Characters that the central core does not take in names
    ///
    /// Each becomes an underscore, in states as in the configuration. Control
    /// characters and commas always do.
    #[arg(long, value_name = "CHARACTERS", default_value = "`~!$%^&*|'\"<>?,()=")]
    pub(crate) illegal_characters: String,
}

/// How states are written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "States")]
pub(crate) struct States {
    /// The core that reads them: their escapes differ
    #[arg(long, value_name = "CORE", default_value = "nagios")]
    pub(crate) core: Core,

    /// The time of a check: when it was, or when it was dumped
    #[arg(long, value_name = "TIME", default_value = "last_check")]
    pub(crate) time: Time,

    /// Add attempts, soft and hard, last change, acknowledgements and downtimes
    ///
    /// In comments, which the core ignores and liveload --full does not.
    #[arg(long, conflicts_with = "config")]
    pub(crate) full: bool,

    /// Dump objects that were never checked as if they were fine
    #[arg(long, conflicts_with_all = ["config", "full"])]
    pub(crate) include_pending: bool,

    /// Name the configuration that these states belong to, by the hash of FILE
    ///
    /// FILE is the configuration dump that the central site was given.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) config_hash: Option<PathBuf>,
}

/// What a configuration has.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Configuration {
    /// Begin with templates, which are the site's own
    #[arg(short = 'T', long)]
    pub(crate) dump_templates: bool,

    /// Give the templates the names that the original livedump gives them
    #[arg(long)]
    pub(crate) original_names: bool,

    /// Let the templates use these templates of the central core
    #[arg(long = "use", value_name = "NAME")]
    pub(crate) uses: Option<String>,

    /// Check interval in the templates, in minutes: that of the dumps
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) interval: Option<u32>,

    /// Notifications in the templates
    #[arg(long, value_name = "SWITCH", default_value = "off")]
    pub(crate) notifications: Switch,

    /// Flap detection in the templates
    #[arg(long, value_name = "SWITCH", default_value = "off")]
    pub(crate) flap_detection: Switch,

    /// Attempts until a problem is hard, in place of those of the site
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_check_attempts: Option<u32>,

    /// Keep the check commands of hosts
    ///
    /// Without, no object has a check that the central core could run.
    #[arg(long)]
    pub(crate) keep_check_commands: bool,

    /// Contact groups instead of contacts
    #[arg(short = 'G', long)]
    pub(crate) include_groups: bool,

    /// This contact group instead of the contacts; repeatable
    #[arg(long, value_name = "NAME", conflicts_with_all = ["include_groups", "no_contacts"])]
    pub(crate) contact_group: Vec<String>,

    /// No contacts
    #[arg(long, conflicts_with = "include_groups")]
    pub(crate) no_contacts: bool,

    /// No groups of hosts and services
    #[arg(long)]
    pub(crate) no_groups: bool,

    /// Define the groups and contacts that hosts and services name
    #[arg(long)]
    pub(crate) define_missing: bool,

    /// Put TEXT in front of the names of groups and contacts
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) group_prefix: String,

    /// Add the icons of hosts
    #[arg(long)]
    pub(crate) include_host_icon: bool,

    /// Write nothing if FILE, an earlier dump, has the same objects
    ///
    /// With --output FILE, an unchanged file stays as it is.
    #[arg(long, value_name = "FILE", requires = "config")]
    pub(crate) if_changed: Option<PathBuf>,
}

/// The frame, and limits.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Dump")]
pub(crate) struct Dump {
    /// Number of the site's life; raise it when the site's clock went back
    ///
    /// Dumps of a greater epoch are newer, whatever the clock says.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) epoch: u64,

    /// Sign the dump with the certificate of the site
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub(crate) sign_certificate: Option<PathBuf>,

    /// The key of that certificate
    #[arg(long, value_name = "FILE", requires = "sign_certificate")]
    pub(crate) sign_key: Option<PathBuf>,

    /// Longest time for a connection
    ///
    /// A number with a unit: 500ms, 30s, 5m.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,

    /// Longest time until an answer begins
    ///
    /// Servers make an answer completely before they send its first byte.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Longest silence within an answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) idle_timeout: Duration,
}

/// Who reads the states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Core {
    /// Nagios 4
    Nagios,
    /// Naemon, which cannot be told of a backslash before the letter n
    Naemon,
}

/// When a check was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Time {
    /// When the site made it, so that old results look old
    LastCheck,
    /// Now, as the original livedump says
    Now,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On
    On,
    /// Off
    Off,
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    program::config::parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or("not a duration above 0 such as 30s")
}

/// The original writes tcp6: where both ends speak IPv6.
fn address(text: &str) -> Result<Address, String> {
    let plain = text
        .strip_prefix("tcp6:")
        .map(|rest| match rest.rsplit_once(':') {
            Some((host, port)) if host.contains(':') && !host.starts_with('[') => {
                format!("tcp:[{host}]:{port}")
            }
            _ => format!("tcp:{rest}"),
        });
    let address = plain.as_deref().unwrap_or(text).parse::<Address>();
    address.map_err(|error| error.to_string())
}
