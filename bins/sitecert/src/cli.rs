//! The command line.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use objects::SiteId;

/// Make certificates for sites, and show what is in them
///
/// The spoolers of two sites believe each other when both have a certificate
/// from the same authority. Who a site is stands in its certificate.
#[derive(Debug, Parser)]
#[command(
    name = "sitecert",
    version = program::VERSION,
    max_term_width = 80,
    after_help = "Exit status: 0 done, 1 failed, 2 used wrongly.\n\
                  Manual: sitecert(1), sitewire(7)",
    after_long_help = "\
Examples:
  An authority and the certificates of two sites:
    sitecert init-ca --directory certs
    sitecert issue central --directory certs
    sitecert issue remote1 --directory certs
  How long are they valid?
    sitecert show certs/*.crt

Exit status: 0 done, 1 failed, 2 used wrongly.
Manual: sitecert(1), sitewire(7)"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an authority: ca.crt and ca.key
    InitCa(InitCa),
    /// Make the key and the certificate of a site: SITE.crt and SITE.key
    Issue(Issue),
    /// Show what is in certificates
    Show(Show),
}

#[derive(Debug, Group)]
pub(crate) struct InitCa {
    #[command(flatten)]
    pub(crate) directory: Directory,

    /// Common name of the authority
    #[arg(long, value_name = "CN", default_value = "sitewire CA")]
    pub(crate) name: String,

    /// How long it is valid, in days
    #[arg(long, value_name = "N", default_value = "3650", value_parser = days())]
    pub(crate) days: u32,
}

#[derive(Debug, Group)]
pub(crate) struct Issue {
    /// The site: letters, digits, underscores and dashes
    #[arg(value_name = "SITE")]
    pub(crate) site: SiteId,

    #[command(flatten)]
    pub(crate) directory: Directory,

    /// How long it is valid, in days, but not longer than the authority
    #[arg(long, value_name = "N", default_value = "730", value_parser = days())]
    pub(crate) days: u32,
}

#[derive(Debug, Group)]
pub(crate) struct Show {
    /// Files with certificates in PEM
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Directory {
    /// Where the authority is
    #[arg(
        id = "directory",
        long = "directory",
        value_name = "DIR",
        default_value = "/etc/sitewire/certs"
    )]
    pub(crate) path: PathBuf,
}

/// A hundred years: more is a slip of the finger.
fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36500)
}
