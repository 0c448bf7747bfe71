//! The command line.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use program::Address;

/// Copy standard input to a socket and the socket to standard output
///
/// Both directions run at the same time. At the end of standard input the
/// socket is half-closed, and what the other side still has to say is printed.
#[derive(Debug, Parser)]
#[command(
    name = "unixcat",
    version = program::VERSION,
    max_term_width = 80,
    after_help = "Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again.\n\
                  Manual: unixcat(1), sitewire(7)",
    after_long_help = "\
Examples:
  Ask Livestatus a question:
    printf 'GET hosts\\nColumns: name state\\n' | unixcat tmp/run/live
  Carry the state of this site to the central one:
    cmcdump -s tmp/run/live | ssh central unixcat ingest.d/remote1

Exit status: 0 done, 1 failed, 2 used wrongly, 75 try again.
Manual: unixcat(1), sitewire(7)"
)]
pub(crate) struct Args {
    /// Give up connecting after this long, such as 5s
    ///
    /// On each address that a host has, and for each silence while TLS is
    /// agreed on. Without it the system decides.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) connect_timeout: Option<Duration>,

    /// Give up when nothing moves for this long, such as 30s or 5m
    ///
    /// Counts once connected, whenever neither direction makes progress.
    /// Without it unixcat waits for as long as both sides stay.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) idle_timeout: Option<Duration>,

    #[cfg(feature = "tls")]
    #[command(flatten)]
    pub(crate) tls: Tls,

    /// A path, unix:PATH, tcp:HOST:PORT or tls:HOST:PORT
    #[arg(value_name = "SOCKET")]
    pub(crate) socket: Address,
}

/// Whom to believe behind tls:HOST:PORT, and who connects.
#[cfg(feature = "tls")]
#[derive(Debug, clap::Args)]
pub(crate) struct Tls {
    /// With tls: the certificates of the CA that vouches for the server
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// With tls: our certificate, if the server wants to know who connects
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// With tls: the private key of our certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// With tls: the host or site that the server's certificate is for [default: HOST]
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,
}

#[cfg(feature = "tls")]
impl Tls {
    pub(crate) fn options(&self) -> program::tls::Options<'_> {
        program::tls::Options {
            ca: self.ca.as_deref(),
            certificate: self.cert.as_deref(),
            key: self.key.as_deref(),
            name: self.tls_name.as_deref(),
            peer: "server",
        }
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    match program::config::parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a duration such as 500ms, 30s or 5m"),
    }
}
