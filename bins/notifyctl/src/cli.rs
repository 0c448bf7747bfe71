//! The command line of notifyctl.

pub(crate) mod migration;
pub(crate) mod rules;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Show what a notification spool holds and what became of a notification
///
/// Reads the spool's journal and the state file of notifyd, whether notifyd runs
/// or not. Moves notifications from and to a spool of Checkmk.
#[derive(Debug, Parser)]
#[command(
    name = "notifyctl",
    version = program::VERSION,
    max_term_width = 80,
    after_help = "Exit status: 0 done, 1 failed or not found, 2 used wrongly, 3 incomplete,\n\
                  78 bad configuration.\n\
                  Manual: notifyctl(1), notifyd(8), sitewire(7)",
    after_long_help = "Examples:\n  \
                  notifyctl status\n  \
                  notifyctl --spool /var/spool/sitewire queue\n  \
                  notifyctl trace 0199d3a8-6f0c-7bb2-9d0e-51a7c3f0e1d2\n\n\
                  Exit status: 0 done, 1 failed or not found, 2 used wrongly, 3 incomplete,\n\
                  78 bad configuration.\n\
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
    /// status: one object; queue and trace: one object a line. Times are
    /// RFC 3339 in UTC, durations seconds in members that end in _s.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show whether notifyd runs, what waits, and how the links are
    Status,
    /// List the notifications that have not ended yet
    Queue,
    /// Show everything that happened to one notification here
    Trace {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
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
