//! Why a connection or what it needs could not be had.

use std::fmt;
use std::io;
use std::path::PathBuf;

use objects::SiteId;

/// Why a connection or what it needs could not be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The text is not an address.
    BadAddress(String),
    /// A certificate or key file cannot be read.
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key file is not what it should be.
    BadFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// TLS cannot be set up with these files.
    Setup(rustls::Error),
    /// The system refused something about this address.
    Io {
        /// "connect to", "listen on"
        what: &'static str,
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    Timeout(&'static str),
    /// The other end does not speak TLS.
    NotTls,
    /// TLS with the peer failed.
    Tls(rustls::Error),
    /// The stream broke.
    Stream(io::Error),
    /// The peer speaks TLS, but not this protocol in it.
    NoProtocol(String),
    /// The peer's certificate names no site.
    NoSite(String),
    /// The peer's certificate is for another site.
    WrongSite {
        /// The site we wanted.
        expected: SiteId,
        /// What its certificate says.
        found: String,
    },
    /// The peer's key is not one by which we know it.
    WrongKey {
        /// The key, as configurations name it.
        key: String,
        /// What is to be said of it.
        what: String,
    },
    /// The session ended with an error.
    Session(wire::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress(text) => write!(
                f,
                "{text:?} is not an address: HOST:PORT, [IPV6]:PORT or unix:/PATH"
            ),
            Self::File { path, .. } => write!(f, "cannot read {}", path.display()),
            Self::BadFile { path, what } => write!(f, "{}: {what}", path.display()),
            Self::Setup(_) => f.write_str("cannot set up TLS"),
            Self::Io { what, address, .. } => write!(f, "cannot {what} {address}"),
            Self::Timeout(what) => write!(f, "{what} took too long"),
            Self::NotTls => f.write_str("the other end does not speak TLS"),
            Self::Tls(_) => f.write_str("TLS failed"),
            Self::Stream(_) => f.write_str("connection broke"),
            Self::NoProtocol(name) => write!(f, "peer does not offer {name} in TLS"),
            Self::NoSite(why) => write!(f, "peer's certificate names no site: {why}"),
            Self::WrongSite { expected, found } => {
                write!(
                    f,
                    "peer's certificate is for {found}, expected site {expected}"
                )
            }
            Self::WrongKey { key, what } => write!(f, "peer's key {key} {what}"),
            Self::Session(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } | Self::Io { source, .. } | Self::Stream(source) => {
                Some(source)
            }
            Self::Setup(error) | Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

impl From<wire::Error> for Error {
    fn from(error: wire::Error) -> Self {
        Self::Session(error)
    }
}
