//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use authority::{Fingerprint, Shape};
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
    after_help = "Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again.\n\
                  Manual: sitecert(1), sitewire(7)",
    after_long_help = "\
Examples:
  A site joins, with two commands and no copied key:
    central$ sitecert invite remote81
    remote81$ sitecert join swjoin1.AAAA...
  An authority and the certificates of two sites, by hand:
    sitecert init-ca --directory certs
    sitecert issue central --directory certs
    sitecert issue remote1 --directory certs
  How long are they valid?
    sitecert check -w 30d -c 7d certs/*.crt

Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again.
Manual: sitecert(1), sitewire(7)"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an authority: ca.crt, ca.key and ca.crl
    InitCa(InitCa),
    /// Make the key and the certificate of a site: SITE.crt and SITE.key
    Issue(Issue),
    /// Make a key and a request for a certificate: SITE.key and SITE.csr
    Request(Request),
    /// Make a certificate of a request: SITE.crt
    Sign(Sign),
    /// Replace the certificate of a site by one that lasts longer
    Renew(Renew),
    /// No longer believe a certificate, or all of a site
    Revoke(Revoke),
    /// Sign the list of revoked certificates anew
    Crl(Crl),
    /// List what was issued
    List(List),
    /// Invite a site: print a token with which it can join, once
    Invite(Invite),
    /// List invitations
    Invitations(List),
    /// End an invitation
    Withdraw(Withdraw),
    /// Join the centre that has invited this site
    Join(Join),
    /// Believe an authority, after a look at its fingerprint
    Trust(Trust),
    /// Print the SHA-256 of public keys, as configurations name them
    Pin(Pin),
    /// Show what is in certificates, requests and lists
    Show(Show),
    /// Check how long certificates are valid, as a plugin of a core
    Check(Check),
}

#[derive(Debug, Group)]
pub(crate) struct InitCa {
    #[command(flatten)]
    pub(crate) directory: Directory,

    /// Common name of the authority
    #[arg(long, value_name = "CN", default_value = "sitewire CA")]
    pub(crate) name: String,

    /// How long it is valid, in days; default: 3650, with --rsa 999 years
    #[arg(long, value_name = "N", value_parser = days())]
    pub(crate) days: Option<u32>,

    #[command(flatten)]
    pub(crate) shape: KeyShape,
}

#[derive(Debug, Group)]
pub(crate) struct Issue {
    /// The site: letters, digits, underscores and dashes
    #[arg(value_name = "SITE")]
    pub(crate) site: SiteId,

    #[command(flatten)]
    pub(crate) directory: Directory,

    /// How long it is valid, in days, but not longer than the authority;
    /// default: 365, with --rsa 999 years
    #[arg(long, value_name = "N", value_parser = days())]
    pub(crate) days: Option<u32>,

    #[command(flatten)]
    pub(crate) shape: KeyShape,
}

#[derive(Debug, Group)]
pub(crate) struct Request {
    /// The site: letters, digits, underscores and dashes
    #[arg(value_name = "SITE")]
    pub(crate) site: SiteId,

    #[command(flatten)]
    pub(crate) directory: Directory,

    #[command(flatten)]
    pub(crate) shape: KeyShape,
}

#[derive(Debug, Group)]
pub(crate) struct Sign {
    /// The site that the certificate is for, whoever the request is from
    #[arg(value_name = "SITE")]
    pub(crate) site: SiteId,

    /// The request in PEM
    #[arg(value_name = "CSR")]
    pub(crate) request: PathBuf,

    #[command(flatten)]
    pub(crate) directory: Directory,

    /// How long it is valid, in days, but not longer than the authority
    #[arg(long, value_name = "N", default_value = "365", value_parser = days())]
    pub(crate) days: u32,
}

#[derive(Debug, Group)]
pub(crate) struct Renew {
    /// The site whose certificate is replaced; its key stays
    #[arg(value_name = "SITE")]
    pub(crate) site: SiteId,

    #[command(flatten)]
    pub(crate) directory: Directory,

    /// How long it is valid, in days, but not longer than the authority
    #[arg(long, value_name = "N", default_value = "365", value_parser = days())]
    pub(crate) days: u32,
}

#[derive(Debug, Group)]
pub(crate) struct Revoke {
    /// A site, or the serial number of one certificate
    #[arg(value_name = "SITE|SERIAL")]
    pub(crate) what: String,

    #[command(flatten)]
    pub(crate) directory: Directory,
}

#[derive(Debug, Group)]
pub(crate) struct Crl {
    #[command(flatten)]
    pub(crate) directory: Directory,

    /// Until when there will be a newer one, in days
    #[arg(long, value_name = "N", default_value = "30", value_parser = days())]
    pub(crate) days: u32,
}

#[derive(Debug, Group)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) directory: Directory,

    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Invite {
    /// The site to be invited
    #[arg(value_name = "SITE")]
    pub(crate) site: SiteId,

    /// Where the authority is; default: what notifyd.toml says
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,

    /// Where the invited site finds notifyd; default: what notifyd.toml says
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<String>,

    /// The site that invites; default: what notifyd.toml says
    #[arg(long, value_name = "SITE")]
    pub(crate) centre: Option<SiteId>,

    /// How long the token can be used: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub(crate) expires: Duration,

    #[command(flatten)]
    pub(crate) config: Config,
}

#[derive(Debug, Group)]
pub(crate) struct Withdraw {
    /// A site, or the id of one invitation
    #[arg(value_name = "SITE|ID")]
    pub(crate) what: String,

    #[command(flatten)]
    pub(crate) directory: Directory,
}

#[derive(Debug, Group)]
pub(crate) struct Join {
    /// What "sitecert invite" printed; "-" reads it from standard input
    #[arg(value_name = "TOKEN")]
    pub(crate) token: String,

    /// Where key and certificates are put
    #[arg(long, value_name = "DIR", default_value = "/etc/sitewire/certs")]
    pub(crate) directory: PathBuf,

    #[command(flatten)]
    pub(crate) config: Config,
}

#[derive(Debug, Group)]
pub(crate) struct Trust {
    /// A server that shows its authority, or a file with the authority's certificate
    #[arg(value_name = "HOST:PORT|FILE")]
    pub(crate) from: String,

    /// Where the certificate is put, beside those that are there
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/sitewire/certs/ca.crt"
    )]
    pub(crate) ca: PathBuf,

    /// The fingerprint that it must have; without it you are asked
    #[arg(long, value_name = "SHA-256")]
    pub(crate) fingerprint: Option<Fingerprint>,
}

#[derive(Debug, Group)]
pub(crate) struct Pin {
    /// Files with a certificate, a request or a key in PEM
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Show {
    /// Files with certificates, requests or lists of revoked certificates in PEM
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Check {
    /// Files with certificates or lists of revoked certificates in PEM
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// WARNING if less time is left
    #[arg(short, long, value_name = "TIME", default_value = "30d", value_parser = duration)]
    pub(crate) warning: Duration,

    /// CRITICAL if less time is left
    #[arg(short, long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    pub(crate) critical: Duration,
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

#[derive(Debug, Group)]
pub(crate) struct Config {
    /// The configuration of notifyd
    ///
    /// Without this option: $OMD_ROOT/etc/sitewire/notifyd.toml inside an OMD
    /// site, else /etc/sitewire/notifyd.toml.
    #[arg(id = "config", short, long = "config", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct KeyShape {
    /// As Checkmk makes them: RSA with 2048 bits, signed with SHA-512
    #[arg(long)]
    rsa: bool,
}

impl KeyShape {
    pub(crate) fn shape(&self) -> Shape {
        match self.rsa {
            true => Shape::Rsa,
            false => Shape::Ecdsa,
        }
    }
}

/// A thousand years: more is a slip of the finger.
fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=365_250)
}

fn duration(text: &str) -> Result<Duration, String> {
    program::config::parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "is not a time: a number and s, m, h or d, such as 30d".to_owned())
}
