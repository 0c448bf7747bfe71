//! The command line of notifyd.

use std::path::PathBuf;

use clap::Parser;

/// Forward and deliver notifications between sites
///
/// Takes what notify and other programs drop into the spool, keeps it in a
/// journal until its end is recorded, forwards it to other sites with
/// acknowledgement, and delivers it to scripts and maildirs.
#[derive(Debug, Parser)]
#[command(
    name = "notifyd",
    version = program::VERSION,
    max_term_width = 80,
    after_help = "Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again,\n\
                  78 bad configuration.\n\
                  Manual: notifyd(8), notifyd.toml(5), sitewire(7)",
    after_long_help = "Examples:\n  \
                  notifyd -c /etc/sitewire/notifyd.toml\n  \
                  notifyd -c notifyd.toml --check-config && echo usable\n\n\
                  Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again,\n\
                  78 bad configuration.\n\
                  Manual: notifyd(8), notifyd.toml(5), sitewire(7)"
)]
pub(crate) struct Args {
    /// Configuration file
    ///
    /// Without this option: $OMD_ROOT/etc/sitewire/notifyd.toml inside an OMD
    /// site, else /etc/sitewire/notifyd.toml.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Check the configuration and exit
    ///
    /// Reads every file the configuration names, lists all problems on
    /// standard error, binds and changes nothing.
    #[arg(long)]
    pub(crate) check_config: bool,

    /// More messages; repeat for more
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Logging")]
    pub(crate) verbose: u8,
}
