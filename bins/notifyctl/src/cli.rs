//! The command line of notifyctl.

pub(crate) mod hand;
pub(crate) mod migration;
pub(crate) mod rules;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Show and change what a notification spool holds and becomes of it
///
/// status, queue, show and trace read the spool and the state file of notifyd,
/// whether notifyd runs or not. hold, release, retry, drop, pause, resume, flush
/// and reload ask notifyd, and are done, durably, when they end. import and export
/// move notifications from and to a spool of Checkmk.
#[derive(Debug, Parser)]
#[command(
    name = "notifyctl",
    version = program::VERSION,
    max_term_width = 80,
    after_help = "Exit status: 0 done, 1 failed or not found, 2 used wrongly, 3 incomplete,\n\
                  75 try again, 78 bad configuration; status --nagios: the state of\n\
                  the service.\n\
                  Manual: notifyctl(1), notifyd(8), sitewire(7)",
    after_long_help = "Examples:\n  \
                  notifyctl status\n  \
                  notifyctl --spool /var/spool/sitewire queue --host db1\n  \
                  notifyctl trace 0199d3a8-6f0c-7bb2-9d0e-51a7c3f0e1d2\n  \
                  notifyctl drop --host db1 --older-than 2h --why 'sold'\n  \
                  notifyctl pause delivery --for 30m --why 'the network is being moved'\n  \
                  notifyctl test --wait 1m\n\n\
                  Exit status: 0 done, 1 failed or not found, 2 used wrongly, 3 incomplete,\n\
                  75 try again, 78 bad configuration; status --nagios: the state of\n\
                  the service.\n\
                  Manual: notifyctl(1), notifyd(8), sitewire(7)"
)]
pub(crate) struct Args {
    /// Configuration file of the notifyd to look at
    ///
    /// Without this option: $OMD_ROOT/etc/sitewire/notifyd.toml inside an OMD
    /// site, else /etc/sitewire/notifyd.toml.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Spool directory; no configuration is read then
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "config")]
    pub(crate) spool: Option<PathBuf>,

    /// Print JSON
    ///
    /// queue and trace: one object a line; all others: one object. Times are
    /// RFC 3339 in UTC, durations seconds in members that end in _s.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show whether notifyd runs, what waits, and how the links are
    Status(hand::StatusArgs),
    /// List the notifications that have not ended yet
    Queue(hand::Selection),
    /// Show one notification: where it is from, what it says, where it stands
    Show(hand::Show),
    /// Show everything that happened to one notification here
    Trace {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Do nothing with these notifications until they are released
    ///
    /// A delivery that runs goes on; what a peer was sent may still be stored
    /// there. They do not expire as long as they are held.
    Hold(hand::Act),
    /// Let notifications that are held go on, behind others of their object
    Release(hand::Act),
    /// Try deliveries that failed again now, and connect to peers now
    Retry(hand::Act),
    /// End notifications without delivering them; who and why is recorded
    Drop(hand::Drop),
    /// Deliver nothing for a while: what comes is accepted, stored and forwarded
    ///
    /// What runs goes on. A pause survives a restart of notifyd, and ends by
    /// itself if it has an end. What waits may expire meanwhile.
    Pause(hand::Pause),
    /// Deliver again what waits because of a pause
    Resume(hand::Resume),
    /// Try everything now: deliveries that wait, links that are down, dropped files
    Flush(hand::Said),
    /// Make notifyd read its configuration again
    Reload(hand::Said),
    /// Submit a test notification, and follow it to its end
    Test(hand::Test),
    /// Take in what waits in a spool of Checkmk
    ///
    /// Every file becomes a notification with the id of its name, or, if it has
    /// none, one that is always the same. It is stored once, however often this
    /// is repeated. What is no spool file is copied to corrupt/ of our spool, with
    /// the reason beside it. Checkmk's spooler should be stopped before.
    Import(migration::Import),
    /// Write notifications as spool files of Checkmk
    ///
    /// What was imported becomes the file that it was. Files appear whole.
    Export(migration::Export),
    /// Print notifyd.toml for the configuration of Checkmk's spooler
    ///
    /// Files are read as data; what has no counterpart becomes a comment.
    ImportConfig(migration::ImportConfig),
    /// Look at rules: who is told of which notification, and how
    #[command(subcommand)]
    Rules(rules::Rules),
}
