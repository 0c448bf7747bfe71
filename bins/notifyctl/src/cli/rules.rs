//! The command line of what looks at rules.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use objects::SiteId;

/// `notifyctl rules`.
#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// Read a file of rules and name every mistake in it
    Check {
        /// The file [default: rules.toml beside notifyd.toml]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Say who would be told of a notification, and why
    ///
    /// Nothing is sent. Exits with 1 if nobody would be told.
    Test(Test),
}

/// `notifyctl rules test`.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The file of rules [default: rules.toml beside notifyd.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,

    /// What the notification says: a file, or - for standard input
    ///
    /// The body of a notification, as notifyctl show prints it, a JSON object of
    /// variables, or lines NAME=VALUE.
    #[arg(long, value_name = "FILE")]
    pub(crate) context: Option<PathBuf>,

    /// The file has a notification a line, in JSON; print a line for each
    #[arg(long, requires = "context", conflicts_with = "variables")]
    pub(crate) each: bool,

    /// Site that it comes from [default: that of the body, else "local"]
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<SiteId>,

    /// When it is looked at, in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<jiff::Timestamp>,

    /// Variables, which count more than those of the file; with or without
    /// NOTIFY_ before the name
    #[arg(value_name = "NAME=VALUE")]
    pub(crate) variables: Vec<OsString>,
}
