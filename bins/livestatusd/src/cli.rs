//! The command line.

use std::path::PathBuf;

/// Serve the state of many sites over Livestatus, from dumps and passive results
#[derive(Debug, clap::Parser)]
#[command(
    name = "livestatusd",
    version = program::VERSION,
    max_term_width = 80,
    after_help = AFTER_HELP,
    after_long_help = AFTER_LONG_HELP
)]
pub(crate) struct Args {
    /// Configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/sitewire/livestatusd.toml"
    )]
    pub(crate) config: PathBuf,

    /// Check the configuration, list everything that is wrong with it, and exit
    ///
    /// Nothing is bound or changed. What is wrong with the configuration of
    /// single sites is printed too, but does not change the exit status: it
    /// keeps none of the other sites from being served.
    #[arg(long)]
    pub(crate) check_config: bool,

    /// More messages; repeat for more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Logging")]
    pub(crate) verbose: u8,
}

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again, 78 bad configuration.
Manual: livestatusd(8), sitewire(7)";

const AFTER_LONG_HELP: &str = "\
Examples:
  Check a configuration, then serve it:
    livestatusd -c livestatusd.toml --check-config
    livestatusd -c livestatusd.toml

  Take in new configuration of sites:
    kill -HUP \"$(pidof livestatusd)\"

Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again, 78 bad configuration.
Manual: livestatusd(8), sitewire(7)";
