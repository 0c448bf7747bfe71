//! The command line of what moves between Checkmk's spooler and ours.

use std::path::PathBuf;

use clap::Args;
use objects::SiteId;

/// `notifyctl import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Its directory: var/check_mk/notify of the site, or one of spool files
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Site of files that do not name theirs [default: that of notifyd]
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// Remove every file that is stored here durably
    #[arg(long)]
    pub(crate) remove: bool,

    /// Say what would become of each file, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// `notifyctl export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Ids of notifications, open or ended
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) ids: Vec<String>,

    /// All that have not ended
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,

    /// Where to: the directory spool of Checkmk's var/check_mk/notify
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Have Checkmk forward what was submitted here, not judge it by its rules
    #[arg(long)]
    pub(crate) forward: bool,

    /// End them here as dropped once they are written; notifyd must not run
    #[arg(long)]
    pub(crate) drop: bool,
}

/// `notifyctl import-config`.
#[derive(Debug, Args)]
pub(crate) struct ImportConfig {
    /// Files such as mknotifyd.d/wato/global.mk; later ones count more
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Site that the configuration is for [default: OMD_SITE, else a placeholder]
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,
}
