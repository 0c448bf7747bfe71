//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use objects::{NotificationId, SiteId};

/// Accept one notification durably
///
/// Takes a notification from the environment, as Nagios and Checkmk pass it,
/// from standard input and from arguments, stores it in the spool of notifyd, and
/// prints its id. Ends with 0 only when it would survive a power loss. Needs no
/// running daemon and no network.
#[derive(Debug, Parser)]
#[command(
    name = "notify",
    version = program::VERSION,
    max_term_width = 80,
    after_help = "Exit status: 0 stored, 1 failed, 2 used wrongly, 75 try again.\n\
                  Manual: notify(1), sitewire(7)",
    after_long_help = "\
Examples:
  A core's notification command, with variables in the environment:
    NOTIFY_NOTIFICATIONTYPE='$NOTIFICATIONTYPE$' NOTIFY_HOSTNAME='$HOSTNAME$' notify
  The same with arguments, by hand:
    notify --site remote1 NOTIFICATIONTYPE=PROBLEM HOSTNAME=db1 HOSTSTATE=DOWN
  What would be stored:
    notify -n --site remote1 NOTIFICATIONTYPE=CUSTOM HOSTNAME=db1

Exit status: 0 stored, 1 failed, 2 used wrongly, 75 try again.
Manual: notify(1), sitewire(7)"
)]
pub(crate) struct Args {
    /// Directory of the spool [default: var/sitewire/spool in the OMD site, else /var/spool/sitewire]
    #[arg(long, value_name = "DIR")]
    pub(crate) spool: Option<PathBuf>,

    /// Site at which it happened [default: SITEWIRE_SITE, else OMD_SITE]
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// Its id, a UUID; storing the same id again changes nothing [default: a new one]
    #[arg(long, value_name = "UUID", value_parser = id)]
    pub(crate) id: Option<NotificationId>,

    /// Read variables from standard input, too: a JSON object of texts
    #[arg(long)]
    pub(crate) stdin_json: bool,

    /// Do not print the id
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print what would be stored, and store nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Variables; they count more than those from elsewhere
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) variables: Vec<OsString>,
}

fn id(text: &str) -> Result<NotificationId, &'static str> {
    NotificationId::parse(text).ok_or("not a UUID")
}
